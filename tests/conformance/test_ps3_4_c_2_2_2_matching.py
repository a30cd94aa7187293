"""PS3.4 C.2.2.2: how keys match, asked over QIDO-RS (PS3.18 8.3.4.1.1)."""

from __future__ import annotations

import httpx
import pytest

from tests.conformance.conftest import Get


@pytest.fixture
def matched(get: Get) -> Get:
    """The last components of the studies' UIDs that match; the compressed image's left out."""

    def ask(query: str) -> str:
        uids = [s["0020000D"]["Value"][0] for s in get(f"studies?{query}")]
        return " ".join(uid.removeprefix("1.") for uid in uids if len(uid) == 3)

    return ask


def test_c_2_2_2_1_single_value(matched: Get) -> None:
    assert matched("PatientID=P2") == "2"
    assert matched("PatientID=p2") == ""
    assert matched("PatientID=P") == ""


def test_c_2_2_2_1_person_names_regardless_of_case_and_accents(matched: Get) -> None:
    assert matched("PatientName=DOE^jane") == "1"
    assert matched("PatientName=MULLER^*") == "3"


def test_c_2_2_2_1_person_names_by_a_component_group(matched: Get) -> None:
    assert matched("PatientName=山田^太郎") == "4"
    assert matched("PatientName=やまだ*") == "4"


def test_c_2_2_2_1_times_regardless_of_their_precision(matched: Get) -> None:
    assert matched("StudyTime=013000") == "1"


def test_c_2_2_2_2_list_of_uids(matched: Get) -> None:
    assert matched("StudyInstanceUID=1.1,1.3,1.9") == "1 3"
    assert matched("StudyInstanceUID=1.1%5C1.3") == "1 3"


@pytest.mark.parametrize("query", ["PatientID=", "PatientID=*", "StudyID=", "StudyID=*"])
def test_c_2_2_2_3_universal_matches_what_has_no_value_too(matched: Get, query: str) -> None:
    assert matched(query) == "1 2 3 4"


def test_c_2_2_2_4_wildcards(matched: Get) -> None:
    assert matched("PatientID=P*") == "1 2 3 4"
    assert matched("PatientID=?2") == "2"
    assert matched("PatientName=doe*j?n*") == "1"
    assert matched("StudyDescription=*contrast") == "1 2"


def test_c_2_2_2_4_what_other_patterns_use_is_literal(matched: Get) -> None:
    assert matched("AccessionNumber=A[1]*") == "1"
    assert matched("AccessionNumber=A[12]*") == ""
    assert matched("AccessionNumber=A%25") == ""
    assert matched("AccessionNumber=A_1_") == ""


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("StudyDate=20200102-20200103", "2 3"),
        ("StudyDate=-20200102", "1 2"),
        ("StudyDate=20200103-", "3 4"),
        ("StudyTime=0130-0230", "1 2"),
        ("StudyTime=0330-", "3 4"),
        ("StudyDate=20200101-20200102&StudyTime=0200-", "2"),
    ],
)
def test_c_2_2_2_5_ranges_of_dates_and_times(matched: Get, query: str, found: str) -> None:
    assert matched(query) == found


@pytest.mark.parametrize("query", ["StudyDate=2020", "StudyDate=20200102-x", "StudyTime=99"])
def test_c_2_2_2_5_what_is_no_date_or_time_is_refused(pacs: httpx.Client, query: str) -> None:
    assert pacs.get(f"studies?{query}").status_code == 400


def test_c_2_2_2_7_empty_value(matched: Get) -> None:
    assert matched("StudyDescription=%22%22&emptyvaluematching=true") == "3 4"
    assert matched("StudyDescription=%22%22") == ""


def test_c_2_2_2_8_multiple_values_all_have_to_be_there(get: Get, matched: Get) -> None:
    assert matched("ModalitiesInStudy=CT%5CMR&multiplevaluematching=true") == "1 2 3 4"
    assert matched("ModalitiesInStudy=CT%5CUS&multiplevaluematching=true") == ""
    assert len(get("instances?ImageType=AXIAL%5CORIGINAL&multiplevaluematching=true")) == 16
    assert len(get("instances?ImageType=AXIAL%5CDERIVED&multiplevaluematching=true")) == 0
    assert matched("PatientID=P1%5CP2&multiplevaluematching=true") == "1 2"  # it has one value


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("Mueller^Anne", "3"),
        ("MULLER", "3"),
        ("Jane^Doe", "1"),
        ("Doe^Jon", "2"),
        ("Doe^Janet", "1"),
        ("Doe*", "1 2"),
        ("Muellr*", "3"),
        ("Miller^Anne", "3"),  # one letter of six
        ("Moore", ""),
        ("Roe^Jane", ""),
        ("Yamada", "4"),
        ("山田^太郎", "4"),
        ("太郎", "4"),
        ("やま*", "4"),
        ("やまた", ""),
        ("山口", ""),
        ("Yamada^Tarou=山田", "4"),
        ("Yamada=山口", ""),
    ],
)
def test_c_2_2_2_1_1_fuzzy_person_names(matched: Get, name: str, found: str) -> None:
    assert matched(f"PatientName={name}&fuzzymatching=true") == found


def test_c_2_2_2_values_of_a_multiple_attribute_match_each_by_itself(get: Get) -> None:
    assert len(get("instances?ImageType=AXIAL&PatientID=P1")) == 4
    assert len(get("instances?ImageType=AX&PatientID=P1")) == 0


def test_c_3_4_modalities_in_study_match_any_of_them(matched: Get) -> None:
    assert matched("ModalitiesInStudy=MR") == "1 2 3 4"
    assert matched("ModalitiesInStudy=US") == ""


def test_c_2_2_2_every_key_has_to_match(matched: Get) -> None:
    assert matched("PatientName=doe*&StudyDate=20200102-") == "2"
