"""Transcoding: a Part 10 object from one transfer syntax to another.

What a codec needn't touch stays as it is: between native syntaxes only the encoding of the
elements changes. The SOP Instance UID stays too, of lossy results as well: who keeps one of those
has to give it a UID of its own, and ImageType DERIVED (PS3.3 C.7.6.1.1.5); for a copy that is only
sent on the fly PS3.18 asks for neither. HTJ2K has its own module.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from pydicom import dcmwrite
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.filereader import read_dataset
from pydicom.uid import (
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from pacslab.dicom import htj2k
from pacslab.dicom.htj2k import HTJ2K
from pacslab.dicom.part10 import Array, Layout, Part10, Source, read_part10
from pacslab.dicom.pixels import Pixels
from pacslab.errors import PixelError

Encoder = Callable[[Array, Layout], bytes]

NATIVE = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian)
LOSSLESS = (RLELossless, JPEGLSLossless, JPEG2000Lossless, *HTJ2K)
#: Lossy targets, each with its LossyImageCompressionMethod (PS3.3 C.7.6.1.1.5.1).
LOSSY = {
    JPEGBaseline8Bit: "ISO_10918_1",
    JPEGLSNearLossless: "ISO_14495_1",
    JPEG2000: "ISO_15444_1",
}
#: Every transfer syntax that transcode can write.
TARGETS = (*NATIVE, *LOSSLESS, *LOSSY)

_SWAPPED = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}


def can_transcode(source: Source | Pixels, transfer_syntax_uid: str) -> bool:
    """Whether transcode can bring this object to that transfer syntax, told by its header.

    A damaged codestream is found out only by decoding it. Raises PixelError for no DICOM object.
    """
    return not obstacle(source, transfer_syntax_uid)


def obstacle(source: Source | Pixels, transfer_syntax_uid: str) -> str:
    """Why transcode can't do that, in words; empty if it can. Raises as can_transcode does."""
    target = UID(transfer_syntax_uid)
    if isinstance(source, Pixels):
        return _obstacle(source, source.transfer_syntax, target)
    part = read_part10(source)
    try:
        pixels = Pixels(part) if part.keyword else None
        return _obstacle(pixels, part.transfer_syntax, target)
    except PixelError as error:
        fits = part.transfer_syntax == target or (target in NATIVE and part.length is not None)
        return "" if fits else error.message
    finally:
        part.close()


def _obstacle(pixels: Pixels | None, source: UID, target: UID) -> str:
    """Why an object can't be brought to the target; empty if it can (PS3.5 8.2, Table 8.2.1-1)."""
    if target == source or (target in NATIVE and not source.is_encapsulated):
        return ""
    if target not in TARGETS:
        return "there is no encoder for it"
    if pixels is None:
        return "the object has no pixel data"
    layout = pixels.native
    bits, stored = layout.bits_allocated, layout.bits_stored
    if target in NATIVE:
        return "" if layout.frame_bits * layout.frames < 8 * 0xFFFFFFFE else "it exceeds 4 GB"
    colour = layout.photometric_interpretation
    if layout.samples_per_pixel not in (1, 3):
        return f"it has {layout.samples_per_pixel} samples for each pixel"
    if layout.floating:
        return "its pixels are floating point"
    if target in LOSSY and colour == "PALETTE COLOR":
        return "a palette's indexes can't be compressed with loss"
    if target == RLELossless:
        return "" if bits in (8, 16, 32) else f"it has {bits} bits allocated"
    if target == JPEGBaseline8Bit:
        fits = bits == 8 and stored == 8 and not layout.signed
        return "" if fits else "JPEG baseline takes 8 bits, unsigned"
    if target in HTJ2K:
        return htj2k.obstacle(layout)
    smallest = min(layout.rows, layout.columns)
    if target in (JPEG2000, JPEG2000Lossless) and smallest < 32:
        return "OpenJPEG's encoder needs 32 rows and columns"
    if target in (JPEGLSLossless, JPEGLSNearLossless) and layout.frame_bits < 1024:
        return "pyjpegls' encoder needs frames of 128 bytes"
    if target in (JPEGLSLossless, JPEGLSNearLossless):
        return "" if bits in (8, 16) and stored > 1 else f"JPEG-LS can't take {stored} bits"
    return "" if bits in (8, 16, 32) and stored <= 24 else f"JPEG 2000 can't take {stored} bits"


def transcode(
    data: Source,
    transfer_syntax_uid: str,
    *,
    quality: int = 90,
    ratio: float = 10.0,
    error: int = 2,
) -> bytes:
    """The whole Part 10 object in another transfer syntax (PS3.5 10 and annex A).

    ``quality`` (1-100) is for JPEG baseline, ``ratio`` for JPEG 2000, ``error`` (in stored values)
    for JPEG-LS near-lossless. Lossy results get LossyImageCompression, its ratio and its method
    added (PS3.3 C.7.6.1.1.5); the SOP Instance UID isn't changed. Raises PixelError when there is
    no encoder, the pixels don't fit it or can't be decoded, or values would be lost unasked.
    """
    target = UID(transfer_syntax_uid)
    part = read_part10(data)
    try:
        pixels = None
        if part.keyword and (part.transfer_syntax.is_encapsulated or target not in NATIVE):
            pixels = Pixels(part)
        if why := _obstacle(pixels, part.transfer_syntax, target):
            raise PixelError(
                f"The object can't be had as {target.name or target}: {why}. Ask for "
                f"{ExplicitVRLittleEndian.name}, or for the object as it is stored."
            )
        if target == part.transfer_syntax:
            return bytes(part.source)
        return _written(part, pixels, target, _encoder(target, quality, ratio, error))
    except PixelError:
        raise
    except Exception as problem:
        raise PixelError(
            f"The object can't be had as {target.name or target}: {problem}. Ask for it as it is "
            "stored."
        ) from problem
    finally:
        part.close()


def _written(part: Part10, pixels: Pixels | None, target: UID, encode: Encoder | None) -> bytes:
    header = part.header
    if part.keyword:
        stored = part.data[part.start : part.end]
        if part.length is not None and len(stored) < part.length:
            raise PixelError(
                f"The pixel data is cut off: there are {len(stored)} of {part.length} bytes. Send "
                "the object to the archive again."
            )
        element = DataElement(part.keyword, part.vr, bytes(stored) if pixels is None else b"")
        header.add(element)
        _add_the_rest(part)
    for _ in header.iterall():
        pass  # Each element is parsed by its own encoding before it is written in another
    if not part.little_endian:
        _swap(header, max(int(header.get("BitsAllocated") or 0) // 8, 2))
    if pixels is not None:
        for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
            if keyword in header:
                del header[keyword]
        if encode is None:
            _native(header, pixels)
        else:
            _encapsulated(header, pixels, target, encode)
    elif part.keyword == "PixelData" and part.vr not in ("OB", "OW"):
        header["PixelData"].VR = "OW"
    header.file_meta.TransferSyntaxUID = target
    written = io.BytesIO()
    header.preamble = header.preamble or b"\0" * 128
    # The encoding follows from the transfer syntax
    dcmwrite(written, header, enforce_file_format=True)
    return written.getvalue()


def _add_the_rest(part: Part10) -> None:
    """Add what stands after the pixel data: private groups, signatures, padding."""
    rest = io.BytesIO(part.data[part.end :])
    implicit, little = part.header.original_encoding
    found = read_dataset(rest, bool(implicit), little is not False)
    for element in found:
        if element.tag > 0x7FE00010:  # zeros at the end of a file would be (0000,0000)
            part.header.add(element)


def _swap(dataset: Dataset, sample: int) -> None:
    """Turn the words of binary values, which pydicom leaves as they are (PS3.5 7.3).

    ``sample`` is the width of a word of Pixel Data, in which writers turn 32 bits as a whole.
    """
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value or []:
                _swap(item, 2)
        elif element.VR in _SWAPPED and isinstance(element.value, bytes):
            width = sample if element.keyword == "PixelData" else _SWAPPED[element.VR]
            whole = len(element.value) // width * width
            words = np.frombuffer(element.value[:whole], f">u{width}").astype(f"<u{width}")
            element.value = words.tobytes() + element.value[whole:]


def _native(header: Dataset, pixels: Pixels) -> None:
    layout = pixels.native
    if layout.bits_allocated == 1:
        # 1-bit frames follow each other without padding (PS3.5 8.1.1)
        bits = [pixels.samples(i).ravel() for i in range(layout.frames)]
        value = np.packbits(np.concatenate(bits), bitorder="little").tobytes()
    else:
        value = b"".join(pixels.decoded_frame(i) for i in range(layout.frames))
    _describe(header, layout)
    value += b"\0" * (len(value) % 2)
    header.add(DataElement("PixelData", "OW" if layout.bits_allocated > 8 else "OB", value))


def _describe(header: Dataset, layout: Layout) -> None:
    header.PhotometricInterpretation = layout.photometric_interpretation
    if layout.samples_per_pixel > 1:
        header.PlanarConfiguration = layout.planar_configuration


def _encapsulated(header: Dataset, pixels: Pixels, target: UID, encode: Encoder) -> None:
    layout = replace(pixels.native, planar_configuration=0)
    if layout.photometric_interpretation == "YBR_FULL_422":
        layout = replace(layout, photometric_interpretation="YBR_FULL")  # samples expands it
    if target == JPEGBaseline8Bit and layout.photometric_interpretation == "YBR_FULL":
        layout = replace(layout, photometric_interpretation="RGB")  # which frame makes of it
    codes = []
    for i in range(layout.frames):
        code = bytes(encode(_for_codec(pixels, i, target), layout))
        codes.append(code + b"\0" * (len(code) % 2))
    _describe(header, replace(layout, photometric_interpretation=_coded(target, layout),
                              planar_configuration=int(target == RLELossless)))  # fmt: skip
    if layout.high_bit != layout.bits_stored - 1 and target != RLELossless:
        header.HighBit = layout.bits_stored - 1
    total = sum(map(len, codes))
    if total + 8 * len(codes) < 0xFFFFFFFE:
        value = encapsulate(codes)
    else:
        value, header.ExtendedOffsetTable, header.ExtendedOffsetTableLengths = encapsulate_extended(
            codes
        )
    header.add(DataElement("PixelData", "OB", value))
    if target in LOSSY:
        _note_loss(header, layout, target, total)


def _note_loss(header: Dataset, layout: Layout, target: UID, total: int) -> None:
    ratio = layout.frame_bits * layout.frames / 8 / max(total, 1)
    header.LossyImageCompression = "01"
    for keyword, value in (
        ("LossyImageCompressionRatio", f"{ratio:.4g}"),
        ("LossyImageCompressionMethod", LOSSY[target]),
    ):
        before: Any = header.get(keyword)
        if before is None or before == "":
            setattr(header, keyword, value)
        else:
            several = [before] if isinstance(before, str | float | int) else list(before)
            setattr(header, keyword, [*several, value])


def _coded(target: UID, layout: Layout) -> str:
    """PhotometricInterpretation of the codestreams (PS3.5 8.2.1, 8.2.4)."""
    if layout.photometric_interpretation == "RGB":
        return {
            JPEGBaseline8Bit: "YBR_FULL_422", JPEG2000: "YBR_ICT", JPEG2000Lossless: "YBR_RCT",
            **dict.fromkeys(HTJ2K, "YBR_RCT"),
        }.get(target, "RGB")  # fmt: skip
    return layout.photometric_interpretation


def _for_codec(pixels: Pixels, i: int, target: UID) -> Array:
    layout = pixels.native
    if target == JPEGBaseline8Bit:
        return pixels.frame(i)
    whole = pixels.samples(i)
    if target == RLELossless:
        return whole
    # The other codecs keep BitsStored bits only; what lies outside of them must not be lost
    kept = pixels.significant(whole)
    unused = whole.view(f"<u{whole.dtype.itemsize}") >> layout.bits_stored
    lost = (unused != 0) & (kept != whole) if layout.bits_stored < layout.bits_allocated else False
    if layout.high_bit == layout.bits_stored - 1 and np.any(lost):
        raise PixelError(
            f"frame {i + 1} has values outside of its {layout.bits_stored} stored bits (an overlay "
            "perhaps), which would be lost; RLE Lossless keeps them"
        )
    return kept


# --- encoders -------------------------------------------------------------------------------


def _encoder(target: UID, quality: int, ratio: float, error: int) -> Encoder | None:
    def rle(samples: Array, layout: Layout) -> bytes:
        from rle.utils import encode_pixel_data

        return encode_pixel_data(
            samples.tobytes(),
            byteorder="<",
            rows=layout.rows,
            columns=layout.columns,
            samples_per_pixel=layout.samples_per_pixel,
            bits_allocated=layout.bits_allocated,
        )

    def jpeg_ls(samples: Array, layout: Layout) -> bytes:
        import jpeg_ls as charls

        # JPEG-LS knows no sign: the bits are kept, BitsStored of them
        unsigned = samples.view(f"<u{samples.dtype.itemsize}") & ((1 << layout.bits_stored) - 1)
        if layout.bits_stored <= 8:
            unsigned = unsigned.astype(np.uint8)
        return bytes(
            charls.encode_buffer(
                unsigned.tobytes(),
                rows=layout.rows,
                columns=layout.columns,
                samples_per_pixel=layout.samples_per_pixel,
                bits_stored=layout.bits_stored,
                lossy_error=error if target == JPEGLSNearLossless else 0,
                interleave_mode=2,
            )
        )

    def jpeg_2000(samples: Array, layout: Layout) -> bytes:
        from openjpeg.utils import encode_array

        colour = layout.photometric_interpretation == "RGB"
        return encode_array(
            samples,
            bits_stored=layout.bits_stored,
            photometric_interpretation=1 if colour else 0,
            use_mct=colour,
            compression_ratios=[float(ratio)] if target == JPEG2000 else None,
        )

    def jpeg(samples: Array, layout: Layout) -> bytes:
        from PIL import Image

        written = io.BytesIO()
        Image.fromarray(samples).save(written, "JPEG", quality=quality, subsampling="4:2:2")
        return written.getvalue()

    if not 1 <= quality <= 100 or ratio < 1 or error < 0:
        raise PixelError("The quality is 1 to 100, the ratio 1 or more, the error 0 or more.")
    encoders: dict[UID, Encoder] = {
        RLELossless: rle,
        JPEGLSLossless: jpeg_ls,
        JPEGLSNearLossless: jpeg_ls,
        JPEG2000Lossless: jpeg_2000,
        JPEG2000: jpeg_2000,
        JPEGBaseline8Bit: jpeg,
        **dict.fromkeys(HTJ2K, htj2k.encode),
    }
    return encoders.get(target)
