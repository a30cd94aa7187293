"""A Part 10 object's elements passed over until its pixel data, without reading the others.

Serving a frame takes a dozen numbers of the header; reading all of it takes ten times as long as
the frame does. What isn't quite regular is left to pydicom, which forgives much.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

PIXELS: Final[Mapping[int, str]] = {
    0x7FE00008: "FloatPixelData",
    0x7FE00009: "DoubleFloatPixelData",
    0x7FE00010: "PixelData",
}
"""The elements that hold pixel data, by tag (PS3.3 C.7.6.24, C.7.6.25 and C.7.6.3)."""

_Bytes: TypeAlias = bytes | bytearray | memoryview | mmap.mmap
_Head: TypeAlias = Callable[[_Bytes, int], tuple[int, int, int]]

_IMPLICIT: Final = "1.2.840.10008.1.2"
# Big endian, and deflated, in which no place is where it seems
_OTHERWISE: Final = frozenset({"1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"})
_NUMBERS: Final[Mapping[int, str]] = {
    0x00280002: "SamplesPerPixel",
    0x00280006: "PlanarConfiguration",
    0x00280010: "Rows",
    0x00280011: "Columns",
    0x00280100: "BitsAllocated",
    0x00280101: "BitsStored",
    0x00280102: "HighBit",
    0x00280103: "PixelRepresentation",
}
# What describes an image besides group 0028: its functional groups (5200), and what presentation
# takes from elsewhere
_GROUPS: Final = frozenset({0x0028, 0x5200})
_DESCRIBING: Final = frozenset({
    0x00080016,  # SOPClassUID
    0x00080018,  # SOPInstanceUID
    0x00082144,  # RecommendedDisplayFrameRate
    0x00180040,  # CineRate
    0x00181063,  # FrameTime
    0x00181065,  # FrameTimeVector
    0x00181164,  # ImagerPixelSpacing
    0x00182010,  # NominalScannedPixelSpacing
    0x20500020,  # PresentationLUTShape
    0x3004000E,  # DoseGridScaling
})  # fmt: skip
_PHOTOMETRIC: Final = 0x00280004
_FRAMES: Final = 0x00280008
_OFFSETS: Final = 0x7FE00001
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_UNDEFINED: Final = 0xFFFFFFFF
_LONG: Final = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN",
                          b"UR", b"UT", b"UV"})  # fmt: skip
_SHORT: Final = frozenset({b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS",
                           b"LO", b"LT", b"PN", b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL",
                           b"US"})  # fmt: skip
_DEEPEST: Final = 32
_EXPLICIT_HEAD: Final = struct.Struct("<HH2sH")
_IMPLICIT_HEAD: Final = struct.Struct("<HHI")
_LENGTH: Final = struct.Struct("<I")
_NUMBER: Final = struct.Struct("<H")


class _Unsure(Exception):  # noqa: N818 - nothing is wrong yet
    """Something that this module doesn't know."""


@dataclass(frozen=True, slots=True)
class Outline:
    """What was passed: the image's description by keyword, and where the pixel element begins.

    ``describing`` says where the elements that describe the image begin and end, all of them.
    ``end`` is the object's length in bytes when there is no pixel element.
    """

    transfer_syntax: str
    values: Mapping[str, int | str | bytes]
    describing: tuple[tuple[int, int], ...]
    end: int

    @property
    def implicit(self) -> bool:
        """Whether elements have no VR."""
        return self.transfer_syntax == _IMPLICIT


def outline(data: _Bytes) -> Outline | None:
    """The outline of a Part 10 object; None for anything unusual in it (PS3.5 7.1, PS3.10 7.1)."""
    try:
        at, syntax = _file_meta(data)
        if syntax in _OTHERWISE:
            return None
        values: dict[str, int | str | bytes] = {}
        if syntax == _IMPLICIT:
            # Some call it implicit and write explicit
            if bytes(data[at + 4 : at + 6]) in _SHORT:
                return None
            head = _implicit
        else:
            head = _explicit
        describing: list[tuple[int, int]] = []
        end = _walk(data, at, head, values, describing)
        return Outline(syntax, values, tuple(describing), end) if end > at else None
    except (_Unsure, struct.error, ValueError):
        return None


def _file_meta(data: _Bytes) -> tuple[int, str]:
    """Where the data set begins, and its transfer syntax."""
    if bytes(data[128:132]) != b"DICM":
        raise _Unsure
    at, syntax = 132, ""
    while data[at : at + 2] == b"\x02\x00":
        tag, start, length = _explicit(data, at)
        if tag == 0x00020010:
            syntax = bytes(data[start : start + length]).rstrip(b"\0 ").decode("ascii")
        at = start + length
    if not syntax:
        raise _Unsure
    return at, syntax


def _explicit(data: _Bytes, at: int) -> tuple[int, int, int]:
    """An element's tag, where its value begins, and the value's length."""
    group, element, vr, length = _EXPLICIT_HEAD.unpack_from(data, at)
    tag = group << 16 | element
    if vr in _SHORT:
        return tag, at + 8, length
    if vr in _LONG:
        (length,) = _LENGTH.unpack_from(data, at + 8)
        if length == _UNDEFINED and vr == b"UN":
            raise _Unsure  # implicit inside (PS3.5 6.2.2)
        return tag, at + 12, length
    if group == 0xFFFE:  # items have no VR
        return tag, at + 8, _LENGTH.unpack_from(data, at + 4)[0]
    raise _Unsure


def _implicit(data: _Bytes, at: int) -> tuple[int, int, int]:
    group, element, length = _IMPLICIT_HEAD.unpack_from(data, at)
    return group << 16 | element, at + 8, length


def _walk(
    data: _Bytes,
    at: int,
    head: _Head,
    values: dict[str, int | str | bytes],
    describing: list[tuple[int, int]],
) -> int:
    """Pass over the elements of the data set; where the pixel element begins, or the end."""
    size = len(data)
    while at < size:
        tag, start, length = head(data, at)
        if tag in PIXELS:
            return at
        begin = at
        at = start + length if length != _UNDEFINED else _sequence(data, start, head, 0)
        if at > size:
            raise _Unsure
        if tag >> 16 in _GROUPS or tag in _DESCRIBING:
            describing.append((begin, at))
        if tag in _NUMBERS:
            if length != 2:
                raise _Unsure
            values[_NUMBERS[tag]] = _NUMBER.unpack_from(data, start)[0]
        elif tag == _FRAMES:
            values["NumberOfFrames"] = int(bytes(data[start:at]).strip(b" \0"))
        elif tag == _PHOTOMETRIC:
            values["PhotometricInterpretation"] = bytes(data[start:at]).strip(b" \0").decode()
        elif tag == _OFFSETS:
            values["ExtendedOffsetTable"] = bytes(data[start:at])
    return at


def _sequence(data: _Bytes, at: int, head: _Head, depth: int) -> int:
    """Where a sequence of undefined length ends (PS3.5 7.5)."""
    if depth > _DEEPEST:
        raise _Unsure
    while True:
        tag, at, length = head(data, at)
        if tag == _SEQUENCE_END:
            return at
        if tag != _ITEM:
            raise _Unsure
        at = _item(data, at, head, depth) if length == _UNDEFINED else at + length


def _item(data: _Bytes, at: int, head: _Head, depth: int) -> int:
    while True:
        tag, at, length = head(data, at)
        if tag == _ITEM_END:
            return at
        at = _sequence(data, at, head, depth + 1) if length == _UNDEFINED else at + length
