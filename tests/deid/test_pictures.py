"""Pixel data: the picture to the bit, and nothing that isn't picture."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.uid import (
    MPEG2MPML,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from pacslab.deid import fragments
from pacslab.deid.engine import Engine
from pacslab.deid.keys import Keys
from pacslab.deid.samples import Samples, without_hidden_bits, without_rest
from pacslab.errors import DeidentificationError, PixelError
from tests.conftest import dicom_file
from tests.making import instance

KEYS = Keys(bytes(32))
SECRET = b"Quibblethorpe"


def jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.arange(1024, dtype="u1").reshape(32, 32)).save(buffer, "JPEG")
    return buffer.getvalue()


def with_comment(code: bytes) -> bytes:
    return code[:2] + b"\xff\xfe" + (len(SECRET) + 2).to_bytes(2, "big") + SECRET + code[2:]


def between_scans(code: bytes) -> bytes:
    return code[:-2] + b"\xff\xfe" + (len(SECRET) + 2).to_bytes(2, "big") + SECRET + code[-2:]


@pytest.mark.parametrize("spoil", [with_comment, between_scans, lambda c: c + SECRET])
def test_jpeg(spoil: object) -> None:
    code = jpeg()
    spoiled = encapsulate([spoil(code), code])  # type: ignore[operator]
    new, changed = fragments.cleaned(spoiled, JPEGBaseline8Bit, 2, 1024, extended=False)
    assert changed
    frames = list(generate_frames(new, number_of_frames=2))
    assert [f.rstrip(b"\0") for f in frames] == [code.rstrip(b"\0")] * 2


@pytest.mark.parametrize(
    ("name", "syntax"),
    [
        ("JPEG2000.dcm", JPEG2000Lossless),
        ("MR_small_jpeg_ls_lossless.dcm", JPEGLSLossless),
        ("MR_small_RLE.dcm", RLELossless),
        ("JPEG-LL.dcm", JPEGBaseline8Bit),
        ("color3d_jpeg_baseline.dcm", JPEGBaseline8Bit),
    ],
)
def test_what_holds_only_pictures_stays_to_the_bit(name: str, syntax: str) -> None:
    dataset = dcmread(dicom_file(name))
    length = dataset.Rows * dataset.Columns * dataset.BitsAllocated // 8
    frames = int(dataset.get("NumberOfFrames", 1))
    value, changed = fragments.cleaned(
        dataset.PixelData, dataset.file_meta.TransferSyntaxUID, frames, length, extended=False
    )
    assert not changed
    assert value is dataset.PixelData


def test_jpeg_2000_comments_but_not_the_encoders() -> None:
    (code,) = generate_frames(dcmread(dicom_file("JPEG2000.dcm")).PixelData, number_of_frames=1)
    assert b"Kakadu" in code
    at = code.index(b"\xff\x64")
    note = b"\xff\x64" + (len(SECRET) + 4).to_bytes(2, "big") + b"\0\1" + SECRET
    spoiled = encapsulate([code[:at] + note + code[at:]])
    new, changed = fragments.cleaned(spoiled, JPEG2000Lossless, 1, 0, extended=False)
    assert changed
    assert next(generate_frames(new, number_of_frames=1)).rstrip(b"\0") == code.rstrip(b"\0")


def test_rle_behind_the_last_run() -> None:
    dataset = dcmread(dicom_file("MR_small_RLE.dcm"))
    (code,) = generate_frames(dataset.PixelData, number_of_frames=1)
    spoiled = encapsulate([code + SECRET])
    new, changed = fragments.cleaned(spoiled, RLELossless, 1, 64 * 64 * 2, extended=False)
    assert changed
    assert SECRET not in new
    assert code.rstrip(b"\0") in new


def test_extended_offset_tables_are_made_anew() -> None:
    code = jpeg()
    value, _, _ = encapsulate_extended([with_comment(code), code])
    new, changed = fragments.cleaned(value, JPEGBaseline8Bit, 2, 1024, extended=True)
    assert changed
    starts, lengths = (np.frombuffer(t, "<u8") for t in fragments.offsets(new))
    first = int(lengths[0])
    assert starts.tolist() == [0, 8 + first]
    assert new[16 : 16 + first].rstrip(b"\0") == code.rstrip(b"\0")


@pytest.mark.parametrize("damage", [b"", b"\xff\xd8", b"\xff\xd8\xff\xe1\xff\xff", SECRET])
def test_damaged_codestreams_are_told(damage: bytes) -> None:
    with pytest.raises(PixelError):
        fragments.cleaned(encapsulate([damage + b"\0\0"]), JPEGBaseline8Bit, 1, 1, extended=False)


def test_a_film_is_refused_unless_the_profile_lets_it_by() -> None:
    film = dcmread(io.BytesIO(instance(BitsAllocated=8, BitsStored=8, HighBit=7)))
    film.file_meta.TransferSyntaxUID = MPEG2MPML
    film.PixelData = encapsulate([b"\0\0\1\xb3" + SECRET])
    film["PixelData"].VR = "OB"
    film["PixelData"].is_undefined_length = True
    buffer = io.BytesIO()
    film.save_as(buffer)
    with pytest.raises(DeidentificationError, match="uninspected: keep"):
        Engine("basic", KEYS).deidentify(buffer.getvalue())
    assert Engine("fake-patient", KEYS).deidentify(buffer.getvalue()).doubts


def samples(**changed: int | bool | None) -> Samples:
    plain: dict[str, object] = {
        "bits": 64, "allocated": 16, "stored": 12, "high": 11, "signed": False,
        "little_endian": True, "padding": None,
    }  # fmt: skip
    return Samples(**{**plain, **changed})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "said", "new"),
    [
        ([1, 2, 3, 4095], {}, [1, 2, 3, 4095]),
        ([0xF001, 2, 3, 4], {}, [1, 2, 3, 4]),
        ([0xFFFF, 0xF800, 1, 2], {"signed": True}, [0xFFFF, 0xF800, 1, 2]),
        ([0x5FFF, 0xF800, 1, 2], {"signed": True}, [0xFFFF, 0xF800, 1, 2]),
        ([0xF830, 1, 2, 3], {"padding": 0xF830}, [0xF830, 1, 2, 3]),
        ([0x1230, 1, 2, 3], {"stored": 16, "high": 15}, [0x1230, 1, 2, 3]),
        ([0x1FF0, 0x000F, 0, 0], {"high": 15}, [0x1FF0, 0, 0, 0]),
    ],
)
def test_unused_bits(values: list[int], said: dict[str, int], new: list[int]) -> None:
    value = np.array(values, "<u2").tobytes()
    found = without_hidden_bits(value, samples(**said), overlay=False)
    assert np.frombuffer(found, "<u2").tolist() == new
    assert (found is value) == (values == new)


def test_bytes_after_the_last_frame() -> None:
    assert without_rest(b"12345678" + SECRET, samples()) == b"12345678"
    odd = samples(bits=24)
    assert without_rest(b"123\0", odd) == b"123\0"
    assert without_rest(b"123" + SECRET, odd) == b"123\0"


@pytest.mark.parametrize(
    "said",
    [
        {"BurnedInAnnotation": "YES"},
        {"ImageType": ["ORIGINAL", "PRIMARY", "LABEL", "NONE"]},
        {"SpecimenLabelInImage": "YES"},
    ],
)
def test_text_in_the_picture_is_refused(said: dict[str, object]) -> None:
    with pytest.raises(DeidentificationError):
        Engine("basic", KEYS).deidentify(instance(**said))
