"""Compressed frames: which codec a codestream needs, whatever its header says, and its decoding."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import cast

import numpy as np
from pydicom.uid import (
    UID,
    JPEGExtended12Bit,
    JPEGLossless,
    RLELossless,
)

from pacslab.dicom.part10 import Array, Layout
from pacslab.errors import PixelError

_DCT = (0xC0, 0xC1, 0xC2)
# The first bytes of a JPEG, JPEG-LS, JPEG 2000 or JP2 codestream.
_SIGNATURES = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP")


@dataclass(frozen=True)
class Jpeg:
    """What a JPEG or JPEG-LS codestream says about itself (ISO 10918-1 B.2)."""

    sof: int
    precision: int
    rows: int
    columns: int
    components: tuple[tuple[int, int], ...]  # identifier, sampling factors
    jfif: bool
    adobe: int | None

    @classmethod
    def read(cls, code: bytes) -> Jpeg:
        at, jfif, adobe = 2, False, None
        while at + 4 <= len(code):
            if code[at] != 0xFF:
                break
            marker, length = code[at + 1], int.from_bytes(code[at + 2 : at + 4], "big")
            body = code[at + 4 : at + 2 + length]
            if marker == 0xE0:
                jfif = jfif or body.startswith(b"JFIF\0")
            elif marker == 0xEE and body.startswith(b"Adobe"):
                # Some writers leave out the version, so the transform is the last byte
                adobe = body[-1]
            elif (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == 0xF7:
                parts = tuple((body[k], body[k + 1]) for k in range(6, 6 + 3 * body[5], 3))
                rows, columns = struct.unpack_from(">HH", body, 1)
                return cls(marker, body[0], rows, columns, parts, jfif, adobe)
            at += 1 if marker == 0xFF else 2 + length
        raise PixelError("its JPEG codestream has no frame header.")

    @property
    def space(self) -> str | None:
        """RGB or YCbCr where the codestream tells, in the order of trust of ISO 10918-6."""
        identifiers = bytes(identifier for identifier, _ in self.components)
        if self.adobe is not None:
            return "YCbCr" if self.adobe else "RGB"
        if self.jfif:
            return "YCbCr"
        if identifiers.lower() == b"rgb":
            return "RGB"
        # Nobody subsamples the green and blue of an RGB image
        return "YCbCr" if len({sampling for _, sampling in self.components}) > 1 else None


def kind_of(code: bytes, syntax: UID) -> str:
    if syntax == RLELossless:
        return "rle"
    if code.startswith(_SIGNATURES[1:]):
        return "j2k"
    if code.startswith(_SIGNATURES[0]):
        sof = Jpeg.read(code).sof
        return "jls" if sof == 0xF7 else "dct" if sof in _DCT else "lossless"
    raise PixelError(f"it doesn't begin as {syntax.name} does, but with {code[:4].hex(' ')}.")


def makes_rgb(code: bytes, syntax: UID) -> bool:
    """Whether RGB comes out of the codestream, whatever PhotometricInterpretation says."""
    kind = kind_of(code, syntax)
    if kind == "j2k":
        # COD, of which the fifth byte of the parameters tells of a component transform
        at = code.find(b"\xff\x52", code.find(b"\xff\x51"))
        return at >= 0 and code[at + 8 : at + 9] == b"\x01"
    return kind == "dct"


def decode(code: bytes, layout: Layout, syntax: UID) -> Array:
    """One codestream to samples in layout's shape and containers, RGB if makes_rgb says so."""
    kind = kind_of(code, syntax)
    decode = {"rle": _rle, "j2k": _j2k, "jls": _jls, "dct": _dct, "lossless": _gdcm}[kind]
    found = decode(code, layout)
    if found.shape != layout.shape:
        raise PixelError(
            f"its codestream holds {' x '.join(map(str, found.shape))} samples, but the header "
            f"says {' x '.join(map(str, layout.shape))}."
        )
    return np.ascontiguousarray(found)


def contained(found: Array, precision: int, layout: Layout) -> Array:
    """Samples of a codestream's precision in the header's containers, signed as the header says.

    The codestream may say otherwise of the sign, or nothing (JPEG-LS). Its bits are right in any
    case, so the sign is taken from the highest of them.
    """
    if precision > max(layout.bits_allocated, 8):
        raise PixelError(
            f"its codestream has {precision} bits, but BitsAllocated is {layout.bits_allocated}."
        )
    wide = found.view(f"<u{found.dtype.itemsize}").astype(layout.dtype)
    spare = 8 * layout.dtype.itemsize - precision
    return cast(Array, (wide << spare) >> spare) if spare else wide


def _rle(code: bytes, layout: Layout) -> Array:
    from rle.rle import decode_frame

    raw = decode_frame(code, layout.rows * layout.columns, layout.bits_allocated, "<")
    planes = np.frombuffer(raw, layout.dtype)
    if planes.size != layout.rows * layout.columns * layout.samples_per_pixel:
        raise PixelError(f"it has {planes.size} samples, which isn't what the header says.")
    if layout.samples_per_pixel == 1:
        return planes.reshape(layout.shape)
    return planes.reshape(layout.samples_per_pixel, layout.rows, layout.columns).transpose(1, 2, 0)


def _j2k(code: bytes, layout: Layout) -> Array:
    from openjpeg.utils import decode, get_parameters

    found = decode(code)
    return contained(found, int(get_parameters(code)["precision"]), layout)


def _jls(code: bytes, layout: Layout) -> Array:
    import jpeg_ls

    raw, info = jpeg_ls.decode_pixel_data(code)
    precision = int(info["bits_per_sample"])
    found = np.frombuffer(raw, "u1" if precision <= 8 else "<u2")
    size = (int(info["height"]), int(info["width"]))
    if info["components"] > 1 and info["interleave_mode"] == 0:
        found = found.reshape(info["components"], *size).transpose(1, 2, 0)
    else:
        found = found.reshape(*size, info["components"])
    found = found[..., 0] if info["components"] == 1 else found
    return contained(np.ascontiguousarray(found), precision, layout)


def _dct(code: bytes, layout: Layout) -> Array:
    jpeg = Jpeg.read(code)
    if jpeg.precision != 8:
        return _gdcm(code, layout)
    from PIL import Image

    with Image.open(io.BytesIO(code), formats=("JPEG",)) as image:
        if image.mode == "RGB":
            labelled = "RGB" if layout.photometric_interpretation == "RGB" else "YCbCr"
            # Else Pillow guesses from the component identifiers what the header knows
            tile = image.tile[0]
            image.tile = [tile._replace(args=("RGB", jpeg.space or labelled))]
        found = np.asarray(image)
    return contained(found, 8, layout)


def _gdcm(code: bytes, layout: Layout) -> Array:
    """JPEG lossless, and DCT of 12 bits: one component as it is, three without conversion."""
    import gdcm

    jpeg = Jpeg.read(code)
    samples, allocated = len(jpeg.components), 8 if jpeg.precision <= 8 else 16
    if samples != 1 and jpeg.sof in _DCT:
        raise PixelError("DCT in colour with 12 bits isn't supported.")
    shape = (jpeg.rows, jpeg.columns, *([samples] if samples > 1 else []))
    if shape != layout.shape:
        raise PixelError(f"its codestream holds {shape} samples, the header says {layout.shape}.")
    gdcm.Trace.WarningOff()
    gdcm.Trace.ErrorOff()
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(code)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((jpeg.columns, jpeg.rows, 1))
    image.SetDataElement(element)
    # RGB is GDCM's word for: don't convert
    space = gdcm.PhotometricInterpretation.GetPIType("RGB" if samples > 1 else "MONOCHROME2")
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(space))
    syntax = JPEGExtended12Bit if jpeg.sof in _DCT else JPEGLossless
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(str(syntax))))
    image.SetPixelFormat(
        gdcm.PixelFormat(samples, allocated, jpeg.precision, jpeg.precision - 1, 0)
    )
    buffer = image.GetBuffer()
    if not buffer:
        raise PixelError("GDCM can't decode its codestream; it is damaged.")
    # SWIG hands a char* over as str
    raw = buffer.encode("utf-8", "surrogateescape")
    found = np.frombuffer(raw, f"<u{allocated // 8}").reshape(shape)
    return contained(found, jpeg.precision, layout)
