"""Decoding, compared with pydicom on its own test files, and with known truth where it can't."""

from __future__ import annotations

import hashlib
import io
import mmap
import tracemalloc
import warnings
from base64 import b64decode
from pathlib import Path
from typing import Any

import data_store
import numpy as np
import pydicom
import pytest
from openjpeg.utils import encode_array
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, encapsulate_extended, get_frame
from pydicom.pixels import apply_color_lut
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)
from rle.utils import encode_pixel_data

from pacslab.dicom.pixels import Pixels, open_pixels
from pacslab.errors import PixelError

FOLDERS = (
    Path(pydicom.__file__).parent / "data" / "test_files",
    Path(data_store.__file__).parent / "data",
)
FILES = {path.name: path for folder in FOLDERS for path in sorted(folder.glob("*.dcm"))}

# What pydicom can't decode with permissively licensed codecs, or gets wrong; each has a test below
NOT_PYDICOM = {
    "JPGExtended.dcm",  # 12-bit DCT
    "JPEG-lossy.dcm",
    "OT-PAL-8-face.dcm",  # no Transfer Syntax UID
    "emri_small_jpeg_2k_lossless_too_short.dcm",  # no sequence delimiter
    "OBXXXX1A_expb.dcm",  # its big endian palette is taken for a little endian one
    "OBXXXX1A_expb_2frame.dcm",
}
BROKEN = {
    "MR_truncated.dcm": "cut off",
    "badVR.dcm": "NumberOfFrames is '1A'",
    "JPEG2000-embedded-sequence-delimiter.dcm": "can't be decoded",
    "nested_priv_SQ.dcm": "missing",
    "rtplan.dcm": "no pixel data",
    "README.txt": "no pixel data",
}


def has_pixels(path: Path) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return open_pixels(path) is not None
        except PixelError:
            return False


IMAGES = sorted(name for name, path in FILES.items() if has_pixels(path) and name not in BROKEN)
COMPARED = sorted(set(IMAGES) - NOT_PYDICOM)


def test_the_files_are_there() -> None:
    assert len(COMPARED) >= 105
    assert set(IMAGES) >= NOT_PYDICOM


def read(name: str) -> pydicom.FileDataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(FILES[name], force=True)


def opened(dataset: Dataset, syntax: str | None = None) -> Pixels:
    return open_pixels(written(dataset, syntax))


def written(dataset: Dataset, syntax: str | None = None) -> bytes:
    if not hasattr(dataset, "file_meta"):
        dataset.file_meta = FileMetaDataset()
    if syntax:
        dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.file_meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.7")
    dataset.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3")
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def image(array: np.ndarray[Any, Any], photometric: str = "MONOCHROME2", **more: Any) -> Dataset:
    """A little native image: array is (frames, rows, columns[, samples])."""
    dataset = Dataset()
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = array.shape[:3]
    dataset.SamplesPerPixel = array.shape[3] if array.ndim == 4 else 1
    if array.ndim == 4:
        dataset.PlanarConfiguration = 0
    dataset.PhotometricInterpretation = photometric
    dataset.BitsAllocated = dataset.BitsStored = 8 * array.itemsize
    dataset.PixelRepresentation = int(array.dtype.kind == "i")
    for keyword, value in more.items():
        setattr(dataset, keyword, value)
    dataset.HighBit = more.get("HighBit", dataset.BitsStored - 1)
    data = array.tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)
    dataset["PixelData"].VR = "OB" if dataset.BitsAllocated <= 8 else "OW"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def encode_rle(array: np.ndarray[Any, Any]) -> bytes:
    rows, columns = array.shape
    bits = 8 * array.itemsize
    return encode_pixel_data(
        array.tobytes(), byteorder="<", rows=rows, columns=columns, samples_per_pixel=1,
        bits_allocated=bits,
    )  # fmt: skip


# --- against pydicom ------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMPARED)
def test_frame_equals_pydicom(name: str) -> None:
    dataset = read(name)
    count = int(dataset.get("NumberOfFrames") or 1)
    with open_pixels(FILES[name]) as pixels:
        assert pixels.number_of_frames == count
        for i in {0, min(1, count - 1), min(9, count - 1)}:
            expected = pydicom.pixels.pixel_array(dataset, index=i)
            if dataset.PhotometricInterpretation == "PALETTE COLOR":
                expected = apply_color_lut(expected, dataset)
            found = pixels.frame(i)
            assert found.dtype == expected.dtype.newbyteorder("=")
            # libjpeg turns YCbCr to RGB in fixed point, pydicom in floating point
            slack = pixels.transfer_syntax == JPEGBaseline8Bit and expected.ndim == 3
            np.testing.assert_allclose(found, expected, rtol=0, atol=int(slack))


@pytest.mark.parametrize("name", IMAGES)
def test_decoded_frame_is_the_frame_in_its_native_layout(name: str) -> None:
    with open_pixels(FILES[name]) as pixels:
        data, native = pixels.decoded_frame(0), pixels.native
        assert len(data) == -(-native.frame_bits // 8)
        if native.bits_allocated == 1:
            found = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
            found = found[: native.frame_bits].reshape(native.shape)
        elif native.photometric_interpretation == "YBR_FULL_422":
            found = np.frombuffer(data, native.dtype).reshape(-1, 2)[::2].reshape(native.shape[:2])
            assert np.array_equal(found, pixels.samples(0)[..., 0])
            return
        elif native.planar_configuration:
            planes = np.frombuffer(data, native.dtype).reshape(3, native.rows, native.columns)
            found = planes.transpose(1, 2, 0)
        else:
            found = np.frombuffer(data, native.dtype).reshape(native.shape)
        assert np.array_equal(found, pixels.samples(0))


@pytest.mark.parametrize("name", COMPARED)
def test_stored_frame_equals_pydicom(name: str) -> None:
    dataset = read(name)
    with open_pixels(FILES[name]) as pixels:
        last = pixels.number_of_frames - 1
        if pixels.encapsulated:
            expected = get_frame(dataset.PixelData, last, number_of_frames=last + 1)
        else:
            size = pixels.layout.frame_bits // 8
            expected = dataset.PixelData[last * size : (last + 1) * size]
        assert pixels.stored_frame(last) == expected


# --- where pydicom is no judge --------------------------------------------------------------


@pytest.mark.parametrize("name", ["JPGExtended.dcm", "JPEG-lossy.dcm"])
def test_dct_of_12_bits(name: str) -> None:
    # What libjpeg-turbo 3 (by imagecodecs 2026.3.6, jpeg8_decode) makes of both codestreams
    frame = open_pixels(FILES[name]).frame(0)
    assert (frame.dtype, frame.shape, frame.max()) == (np.uint16, (1024, 256), 264)
    assert hashlib.sha256(frame.astype("<u2").tobytes()).hexdigest() == TWELVE_BITS


TWELVE_BITS = "d30242775a414c01d616447854ebe3f2b20259822894bcd6891f879bcdcbf313"


@pytest.mark.parametrize(
    ("name", "twin"),
    [
        ("OBXXXX1A_expb.dcm", "OBXXXX1A.dcm"),
        ("OBXXXX1A_expb_2frame.dcm", "OBXXXX1A_2frame.dcm"),
        ("emri_small_jpeg_2k_lossless_too_short.dcm", "emri_small_jpeg_2k_lossless.dcm"),
        ("gdcm-US-ALOKA-16_big.dcm", "gdcm-US-ALOKA-16.dcm"),
        ("SC_rgb_small_odd_big_endian.dcm", "SC_rgb_small_odd.dcm"),
        ("liver_expb.dcm", "liver.dcm"),
        ("rtdose_expb.dcm", "rtdose.dcm"),
        ("MR_small_jp2klossless.dcm", "MR_small.dcm"),
        ("MR_small_jpeg_ls_lossless.dcm", "MR_small.dcm"),
        ("SC_rgb_rle_32bit_2frame.dcm", "SC_rgb_32bit_2frame.dcm"),
        ("SC_rgb_rle_16bit_2frame.dcm", "SC_rgb_16bit_2frame.dcm"),
        ("color-pl.dcm", "color-px.dcm"),
    ],
)
def test_twins_have_the_same_pixels(name: str, twin: str) -> None:
    with open_pixels(FILES[name]) as one, open_pixels(FILES[twin]) as other:
        for i in range(other.number_of_frames):
            assert np.array_equal(one.frame(i), other.frame(i))


def test_a_palette_without_transfer_syntax() -> None:
    frame = open_pixels(FILES["OT-PAL-8-face.dcm"]).frame(0)
    dataset = read("OT-PAL-8-face.dcm")
    indexes = np.frombuffer(dataset.PixelData, np.uint8)[: 480 * 640].reshape(480, 640)
    assert np.array_equal(frame, apply_color_lut(indexes, dataset))


Y, X = np.mgrid[:32, :24]
HTJ2K = {  # written by OpenJPH 0.26.3 (by imagecodecs 2026.3.6), reversible
    "signed": (
        (X * 100 + Y * 7 - 500).astype(np.int16),
        "/0//UQApQAAAAAAYAAAAIAAAAAAAAAAAAAAAGAAAACAAAAAAAAAAAAABjwEB/1AACAACAAAACv9SAAwAAgABAAUE"
        "BEAB/1wAEyCIkJCQkJCQkJCQkJCQiIiI/2QAFwABT3BlbkpQSCBWZXIgMC4yNi4zLv+QAAoAAAAAAKcAAf+TwAAl"
        "EAIHdADAABNAABKAYv0DB3QA/gEHdADAABNAABKA8fgAi3QAfgAjVADAABVQAAVAjjt27PiX4gt1AL73wAAAjLYA"
        "wAAWhAABVMDAwMDAwMDA3gp6enGCeADe3d38DPfJ7LcAwAAtuAAFokaj0Wg0Go1Go9FoNBqN8/4Kenp6enp6cQJ9"
        "AEySJEny/3KEnv2Se/ZJ7LwA/9k=",
    ),
    "unsigned": (
        (X * 100 + Y * 7).astype(np.uint16),
        "/0//UQApQAAAAAAYAAAAIAAAAAAAAAAAAAAAGAAAACAAAAAAAAAAAAABDwEB/1AACAACAAAACv9SAAwAAgABAAUE"
        "BEAB/1wAEyCIkJCQkJCQkJCQkJCQiIiI/2QAFwABT3BlbkpQSCBWZXIgMC4yNi4zLv+QAAoAAAAAAKgAAf+TwAAm"
        "BfkFB3QAwAATQAASgGL9Awd0AP4BB3QAwAATQAASgPH4AIt0AH4AI1QAwAAVUAAFQI47duz4l+ILdQC+98AAAIy2"
        "AMAAFoQAAVTAwMDAwMDAwN4KenpxgngA3t3d/Az3yey3AMAALbgABaJGo9FoNBqNRqPRaDQajfP+Cnp6enp6enEC"
        "fQBMkiRJ8v9yhJ79knv2Sey8AP/Z",
    ),
    "colour": (
        np.stack([X * 10, Y * 7, (X + Y) * 4], axis=-1).astype(np.uint8),
        "/0//UQAvQAAAAAAYAAAAIAAAAAAAAAAAAAAAGAAAACAAAAAAAAAAAAADBwEBBwEBBwEB/1AACAACAAAAA/9SAAwA"
        "AgABAQUEBEAB/1wAEyBQWFhYWFhYWFhYWFhYUFBQ/2QAFwABT3BlbkpQSCBWZXIgMC4yNi4zLv+QAAoAAAAAAgoA"
        "Af+TwBKA8QCHdADAEoD8AEd0AMASgOQAB3QAwAlgBKD2AId0AKIBB3QAwAlgBKCIAQd0AO0Ah3QAwAlgBIBWAYd0"
        "AAEHdADACOAEwBtzAFDoACNUAMAI4ATAG3MAdf0AA1QAwAlgBMC7AEt0AP9/ACNUAMAJ4AVA3t2Bfst1AChCwAAA"
        "jLYAwAqIATiiEOKX4At1AHv3wOSMtQDACpgBUFpN0/6X4It1AP9/wAAAjLYAwAqoAVYkSZLep6enQncAUkRE/vwM"
        "98nstwDACrgBVAAAAADep6enwncA3bb9/AT2Sey3AMAK2AFWjDHGGGPeCnp6cAJ4AP9//3/8DPfJ7LcAwBdxAF3k"
        "AXYgAAAACgAAoAAAAAoAAKAAAAAKAACgAAAACgAAoE4ADU4ADU4ADU4ADU4ADU4ADU4ADUsVKlStvAEAAAAAAAAA"
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAABICCSAgkgMcAAaAAGgABoAAaAAGgABoqVKlStvgEAAAAAAAAAAAAAAAAA"
        "AAAAAAAAAAAAAAAAAAaAAGgABoAAaAAGgABoAAaKlSpUrbkBwBaEAV6qqqqq8/4p6enp6enp4nwAraqq/v9ygV79"
        "17917LsAwBakAWiAIiIiIiIiIiLz/qenp6enp6fCfADdtm3b9v9yhJ79knv2Sey8AP/Z",
    ),
}


def htj2k(kind: str, **changes: Any) -> tuple[np.ndarray[Any, Any], Pixels]:
    expected, code = HTJ2K[kind]
    dataset = image(expected[None], "RGB" if kind == "colour" else "MONOCHROME2", **changes)
    dataset.PixelData = encapsulate([b64decode(code)])
    return expected, opened(dataset, HTJ2KLossless)


@pytest.mark.parametrize("kind", sorted(HTJ2K))
def test_htj2k(kind: str) -> None:
    expected, pixels = htj2k(kind)
    assert np.array_equal(pixels.frame(0), expected)
    assert pixels.decoded_frame(0) == expected.tobytes()


def test_the_header_decides_on_the_sign_whatever_the_codestream_says() -> None:
    expected, pixels = htj2k("signed", PixelRepresentation=0)
    assert np.array_equal(pixels.frame(0), expected.view(np.uint16))
    assert pixels.frame(0).dtype == np.uint16
    # 13 bits in an unsigned codestream, which the header takes for signed ones
    values = np.array([[-5, 7], [-4096, 4095]] * 16, np.int16).repeat(16, axis=1)
    code = encode_array((values & 0x1FFF).astype(np.uint16), bits_stored=13)
    dataset = image(values[None], BitsStored=13)
    dataset.PixelData = encapsulate([code])
    assert np.array_equal(opened(dataset, JPEG2000Lossless).frame(0), values)


def test_unused_bits_of_rle_and_lossless_jpeg() -> None:
    values = np.array([[[-5, 7], [-2048, 2047]]], np.int16)
    overlaid = (values & 0x0FFF) | np.int16(0x4000)
    dataset = image(overlaid, BitsStored=12)
    dataset.PixelData = encapsulate([encode_rle(overlaid[0])])
    pixels = opened(dataset, RLELossless)
    assert np.array_equal(pixels.frame(0), values[0])
    assert pixels.decoded_frame(0) == overlaid.tobytes()
    # HighBit tells of native and RLE cells only: a JPEG's values begin at bit 0
    lossless = read("bad_sequence.dcm")
    expected = opened(lossless).frame(0)
    lossless.HighBit = 15
    assert np.array_equal(opened(lossless).frame(0), expected)


# --- colours --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("SC_rgb_dcmtk_+eb+cy+np.dcm", "RGB"),  # YCbCr by JFIF: it would come out magenta
        ("SC_rgb_dcmtk_+eb+cy+s4.dcm", "RGB"),  # the same without subsampling
        ("SC_rgb_dcmtk_+eb+cy+n1.dcm", "RGB"),
        ("SC_rgb_jpeg_lossy_gdcm.dcm", "YBR_FULL_422"),
        ("SC_rgb_dcmtk_+eb+cr.dcm", "YBR_FULL_422"),  # RGB by Adobe's marker
        ("US1_J2KR.dcm", "YBR_FULL"),  # a component transform, so RGB comes out
        ("US1_J2KR.dcm", "RGB"),
        ("SC_rgb_gdcm_KY.dcm", "YBR_ICT"),
    ],
)
def test_a_wrong_photometric_interpretation_is_seen_through(name: str, wrong: str) -> None:
    dataset, right = read(name), open_pixels(FILES[name]).frame(0)
    dataset.PhotometricInterpretation = wrong
    pixels = opened(dataset)
    assert np.array_equal(pixels.frame(0), right)
    assert pixels.native.photometric_interpretation == "RGB"


def test_subsampled_chroma_is_ycbcr_without_any_marker() -> None:
    from PIL import Image

    colours = np.zeros((1, 16, 16, 3), np.uint8)
    colours[..., 0] = 200
    buffer = io.BytesIO()
    Image.fromarray(colours[0]).save(buffer, "JPEG", quality=95, subsampling="4:2:0")
    code = buffer.getvalue()
    assert code[2:4] == b"\xff\xe0"  # JFIF, which is taken out
    code = code[:2] + code[4 + int.from_bytes(code[4:6], "big") :]
    dataset = image(colours, "RGB")
    dataset.PixelData = encapsulate([code])
    found = opened(dataset, JPEGBaseline8Bit).frame(0)
    np.testing.assert_allclose(found, colours[0], atol=3)


def test_uncompressed_422_with_the_length_of_444_is_444() -> None:
    ybr = np.random.default_rng(1).integers(0, 256, (2, 4, 6, 3), np.uint8)
    pixels = opened(image(ybr, "YBR_FULL_422"))
    assert pixels.native.photometric_interpretation == "YBR_FULL"
    assert np.array_equal(pixels.samples(1), ybr[1])
    expected = pydicom.pixels.convert_color_space(ybr[1], "YBR_FULL", "RGB")
    assert np.array_equal(pixels.frame(1), expected)


def palette(bits: int = 16, first: int = 0, entries: int = 4, **data: bytes) -> Dataset:
    dataset = image(np.arange(4, dtype=np.uint8).reshape(1, 2, 2), "PALETTE COLOR")
    for colour in ("Red", "Green", "Blue"):
        setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [entries, first, bits])
        for prefix, value in data.items():
            setattr(dataset, f"{prefix}{colour}PaletteColorLookupTableData", value)
    return dataset


def test_palettes() -> None:
    table = np.array([1000, 2000, 3000, 4000], "<u2").tobytes()
    assert opened(palette(**{"": table})).frame(0)[..., 0].tolist() == [[1000, 2000], [3000, 4000]]
    # Below the first value mapped its entry holds, after the last one the last
    shifted = opened(palette(first=1, entries=2, **{"": table})).frame(0)[..., 2]
    assert shifted.tolist() == [[1000, 1000], [2000, 2000]]
    bytewise = opened(palette(bits=8, **{"": b"\x0a\x14\x1e\x28"})).frame(0)
    assert bytewise.dtype == np.uint8
    assert bytewise[..., 1].tolist() == [[10, 20], [30, 40]]


def test_segmented_palettes() -> None:
    # Discrete 100 200, linear in 3 steps to 500, and once more both (byte offset 0)
    words = np.array([0, 2, 100, 200, 1, 3, 500, 2, 2, 0, 0], "<u2").tobytes()
    dataset = palette(entries=10, Segmented=words)
    dataset.PixelData = bytes(range(10))
    dataset.Rows, dataset.Columns = 2, 5
    found = opened(dataset).frame(0)[..., 0].ravel()
    assert found.tolist() == [100, 200, 300, 400, 500] * 2
    # An offset in the middle, which counts bytes: the linear segment alone
    words = np.array([0, 2, 100, 200, 1, 3, 500, 2, 1, 8, 0], "<u2").tobytes()
    for colour in ("Red", "Green", "Blue"):
        setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [8, 0, 16])
        setattr(dataset, f"Segmented{colour}PaletteColorLookupTableData", words)
    found = opened(dataset).frame(0)[..., 0].ravel()
    assert found.tolist() == [100, 200, 300, 400, 500, 500, 500, 500, 500, 500]


def test_an_image_that_misses_its_palette_is_refused_but_handed_out_as_stored() -> None:
    dataset = palette(**{"": bytes(8)})
    del dataset.GreenPaletteColorLookupTableData
    pixels = opened(dataset)
    with pytest.raises(PixelError, match="green lookup table is missing"):
        pixels.frame(0)
    assert pixels.stored_frame(0) == bytes(range(4))


@pytest.mark.parametrize(
    ("photometric", "shape"),
    [
        ("RGB", (1, 2, 2)),
        ("MONOCHROME2", (1, 2, 2, 3)),
        ("HSV", (1, 2, 2, 3)),
        ("CMYK", (1, 2, 2, 4)),
    ],
)
def test_colours_that_cannot_be(photometric: str, shape: tuple[int, ...]) -> None:
    pixels = opened(image(np.zeros(shape, np.uint8), photometric))
    with pytest.raises(PixelError, match=photometric):
        pixels.frame(0)


# --- bits -----------------------------------------------------------------------------------


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("vr", ["OB", "OW"])
def test_1_bit_frames_that_do_not_start_on_a_byte(syntax: str, vr: str) -> None:
    bits = np.random.default_rng(2).integers(0, 2, (7, 3, 5), np.uint8)
    dataset = image(bits)
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 1, 1, 0
    packed = np.packbits(bits, bitorder="little").tobytes()
    if (vr, syntax) == ("OW", ExplicitVRBigEndian):
        packed = np.frombuffer(packed, "<u2").astype(">u2").tobytes()
    dataset.PixelData = packed
    dataset["PixelData"].VR = vr
    pixels = opened(dataset, syntax)
    for i in range(7):
        assert np.array_equal(pixels.frame(i), bits[i])
        assert pixels.stored_frame(i) == np.packbits(bits[i], bitorder="little").tobytes()
        assert pixels.decoded_frame(i) == np.packbits(bits[i], bitorder="little").tobytes()


def test_8_bits_in_big_endian_words() -> None:
    grey = np.arange(2 * 3 * 5, dtype=np.uint8).reshape(2, 3, 5)
    dataset = image(grey)
    dataset.PixelData = grey.reshape(-1, 2)[:, ::-1].tobytes()
    dataset["PixelData"].VR = "OW"
    pixels = opened(dataset, ExplicitVRBigEndian)
    assert np.array_equal(pixels.frame(1), grey[1])
    assert pixels.decoded_frame(1) == grey[1].tobytes()


def test_unused_bits_fall_off_and_signs_are_kept() -> None:
    values = np.array([[[-5, 7], [-2048, 2047]]], np.int16)
    overlaid = (values & 0x0FFF) | np.int16(0x4000)  # an overlay above 12 bits
    found = opened(image(overlaid, BitsStored=12)).frame(0)
    assert np.array_equal(found, values[0])
    found = opened(image(values << 4, BitsStored=12, HighBit=15)).frame(0)
    assert np.array_equal(found, values[0])


def test_float_pixels() -> None:
    values = np.array([[[0.5, -1.5], [1e9, np.inf]]], np.float32)
    dataset = image(values)
    dataset.FloatPixelData = dataset.PixelData
    del dataset.PixelData, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation
    pixels = opened(dataset)
    assert np.array_equal(pixels.frame(0), values[0])
    assert pixels.decoded_frame(0) == values.tobytes()


def test_odd_length_has_no_pad_byte() -> None:
    with open_pixels(FILES["SC_rgb_small_odd.dcm"]) as pixels:
        assert len(pixels.stored_frame(0)) == len(pixels.decoded_frame(0)) == 27


# --- fragments ------------------------------------------------------------------------------

CODES = [open_pixels(FILES["emri_small_jpeg_2k_lossless.dcm"]).stored_frame(i) for i in range(10)]


def fragmented(data: bytes, **more: Any) -> Pixels:
    dataset = read("emri_small_jpeg_2k_lossless.dcm")
    dataset.PixelData = data
    for keyword, value in more.items():
        setattr(dataset, keyword, value)
    return opened(dataset)


@pytest.mark.parametrize("fragments", [1, 3])
@pytest.mark.parametrize("table", [True, False])
def test_fragments_with_and_without_an_offset_table(fragments: int, table: bool) -> None:
    pixels = fragmented(encapsulate(CODES, fragments_per_frame=fragments, has_bot=table))
    assert [pixels.stored_frame(i) for i in (9, 0, 4)] == [CODES[9], CODES[0], CODES[4]]


def test_the_extended_offset_table() -> None:
    data, table, lengths = encapsulate_extended(CODES)
    pixels = fragmented(data, ExtendedOffsetTable=table, ExtendedOffsetTableLengths=lengths)
    assert pixels.stored_frame(7) == CODES[7]
    assert "_grouped" not in vars(pixels)  # nothing was searched for


def test_a_wrong_offset_table_is_not_believed() -> None:
    data = bytearray(encapsulate(CODES))
    data[12:16] = (9_999_999).to_bytes(4, "little")
    assert fragmented(bytes(data)).stored_frame(1) == CODES[1]


def test_frames_that_cannot_be_told_apart() -> None:
    with pytest.raises(PixelError, match="NumberOfFrames is 11"):
        fragmented(encapsulate(CODES, has_bot=False), NumberOfFrames=11).stored_frame(0)


@pytest.mark.parametrize("i", [-1, 10, 1000])
def test_frames_out_of_range(i: int) -> None:
    with pytest.raises(PixelError, match=f"no frame {i + 1}: the image has 10 frames"):
        fragmented(encapsulate(CODES)).stored_frame(i)


# --- damage ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_broken_objects(name: str) -> None:
    path = FOLDERS[0] / name
    with pytest.raises(PixelError, match=BROKEN[name]):
        open_pixels(path).frame(0)


CODECS = [
    "693_J2KR.dcm", "US1_J2KI.dcm", "JPEG-LL.dcm", "JPGExtended.dcm", "SC_rgb_dcmtk_+eb+cy+np.dcm",
    "MR_small_jpeg_ls_lossless.dcm", "MR_small_RLE.dcm", "SC_rgb_jpeg_gdcm.dcm",
]  # fmt: skip


@pytest.mark.parametrize("share", [0.1, 0.3, 0.9])
@pytest.mark.parametrize("name", CODECS)
def test_a_codestream_that_is_cut_off_is_never_a_picture(name: str, share: float) -> None:
    dataset, code = read(name), open_pixels(FILES[name]).stored_frame(0)
    dataset.PixelData = encapsulate([code[: int(len(code) * share) // 2 * 2]])
    with pytest.raises(PixelError, match="Frame 1"):
        opened(dataset).frame(0)


@pytest.mark.parametrize("name", [*CODECS, "CT_small.dcm", "image_dfl.dcm", "liver.dcm"])
def test_a_file_that_is_cut_off_is_never_a_picture(name: str) -> None:
    data = FILES[name].read_bytes()
    with pytest.raises(PixelError), open_pixels(data[: int(len(data) * 0.8)]) as pixels:
        pixels.frame(pixels.number_of_frames - 1)


@pytest.mark.parametrize(
    ("keyword", "value"), [("Rows", 99), ("Columns", 511), ("BitsAllocated", 8)]
)
@pytest.mark.parametrize("name", CODECS)
def test_a_header_that_does_not_fit_the_codestream(name: str, keyword: str, value: int) -> None:
    dataset = read(name)
    if dataset.BitsAllocated == value:
        value = 16 if name == "SC_rgb_jpeg_gdcm.dcm" else 32
        keyword = "SamplesPerPixel" if dataset.SamplesPerPixel == 1 else "Rows"
    setattr(dataset, keyword, value)
    dataset.BitsStored = min(dataset.BitsStored, dataset.BitsAllocated)
    with pytest.raises(PixelError):
        opened(dataset).frame(0)


@pytest.mark.parametrize(
    ("keyword", "value", "message"),
    [
        ("Rows", None, "Rows is missing"),
        ("Columns", 0, "1 or more"),
        ("BitsAllocated", 12, "BitsAllocated 12"),
        ("BitsStored", 17, "BitsStored 17"),
    ],
)
def test_headers_that_describe_no_image(keyword: str, value: int | None, message: str) -> None:
    dataset = image(np.zeros((1, 4, 4), np.uint16))
    setattr(dataset, keyword, value)
    with pytest.raises(PixelError, match=message):
        opened(dataset)


def test_a_transfer_syntax_that_disagrees_with_the_pixel_data() -> None:
    data = FILES["MR_small_RLE.dcm"].read_bytes()
    wrong = data.replace(b"1.2.840.10008.1.2.5\0", b"1.2.840.10008.1.2.1\0")
    assert wrong != data
    with pytest.raises(PixelError, match="disagree"):
        open_pixels(wrong)


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(PixelError, match="empty"):
        open_pixels(tmp_path / "empty")


# --- reading --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["CT_small.dcm", "image_dfl.dcm", "MR_small_implicit.dcm"])
def test_every_kind_of_source(name: str) -> None:
    data = FILES[name].read_bytes()
    expected = open_pixels(data).stored_frame(0)
    with FILES[name].open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    for source in (memoryview(data), bytearray(data), FILES[name], mapped):
        with open_pixels(source) as pixels:
            assert pixels.stored_frame(0) == expected
            frame = pixels.frame(0)
        assert frame.any()  # it outlives the file


def test_deflated_and_big_endian_headers_are_read() -> None:
    assert open_pixels(FILES["image_dfl.dcm"]).transfer_syntax == DeflatedExplicitVRLittleEndian
    assert open_pixels(FILES["rtdose_expb.dcm"]).header.DoseUnits == "RELATIVE"
    assert open_pixels(FILES["MR_small_RLE.dcm"]).transfer_syntax == RLELossless


def test_a_native_frame_costs_itself_only(tmp_path: Path) -> None:
    path = tmp_path / "large.dcm"
    path.write_bytes(written(image(np.zeros((1, 512, 512), np.uint16), NumberOfFrames=4000)))
    data = bytearray(path.read_bytes())
    size = 4000 * 512 * 512 * 2
    at = data.rfind(b"\xe0\x7f\x10\x00OW\0\0") + 8
    data[at : at + 4] = size.to_bytes(4, "little")
    with path.open("wb") as file:  # 2 GB of holes, with one mark in the last frame
        file.write(data[: at + 4])
        file.seek(at + 4 + size - 2)
        file.write(b"\x34\x12")
    tracemalloc.start()
    try:
        with open_pixels(path) as pixels:
            assert pixels.frame(3999)[-1, -1] == 0x1234
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()
