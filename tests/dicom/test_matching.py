"""What a key means (PS3.4 C.2.2.2), before it is looked up."""

from __future__ import annotations

import pytest

from pacslab.dicom.keywords import ATTRIBUTES, Level, returned_at
from pacslab.dicom.matching import Kind, Query, attribute_of, fold
from pacslab.errors import QueryError


def only(level: str, **keys: object) -> tuple[Kind, tuple[str, ...]]:
    (match,) = Query.build(level, keys).matches
    return match.kind, match.values


@pytest.mark.parametrize(
    ("keys", "kind", "values"),
    [
        ({"PatientID": "P1 "}, Kind.SINGLE, ("P1",)),
        ({"PatientName": "DOE*"}, Kind.WILDCARD, ("doe*",)),
        ({"PatientName": "Müller^Zoë^^"}, Kind.SINGLE, ("muller^zoe",)),
        ({"StudyDate": "20240101-"}, Kind.RANGE, ("20240101", "")),
        ({"StudyDate": "-20240101"}, Kind.RANGE, ("", "20240101")),
        ({"StudyDate": "20230101-20240101"}, Kind.RANGE, ("20230101", "20240101")),
        ({"StudyTime": "0930-10"}, Kind.RANGE, ("0930", "10")),
        ({"StudyDate": "20240101"}, Kind.SINGLE, ("20240101",)),
        ({"AcquisitionDateTime": "2020-202106+0100"}, Kind.RANGE, ("2020", "202106")),
        ({"StudyInstanceUID": "1.2,1.3"}, Kind.LIST, ("1.2", "1.3")),
        ({"StudyInstanceUID": r"1.2\1.3"}, Kind.LIST, ("1.2", "1.3")),
        ({"StudyInstanceUID": ["1.2", "1.3"]}, Kind.LIST, ("1.2", "1.3")),
        ({"ModalitiesInStudy": "CT,MR"}, Kind.LIST, ("CT", "MR")),
        ({"StudyDescription": "a, b"}, Kind.SINGLE, ("a, b",)),
        ({"StudyDescription": "?x*"}, Kind.WILDCARD, ("?x*",)),
        ({"SeriesNumber": 3}, Kind.SINGLE, ("3",)),
        ({"00100020": "P1"}, Kind.SINGLE, ("P1",)),
        ({"0010,0020": "P1"}, Kind.SINGLE, ("P1",)),
        ({"PatientID": '""'}, Kind.EMPTY, ()),
    ],
)
def test_kinds_of_matching(keys: dict[str, object], kind: Kind, values: tuple[str, ...]) -> None:
    assert only("IMAGE", **keys) == (kind, values)


@pytest.mark.parametrize("value", ["", "*", None, " ", []])
def test_universal_matching_leaves_the_key_out(value: object) -> None:
    assert Query.build("STUDY", {"PatientID": value}).matches == ()


@pytest.mark.parametrize(
    ("level", "keys", "says"),
    [
        ("CASE", {}, "PATIENT, STUDY, SERIES, IMAGE"),
        ("STUDY", {"PatientNmae": "x"}, "did you mean PatientName"),
        ("STUDY", {"Nonsense": "x"}, "no DICOM attribute"),
        ("STUDY", {"00990010": "x"}, "isn't indexed"),
        ("STUDY", {"PixelAspectRatio": "x"}, "isn't indexed"),
        ("STUDY", {"StudyDate": "2024-01-31"}, "isn't a range of YYYYMMDD"),
        ("STUDY", {"StudyDate": "20241301"}, "YYYYMMDD"),
        ("STUDY", {"StudyDate": "-"}, "range"),
        ("STUDY", {"StudyTime": "25"}, "HHMMSS"),
        ("STUDY", {"StudyInstanceUID": "1.2.x"}, "isn't a UID"),
        ("SERIES", {"SeriesNumber": "three"}, "isn't a number"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_remedy(
    level: str, keys: dict[str, object], says: str
) -> None:
    with pytest.raises(QueryError, match=says):
        Query.build(level, keys)


def test_limits_are_checked() -> None:
    with pytest.raises(QueryError, match="limit"):
        Query.build("STUDY", limit=-1)
    with pytest.raises(QueryError, match="offset"):
        Query.build("STUDY", offset=-1)


def test_instance_is_another_name_for_image() -> None:
    assert Query.build("instance").level is Level.IMAGE


@pytest.mark.parametrize(
    ("one", "other"),
    [("DOE^JANE", "doe^jane"), ("Doe^Jane^^^", "Doe^Jane"), ("Müller", "MULLER"),
     ("Strauß", "STRAUSS"), ("O  Brien", "o brien"), ("Αλέξης", "αλεξης"), ("A^B=", "a^b")],
)  # fmt: skip
def test_names_that_are_compared_as_equal(one: str, other: str) -> None:
    assert fold(one) == fold(other)


def test_every_attribute_is_found_by_keyword_and_tag() -> None:
    for keyword, attribute in ATTRIBUTES.items():
        assert attribute_of(keyword) is attribute
        assert attribute_of(attribute.json_key) is attribute


@pytest.mark.parametrize(
    ("level", "keywords"),
    [
        # PS3.18 tables 10.6.3-3, -4 and -5; RetrieveURL and InstanceAvailability are the server's.
        ("STUDY", """StudyDate StudyTime AccessionNumber ModalitiesInStudy ReferringPhysicianName
            TimezoneOffsetFromUTC PatientName PatientID PatientBirthDate PatientSex
            StudyInstanceUID StudyID NumberOfStudyRelatedSeries NumberOfStudyRelatedInstances"""),
        ("SERIES", """Modality SeriesDescription SeriesInstanceUID SeriesNumber
            NumberOfSeriesRelatedInstances PerformedProcedureStepStartDate
            PerformedProcedureStepStartTime"""),
        ("IMAGE", """SOPClassUID SOPInstanceUID AvailableTransferSyntaxUID InstanceNumber Rows
            Columns BitsAllocated NumberOfFrames"""),
    ],
)  # fmt: skip
def test_what_qido_must_return_is_returned(level: str, keywords: str) -> None:
    assert {a.keyword for a in returned_at(Level(level))} >= set(keywords.split())
