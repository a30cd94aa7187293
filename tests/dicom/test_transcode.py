"""Transcoding: every test file to every transfer syntax that it can be had in."""

from __future__ import annotations

import io
import sys
import warnings
from pathlib import Path
from typing import Any

import data_store
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from pacslab.dicom.pixels import open_pixels
from pacslab.dicom.transcode import LOSSLESS, LOSSY, NATIVE, TARGETS, can_transcode, transcode
from pacslab.errors import PixelError

FOLDERS = (
    Path(pydicom.__file__).parent / "data" / "test_files",
    Path(data_store.__file__).parent / "data",
)
FILES = {path.name: path for folder in FOLDERS for path in sorted(folder.glob("*.dcm"))}
# Its 120 frames would take longer than all others together
LARGE = {"color3d_jpeg_baseline.dcm", "RG1_J2KI.dcm", "RG1_J2KR.dcm", "RG1_UNCI.dcm",
         "RG3_J2KI.dcm", "RG3_J2KR.dcm", "RG3_UNCI.dcm"}  # fmt: skip


def has_pixels(path: Path) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with open_pixels(path) as pixels:
                return pixels.frame(0) is not None and "SOPInstanceUID" in pixels.header
        except PixelError:
            return False


IMAGES = sorted(name for name, path in FILES.items() if name not in LARGE and has_pixels(path))
OTHERS = ["rtplan.dcm", "test-SR.dcm", "waveform_ecg.dcm", "reportsi.dcm",
          "priv_SQ.dcm"]  # fmt: skip


def read(data: bytes) -> pydicom.FileDataset:
    return pydicom.dcmread(io.BytesIO(data))


def frames(data: bytes) -> list[np.ndarray[Any, Any]]:
    with open_pixels(data) as pixels:
        return [pixels.frame(i) for i in range(min(pixels.number_of_frames, 3))]


# What transcoding has to change, or pydicom writes anew: group lengths are retired
CHANGED = {"PixelData", "PhotometricInterpretation", "PlanarConfiguration", "HighBit",
           "LossyImageCompression", "LossyImageCompressionRatio",
           "LossyImageCompressionMethod"}  # fmt: skip


def untouched(dataset: Dataset) -> list[tuple[Any, ...]]:
    """All elements but the pixel description: tag and value, bytes as bytes."""
    found: list[tuple[Any, ...]] = []
    for element in dataset:
        if element.keyword in CHANGED or element.tag.element == 0:
            continue
        if element.VR == "SQ":
            found.append((int(element.tag), [untouched(item) for item in element.value or []]))
        elif not (element.tag.is_private or element.VR == "UN"):
            original = getattr(element.value, "original_string", element.value)
            found.append((int(element.tag), original))
    return found


def test_the_files_are_there() -> None:
    assert len(IMAGES) >= 100


@pytest.mark.parametrize("name", IMAGES)
def test_native_and_lossless_targets_keep_every_value(name: str) -> None:
    data = FILES[name].read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # pydicom gives up on this one at its missing delimiter
        short = name == "emri_small_jpeg_2k_lossless_too_short.dcm"
        source = pydicom.dcmread(FILES[name], force=True, stop_before_pixels=short)
        expected = frames(data)
    for target in (ExplicitVRLittleEndian, *LOSSLESS):
        if not can_transcode(data, target):
            with pytest.raises(PixelError, match="can't be had"):
                transcode(data, target)
            continue
        result = transcode(data, target)
        found = read(result) if result != data else source
        assert found.file_meta.get("TransferSyntaxUID", target) == target
        assert found.SOPInstanceUID == source.SOPInstanceUID
        for a, b in zip(frames(result), expected, strict=True):
            assert np.array_equal(a, b)
        if source.original_encoding[1]:
            assert untouched(found) == untouched(source)
        if "LossyImageCompression" in source:
            assert found.LossyImageCompression == source.LossyImageCompression
        # An independent reader sees the same
        if found.PhotometricInterpretation != "PALETTE COLOR" and "PixelData" in found:
            if "TransferSyntaxUID" not in found.file_meta or found is source:
                continue
            first = pydicom.pixels.pixel_array(found, index=0)
            assert np.array_equal(first, expected[0])


@pytest.mark.parametrize("target", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
@pytest.mark.parametrize("name", ["MR_small_jp2klossless.dcm", "SC_rgb_expb_16bit.dcm",
                                  "rtdose_expb.dcm", "image_dfl.dcm", "liver_expb.dcm",
                                  "OBXXXX1A_expb_2frame.dcm"])  # fmt: skip
def test_the_other_native_syntaxes(name: str, target: UID) -> None:
    data = FILES[name].read_bytes()
    for a, b in zip(frames(transcode(data, target)), frames(data), strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("target", NATIVE)
@pytest.mark.parametrize("name", OTHERS)
def test_objects_without_pixels(name: str, target: UID) -> None:
    data = FILES[name].read_bytes()
    assert can_transcode(data, target)
    result = read(transcode(data, target))
    assert result.file_meta.TransferSyntaxUID == target
    assert untouched(result) == untouched(pydicom.dcmread(FILES[name]))
    assert not can_transcode(data, RLELossless)
    with pytest.raises(PixelError, match="no pixel data"):
        transcode(data, RLELossless)


@pytest.mark.parametrize("name", ["SC_rgb_expb.dcm", "OBXXXX1A_expb.dcm", "rtdose_expb.dcm"])
def test_big_endian_words_are_turned(name: str) -> None:
    twin = {"OBXXXX1A_expb.dcm": "OBXXXX1A.dcm", "rtdose_expb.dcm": "rtdose.dcm"}
    expected = pydicom.dcmread(FILES[twin.get(name, "SC_rgb.dcm")])
    found = read(transcode(FILES[name].read_bytes(), ExplicitVRLittleEndian))
    assert found.PixelData == expected.PixelData
    if "RedPaletteColorLookupTableData" in expected:
        assert found.RedPaletteColorLookupTableData == expected.RedPaletteColorLookupTableData


def test_the_same_transfer_syntax_gives_the_same_bytes() -> None:
    for name in ("CT_small.dcm", "image_dfl.dcm", "JPGExtended.dcm", "SC_rgb_expb.dcm"):
        data = FILES[name].read_bytes()
        assert transcode(data, read(data).file_meta.TransferSyntaxUID) == data


# --- lossy ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "target", "slack", "photometric"),
    [
        ("CT_small.dcm", JPEGLSNearLossless, 2, "MONOCHROME2"),
        ("CT_small.dcm", JPEG2000, 80, "MONOCHROME2"),
        ("US1_UNCR.dcm", JPEG2000, 20, "YBR_ICT"),
        ("US1_UNCR.dcm", JPEGLSNearLossless, 2, "RGB"),
        ("SC_rgb_rle.dcm", JPEGBaseline8Bit, 8, "YBR_FULL_422"),
        ("SC_ybr_full_422_uncompressed.dcm", JPEGBaseline8Bit, 8, "YBR_FULL_422"),
        ("image_dfl.dcm", JPEGBaseline8Bit, 16, "MONOCHROME2"),
    ],
)
def test_lossy_targets(name: str, target: UID, slack: int, photometric: str) -> None:
    data = FILES[name].read_bytes()
    result = transcode(data, target)
    found, source = read(result), pydicom.dcmread(FILES[name])
    assert found.PhotometricInterpretation == photometric
    assert found.LossyImageCompression == "01"
    assert np.atleast_1d(found.LossyImageCompressionMethod)[-1] == LOSSY[target]
    assert float(np.atleast_1d(found.LossyImageCompressionRatio)[-1]) > 1
    assert found.SOPInstanceUID == source.SOPInstanceUID
    assert len(result) < len(FILES[name].read_bytes()) or "rle" in name or "dfl" in name
    np.testing.assert_allclose(
        frames(result)[0].astype(int), frames(data)[0].astype(int), atol=slack
    )
    assert untouched(found) == untouched(source)


def test_a_second_loss_is_added_to_the_first() -> None:
    first = transcode(FILES["CT_small.dcm"].read_bytes(), JPEG2000, ratio=4)
    found = read(transcode(first, JPEGLSNearLossless, error=5))
    assert list(found.LossyImageCompressionMethod) == ["ISO_15444_1", "ISO_14495_1"]
    assert len(found.LossyImageCompressionRatio) == 2
    back = read(transcode(first, ExplicitVRLittleEndian))
    assert (back.LossyImageCompression, back.LossyImageCompressionMethod) == ("01", "ISO_15444_1")


def test_options_have_an_effect_and_limits() -> None:
    data = FILES["US1_UNCR.dcm"].read_bytes()
    sizes = [len(transcode(data, JPEG2000, ratio=ratio)) for ratio in (5, 20)]
    assert sizes[0] > 3 * sizes[1]
    assert len(transcode(data, JPEGBaseline8Bit, quality=95)) > len(
        transcode(data, JPEGBaseline8Bit, quality=20)
    )
    for wrong in ({"quality": 0}, {"ratio": 0.5}, {"error": -1}):
        with pytest.raises(PixelError, match="quality"):
            transcode(data, JPEG2000, **wrong)


# --- what can't be had ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("CT_small.dcm", HTJ2K),  # with loss
        ("liver.dcm", HTJ2KLossless),
        ("rtdose.dcm", HTJ2KLossless),
        ("CT_small.dcm", ExplicitVRBigEndian),
        ("CT_small.dcm", JPEGBaseline8Bit),
        ("CT_small.dcm", "1.2.3"),
        ("liver.dcm", RLELossless),
        ("liver.dcm", JPEGLSLossless),
        ("OBXXXX1A.dcm", JPEGBaseline8Bit),
        ("OBXXXX1A.dcm", JPEG2000),
        ("rtdose.dcm", JPEGLSLossless),
        ("rtdose.dcm", JPEG2000Lossless),
    ],
)
def test_targets_that_do_not_fit(name: str, target: str) -> None:
    data = FILES[name].read_bytes()
    assert not can_transcode(data, target)
    with open_pixels(data) as pixels:
        assert not can_transcode(pixels, target)
    with pytest.raises(PixelError, match="can't be had"):
        transcode(data, target)


@pytest.mark.parametrize("target", [HTJ2KLossless, HTJ2KLosslessRPCL])
@pytest.mark.parametrize("name", ["CT_small.dcm", "SC_rgb.dcm"])
def test_htj2k_is_in_resolution_order_with_lengths_of_its_tiles(name: str, target: UID) -> None:
    result = read(transcode(FILES[name].read_bytes(), target))
    code = next(generate_frames(result.PixelData))
    capabilities, style = code.index(b"\xff\x50"), code.index(b"\xff\x52")
    assert code.index(b"\xff\x55") < code.index(b"\xff\x93")  # TLM before the data
    assert code[style + 5] == 2  # RPCL (ISO/IEC 15444-1 table A.16)
    assert code[style + 13] == 1  # the reversible transform (table A.20)
    assert code[capabilities + 4 : capabilities + 8] == b"\x00\x02\x00\x00"  # part 15
    colour = {"CT_small.dcm": "MONOCHROME2", "SC_rgb.dcm": "YBR_RCT"}
    assert result.PhotometricInterpretation == colour[name]
    assert "LossyImageCompression" not in result


def test_without_its_encoder_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    data = FILES["CT_small.dcm"].read_bytes()
    assert not can_transcode(data, HTJ2KLossless)
    with pytest.raises(PixelError, match=r"pip install 'pacslab\[htj2k\]'"):
        transcode(data, HTJ2KLossless)


def test_values_outside_of_the_stored_bits_are_not_lost_in_silence() -> None:
    dataset = pydicom.dcmread(FILES["MR-SIEMENS-DICOM-WithOverlays.dcm"])
    values = np.frombuffer(dataset.PixelData, "<u2").copy()
    values[5] |= 0x8000
    dataset.PixelData = values.tobytes()
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    for target in (JPEGLSLossless, JPEG2000Lossless):
        with pytest.raises(PixelError, match="RLE Lossless keeps them"):
            transcode(buffer.getvalue(), target)
    back = transcode(transcode(buffer.getvalue(), RLELossless), ExplicitVRLittleEndian)
    assert read(back).PixelData == dataset.PixelData


@pytest.mark.parametrize("target", TARGETS)
def test_truncated_pixel_data_is_refused(target: UID) -> None:
    data = FILES["MR_truncated.dcm"].read_bytes()
    if target == ExplicitVRLittleEndian:
        assert transcode(data, target) == data
    else:
        with pytest.raises(PixelError, match=r"cut off|can't be had"):
            transcode(data, target)


def test_no_dicom() -> None:
    with pytest.raises(PixelError):
        transcode(b"", ExplicitVRLittleEndian)


# --- the object around the pixels -----------------------------------------------------------


def test_what_follows_the_pixel_data_is_kept() -> None:
    dataset = pydicom.dcmread(FILES["MR_small_jp2klossless.dcm"])
    block = dataset.private_block(0x7FE1, "PACSLAB", create=True)
    block.add_new(1, "LO", "after the pixels")
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    found = read(transcode(buffer.getvalue(), ExplicitVRLittleEndian))
    assert found.private_block(0x7FE1, "PACSLAB")[1].value == "after the pixels"
    assert len(found.PixelData) == 64 * 64 * 2
    padded = FILES["MR_small.dcm"].read_bytes() + bytes(64)
    assert frames(transcode(padded, RLELossless))[0].shape == (64, 64)


def test_lengths_are_even_and_file_meta_is_whole() -> None:
    for target in (ExplicitVRLittleEndian, RLELossless):
        result = transcode(FILES["SC_rgb_small_odd_jpeg.dcm"].read_bytes(), target)
        found = read(result)
        assert len(found.PixelData) % 2 == 0
        assert result[128:132] == b"DICM"
        assert found.file_meta.MediaStorageSOPInstanceUID == found.SOPInstanceUID
        assert found.PlanarConfiguration == int(target == RLELossless)
        assert found.PhotometricInterpretation == "RGB"


def test_offset_tables_are_written_and_extended_ones_replaced() -> None:
    data = FILES["emri_small.dcm"].read_bytes()
    encoded = read(transcode(data, JPEG2000Lossless))
    table = pydicom.encaps.parse_basic_offsets(encoded.PixelData)
    assert len(table) == 10
    encoded.ExtendedOffsetTable = encoded.ExtendedOffsetTableLengths = b"\0" * 80
    buffer = io.BytesIO()
    encoded.save_as(buffer)
    assert "ExtendedOffsetTable" not in read(transcode(buffer.getvalue(), ExplicitVRLittleEndian))


def test_a_path_is_as_good_as_bytes() -> None:
    path = FILES["MR_small_RLE.dcm"]
    assert transcode(path, ExplicitVRLittleEndian) == transcode(
        path.read_bytes(), ExplicitVRLittleEndian
    )
