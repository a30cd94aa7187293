"""PS3.18 Annex F: the DICOM JSON Model."""

from __future__ import annotations

import json
import math
from typing import Any

import httpx
import pytest

from pacslab.archive import Archive
from tests.conformance.conftest import Get
from tests.making import instance, item

WHOLE = "studies/1.1/series/1.1.1/instances/1.1.1.1/metadata"


@pytest.fixture
def header(get: Get) -> Any:
    """The metadata of an image."""
    return get(WHOLE)[0]


def test_f_2_1_1_several_data_sets_are_one_array(get: Get) -> None:
    assert len(get("studies/1.1/metadata")) == 4
    assert isinstance(get(WHOLE), list)


def test_f_2_2_attributes_are_in_ascending_order(get: Get, header: Any) -> None:
    assert list(header) == sorted(header)
    assert list(get("instances")[0]) == sorted(get("instances")[0])


def test_f_2_2_names_are_eight_upper_case_hexadecimal_digits(header: Any) -> None:
    assert all(len(name) == 8 and name == f"{int(name, 16):08X}" for name in header)


def test_f_2_2_group_lengths_and_file_meta_information_are_left_out(header: Any) -> None:
    assert not any(name.endswith("0000") or name.startswith("0002") for name in header)


def test_f_2_2_each_attribute_has_its_vr_and_at_most_one_kind_of_value(header: Any) -> None:
    for element in header.values():
        assert len(element["vr"]) == 2
        assert len(set(element) & {"Value", "BulkDataURI", "InlineBinary"}) <= 1


def test_f_2_2_text_is_utf_8_and_the_character_set_that_of_the_source(
    pacs: httpx.Client, header: Any
) -> None:
    assert header["00080005"]["Value"] == ["ISO_IR 192"]
    assert "山田^太郎".encode() in pacs.get("studies?PatientID=P4").content


def test_f_2_2_person_names_are_objects_of_component_groups(get: Get) -> None:
    (study,) = get("studies?PatientID=P4")
    assert study["00100010"]["Value"] == [
        {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"}
    ]


def test_f_2_3_decimal_and_integer_strings_are_numbers(header: Any) -> None:
    assert header["00280030"] == {"vr": "DS", "Value": [0.5, 0.25]}
    assert header["00200013"] == {"vr": "IS", "Value": [1]}


def test_f_2_3_attribute_tags_are_hexadecimal_text(header: Any) -> None:
    assert header["00280009"] == {"vr": "AT", "Value": ["00181063"]}


def test_f_2_3_numbers_that_json_has_not_are_no_numbers(
    web: httpx.Client, archive: Archive
) -> None:
    archive.add(instance(StudyInstanceUID="1.2", RealWorldValueSlope=math.nan))
    text = web.get("/dicom-web/studies/1.2/metadata").text

    def fail(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    assert "00409225" in json.loads(text, parse_constant=fail)[0]


def test_f_2_4_sequences_are_arrays_of_data_sets(header: Any) -> None:
    assert header["00400275"]["Value"] == [
        {"00200010": {"vr": "SH", "Value": ["x"]}, "00401001": {"vr": "SH", "Value": ["RP7"]}}
    ]


def test_f_2_5_empty_attributes_have_no_value(get: Get, header: Any) -> None:
    assert header["00081140"] == {"vr": "SQ"}
    assert get("studies")[0]["00200010"] == {"vr": "SH"}


def test_f_2_5_an_empty_one_of_several_values_is_null(header: Any) -> None:
    assert header["00080008"]["Value"] == ["ORIGINAL", None, "AXIAL"]


def test_f_2_6_bulk_data_is_at_an_address_that_answers(pacs: httpx.Client, header: Any) -> None:
    assert set(header["7FE00010"]) == {"vr", "BulkDataURI"}
    assert len(pacs.get(header["7FE00010"]["BulkDataURI"]).content) == 32


def test_f_2_6_bulk_data_inside_of_sequences_too(web: httpx.Client, archive: Archive) -> None:
    profile = bytes(range(256)) * 20
    archive.add(instance(StudyInstanceUID="1.2", OpticalPathSequence=[item(ICCProfile=profile)]))
    (told,) = web.get("/dicom-web/studies/1.2/metadata").json()
    uri = told["00480105"]["Value"][0]["00282000"]["BulkDataURI"]
    assert web.get(uri).content == profile


def test_f_2_7_short_binary_values_are_inline_in_base64(
    web: httpx.Client, archive: Archive
) -> None:
    archive.add(instance(StudyInstanceUID="1.2", ICCProfile=b"abcd"))
    (told,) = web.get("/dicom-web/studies/1.2/metadata").json()
    assert told["00282000"] == {"vr": "OB", "InlineBinary": "YWJjZA=="}
