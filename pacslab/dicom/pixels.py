"""Pixel data: from a Part 10 object to its frames, as stored, as native bytes and as arrays.

Frames are counted from 0 here (DICOM's frame numbers from 1). The decoders have their home here,
the encoders in ``transcode.py``. Which decoder a frame gets is decided by its codestream: what
the header says about it is wrong in more archives than one would think.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from functools import cached_property
from itertools import pairwise
from types import TracebackType
from typing import cast

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import (
    JPEG2000TransferSyntaxes,
    JPEGLSTransferSyntaxes,
    RLELossless,
)

from pacslab.dicom.codestreams import decode, makes_rgb
from pacslab.dicom.palette import Palette, ybr_to_rgb
from pacslab.dicom.part10 import Array, Layout, Part10, Source, items, layout_of, read_part10
from pacslab.errors import PixelError

_MONOCHROME = ("MONOCHROME1", "MONOCHROME2")
_ITEM = b"\xfe\xff\x00\xe0"
_PRECISE = {*JPEG2000TransferSyntaxes, *JPEGLSTransferSyntaxes}
# The first bytes of a JPEG, JPEG-LS, JPEG 2000 or JP2 codestream.
_SIGNATURES = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP")


class Pixels:
    """The frames of one image; made by open_pixels, to be closed when it maps a file.

    ``transfer_syntax`` is the object's, ``layout`` what the header says about the stored frames,
    ``native`` what holds for the decoded ones.
    Frames are independent of each other and may be read from several threads.
    """

    def __init__(self, part: Part10) -> None:
        if part.keyword is None:
            raise PixelError(
                "The object has no pixel data, so there is no frame to show. Ask for its "
                "metadata or for the whole object instead."
            )
        self._part = part
        self.transfer_syntax = part.transfer_syntax
        self.layout = layout_of(part)
        if self.encapsulated is not (part.length is None):
            raise PixelError(
                f"The transfer syntax {self.transfer_syntax.name} and the pixel data disagree: it "
                f"{'isn’t' if self.encapsulated else 'is'} encapsulated. Correct (0002,0010)."
            )

    def __enter__(self) -> Pixels:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; frames that were handed out stay valid, for they are copies."""
        self._part.close()

    @property
    def header(self) -> Dataset:
        """What the data set says about the image; read when first asked for. Raises PixelError.

        That is group 0028, the functional groups, and what presentation takes from elsewhere.
        """
        return self._part.image

    @property
    def encapsulated(self) -> bool:
        """Whether the frames are stored compressed (PS3.5 A.4)."""
        return self.transfer_syntax.is_encapsulated

    @property
    def number_of_frames(self) -> int:
        """The number of frames that the header promises."""
        return self.layout.frames

    @cached_property
    def native(self) -> Layout:
        """How decoded_frame's bytes lie: RGB where the codec made it so, interleaved samples.

        Lossless codecs keep YBR_FULL and palettes; of DCT and of JPEG 2000 with a component
        transform RGB comes out (PS3.5 8.2.1 and 8.2.4), whatever the header says.
        """
        if not self.encapsulated:
            return self.layout
        photometric = self.layout.photometric_interpretation
        if self.layout.samples_per_pixel == 3:
            code = self.stored_frame(0)
            try:
                rgb = makes_rgb(code, self.transfer_syntax)
            except (PixelError, IndexError, struct.error) as error:
                raise PixelError(f"Frame 1 can't be decoded: {error}") from error
            if photometric in ("YBR_ICT", "YBR_RCT") or rgb:
                photometric = "RGB"
            elif photometric == "YBR_FULL_422":
                photometric = "YBR_FULL"
        return replace(self.layout, planar_configuration=0, photometric_interpretation=photometric)

    def stored_frame(self, i: int) -> bytes:
        """Frame i as it is stored: its codestream, or its slice of the native pixel data.

        A native 1-bit frame that doesn't start on a byte is moved to one (PS3.5 8.1.1, D).
        Takes time in proportion to the frame only, except for the first frame of encapsulated
        pixel data without an offset table. Raises PixelError when there is no such frame or it is
        cut off.
        """
        if not 0 <= i < self.layout.frames:
            raise PixelError(
                f"There is no frame {i + 1}: the image has {self.layout.frames} "
                f"frame{'s' if self.layout.frames > 1 else ''}, counted from 1."
            )
        data = self._part.data
        if self.encapsulated:
            code = b"".join(data[start:stop] for start, stop in self._fragments(i))
            if not code:
                raise PixelError(f"Frame {i + 1} is empty. Send the object to the archive again.")
            return code
        bits = self.layout.frame_bits
        first, last = i * bits, (i + 1) * bits
        available = min(self._part.length or 0, len(data) - self._part.start)
        if last > available * 8:
            raise PixelError(
                f"The pixel data is cut off: frame {i + 1} ends at byte {-(-last // 8)}, but there "
                f"are {available} bytes. Send the object to the archive again."
            )
        here = data[self._part.start : self._part.start + available]
        if bits % 8 == 0:
            return bytes(here[first // 8 : last // 8])
        return np.packbits(self._bits(here, first, last), bitorder="little").tobytes()

    def _bits(self, data: memoryview, first: int, last: int) -> NDArray[np.uint8]:
        byte, stop = first // 16 * 2, min(-(-last // 16) * 2, len(data))
        part = np.frombuffer(data[byte:stop], np.uint8)
        if self._swapped_words:
            part = part.view(">u2").astype("<u2").view(np.uint8)
        return np.unpackbits(part, bitorder="little")[first - byte * 8 : last - byte * 8]

    @property
    def _swapped_words(self) -> bool:
        # In big endian OW, samples shorter than a word are swapped in pairs (PS3.5 8.1.1 and 7.3)
        return not self._part.little_endian and self._part.vr == "OW"

    def _native_frame(self, i: int) -> Array:
        """The samples of a native frame, little endian and in stored order."""
        layout, data = self.layout, self.stored_frame(i)
        if layout.bits_allocated <= 8 and self._swapped_words:
            bits, here = layout.frame_bits, self._part.data[self._part.start :]
            length = cast(int, self._part.length)
            found = self._bits(here[:length], i * bits, (i + 1) * bits)
            data = np.packbits(found, bitorder="little").tobytes()
        if layout.bits_allocated == 1:
            count = layout.rows * layout.columns * layout.samples_per_pixel
            return np.unpackbits(np.frombuffer(data, np.uint8), count=count, bitorder="little")
        stored = layout.dtype.newbyteorder("<" if self._part.little_endian else ">")
        return np.frombuffer(data, stored).astype(layout.dtype)

    def decoded_frame(self, i: int) -> bytes:
        """Frame i uncompressed, as a native little endian object would carry it (PS3.18 8.7.3).

        ``native`` describes the bytes. Raises PixelError when the frame can't be decoded.
        """
        if not self.encapsulated:
            if self._part.little_endian:
                return self.stored_frame(i)
            samples = self._native_frame(i)
        else:
            samples = self._decode(i)
        if self.layout.bits_allocated == 1:
            return np.packbits(samples, bitorder="little").tobytes()
        return samples.tobytes()

    def samples(self, i: int) -> Array:
        """Frame i decoded, (rows, columns[, samples]), in native's colours and whole containers.

        4:2:2 is brought to 4:4:4. Bits outside of BitsStored are still in it; see frame.
        Raises PixelError when the frame can't be decoded.
        """
        layout = self.native
        if self.encapsulated:
            return self._decode(i)
        found = self._native_frame(i)
        if layout.photometric_interpretation == "YBR_FULL_422":
            if layout.columns % 2 or layout.planar_configuration or layout.samples_per_pixel != 3:
                raise PixelError("YBR_FULL_422 needs an even number of columns, and 3 samples.")
            y0, y1, cb, cr = found.reshape(-1, 4).T
            pairs = np.stack([y0, cb, cr, y1, cb, cr], axis=-1)
            return np.ascontiguousarray(pairs).reshape(layout.shape)
        if layout.planar_configuration == 1:
            planes = found.reshape(layout.samples_per_pixel, layout.rows, layout.columns)
            return np.ascontiguousarray(planes.transpose(1, 2, 0))
        return found.reshape(layout.shape)

    def _decode(self, i: int) -> Array:
        code = self.stored_frame(i)
        try:
            found = decode(code, self.layout, self.transfer_syntax)
        except PixelError as error:
            raise PixelError(f"Frame {i + 1} can't be decoded: {error}") from error
        # A codec may fail in any way; Rust's panics don't even derive from Exception
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            raise PixelError(
                f"Frame {i + 1} can't be decoded as {self.transfer_syntax.name}: {error}. It is "
                "damaged, or not what its header says; ask for the object as it is stored."
            ) from error
        return found

    def frame(self, i: int) -> Array:
        """Frame i as an array of what its samples mean, without any windowing.

        Grey: (rows, columns), the stored type, signed where PixelRepresentation says so, without
        unused bits. Colour: (rows, columns, 3) RGB from YBR, palettes and planes, unsigned 8, 16
        or 32 bits (PS3.3 C.7.6.3.1.2). Raises PixelError when the frame can't be decoded or
        PhotometricInterpretation doesn't fit the pixel data.
        """
        layout = self.native
        photometric, samples = layout.photometric_interpretation, layout.samples_per_pixel
        grey = photometric in _MONOCHROME or photometric == "PALETTE COLOR"
        if samples != (1 if grey else 3) or not (
            grey or photometric in ("RGB", "YBR_FULL", "YBR_FULL_422")
        ):
            raise PixelError(
                f"PhotometricInterpretation {photometric!r} with {samples} samples for each pixel "
                "isn't supported. Correct the header, or ask for the frame as it is stored."
            )
        found = self.significant(self.samples(i))
        if photometric == "PALETTE COLOR":
            return self._palette.apply(found)
        if photometric.startswith("YBR"):
            return ybr_to_rgb(found, layout.bits_stored)
        return found

    def significant(self, found: Array) -> Array:
        """Samples as they mean: from HighBit down to BitsStored, with their sign (PS3.5 8.1.1)."""
        layout = self.layout
        allocated, stored, high = layout.bits_allocated, layout.bits_stored, layout.high_bit
        # JPEG 2000 and JPEG-LS codestreams know their own precision, which _decode has heeded
        if allocated == stored or self.transfer_syntax in _PRECISE:
            return found
        if self.encapsulated and self.transfer_syntax != RLELossless:
            high = stored - 1
        # Up, so that the sign is the container's, and down again, so that unused bits fall off
        return cast(Array, (found << (allocated - 1 - high)) >> (allocated - stored))

    @cached_property
    def _palette(self) -> Palette:
        return Palette.read(self.header, "<" if self._part.little_endian else ">")

    def _fragments(self, i: int) -> list[tuple[int, int]]:
        """Where frame i's fragments start and stop in the object (PS3.5 A.4)."""
        first, offsets = self._offsets
        if offsets is not None:
            stop = first + offsets[i + 1] if i + 1 < len(offsets) else None
            return list(items(self._part.data, first + offsets[i], stop))
        return self._grouped[i]

    @cached_property
    def _offsets(self) -> tuple[int, tuple[int, ...] | None]:
        """The first fragment's place, and each frame's offset from it if a table can be trusted."""
        data, start = self._part.data, self._part.start
        table = next(items(self._part.data, start, start + 1), None)
        if table is None:
            raise PixelError("The encapsulated pixel data is empty. Send the object again.")
        first = table[1]
        frames = self.layout.frames
        extended = self._part.description.get("ExtendedOffsetTable")
        raw, size = (extended, 8) if extended else (bytes(data[table[0] : first]), 4)
        if len(raw) != frames * size:
            return first, None
        offsets = struct.unpack(f"<{frames}{'Q' if size == 8 else 'I'}", raw)
        # Tables that count from elsewhere, or have wrapped at 4 GB, don't rise to an item
        rises = all(a < b for a, b in pairwise((-1, *offsets)))
        last = first + offsets[-1]
        trusted = rises and offsets[0] == 0 and bytes(data[last : last + 4]) == _ITEM
        return first, offsets if trusted else None

    @cached_property
    def _grouped(self) -> list[list[tuple[int, int]]]:
        """Each frame's fragments, found by looking at every fragment's head once."""
        frames, data = self.layout.frames, self._part.data
        found = list(items(self._part.data, self._offsets[0], None))
        if frames == 1:
            return [found]
        if len(found) == frames:
            return [[one] for one in found]
        grouped: list[list[tuple[int, int]]] = []
        for start, stop in found:
            if bytes(data[start : start + 6]).startswith(_SIGNATURES):
                grouped.append([])
            if grouped:
                grouped[-1].append((start, stop))
        if len(grouped) != frames:
            raise PixelError(
                f"NumberOfFrames is {frames}, but the pixel data has {len(found)} fragments that "
                "can't be told apart without an offset table. Correct NumberOfFrames."
            )
        return grouped


def open_pixels(source: Source) -> Pixels:
    """Open the image in a Part 10 object, without reading its pixel data yet.

    ``source`` is a path, which is mapped into memory, or the object's bytes, which aren't copied.
    Raises PixelError when there is no image in it, or its header can't describe one.
    """
    return Pixels(read_part10(source))
