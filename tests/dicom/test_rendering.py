"""Pictures: every step of the grey-scale pipeline against values that are worked out by hand."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import data_store
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian

from pacslab.dicom.pixels import Pixels, open_pixels
from pacslab.dicom.rendering import Window, encode, frame_time, render, rescaled_frame
from pacslab.errors import PixelError

FOLDERS = (
    Path(pydicom.__file__).parent / "data" / "test_files",
    Path(data_store.__file__).parent / "data",
)
FILES = {path.name: path for folder in FOLDERS for path in sorted(folder.glob("*.dcm"))}


def has_pixels(path: Path) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return open_pixels(path).frame(0) is not None
        except PixelError:
            return False


IMAGES = sorted(name for name, path in FILES.items() if has_pixels(path))
GREY = [name for name in IMAGES if open_pixels(FILES[name]).frame(0).ndim == 2]


def image(array: Any, photometric: str = "MONOCHROME2", **more: Any) -> Pixels:
    """A little native image of one frame, (rows, columns[, samples])."""
    array = np.asarray(array)
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = UID("1.2.840.10008.5.1.4.1.1.7"), UID("1.2.3")
    dataset.Rows, dataset.Columns = array.shape[:2]
    dataset.SamplesPerPixel = array.shape[2] if array.ndim == 3 else 1
    dataset.PhotometricInterpretation = photometric
    dataset.BitsAllocated = dataset.BitsStored = 8 * array.itemsize
    dataset.PixelRepresentation = int(array.dtype.kind == "i")
    if array.dtype.kind == "f":
        dataset.FloatPixelData = array.tobytes()
    else:
        dataset.PixelData = array.tobytes() + b"\0" * (array.nbytes % 2)
        dataset["PixelData"].VR = "OW"
    for keyword, value in more.items():
        setattr(dataset, keyword, value)
    dataset.HighBit = dataset.BitsStored - 1
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return open_pixels(buffer.getvalue())


def lut(descriptor: list[int], data: list[int]) -> Sequence:
    item = Dataset()
    item.LUTDescriptor, item.LUTData = descriptor, data
    item["LUTDescriptor"].VR = item["LUTData"].VR = "US"
    return Sequence([item])


def group(name: str, **attributes: Any) -> Dataset:
    inner, outer = Dataset(), Dataset()
    for keyword, value in attributes.items():
        setattr(inner, keyword, value)
    setattr(outer, name, Sequence([inner]))
    return outer


# --- all test files -------------------------------------------------------------------------


def test_the_files_are_there() -> None:
    assert len(IMAGES) >= 110
    assert len(GREY) >= 55


@pytest.mark.parametrize("name", IMAGES)
def test_every_image_renders_with_some_contrast(name: str) -> None:
    with open_pixels(FILES[name]) as pixels:
        picture = render(pixels, 0)
        assert picture.dtype == np.uint8
        assert picture.shape == pixels.frame(0).shape
        assert int(picture.max()) - int(picture.min()) > 80
        small = render(pixels, 0, viewport=(64, 48))
        assert small.shape[0] == 48 or small.shape[1] == 64
        assert small.shape[0] <= 48
        assert small.shape[1] <= 64


@pytest.mark.parametrize("name", GREY)
def test_modality_values_equal_pydicom(name: str) -> None:
    dataset = pydicom.dcmread(FILES[name], stop_before_pixels=True, force=True)
    with open_pixels(FILES[name]) as pixels:
        frame = pixels.frame(0)
        if "DoseGridScaling" in dataset:
            expected = frame * float(dataset.DoseGridScaling)
        elif name == "eCT_Supplemental.dcm":
            shared = dataset.SharedFunctionalGroupsSequence[0]
            expected = apply_modality_lut(frame, shared.PixelValueTransformationSequence[0])
        else:
            expected = apply_modality_lut(frame, dataset)
        np.testing.assert_allclose(rescaled_frame(pixels, 0), expected)


@pytest.mark.parametrize("name", ["CT_small.dcm", "vlut_04.dcm", "mlut_18.dcm", "RG1_UNCR.dcm",
                                  "MR2_UNCR.dcm", "examples_overlay.dcm"])  # fmt: skip
def test_pictures_equal_pydicoms_voi_lut(name: str) -> None:
    dataset = pydicom.dcmread(FILES[name])
    with open_pixels(FILES[name]) as pixels:
        own = "WindowWidth" in dataset or "VOILUTSequence" in dataset
        shown = render(pixels, 0, window=None if own else (40, 400))
        if "VOILUTSequence" in dataset:
            top = 2 ** dataset.VOILUTSequence[0].LUTDescriptor[2] - 1
            expected = apply_voi_lut(dataset.pixel_array, dataset, prefer_lut=True) * 255.0 / top
        else:
            if "WindowWidth" not in dataset:
                dataset.WindowCenter, dataset.WindowWidth = 40, 400
            modality = apply_modality_lut(dataset.pixel_array, dataset)
            found = apply_voi_lut(modality, dataset, prefer_lut=False)
            # pydicom's output range follows the bits, which 255 replaces
            center, width = (
                float(v if not hasattr(v, "__len__") or isinstance(v, str) else v[0])
                for v in (dataset.WindowCenter, dataset.WindowWidth)
            )
            expected = ((modality - (center - 0.5)) / (width - 1) + 0.5).clip(0, 1) * 255
            assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.999999
        if dataset.PhotometricInterpretation == "MONOCHROME1":
            expected = 255 - expected
        np.testing.assert_allclose(shown, expected, atol=0.51)


# --- windows --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        # PS3.3 C.11.2.1.2.1: w=2048, c=2048 maps 0..4095 by ((x - 2047.5) / 2047 + 0.5)
        (Window(2048, 4096), [0, 127, 128, 255]),
        (Window(2048, 1), [0, 0, 255, 255]),
        (Window(2048, 2), [0, 0, 255, 255]),
        (Window(2048, 4096, "LINEAR_EXACT"), [0, 127, 128, 255]),
        (Window(2048, 0.5, "linear-exact"), [0, 0, 128, 255]),
        (Window(2048, 2, "sigmoid"), [0, 30, 128, 255]),
    ],
)
def test_window_functions(window: Window, expected: list[int]) -> None:
    pixels = image(np.array([[0, 2047], [2048, 4095]], np.uint16))
    assert render(pixels, 0, window=window).ravel().tolist() == expected


@pytest.mark.parametrize("window", [(0, 0), (0, -1), (float("nan"), 1), Window(0, 1, "CUBIC")])
def test_windows_that_are_none(window: Any) -> None:
    with pytest.raises(PixelError):
        render(image(np.zeros((2, 2), np.uint16)), 0, window=window)


def test_the_first_window_of_several_is_the_images_own() -> None:
    values = np.array([[0, 100], [200, 300]], np.int16)
    pixels = image(values, WindowCenter=[150, 9], WindowWidth=[300, 2],
                   VOILUTFunction="LINEAR_EXACT")  # fmt: skip
    assert render(pixels, 0).ravel().tolist() == [0, 85, 170, 255]
    assert render(pixels, 0, window=(100, 1)).ravel().tolist() == [0, 255, 255, 255]


def test_windows_are_in_modality_units_of_signed_values() -> None:
    values = np.array([[-1024, 0], [1000, 3071]], np.int16)
    pixels = image(values, RescaleSlope="2", RescaleIntercept="-10")
    expected = ((values * 2.0 - 10 - 39.5) / 399 + 0.5).clip(0, 1) * 255 + 0.5
    assert np.array_equal(render(pixels, 0, window=(40, 400)), expected.astype(np.uint8))


def test_voi_lut_sequence_and_modality_lut_sequence() -> None:
    values = np.array([[9, 10], [11, 12]], np.uint16)
    voi = lut([3, 10, 12], [0, 2048, 4095])
    assert render(image(values, VOILUTSequence=voi), 0).ravel().tolist() == [0, 0, 128, 255]
    modality = lut([3, 10, 16], [500, 600, 700])
    pixels = image(values, ModalityLUTSequence=modality)
    assert rescaled_frame(pixels, 0).ravel().tolist() == [500, 500, 600, 700]
    assert render(pixels, 0, window=Window(600, 200, "LINEAR_EXACT")).ravel().tolist() == [
        0, 0, 128, 255,
    ]  # fmt: skip


def test_a_lookup_table_without_data() -> None:
    voi = lut([3, 0, 12], [0, 1, 2])
    del voi[0].LUTData
    with pytest.raises(PixelError, match="lookup table"):
        render(image(np.zeros((2, 2), np.uint16), VOILUTSequence=voi), 0)


def test_per_frame_functional_groups() -> None:
    values = np.array([[0, 100], [200, 300]], np.uint16)
    per_frame = group("PixelValueTransformationSequence", RescaleSlope=10, RescaleIntercept=-5)
    shared = group("FrameVOILUTSequence", WindowCenter=1495, WindowWidth=3000,
                   VOILUTFunction="LINEAR_EXACT")  # fmt: skip
    pixels = image(
        values,
        PerFrameFunctionalGroupsSequence=Sequence([per_frame]),
        SharedFunctionalGroupsSequence=Sequence([shared]),
        WindowCenter=0,
        WindowWidth=1,
    )
    assert rescaled_frame(pixels, 0).ravel().tolist() == [-5, 995, 1995, 2995]
    assert render(pixels, 0).ravel().tolist() == [0, 85, 170, 255]


# --- without a window -----------------------------------------------------------------------


def test_8_bits_without_a_window_are_shown_as_they_are() -> None:
    values = np.array([[3, 77], [128, 200]], np.uint8)
    assert np.array_equal(render(image(values), 0), values)
    assert render(image(values & 15, BitsStored=4), 0).ravel().tolist() == [51, 221, 0, 136]


def test_percentiles_ignore_outliers_and_padding() -> None:
    values = np.tile(np.arange(1000, 1100, dtype=np.int16), (100, 1))
    values[0, :20] = 30000
    values[1:30] = -2000
    picture = render(image(values, PixelPaddingValue=-2000), 0)
    assert (picture[1:30] == 0).all()
    assert picture[0, 0] == 255
    assert picture[50, 10] == pytest.approx(255 * 10 / 99, abs=2)
    ranged = image(values, PixelPaddingValue=-3000, PixelPaddingRangeLimit=-1500)
    assert np.array_equal(render(ranged, 0), picture)
    assert not np.array_equal(render(image(values), 0), picture)


def test_values_that_are_almost_all_equal_are_shown_from_end_to_end() -> None:
    values = np.zeros((64, 64), np.uint16)
    values[3, 4] = 500
    assert render(image(values), 0)[3, 4] == 255


def test_constant_images_are_black() -> None:
    assert not render(image(np.full((4, 4), 300, np.uint16)), 0).any()


def test_32_bits_and_floats() -> None:
    wide = np.array([[0, 1 << 30], [1 << 31, (1 << 32) - 1]], np.uint32)
    assert render(image(wide, DoseGridScaling="1e-9"), 0).ravel().tolist() == [0, 64, 128, 255]
    small = np.array([[np.nan, -1.0], [0.0, 1.0]], np.float32)
    assert render(image(small), 0).ravel().tolist() == [0, 0, 128, 255]
    assert render(image(small), 0, window=Window(0, 1, "LINEAR_EXACT"))[1, 1] == 255


# --- polarity and colour --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("photometric", "shape", "inverted"),
    [
        ("MONOCHROME2", "IDENTITY", False),
        ("MONOCHROME1", None, True),
        ("MONOCHROME1", "INVERSE", True),
        ("MONOCHROME2", "INVERSE", True),
    ],
)
def test_polarity(photometric: str, shape: str | None, inverted: bool) -> None:
    values = np.array([[0, 50], [100, 255]], np.uint8)
    pixels = image(values, photometric, PresentationLUTShape=shape)
    assert np.array_equal(render(pixels, 0), 255 - values if inverted else values)


def test_colours_keep_their_top_8_bits() -> None:
    deep = np.array([[[0, 0x1234, 0xFFFF]]], np.uint16)
    assert render(image(deep, "RGB", PlanarConfiguration=0), 0).tolist() == [[[0, 0x12, 255]]]
    twelve = np.array([[[0, 0x123, 0xFFF]]], np.uint16)
    pixels = image(twelve, "RGB", PlanarConfiguration=0, BitsStored=12)
    assert render(pixels, 0).tolist() == [[[0, 0x12, 255]]]
    assert np.array_equal(render(pixels, 0, window=(0, 1)), render(pixels, 0))
    with pytest.raises(PixelError, match="colour"):
        rescaled_frame(pixels, 0)


# --- size -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "viewport", "size"),
    [
        ({}, (30, 30), (15, 30)),
        ({}, (10, 100), (5, 10)),
        ({"PixelSpacing": [2, 1]}, (30, 30), (30, 30)),
        ({"PixelAspectRatio": [1, 2]}, (80, 80), (20, 80)),
        ({"ImagerPixelSpacing": [4, 1]}, (30, 30), (30, 15)),
        ({"PixelSpacing": [0, 0]}, (30, 30), (15, 30)),
    ],
)
def test_the_viewport_is_filled_in_the_pixels_aspect_ratio(
    more: dict[str, Any], viewport: tuple[int, int], size: tuple[int, int]
) -> None:
    pixels = image(np.zeros((10, 20), np.uint8), **more)
    assert render(pixels, 0, viewport=viewport).shape == size


@pytest.mark.parametrize("viewport", [(0, 10), (10, -1), (100_000, 10)])
def test_viewports_that_cannot_be_drawn(viewport: tuple[int, int]) -> None:
    with pytest.raises(PixelError, match="viewport"):
        render(image(np.zeros((10, 20), np.uint8)), 0, viewport=viewport)


# --- files ----------------------------------------------------------------------------------

GREY_PICTURE = np.tile(np.arange(256, dtype=np.uint8), (64, 1))
COLOURS = np.stack([GREY_PICTURE, GREY_PICTURE[:, ::-1], GREY_PICTURE // 2], axis=-1)


@pytest.mark.parametrize("picture", [GREY_PICTURE, COLOURS], ids=["grey", "colour"])
@pytest.mark.parametrize(
    ("media_type", "kind", "slack"),
    [("image/png", "PNG", 0), ("image/jpeg", "JPEG", 12), ("image/gif", "GIF", 40)],
)
def test_encode(picture: Any, media_type: str, kind: str, slack: int) -> None:
    read = Image.open(io.BytesIO(encode(picture, media_type)))
    assert read.format == kind
    found = np.asarray(read.convert("L" if picture.ndim == 2 else "RGB"))
    slack = 0 if kind == "GIF" and picture.ndim == 2 else slack
    np.testing.assert_allclose(found, picture, atol=slack)


def test_quality_has_its_price() -> None:
    noise = np.random.default_rng(3).integers(0, 256, (64, 64), np.uint8)
    sizes = [len(encode(noise, "image/jpeg", quality=q)) for q in (10, 50, 95)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[2] / 2


def test_a_gif_moves() -> None:
    with open_pixels(FILES["examples_ybr_color.dcm"]) as pixels:
        assert frame_time(pixels) == pytest.approx(float(pixels.header.FrameTime))
        pictures = [render(pixels, i, viewport=(80, 60)) for i in range(5)]
        gif = encode(pictures, "image/gif", frame_time=frame_time(pixels))
    read = Image.open(io.BytesIO(gif))
    assert read.n_frames == 5
    assert read.info["duration"] == pytest.approx(frame_time_rounded(pixels), abs=5)
    assert read.info["loop"] == 0


def frame_time_rounded(pixels: Pixels) -> float:
    return round(float(pixels.header.FrameTime) / 10) * 10


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, 100.0),
        ({"FrameTime": 40}, 40.0),
        ({"FrameTimeVector": [0, 30, 50]}, 40.0),
        ({"RecommendedDisplayFrameRate": 20}, 50.0),
        ({"CineRate": 25}, 40.0),
        ({"FrameTime": 0}, 100.0),
    ],
)
def test_frame_time(more: dict[str, Any], expected: float) -> None:
    assert frame_time(image(np.zeros((2, 2), np.uint8), **more)) == expected


def test_what_cannot_be_encoded() -> None:
    with pytest.raises(PixelError, match="image/webp"):
        encode(GREY_PICTURE, "image/webp")
    with pytest.raises(PixelError, match="one picture"):
        encode([GREY_PICTURE] * 2, "image/png")
    with pytest.raises(PixelError, match="quality"):
        encode(GREY_PICTURE, "image/jpeg", quality=0)
