"""C-STORE as we write and read it is C-STORE as pynetdicom does."""

from __future__ import annotations

import io

import pytest
from pynetdicom.dimse_messages import C_ECHO_RQ, C_STORE_RQ, C_STORE_RSP, DIMSEMessage
from pynetdicom.dimse_primitives import C_ECHO, C_STORE
from pynetdicom.pdu import P_DATA_TF

from pacslab.network import commands
from pacslab.network.commands import StoreRequest

CT = "1.2.840.10008.5.1.4.1.1.2"


def request(**values: object) -> C_STORE:
    made = C_STORE()
    made.MessageID, made.Priority = 7, 2
    made.AffectedSOPClassUID, made.AffectedSOPInstanceUID = CT, "1.2.3"
    made.DataSet = io.BytesIO(b"12345678")
    for name, value in values.items():
        setattr(made, name, value)
    return made


def pdus(primitive: C_STORE, maximum: int = 0) -> list[bytes]:
    message = C_STORE_RQ()
    message.primitive_to_message(primitive)
    return [P_DATA_TF(p).encode() for p in message.encode_msg(5, maximum)]


def read(pdu: bytes) -> list[tuple[int, int, bytes]]:
    return [(c, control, bytes(f)) for c, control, f in commands.fragments(memoryview(pdu))]


def test_a_request_is_read() -> None:
    command, data = (f for pdu in pdus(request()) for f in read(pdu))
    assert command[:2] == (5, commands.COMMAND | commands.LAST)
    assert data == (5, commands.LAST, b"12345678")
    assert commands.store_request(command[2]) == StoreRequest(7, CT, "1.2.3")


def test_our_own_request_is_read_by_pynetdicom() -> None:
    pdu = P_DATA_TF()
    command = commands.store_command(StoreRequest(7, CT, "1.2.3"))
    pdu.decode(commands.data_pdu(5, commands.COMMAND | commands.LAST, command))
    message = DIMSEMessage()
    assert not message.decode_msg(pdu.to_primitive())  # its data set is to come
    assert isinstance(message, C_STORE_RQ)
    assert str(message.command_set.AffectedSOPInstanceUID) == "1.2.3"


def test_one_with_a_move_originator_is_read() -> None:
    asked = request(MoveOriginatorApplicationEntityTitle="ME", MoveOriginatorMessageID=9)
    assert commands.store_request(read(pdus(asked)[0])[0][2]) == StoreRequest(7, CT, "1.2.3")


def test_what_is_no_whole_request_is_left_to_pynetdicom() -> None:
    (whole,) = read(pdus(request())[0])
    for cut in range(len(whole[2])):
        assert commands.store_request(whole[2][:cut]) is None
    echo = C_ECHO_RQ()
    primitive = C_ECHO()
    primitive.MessageID = 1
    echo.primitive_to_message(primitive)
    (pdu,) = (P_DATA_TF(p).encode() for p in echo.encode_msg(1, 0))
    assert commands.store_request(read(pdu)[0][2]) is None


@pytest.mark.parametrize("comment", ["", "odd", "even"])
@pytest.mark.parametrize("status", [0, 0xA700])
def test_pynetdicom_reads_the_response(status: int, comment: str) -> None:
    pdu = P_DATA_TF()
    pdu.decode(commands.store_response(5, StoreRequest(7, CT, "1.2.3"), status, comment))
    message = DIMSEMessage()
    assert message.decode_msg(pdu.to_primitive())
    assert isinstance(message, C_STORE_RSP)
    told = message.message_to_primitive()
    assert isinstance(told, C_STORE)
    assert (told.MessageIDBeingRespondedTo, told.Status) == (7, status)
    assert (told.AffectedSOPClassUID, told.AffectedSOPInstanceUID) == (CT, "1.2.3")
    assert (told.ErrorComment or "") == comment
    assert message.context_id == 5
    again = P_DATA_TF(next(message.encode_msg(5, 0))).encode()
    assert again == commands.store_response(5, StoreRequest(7, CT, "1.2.3"), status, comment)


@pytest.mark.parametrize(
    "body", [b"\0\0\0", b"\0\0\0\1\5\2", b"\0\0\0\x09\5\2abc", b"\0\0\0\x05\5\2abc\0"]
)
def test_lengths_that_do_not_fit(body: bytes) -> None:
    with pytest.raises(ValueError, match="presentation data value"):
        read(b"\x04\0" + len(body).to_bytes(4, "big") + body)
