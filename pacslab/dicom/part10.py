"""A Part 10 object taken apart: its header, and where its pixel data lies in its bytes."""

from __future__ import annotations

import io
import mmap
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from pacslab.dicom.outline import PIXELS, Outline, outline
from pacslab.errors import PixelError

Source = bytes | bytearray | memoryview | mmap.mmap | os.PathLike[str]
Array = NDArray[Any]

_UNDEFINED = 0xFFFFFFFF
_ITEM = b"\xfe\xff\x00\xe0"


@dataclass(frozen=True)
class Layout:
    """How the values of a frame lie in its bytes (PS3.3 C.7.6.3, Image Pixel Module)."""

    rows: int
    columns: int
    frames: int
    samples_per_pixel: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    planar_configuration: int
    photometric_interpretation: str
    floating: bool = False

    @property
    def dtype(self) -> np.dtype[Any]:
        """The little endian NumPy type of one stored sample; 1-bit samples are unpacked."""
        kind = "f" if self.floating else "i" if self.signed else "u"
        return np.dtype(f"<{kind}{max(self.bits_allocated // 8, 1)}")

    @property
    def shape(self) -> tuple[int, ...]:
        """(rows, columns) or (rows, columns, samples)."""
        samples = (self.samples_per_pixel,) if self.samples_per_pixel > 1 else ()
        return (self.rows, self.columns, *samples)

    @property
    def frame_bits(self) -> int:
        """The length of one native frame in bits (PS3.5 8.1; YBR_FULL_422: PS3.3 C.7.6.3.1.2)."""
        samples = 2 if self.photometric_interpretation == "YBR_FULL_422" else self.samples_per_pixel
        return self.rows * self.columns * samples * self.bits_allocated


@dataclass(frozen=True)
class Part10:
    """A Part 10 object (PS3.10) whose data set has been passed over up to its pixel data.

    ``source`` is the object's bytes, ``data`` the same or, when it was deflated, the inflated data
    set. ``element`` is where the pixel element begins in it, or the end; ``start`` and ``length``
    are those of its value, ``length`` None when it is encapsulated; ``keyword`` is None when there
    is no pixel data. ``parsed`` is the header where there is no ``outline`` to go by.
    """

    outline: Outline | None
    parsed: FileDataset | None
    transfer_syntax: UID
    source: memoryview
    data: memoryview
    keyword: str | None
    vr: str
    element: int
    start: int
    length: int | None
    owner: mmap.mmap | None

    @property
    def description(self) -> Mapping[str, Any] | FileDataset:
        """The attributes that :func:`layout_of` needs, and the extended offset table."""
        return self.outline.values if self.outline else self.header

    @cached_property
    def header(self) -> FileDataset:
        """The data set before the pixel data. Raises PixelError when it can't be read."""
        if self.parsed is not None:
            return self.parsed
        return _read(io.BytesIO(bytes(self.data[: self.element])))

    @cached_property
    def image(self) -> Dataset:
        """The data set's elements that describe the image. Raises PixelError as header does."""
        if self.outline is None:
            return self.header
        file = io.BytesIO(b"".join(self.data[a:b] for a, b in self.outline.describing))
        try:
            return read_dataset(file, self.outline.implicit, True)
        except Exception as error:  # pydicom raises whatever the bytes provoke
            raise _unreadable(error) from error

    @property
    def little_endian(self) -> bool:
        """Whether the data set is little endian."""
        return self.transfer_syntax != ExplicitVRBigEndian

    @property
    def end(self) -> int:
        """Where the pixel element ends in ``data``; fragments have to be walked for it."""
        if self.length is not None:
            return min(self.start + self.length, len(self.data))
        stops = [stop for _, stop in items(self.data, self.start, None)]
        return min((stops or [self.start])[-1] + 8, len(self.data))

    def close(self) -> None:
        """Let go of the bytes, and of the file that was mapped."""
        self.data.release()
        self.source.release()
        if self.owner is not None:
            self.owner.close()


def items(data: memoryview, at: int, stop: int | None) -> Iterator[tuple[int, int]]:
    """Where the items from ``at`` on have their values, up to the delimiter (PS3.5 A.4)."""
    while stop is None or at < stop:
        head = bytes(data[at : at + 8])
        # Some writers forget the delimiter at the end of the file
        if not head or head[:4] == b"\xfe\xff\xdd\xe0":
            return
        if head[:4] != _ITEM or len(head) < 8:
            raise PixelError(
                f"The encapsulated pixel data is damaged at byte {at}: there is no item. "
                "Send the object to the archive again."
            )
        end = at + 8 + int.from_bytes(head[4:], "little")
        if end > len(data):
            raise PixelError(
                f"The pixel data is cut off: a fragment ends at byte {end} of {len(data)}. "
                "Send the object to the archive again."
            )
        yield at + 8, end
        at = end


class _ViewReader(io.RawIOBase):
    """A file over a memoryview that doesn't copy it, as BytesIO would."""

    def __init__(self, view: memoryview) -> None:
        self._view, self._at = view, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = self._view[self._at : self._at + len(buffer)]
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = max(0, offset + (0, self._at, len(self._view))[whence])
        return self._at

    def tell(self) -> int:
        return self._at


def _at_pixels(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return tag in PIXELS


def read_part10(source: Source) -> Part10:
    """Read a Part 10 object up to its pixel data, which isn't touched (PS3.10 7).

    A path is mapped into memory, not read. Raises PixelError when the bytes are no DICOM object.
    """
    owner: mmap.mmap | None = None
    if isinstance(source, os.PathLike):
        with Path(source).open("rb") as opened:
            if not os.fstat(opened.fileno()).st_size:
                raise PixelError("The object is empty (0 bytes). Send it to the archive again.")
            source = owner = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    whole = memoryview(source).cast("B")
    data = whole[:]
    if found := outline(owner or whole):
        syntax = UID(found.transfer_syntax)
        return _part10(found, syntax, found.end, source=whole, data=data, owner=owner)
    # BytesIO shares bytes, and a map of our own reads by itself: both are faster than our reader
    file = cast(BinaryIO, owner or _ViewReader(data))
    if isinstance(source, bytes):
        file = io.BytesIO(source)
    header = _read(file)
    try:
        implicit, little = header.original_encoding
        fallback = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        fallback = ImplicitVRLittleEndian if implicit else fallback
        syntax = UID(header.file_meta.get("TransferSyntaxUID") or fallback)
        if syntax == DeflatedExplicitVRLittleEndian:
            body = 144 + int(header.file_meta.FileMetaInformationGroupLength)
            inflated = zlib.decompress(data[body:], -zlib.MAX_WBITS)
            data = memoryview(inflated)
            file = io.BytesIO(inflated)
            read_dataset(file, False, True, stop_when=_at_pixels)
    except Exception as error:
        raise _unreadable(error) from error
    return _part10(header, syntax, file.tell(), source=whole, data=data, owner=owner)


def _read(file: BinaryIO) -> FileDataset:
    try:
        return dcmread(file, stop_before_pixels=True, force=True)
    except Exception as error:  # pydicom raises whatever the bytes provoke
        raise _unreadable(error) from error


def _unreadable(error: Exception) -> PixelError:
    return PixelError(
        f"This isn't a DICOM object that can be read ({error}). Send it to the archive again."
    )


def _part10(
    header: Outline | FileDataset,
    syntax: UID,
    at: int,
    *,
    source: memoryview,
    data: memoryview,
    owner: mmap.mmap | None,
) -> Part10:
    """The object whose pixel element begins at ``at`` in ``data``, if there is one."""
    end = "<" if syntax != ExplicitVRBigEndian else ">"
    keyword, vr, start, length = None, "OW", len(data), 0
    if at + 8 <= len(data):
        group, element = struct.unpack_from(end + "HH", data, at)
        keyword = PIXELS.get(group << 16 | element)
    if keyword:
        # An implicit VR length is even, so its first byte can't be the O or U of a VR
        named = bytes(data[at + 4 : at + 6])
        explicit = named in (b"OB", b"OW", b"OF", b"OD", b"UN")
        start = at + (12 if explicit else 8)
        vr = {"FloatPixelData": "OF", "DoubleFloatPixelData": "OD"}.get(
            keyword, named.decode() if named in (b"OB", b"OW") else "OW"
        )
        length = int.from_bytes(data[start - 4 : start], "little" if end == "<" else "big")
    elif isinstance(header, FileDataset) and not len(header):
        raise PixelError("This isn't a DICOM object: no element could be read from it.")
    encapsulated = length == _UNDEFINED
    value = (start, None if encapsulated else length)
    found, parsed = (header, None) if isinstance(header, Outline) else (None, header)
    return Part10(found, parsed, syntax, source, data, keyword, vr, at, *value, owner)


def layout_of(part: Part10) -> Layout:
    """How the frames lie, by the object's own description of them. Raises PixelError."""
    description = part.description

    def number(keyword: str, default: int | None = None) -> int:
        value = description.get(keyword)
        if value in (None, ""):
            value = default
        try:
            return int(cast(int, value))
        except (TypeError, ValueError):
            raise PixelError(
                f"{keyword} is {'missing' if value is None else f'{value!r}'}, so the pixels can't "
                "be told apart. Correct the header and store the object again."
            ) from None

    try:
        floating = part.keyword != "PixelData"
        allocated = {"FloatPixelData": 32, "DoubleFloatPixelData": 64}.get(part.keyword or "", 0)
        allocated = allocated or number("BitsAllocated")
        stored = allocated if floating else number("BitsStored", allocated)
        samples = number("SamplesPerPixel", 1)
        photometric = str(description.get("PhotometricInterpretation") or "").strip()
        layout = Layout(
            rows=number("Rows"),
            columns=number("Columns"),
            frames=number("NumberOfFrames", 1) or 1,
            samples_per_pixel=samples,
            bits_allocated=allocated,
            bits_stored=stored,
            high_bit=number("HighBit", stored - 1),
            signed=not floating and bool(number("PixelRepresentation", 0)),
            planar_configuration=number("PlanarConfiguration", 0) if samples > 1 else 0,
            photometric_interpretation=photometric or ("MONOCHROME2" if samples == 1 else "RGB"),
            floating=floating,
        )
    except PixelError:
        raise
    except Exception as error:  # pydicom raises whatever the value's conversion raises
        raise PixelError(f"The image's description can't be read: {error}.") from error
    if min(layout.rows, layout.columns, layout.frames, layout.samples_per_pixel) < 1:
        raise PixelError(
            "Rows, Columns, NumberOfFrames and SamplesPerPixel have to be 1 or more, not "
            f"{layout.rows}, {layout.columns}, {layout.frames}, {layout.samples_per_pixel}."
        )
    if allocated not in (1, 8, 16, 32, 64) or not 1 <= stored <= allocated:
        raise PixelError(
            f"BitsAllocated {allocated} with BitsStored {stored} isn't supported; "
            "1, 8, 16, 32 and 64 bits are, with no more bits stored than allocated."
        )
    if not stored - 1 <= layout.high_bit < allocated:
        layout = replace(layout, high_bit=stored - 1)
    # Uncompressed 4:2:2 that is as long as 4:4:4 is 4:4:4 with a wrong name
    native_length = part.length or 0
    if layout.photometric_interpretation == "YBR_FULL_422" and samples == 3:
        full = replace(layout, photometric_interpretation="YBR_FULL")
        if native_length * 8 >= full.frame_bits * layout.frames:
            layout = full
    return layout
