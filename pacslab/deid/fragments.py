"""What stands beside the picture in a codestream: comments, EXIF, boxes, bytes after its end.

Codestreams that hold none of it stay as they are, to the bit; else the same picture is written
without it.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Final

from pydicom.encaps import encapsulate, encapsulate_extended, generate_fragments, generate_frames
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    JPEG2000MC,
    UID,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEG2000MCLossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from pacslab.errors import PixelError

_JPEG: Final = frozenset({JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1,
                          JPEGLSLossless, JPEGLSNearLossless})  # fmt: skip
_J2K: Final = frozenset({JPEG2000, JPEG2000Lossless, JPEG2000MC, JPEG2000MCLossless, HTJ2K,
                         HTJ2KLossless, HTJ2KLosslessRPCL})  # fmt: skip
# A marker in entropy-coded data: FF, then neither stuffing nor restart (ISO 10918-1 B.1.1)
_MARKER: Final = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")
_MARKER_LS: Final = re.compile(rb"\xff+([\x80-\xcf\xd8-\xfe])")  # ISO 14495-1: a zero bit follows
# Segments that a decoder needs: JFIF and Adobe say the colours, mrfx a transform (JPEG-LS)
_NEEDED: Final = {0xE0: b"JFIF\0", 0xEE: b"Adobe", 0xE8: b"mrfx"}
# Comments in which encoders name themselves and their version; they stay, and so does the picture
_ENCODER: Final = re.compile(
    rb"(?:Kakadu-v?|Created by (?:GDCM/)?OpenJPEG version |Creator: JasPer Version |"
    rb"LEAD Technologies Inc\. V)[0-9.]{1,8}[ \0]?"
)
_LONGEST_NEEDED: Final = 18  # bytes: JFIF without a thumbnail
_BOXES: Final = frozenset({b"jP  ", b"ftyp", b"jp2h", b"jp2c"})


def can_be_read(syntax: UID) -> bool:
    """Whether codestreams of this transfer syntax can be looked into."""
    return syntax in _JPEG or syntax in _J2K or syntax == RLELossless


def cleaned(
    value: bytes, syntax: UID, frames: int, length: int, *, extended: bool
) -> tuple[bytes, bool]:
    """Encapsulated pixel data (PS3.5 A.4) without anything but pictures; whether that changed it.

    ``length`` is that of a native frame in bytes. ``extended`` says that the data set has an
    Extended Offset Table, so that the basic one stays empty. Raises
    PixelError for fragments or codestreams that can't be read.
    """
    try:
        whole = _ends_there(value)
        old = list(generate_frames(value, number_of_frames=frames))
    except Exception as error:  # whatever the bytes provoke
        raise PixelError(f"its fragments can't be read ({type(error).__name__})") from error
    if len(old) != frames:
        raise PixelError(f"it has {len(old)} frames, and should have {frames}")
    new = [_picture(frame, syntax, length) for frame in old]
    if whole and all(a is b or a == b for a, b in zip(old, new, strict=True)):
        return value, False
    if extended:
        return encapsulate_extended(new)[0], True
    return encapsulate(new), True


def offsets(value: bytes) -> tuple[bytes, bytes]:
    """Extended Offset Table and its lengths for one fragment a frame (PS3.3 C.7.6.3.1.8)."""
    starts, lengths, at = [], [], 0
    for number, fragment in enumerate(generate_fragments(value)):
        if number == 0:
            continue  # the basic offset table
        starts.append(at)
        lengths.append(len(fragment))
        at += 8 + len(fragment)
    return struct.pack(f"<{len(starts)}Q", *starts), struct.pack(f"<{len(lengths)}Q", *lengths)


def _ends_there(value: bytes) -> bool:
    """Whether nothing stands after the last fragment but a delimiter."""
    at = 0
    while value[at : at + 4] == b"\xfe\xff\x00\xe0":
        at += 8 + int.from_bytes(value[at + 4 : at + 8], "little")
    return at == len(value) or (at + 8 == len(value) and value[at : at + 4] == b"\xfe\xff\xdd\xe0")


def _picture(code: bytes, syntax: UID, length: int) -> bytes:
    if syntax == RLELossless:
        return _rle(code, length)
    if code.startswith((b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP")):
        return _jp2(code) if code[:4] == b"\x00\x00\x00\x0c" else _j2k(code)
    if code.startswith(b"\xff\xd8"):
        return _jpeg(code)
    raise PixelError(f"a frame begins with {code[:4].hex(' ')}, which is no codestream")


def _joined(code: bytes, parts: list[tuple[int, int]], end: int) -> bytes:
    """The parts of a codestream that stay; itself where all of it does, but for a padding byte."""
    merged: list[list[int]] = []
    for start, stop in parts:
        if merged and merged[-1][1] == start:
            merged[-1][1] = stop
        else:
            merged.append([start, stop])
    padding = code[end:]
    if len(merged) == 1 and merged[0] == [0, end] and not padding.strip(b"\0\xff"):
        return code
    return b"".join(code[a:b] for a, b in merged)


def _jpeg(code: bytes) -> bytes:
    """JPEG and JPEG-LS: segment by segment, entropy-coded data passed over (ISO 10918-1 B.1)."""
    parts, at, lossless_ls = [(0, 2)], 2, False
    while True:
        if code[at : at + 1] != b"\xff" or at + 2 > len(code):
            raise PixelError("a JPEG codestream breaks off, or is damaged")
        marker = code[at + 1]
        if marker == 0xFF:  # fill bytes
            at += 1
            continue
        if marker == 0xD9:
            parts.append((at, at + 2))
            return _joined(code, parts, at + 2)
        if 0xD0 <= marker <= 0xD7 or marker == 0x01:
            at += 2
            continue
        stop = at + 2 + int.from_bytes(code[at + 2 : at + 4], "big")
        if stop > len(code) or stop < at + 4:
            raise PixelError("a JPEG codestream breaks off, or is damaged")
        lossless_ls = lossless_ls or marker == 0xF7
        application = 0xE0 <= marker <= 0xEF or marker == 0xFE or 0xF0 <= marker <= 0xF6
        if marker in _NEEDED and code[at + 4 : stop].startswith(_NEEDED[marker]):
            if stop - at > _LONGEST_NEEDED:  # a thumbnail, or something behind what is needed
                raise PixelError("a JPEG segment holds more than it should")
            parts.append((at, stop))
        elif not application or (marker == 0xFE and _ENCODER.fullmatch(code, at + 4, stop)):
            parts.append((at, stop))
        if marker == 0xDA:
            found = (_MARKER_LS if lossless_ls else _MARKER).search(code, stop)
            if found is None:
                raise PixelError("a JPEG codestream has no end")
            parts.append((stop, found.start()))
            stop = found.start()
        at = stop


def _j2k(code: bytes) -> bytes:
    """JPEG 2000: the main header's comments; tile parts by their lengths (ISO 15444-1 A)."""
    parts, at = [(0, 2)], 2
    while code[at : at + 2] not in (b"\xff\x90", b"\xff\xd9"):
        stop = at + 2 + int.from_bytes(code[at + 2 : at + 4], "big")
        if code[at : at + 1] != b"\xff" or stop > len(code) or stop < at + 4:
            raise PixelError("a JPEG 2000 codestream breaks off, or is damaged")
        if code[at + 1] != 0x64 or _ENCODER.fullmatch(code, at + 6, stop):
            parts.append((at, stop))
        at = stop
    while code[at : at + 2] == b"\xff\x90":
        length = int.from_bytes(code[at + 6 : at + 10], "big")
        stop = at + length
        if length == 0:  # up to the end
            stop = code.rfind(b"\xff\xd9")
        if stop < at + 12 or stop > len(code):
            raise PixelError("a JPEG 2000 codestream breaks off, or is damaged")
        if length:
            parts += _tile(code, at, stop)
        else:
            parts.append((at, stop))
        at = stop
    if code[at : at + 2] != b"\xff\xd9":
        raise PixelError("a JPEG 2000 codestream has no end")
    parts.append((at, at + 2))
    return _joined(code, parts, at + 2)


def _tile(code: bytes, at: int, stop: int) -> Iterator[tuple[int, int]]:
    """A tile part, whose length stands in it: with a comment it can't be made shorter unread."""
    here = at + 12
    while code[here : here + 2] != b"\xff\x93" and here < stop:
        if code[here : here + 2] == b"\xff\x64":
            raise PixelError("a JPEG 2000 tile has a comment")
        here += 2 + int.from_bytes(code[here + 2 : here + 4], "big")
    yield at, stop


def _jp2(code: bytes) -> bytes:
    """A JP2 file: the boxes that the picture needs (ISO 15444-1 I)."""
    out, at = [], 0
    while at + 8 <= len(code):
        length = int.from_bytes(code[at : at + 4], "big")
        kind, head = code[at + 4 : at + 8], 8
        if length == 1:
            length, head = int.from_bytes(code[at + 8 : at + 16], "big"), 16
        length = length or len(code) - at
        if length < head or at + length > len(code):
            raise PixelError("a JP2 box breaks off, or is damaged")
        if kind == b"jp2c":
            inner = _j2k(code[at + head : at + length])
            out.append(struct.pack(">I4s", 8 + len(inner), kind) + inner)
        elif kind in _BOXES:
            out.append(code[at : at + length])
        at += length
    made = b"".join(out)
    return code if code.rstrip(b"\0") == made.rstrip(b"\0") else made


def _rle(code: bytes, length: int) -> bytes:
    """RLE (PS3.5 G): up to where the last segment's runs have filled a plane."""
    if len(code) < 64:
        raise PixelError("an RLE frame breaks off")
    number, *starts = struct.unpack("<16I", code[:64])
    if not 1 <= number <= 15 or not all(64 <= s <= len(code) for s in starts[:number]):
        raise PixelError("an RLE header is damaged")
    end = _end_of_runs(code, starts[number - 1], length // number)
    if not code[end:].strip(b"\0"):
        return code
    return code[:end] + bytes(end & 1)


def _end_of_runs(code: bytes, at: int, wanted: int) -> int:
    """Where the runs from here have made as many bytes as are wanted (PS3.5 G.3.1)."""
    made = 0
    while at < len(code) and made < wanted:
        head = code[at]
        made += head + 1 if head < 128 else 257 - head if head > 128 else 0
        at += head + 2 if head < 128 else 2 if head > 128 else 1
    return min(at, len(code))
