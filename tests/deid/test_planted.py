"""Identifiers in every hiding place, in objects of many SOP classes: none comes through."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from pacslab.deid.engine import Engine, Outcome
from pacslab.deid.keys import Keys
from tests.deid.planting import ALWAYS, CLASSES, ROOT, STRICT, found_in, opened, planted
from tests.making import instance

KEYS = Keys(bytes(range(32)))
PROFILES = {"basic": STRICT, "research": STRICT, "public": STRICT, "fake-patient": ALWAYS}


def deidentified(kind: str, profile: str) -> tuple[bytes, Outcome]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = planted(kind)
    return data, Engine(profile, KEYS).deidentify(data)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("kind", CLASSES)
def test_none_is_left(kind: str, profile: str) -> None:
    data, outcome = deidentified(kind, profile)
    assert len(found_in(data, STRICT)) > 9  # they were there
    assert found_in(outcome.data, PROFILES[profile]) == []
    told = repr([action.row() for action in outcome.actions]).encode()
    assert found_in(told, STRICT) == []
    out = opened(outcome.data)
    assert out.PatientIdentityRemoved == "YES"
    assert out.preamble == bytes(128)


@pytest.mark.parametrize("kind", CLASSES)
def test_what_says_nothing_stays(kind: str) -> None:
    data, outcome = deidentified(kind, "research")
    before, after = opened(data), opened(outcome.data)
    assert after.SOPClassUID == before.SOPClassUID
    assert after.SeriesDescription.endswith("LONG AXIS")
    assert after.PatientSex == "F"
    assert after.PatientAge == "078Y"
    for keyword in ("Rows", "Columns", "PixelSpacing", "ImagePositionPatient"):
        assert after.get(keyword) == before.get(keyword)
    assert after[0x00191023].value == before[0x00191023].value  # safe private
    assert not (0x00191024 in after and after[0x00191024].value)


def test_pixels_stay_but_for_what_hid_in_them() -> None:
    data, outcome = deidentified("US", "basic")
    before, after = opened(data), opened(outcome.data)
    assert len(after.PixelData) == 3 * 32 * 32 * 2
    old = np.frombuffer(before.PixelData, "<u2", 3072) & 0x0FFF
    assert np.array_equal(np.frombuffer(after.PixelData, "<u2"), old)


def test_jpeg_loses_its_comments_and_keeps_its_picture() -> None:
    data, outcome = deidentified("SC", "basic")
    before, after = opened(data), opened(outcome.data)
    assert np.array_equal(before.pixel_array, after.pixel_array)
    assert outcome.data.count(b"Exif") == 0


def test_documents_are_replaced_by_empty_ones() -> None:
    _, outcome = deidentified("DOC", "basic")
    document = opened(outcome.data)
    assert document.EncapsulatedDocument.startswith(b"%PDF-1.4")
    assert document.EncapsulatedDocumentLength == len(document.EncapsulatedDocument)


def test_a_report_keeps_its_tree() -> None:
    _, outcome = deidentified("SR", "research")
    report = opened(outcome.data)
    kinds = [node.ValueType for node in report.ContentSequence]
    assert kinds == ["TEXT", "PNAME", "UIDREF", "DATE", "DATETIME"]
    text, person, reference, day, moment = report.ContentSequence
    assert str(person.PersonName).startswith("Person^")
    assert reference.UID.startswith("2.25.")
    assert day.Date == report.StudyDate
    assert moment.DateTime == report.StudyDate + "101112+0100"
    assert text.TextValue == "REMOVED"


def test_references_stay_references() -> None:
    _, one = deidentified("CT", "basic")
    _, other = deidentified("EMR", "basic")
    source = opened(other.data).PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0]
    assert (
        opened(one.data).ReferencedImageSequence[0].ReferencedSOPInstanceUID
        == source.SourceImageSequence[0].ReferencedSOPInstanceUID
    )
    assert opened(one.data).StudyInstanceUID == opened(other.data).StudyInstanceUID
    assert ROOT not in opened(one.data).StudyInstanceUID


def test_a_fake_patient_is_the_same_everywhere() -> None:
    _, one = deidentified("CT", "fake-patient")
    _, other = deidentified("SR", "fake-patient")
    ct, report = opened(one.data), opened(other.data)
    assert ct.PatientName == report.PatientName
    assert ct.StudyInstanceUID == f"{ROOT}.2"
    assert ct.StudyDate == "20210314"
    family, given = str(ct.PatientName).split("^")
    assert f"{family} {given}" in ct.StudyDescription
    age = 2021 - int(ct.PatientBirthDate[:4]) - (ct.PatientBirthDate[4:] > "0314")
    assert age == 78


@pytest.mark.parametrize(
    ("keyword", "hidden", "left"),
    [
        ("SpecificCharacterSet", ["ISO_IR 192", "Quibblethorpe"], "ISO_IR 192"),
        ("RetrieveURL", "https://ottokar.example/quibblethorpe", None),
        ("SOPClassUID", "1.2.840.10008.5.1.4.1.1.2\0Quibblethorpe", "1.2.840.10008.5.1.4.1.1.2"),
        ("ManufacturerModelName", "Quibblethorpe", "its pseudonym"),
    ],
)
def test_other_places(keyword: str, hidden: object, left: object) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = instance(PatientName="Quibblethorpe^Zephyrine", **{keyword: hidden})
    outcome = Engine("basic", KEYS).deidentify(data)
    assert found_in(data, ALWAYS) != []
    assert found_in(outcome.data, STRICT) == []
    value = opened(outcome.data).get(keyword)
    assert value == (opened(outcome.data).PatientID if keyword.startswith("Manu") else left)


def test_a_word_is_no_number() -> None:
    data = instance(SliceThickness="1.25").replace(b"1.25", b"Roe ")
    assert opened(Engine("basic", KEYS).deidentify(data).data).SliceThickness is None
