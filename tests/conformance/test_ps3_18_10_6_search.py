"""PS3.18 10.6: Search Transaction (QIDO-RS)."""

from __future__ import annotations

import httpx
import pytest

from tests.conformance.conftest import Get

# Tables 10.6.3-3, -4 and -5, as the standard has them: not taken from the code that is tested
STUDY = """00080020 00080030 00080050 00080056 00080061 00080090 00081190 00100010 00100020 00100030
    00100040 0020000D 00200010 00201206 00201208"""
SERIES = "00080060 0020000E 00200011 00201209 00081190"
INSTANCE = "00080016 00080018 00080056 00081190 00200013 00280010 00280011 00280100"


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("studies", 5),
        ("studies/1.1/series", 2),
        ("studies/1.1/series/1.1.2/instances", 2),
        ("studies/1.1/instances", 4),
        ("series", 9),
        ("instances", 17),
    ],
)
def test_10_6_1_1_six_target_resources(get: Get, path: str, number: int) -> None:
    assert len(get(path)) == number


def test_10_6_1_1_relational_searches_match_what_is_above(get: Get) -> None:
    assert len(get("series?PatientID=P1&Modality=MR")) == 1
    assert len(get("instances?StudyDate=20200102&SeriesNumber=1")) == 2


KEYS = {
    "studies": "StudyDate StudyTime AccessionNumber ModalitiesInStudy ReferringPhysicianName "
    "PatientName PatientID StudyInstanceUID StudyID",
    "series": "Modality SeriesInstanceUID SeriesNumber PerformedProcedureStepStartDate "
    "PerformedProcedureStepStartTime",
    "instances": "SOPClassUID SOPInstanceUID InstanceNumber",
}


@pytest.mark.parametrize(("path", "keys"), KEYS.items())
def test_10_6_1_2_1_required_matching_keys(pacs: httpx.Client, path: str, keys: str) -> None:
    refused = [k for k in keys.split() if pacs.get(f"{path}?{k}=1").status_code != 200]
    dates = {"StudyDate", "StudyTime", "PerformedProcedureStepStartDate"}
    dates.add("PerformedProcedureStepStartTime")
    assert set(refused) <= dates  # "1" is no date or time, which is a 400 of its own
    for key in refused:
        value = "20200101" if key.endswith("Date") else "0130"
        assert pacs.get(f"{path}?{key}={value}").status_code == 200


@pytest.mark.parametrize("path", ["studies", "studies/1.1/series", "studies/1.1/instances"])
def test_10_6_1_3_json_is_the_default(pacs: httpx.Client, path: str) -> None:
    for accept in ("*/*", "application/dicom+json", "application/json"):
        answer = pacs.get(path, headers={"Accept": accept})
        assert answer.headers["content-type"] == "application/dicom+json"


def test_10_6_1_3_xml_is_a_part_for_each_match(pacs: httpx.Client) -> None:
    answer = pacs.get(
        "studies", headers={"Accept": 'multipart/related; type="application/dicom+xml"'}
    )
    assert answer.headers["content-type"].startswith(
        'multipart/related; type="application/dicom+xml"; boundary='
    )
    assert answer.content.count(b"<NativeDicomModel") == 5


@pytest.mark.parametrize("path", ["studies?PatientID=nobody", "studies/9.9/series"])
def test_10_6_3_1_no_match_is_an_empty_list_and_no_error(get: Get, path: str) -> None:
    assert get(path) == []


@pytest.mark.parametrize("query", ["NoSuchThing=1", "limit=many", "StudyInstanceUID=x", "limit=-1"])
def test_10_6_3_1_400_says_what_is_wrong(pacs: httpx.Client, query: str) -> None:
    answer = pacs.get(f"studies?{query}")
    assert answer.status_code == 400
    assert query.split("=", maxsplit=1)[0] in answer.json()["detail"]


def test_10_6_3_3_required_return_attributes_of_studies(get: Get) -> None:
    for study in get("studies"):
        assert set(STUDY.split()) <= set(study)


def test_10_6_3_3_required_return_attributes_of_series(get: Get) -> None:
    for series in get("studies/1.1/series"):
        assert set(SERIES.split()) <= set(series)


def test_10_6_3_3_required_return_attributes_of_instances(get: Get) -> None:
    for image in get("studies/1.1/series/1.1.1/instances"):
        assert set(INSTANCE.split()) <= set(image)


def test_10_6_3_3_the_request_is_an_attribute_of_the_series(get: Get) -> None:
    request = [{"00401001": {"vr": "SH", "Value": ["RP7"]}}]
    for path in ("studies/1.1/series", "series?PatientID=P1"):
        assert get(path)[0]["00400275"]["Value"] == request
    for path in ("studies/1.1/instances", "instances?PatientID=P1"):  # with the series' attributes
        assert get(path)[0]["00400275"]["Value"] == request
    assert "00400275" not in get("studies/1.1/series/1.1.1/instances")[0]
    assert "00400275" not in get("studies?PatientID=P1")[0]


def test_10_6_3_3_relational_answers_have_the_attributes_of_the_levels_above(get: Get) -> None:
    shared = {"00081190", "00080056"}
    assert set(STUDY.split()) | set(SERIES.split()) <= set(get("series")[0])
    whole = set(STUDY.split()) | set(SERIES.split()) | set(INSTANCE.split())
    assert whole | shared <= set(get("instances")[0])
    assert set(SERIES.split()) <= set(get("studies/1.1/instances")[0])


def test_10_6_3_3_counts_are_of_the_whole_entity_whatever_was_asked(get: Get) -> None:
    (study,) = get("studies?StudyInstanceUID=1.1&ModalitiesInStudy=CT")
    assert study["00201206"]["Value"] == [2]
    assert study["00201208"]["Value"] == [4]
    assert study["00080061"]["Value"] == ["CT", "MR"]
    (series,) = get("series?SeriesInstanceUID=1.1.1&InstanceNumber=1")
    assert series["00201209"]["Value"] == [2]


def test_10_6_3_3_instances_tell_their_available_transfer_syntax(get: Get) -> None:
    found = {i["00083002"]["Value"][0] for i in get("instances")}
    assert found == {"1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.91"}


@pytest.mark.parametrize("path", ["studies", "studies/1.1/series", "studies/1.1/instances"])
def test_10_6_3_3_retrieve_url_can_be_retrieved(pacs: httpx.Client, get: Get, path: str) -> None:
    url = get(path)[0]["00081190"]["Value"][0]
    assert pacs.get(url).status_code == 200
    assert pacs.get(f"{url}/metadata").status_code == 200
