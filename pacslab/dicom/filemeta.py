"""What stands before the data set in a Part 10 file (PS3.10 7.1)."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final

from pacslab.dicom.buffers import Buffer

IMPLEMENTATION_CLASS_UID: Final = "2.25.237684309519527464137012309219117246461"
IMPLEMENTATION_VERSION_NAME: Final = "PACSLAB"

PREAMBLE: Final = 132
"""Bytes before the first element: 128 of anything, then DICM."""

LONG_VR: Final = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
"""VRs whose length has four bytes, behind two reserved ones (PS3.5 table 7.1-1)."""


def file_prefix(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> bytes:
    """Preamble and file meta information for a bare data set (PS3.10 7.1), in bytes."""
    elements = b"".join(
        (
            b"\x02\x00\x01\x00OB\x00\x00\x02\x00\x00\x00\x00\x01",
            _meta_text(0x0002, b"UI", sop_class_uid),
            _meta_text(0x0003, b"UI", sop_instance_uid),
            _meta_text(0x0010, b"UI", transfer_syntax_uid),
            _meta_text(0x0012, b"UI", IMPLEMENTATION_CLASS_UID),
            _meta_text(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME),
        )
    )
    length = struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(elements))
    return bytes(128) + b"DICM" + length + elements


def data_set_offset(data: Buffer) -> int:
    """Where the data set starts: behind preamble and group 2, in bytes."""
    return file_meta(data)[0]


def file_meta(data: Buffer) -> tuple[int, str]:
    """Where the data set starts, in bytes, and the transfer syntax that is declared for it.

    Read element by element, since the group length (0002,0000) of real files may be wrong. The
    transfer syntax is empty where none is named, or there is no preamble.
    """
    position = PREAMBLE if data[128:PREAMBLE] == b"DICM" else 0
    syntax = b""
    while data[position : position + 2] == b"\x02\x00" and position + 8 <= len(data):
        head = data[position : position + 12]
        vr = head[4:6]
        if vr in LONG_VR:
            (length,) = struct.unpack("<I", head[8:])
            position += 12 + length
        elif vr.isalpha():
            (length,) = struct.unpack("<H", head[6:8])
            position += 8 + length
            if head[2:4] == b"\x10\x00":
                syntax = data[position - length : position].rstrip(b"\0 ")
        else:  # implicit VR, which PS3.10 forbids here and some writers use
            (length,) = struct.unpack("<I", head[4:8])
            position += 8 + length
    declared = syntax.decode("ascii", "replace") if position > PREAMBLE else ""
    return min(position, len(data)), declared


@lru_cache(maxsize=256)
def _meta_text(element: int, vr: bytes, text: str) -> bytes:
    value = text.encode("ascii")
    value += (b"\0" if vr == b"UI" else b" ") * (len(value) % 2)
    return struct.pack("<HH2sH", 2, element, vr, len(value)) + value
