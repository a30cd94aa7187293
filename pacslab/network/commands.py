"""C-STORE on the wire: its request read, its response written (PS3.7 9.3.1, PS3.8 9.3.5).

These two messages come and go for every instance; pynetdicom's classes, which know all messages,
take half a millisecond for them. Everything else is left to pynetdicom.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

_ELEMENT: Final = struct.Struct("<HHI")  # command sets are Implicit VR Little Endian (PS3.7 6.3.1)
_PDV: Final = struct.Struct(">IBB")  # length, presentation context, message control header
_PDU: Final = struct.Struct(">BBI")
_P_DATA: Final = 0x04
_STORE_RQ: Final = 0x0001
_STORE_RSP: Final = 0x8001
_NO_DATA_SET: Final = 0x0101

COMMAND: Final = 1
"""Bit of the message control header: a fragment of the command set, not of the data set."""

LAST: Final = 2
"""Bit of the message control header: the last fragment of the command or of the data set."""


@dataclass(frozen=True, slots=True)
class StoreRequest:
    """A C-STORE-RQ: its Message ID, and the SOP Class and Instance UID that it names."""

    message_id: int
    sop_class_uid: str
    sop_instance_uid: str


def fragments(pdu: memoryview) -> list[tuple[int, int, memoryview]]:
    """The presentation data values of a P-DATA-TF PDU: context, control header, fragment.

    The fragments are views of the PDU. Raises ValueError when their lengths don't make up the PDU.
    """
    found = []
    at, end = _PDU.size, len(pdu)
    while at < end:
        if at + _PDV.size > end:
            raise ValueError("a presentation data value without a head")
        length, context, control = _PDV.unpack_from(pdu, at)
        stop = at + 4 + length
        if length < 2 or stop > end:
            raise ValueError(f"a presentation data value of {length} bytes in {end - at}")
        found.append((context, control, pdu[at + _PDV.size : stop]))
        at = stop
    return found


def store_request(command: bytes) -> StoreRequest | None:
    """The C-STORE-RQ that a command set is; None for anything else, or for half a one."""
    values: dict[int, bytes] = {}
    at, end = 0, len(command)
    while at + 8 <= end:
        group, element, length = _ELEMENT.unpack_from(command, at)
        at += 8 + length
        if group or at > end:
            return None
        values[element] = command[at - length : at]
    try:
        ((field,), (message_id,), (data_set,)) = (
            struct.unpack("<H", values[element]) for element in (0x0100, 0x0110, 0x0800)
        )
        sop_class, instance = (
            values[element].rstrip(b"\0 ").decode("ascii") for element in (0x0002, 0x1000)
        )
    except (KeyError, struct.error, UnicodeDecodeError):
        return None
    if field != _STORE_RQ or data_set == _NO_DATA_SET or 0x0700 not in values or not instance:
        return None
    return StoreRequest(message_id, sop_class, instance)


def store_response(context: int, request: StoreRequest, status: int, comment: str = "") -> bytes:
    """The C-STORE-RSP as a P-DATA-TF PDU; ``comment`` is ASCII of at most 64 characters."""
    elements = [
        _text(0x0002, request.sop_class_uid, "\0"),
        _short(0x0100, _STORE_RSP),
        _short(0x0120, request.message_id),
        _short(0x0800, _NO_DATA_SET),
        _short(0x0900, status),
    ]
    if comment:
        elements.append(_text(0x0902, comment, " "))
    elements.append(_text(0x1000, request.sop_instance_uid, "\0"))
    return data_pdu(context, COMMAND | LAST, _command_set(elements))


def store_command(request: StoreRequest) -> bytes:
    """The command set of a C-STORE-RQ (PS3.7 9.3.1.1)."""
    return _command_set(
        [
            _text(0x0002, request.sop_class_uid, "\0"),
            _short(0x0100, _STORE_RQ),
            _short(0x0110, request.message_id),
            _short(0x0700, 2),
            _short(0x0800, 1),
            _text(0x1000, request.sop_instance_uid, "\0"),
        ]
    )


def data_pdu(context: int, control: int, fragment: bytes) -> bytes:
    """A P-DATA-TF PDU with one presentation data value (PS3.8 9.3.5)."""
    head = _PDU.pack(_P_DATA, 0, len(fragment) + _PDV.size)
    return head + _PDV.pack(len(fragment) + 2, context, control) + fragment


def _command_set(elements: list[bytes]) -> bytes:
    body = b"".join(elements)
    return _ELEMENT.pack(0, 0, 4) + struct.pack("<I", len(body)) + body


def _short(element: int, value: int) -> bytes:
    return struct.pack("<HHIH", 0, element, 2, value)


def _text(element: int, text: str, padding: str) -> bytes:
    value = (text + padding * (len(text) % 2)).encode("ascii")
    return _ELEMENT.pack(0, element, len(value)) + value
