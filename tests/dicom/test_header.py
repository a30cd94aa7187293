"""The header as DICOM JSON reads as pydicom reads the file (PS3.18 Annex F)."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pydicom
import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from pacslab.dicom import header
from pacslab.dicom.instance import parse, read
from pacslab.errors import RefusedError
from tests.conftest import dicom_file, pydicom_files
from tests.making import instance, item

warnings.filterwarnings("ignore", module="pydicom")


def _readable() -> list[Path]:
    found = []
    for path in pydicom_files():
        try:
            read(path.read_bytes())
        except RefusedError:
            continue
        found.append(path)
    return found


READABLE = _readable()
# Its NumberOfFrames is '1A', which no integer string can be: text stays text.
BROKEN_VALUES = {("badVR.dcm", "NumberOfFrames")}


def test_nearly_all_files_of_pydicom_are_instances() -> None:
    assert len(READABLE) >= 160


@pytest.mark.parametrize("path", READABLE, ids=lambda p: p.name)
def test_json_gives_pydicoms_reading_again(path: Path) -> None:
    original = pydicom.dcmread(path, force=True)

    def bulk(uri: str) -> bytes:
        assert uri.startswith(header.BULK_PREFIX)
        return header.bulk_value(original, uri.removeprefix(header.BULK_PREFIX))

    told = json.loads(read(path.read_bytes()).header)
    again = Dataset.from_json(told, bulk)
    expected = {element.tag for element in original if element.tag.element != 0}
    assert {element.tag for element in again} == expected
    for element in original:
        if element.tag.element != 0 and (path.name, element.keyword) not in BROKEN_VALUES:
            assert again[element.tag].value == element.value or _same(again[element.tag], element)


def _same(one: DataElement, other: DataElement) -> bool:
    """Equal but for empty values, for which pydicom has several."""
    return one.is_empty and other.is_empty


def test_tags_ascend_and_group_lengths_and_file_meta_are_left_out() -> None:
    keys = list(json.loads(read(dicom_file("CT_small.dcm").read_bytes()).header))
    assert keys == sorted(keys)
    assert not [k for k in keys if k.endswith("0000") or k.startswith("0002")]


def test_pixels_and_long_binary_are_references_short_ones_inline() -> None:
    data = instance(
        PixelData=bytes(32), ICCProfile=bytes(5000), RedPaletteColorLookupTableData=b"ab"
    )
    told = json.loads(read(data).header)
    assert told["7FE00010"] == {"vr": "OW", "BulkDataURI": "bulkdata/7FE00010"}
    assert told["00282000"] == {"vr": "OB", "BulkDataURI": "bulkdata/00282000"}
    assert told["00281201"] == {"vr": "OW", "InlineBinary": "YWI="}


def test_bulk_data_inside_sequences_is_found_by_its_path() -> None:
    long = bytes(range(256)) * 20
    data = instance(OpticalPathSequence=[item(Rows=1), item(ICCProfile=long)])
    told = json.loads(read(data).header)
    uri = told["00480105"]["Value"][1]["00282000"]["BulkDataURI"]
    assert uri == "bulkdata/00480105/1/00282000"
    assert header.bulk_value(parse(data), uri.removeprefix(header.BULK_PREFIX)) == long


@pytest.mark.parametrize(
    "path",
    ["", "7FE0", "00100010/0", "00480105/9/00282000", "00480105", "00990099", "../../etc/passwd"],
)
def test_no_bulk_data_where_there_is_none(path: str) -> None:
    dataset = parse(instance(OpticalPathSequence=[item(Rows=1)]))
    with pytest.raises(LookupError):
        header.bulk_value(dataset, path)


def test_person_names_are_objects_of_their_groups() -> None:
    data = instance(
        SpecificCharacterSet="ISO_IR 192",
        PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう",
        ReferringPhysicianName="",
    )
    told = json.loads(read(data).header)
    assert told["00100010"]["Value"] == [
        {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"}
    ]
    assert told["00080090"] == {"vr": "PN"}


def test_empty_values_among_others_are_null() -> None:
    told = json.loads(read(instance(ImageType=["ORIGINAL", "", "AXIAL"])).header)
    assert told["00080008"]["Value"] == ["ORIGINAL", None, "AXIAL"]


def test_nan_never_appears() -> None:
    data = instance(DiffusionBValue=float("nan"), RecommendedDisplayFrameRateInFloat=float("inf"))
    text = read(data).header
    assert json.loads(text)["00189087"]["Value"] == [None]
    assert "NaN" not in text
    assert "Infinity" not in text


def test_tags_as_values_are_hexadecimal() -> None:
    told = json.loads(read(instance(FrameIncrementPointer=0x00181063)).header)
    assert told["00280009"]["Value"] == ["00181063"]


def test_every_element_of_the_walk_has_its_path() -> None:
    told = json.loads(read(instance(RequestAttributesSequence=[item(StudyID="7")])).header)
    assert dict(header.walk(told))["00400275/0/00200010"]["Value"] == ["7"]
