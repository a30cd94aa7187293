"""What stands in a codestream beside the picture: comments, EXIF, boxes, bytes behind its end."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

_BARE: Final = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length
_PICTURE: Final = {b"jP  ", b"ftyp", b"jp2h", b"jp2c", b"jph "}
_APPLICATION: Final = range(0xE0, 0xF0)
_ENDS: Final = b"\0\xff"


def beside(fragment: bytes) -> Iterator[tuple[str, bytes]]:
    """What isn't picture in a fragment: a name and its bytes."""
    if fragment[:2] == b"\xff\xd8":
        yield from _jpeg(fragment)
    elif fragment[:2] == b"\xff\x4f":
        yield from _jpeg2000(fragment)
    elif fragment[4:8] == b"jP  ":
        yield from _boxes(fragment)


def fragments(value: bytes) -> Iterator[bytes]:
    """The fragments of encapsulated pixel data, the offset table left out (PS3.5 A.4)."""
    at, first = 0, True
    while at + 8 <= len(value):
        tag, length = value[at : at + 4], struct.unpack("<I", value[at + 4 : at + 8])[0]
        if tag != b"\xfe\xff\x00\xe0":
            return
        if not first:
            yield value[at + 8 : at + 8 + length]
        first, at = False, at + 8 + length


def _jpeg(data: bytes) -> Iterator[tuple[str, bytes]]:
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker in _BARE:
            at += 2
            continue
        if marker in (0xD9, 0xDA):
            break
        length = struct.unpack(">H", data[at + 2 : at + 4])[0]
        body = data[at + 4 : at + 2 + length]
        if marker == 0xFE:
            yield "comment", body
        elif marker in _APPLICATION and not _harmless(marker, body):
            yield f"APP{marker - 0xE0}", body
        at += 2 + length
    end = data.rfind(b"\xff\xd9")
    if end >= 0 and data[end + 2 :].strip(_ENDS):
        yield "behind the end", data[end + 2 :]


def _harmless(marker: int, body: bytes) -> bool:
    """JFIF without a thumbnail, Adobe's colour transform, and JPEG-LS's and SPIFF's own."""
    if marker == 0xE0:
        return body[:5] == b"JFIF\0" and len(body) <= 14
    return (marker == 0xEE and body[:5] == b"Adobe" and len(body) <= 12) or (
        marker == 0xE8 and body[:4] in (b"mrfx", b"SPIF")
    )


def _jpeg2000(data: bytes) -> Iterator[tuple[str, bytes]]:
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0x90:
        length = struct.unpack(">H", data[at + 2 : at + 4])[0]
        if data[at + 1] == 0x64:
            yield "comment", data[at + 6 : at + 2 + length]
        at += 2 + length
    end = data.rfind(b"\xff\xd9")
    if end >= 0 and data[end + 2 :].strip(_ENDS):
        yield "behind the end", data[end + 2 :]


def _boxes(data: bytes) -> Iterator[tuple[str, bytes]]:
    at = 0
    while at + 8 <= len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        head = 8
        if length == 1 and at + 16 <= len(data):
            length, head = struct.unpack(">Q", data[at + 8 : at + 16])[0], 16
        length = length or len(data) - at
        body = data[at + head : at + length]
        if kind == b"jp2c":
            yield from _jpeg2000(body)
        elif kind not in _PICTURE:
            yield f"box {kind.decode('latin-1').strip()}", body
        if length < head:
            return
        at += length


def picture(fragment: bytes) -> bytes:
    """A JPEG without what is beside the picture: tables and scans; other codestreams as they are.

    Two files with equal ones decode alike.
    """
    if fragment[:2] != b"\xff\xd8":
        return fragment.rstrip(b"\0")
    at, kept = 2, [b"\xff\xd8"]
    while at + 4 <= len(fragment) and fragment[at] == 0xFF:
        marker = fragment[at + 1]
        if marker == 0xFF or marker in _BARE:
            at += 1 if marker == 0xFF else 2
            continue
        if marker in (0xD9, 0xDA):
            break
        length = struct.unpack(">H", fragment[at + 2 : at + 4])[0]
        if marker != 0xFE and marker not in _APPLICATION:
            kept.append(fragment[at : at + 2 + length])
        at += 2 + length
    end = fragment.rfind(b"\xff\xd9")
    return b"".join([*kept, fragment[at : end + 2 if end >= 0 else None]])
