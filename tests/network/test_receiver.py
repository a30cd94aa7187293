"""The reading thread: every shape in which a C-STORE may come, and what it does with the rest."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.presentation import build_context

from tests.making import instance
from tests.network.conftest import HOST, Node, data_set
from tests.network.test_commands import pdus, request

CT = str(CTImageStorage)
EXPLICIT = str(ExplicitVRLittleEndian)
VERIFICATION = "1.2.840.10008.1.1"


@pytest.fixture
def association(node: Node) -> Iterator[Association]:
    ae = AE("SENDER")
    contexts = [build_context(CT, EXPLICIT), build_context(VERIFICATION)]
    made = ae.associate(HOST, node.port, contexts=contexts)
    made._reactor_checkpoint.clear()
    while not made._is_paused:
        made.join(0.001)
    yield made
    made.abort()


def fragments(uid: str, maximum: int) -> list[P_DATA]:
    asked = request(AffectedSOPInstanceUID=uid)
    asked.DataSet.seek(0)
    asked.DataSet.write(data_set(instance(SOPInstanceUID=uid)))
    message = C_STORE_RQ()
    message.primitive_to_message(asked)
    return list(message.encode_msg(1, maximum))


def wire(association: Association) -> socket.socket:
    connection = association.dul.socket
    assert connection is not None
    assert connection.socket is not None
    return connection.socket


def together(parts: list[P_DATA]) -> bytes:
    """All of it in one PDU."""
    values = [v for part in parts for v in part.presentation_data_value_list]
    body = b"".join(
        (len(data) + 1).to_bytes(4, "big") + bytes([context]) + data for context, data in values
    )
    return b"\x04\0" + len(body).to_bytes(4, "big") + body


def answer(association: Association) -> tuple[int, str]:
    _, message = association.dimse.get_msg(block=True)
    assert isinstance(message, C_STORE)
    return int(message.Status), str(message.AffectedSOPInstanceUID)


@pytest.mark.parametrize("maximum", [0, 40, 128, 1000])
def test_in_fragments_of_any_size(node: Node, association: Association, maximum: int) -> None:
    """In 40 bytes not even the command is whole, so that pynetdicom reads it."""
    for part in fragments("1.2.3", maximum):
        wire(association).sendall(P_DATA_TF(part).encode())
    assert answer(association) == (0, "1.2.3")
    assert list(node.stored()) == ["1.2.3"]


def test_command_and_data_in_one_pdu(node: Node, association: Association) -> None:
    wire(association).sendall(together(fragments("1.2.3", 200)))
    assert answer(association) == (0, "1.2.3")


def test_byte_by_byte(node: Node, association: Association) -> None:
    for part in fragments("1.2.3", 0):
        for byte in P_DATA_TF(part).encode():
            wire(association).sendall(bytes([byte]))
    assert answer(association) == (0, "1.2.3")


def test_several_without_waiting_for_an_answer(node: Node, association: Association) -> None:
    sent = b"".join(together(fragments(f"1.2.{i}", 0)) for i in range(5))
    wire(association).sendall(sent)
    assert [answer(association) for _ in range(5)] == [(0, f"1.2.{i}") for i in range(5)]


def test_echo_between_stores(node: Node) -> None:
    contexts = [build_context(CT, EXPLICIT), build_context(VERIFICATION)]
    association = AE("SENDER").associate(HOST, node.port, contexts=contexts)
    for i in range(3):
        assert association.send_c_echo().Status == 0
        association._reactor_checkpoint.clear()
        while not association._is_paused:
            association.join(0.001)
        wire(association).sendall(together(fragments(f"1.2.{i}", 0)))
        assert answer(association) == (0, f"1.2.{i}")
        association._reactor_checkpoint.set()
    association.release()
    summary = node.next_ended()
    assert (summary.messages, summary.stored, summary.ending) == (6, 3, "released")


def test_a_requestor_that_takes_tiny_pdus_only(node: Node) -> None:
    ae = AE("SENDER")
    ae.maximum_pdu_size = 60
    contexts = [build_context(CT, EXPLICIT)]
    association = ae.associate(HOST, node.port, contexts=contexts, max_pdu=60)
    association._reactor_checkpoint.clear()
    while not association._is_paused:
        association.join(0.001)
    wire(association).sendall(together(fragments("1.2.3", 0)))
    assert answer(association) == (0, "1.2.3")
    association.abort()


@pytest.mark.parametrize("broken", ["length", "context", "command", "no command"])
def test_a_broken_protocol_is_aborted(node: Node, association: Association, broken: str) -> None:
    command, data = pdus(request())
    if broken == "length":
        data = data[:9] + bytes([data[9] + 4]) + data[10:]
    elif broken == "context":
        data = data[:10] + b"\x03" + data[11:]
    elif broken == "command":
        data = command
    command = command[:10] + b"\x01" + command[11:]
    if broken in ("command", "length"):
        data = data[:10] + b"\x01" + data[11:]
    wire(association).sendall((b"" if broken == "no command" else command) + data)
    if broken == "no command":
        wire(association).close()
    summary = node.next_ended()
    assert summary.ending in ("aborted", "lost")
    assert summary.stored == 0
    assert node.stored() == {}
    assert node.send(instance())[0].ok


def test_an_abort_between_fragments_leaves_nothing(node: Node, association: Association) -> None:
    first, *_ = fragments("1.2.3", 200)
    wire(association).sendall(P_DATA_TF(first).encode())
    association._reactor_checkpoint.set()
    association.abort()
    assert node.next_ended().reason == "by the peer"
    assert node.stored() == {}
    assert list(node.archive.files.incoming.iterdir()) == []
