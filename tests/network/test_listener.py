"""The listener: whom it takes, whom it turns away and why, and how it ends."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable

import psutil
import pytest
from pydicom.uid import CTImageStorage
from pynetdicom import AE
from pynetdicom.pdu_primitives import AsynchronousOperationsWindowNegotiation
from pynetdicom.presentation import build_context

from pacslab.archive import Archive
from pacslab.errors import NetworkError, PortInUseError, ServerError
from pacslab.network import client
from pacslab.network.listener import DicomListener
from tests.making import instance
from tests.network.conftest import HOST, Node, run


@pytest.mark.dcmtk
def test_echoscu(node: Node) -> None:
    done = run("echoscu", "-aet", "ME", "-aec", "YOU", "--repeat", 3, HOST, node.port)
    assert done.returncode == 0, done.stderr
    summary = node.next_ended()
    assert (summary.calling_ae_title, summary.called_ae_title) == ("ME", "YOU")
    assert (summary.ending, summary.messages, summary.peer_host) == ("released", 3, HOST)
    assert summary.started <= summary.ended


@pytest.mark.dcmtk
def test_another_called_title_is_rejected_where_required(serve: Callable[..., Node]) -> None:
    node = serve(ae_title="ARCHIVE", require_called_ae=True)
    assert run("echoscu", "-aec", "ARCHIVE", HOST, node.port).returncode == 0
    wrong = run("echoscu", "-aec", "OTHER", HOST, node.port)
    assert wrong.returncode != 0
    assert "Called AE Title Not Recognized" in wrong.stderr
    assert node.next_ended().ending == "released"
    summary = node.next_ended()
    assert summary.ending == "rejected"
    assert summary.reason == "Called AE title not recognised, Service User"


def test_an_unknown_calling_title_is_rejected_where_required(serve: Callable[..., Node]) -> None:
    node = serve(calling_ae_titles=["CT1", "CT2"])
    client.echo(HOST, node.port, ae_title="X", calling_ae_title="CT2")
    with pytest.raises(NetworkError, match="calling AE title CT3"):
        client.echo(HOST, node.port, ae_title="X", calling_ae_title="CT3")


def test_more_associations_than_the_limit_are_rejected(serve: Callable[..., Node]) -> None:
    node = serve(max_associations=1)
    contexts = [build_context("1.2.840.10008.1.1")]
    first = AE().associate(HOST, node.port, contexts=contexts)
    with pytest.raises(NetworkError, match="as many associations as it takes"):
        client.echo(HOST, node.port, ae_title="PACSLAB")
    assert node.next_ended().reason == "Local limit exceeded, Service Provider (Presentation)"
    assert first.send_c_echo().Status == 0
    first.release()
    assert node.next_ended().ending == "released"
    client.echo(HOST, node.port, ae_title="PACSLAB")


def test_the_summary_tells_what_was_proposed_and_accepted(node: Node) -> None:
    contexts = [
        build_context(CTImageStorage, "1.2.840.10008.1.2.1"),
        build_context(CTImageStorage, "1.2.3.4"),
        build_context("1.2.840.10008.5.1.1.9"),
    ]
    AE("ASKER").associate(HOST, node.port, contexts=contexts).release()
    told = node.next_ended().contexts
    assert [c.context_id for c in told] == [1, 3, 5]
    assert [c.result for c in told] == [
        "accepted",
        "transfer syntaxes not supported",
        "abstract syntax not supported",
    ]
    assert [c.transfer_syntax_uid for c in told] == ["1.2.840.10008.1.2.1", "", ""]
    assert told[1].proposed_transfer_syntax_uids == ("1.2.3.4",)


def test_operations_are_one_at_a_time(node: Node) -> None:
    window = AsynchronousOperationsWindowNegotiation()
    window.maximum_number_operations_invoked = 8
    window.maximum_number_operations_performed = 8
    contexts = [build_context("1.2.840.10008.1.1")]
    association = AE().associate(HOST, node.port, contexts=contexts, ext_neg=[window])
    assert association.acceptor.asynchronous_operations == (1, 1)
    assert any(
        isinstance(i, AsynchronousOperationsWindowNegotiation)
        for i in association.acceptor.user_information
    )
    association.release()


def test_a_port_in_use_names_who_holds_it(node: Node, archive: Archive) -> None:
    second = DicomListener(archive, port=node.port)
    with pytest.raises(PortInUseError) as caught:
        second.start()
    me = psutil.Process(os.getpid()).name()
    assert f"port {node.port} is in use by {me} (pid {os.getpid()})" in caught.value.message
    second.stop()


def test_an_address_that_is_not_ours(archive: Archive) -> None:
    with pytest.raises(ServerError, match="isn't an address of this machine"):
        DicomListener(archive, host="203.0.113.7", port=0).start()


def test_ipv6(serve: Callable[..., Node]) -> None:
    node = serve(host="::1")
    assert client.echo("::1", node.port, ae_title="PACSLAB").maximum_pdu == 1 << 17


@pytest.mark.parametrize(
    "sent", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\x01\x00\x00\x00", b"\xff" * 64]
)
def test_rubbish_harms_nobody(node: Node, sent: bytes) -> None:
    with socket.create_connection((HOST, node.port)) as connection:
        connection.sendall(sent)
        client.echo(HOST, node.port, ae_title="PACSLAB")
    assert node.send(instance())[0].ok


def test_a_pdu_of_four_gigabytes_takes_no_memory(node: Node) -> None:
    association = AE().associate(HOST, node.port, contexts=[build_context(CTImageStorage)])
    association.dul.socket.socket.sendall(b"\x04\x00\xff\xff\xff\xff" + bytes(1000))
    assert node.next_ended().ending == "lost"
    association.abort()
    assert node.send(instance())[0].ok


def test_a_connection_that_just_ends_is_told(node: Node) -> None:
    socket.create_connection((HOST, node.port)).close()
    client.echo(HOST, node.port, ae_title="PACSLAB")
    assert node.next_ended().ending == "released"


def test_an_idle_peer_is_let_go(serve: Callable[..., Node]) -> None:
    node = serve(network_timeout=0.3)
    AE().associate(HOST, node.port, contexts=[build_context(CTImageStorage)])
    assert node.next_ended().ending == "aborted"


def test_stopping_ends_idle_associations_and_bare_connections_at_once(node: Node) -> None:
    contexts = [build_context(CTImageStorage)]
    associations = [AE().associate(HOST, node.port, contexts=contexts) for _ in range(10)]
    bare = [socket.create_connection((HOST, node.port)) for _ in range(3)]
    port = node.port
    started = time.monotonic()
    node.listener.stop()
    assert time.monotonic() - started < 8  # and not the 10 s that it would wait for work
    for association in associations:
        association.join(5)
        assert association.is_aborted
    for connection in bare:
        connection.close()
    with pytest.raises(NetworkError, match="nothing listens there"):
        client.echo(HOST, port, ae_title="PACSLAB")
    node.listener.stop()


def test_a_stuck_peer_cannot_hold_the_end_up(node: Node) -> None:
    association = AE().associate(HOST, node.port, contexts=[build_context(CTImageStorage)])
    association.dul.socket.socket.sendall(b"\x04\x00\x00\x00\xff\xff\x00")  # half a PDU
    node.listener.stop(timeout=3)  # or the test's own time runs out
    association.abort()


def test_the_port_is_free_again(archive: Archive) -> None:
    with DicomListener(archive, port=0) as first:
        port = first.port
        client.echo(HOST, port, ae_title="PACSLAB")
    with DicomListener(archive, port=port) as second:
        assert client.echo(*second.address, ae_title="PACSLAB").port == port
