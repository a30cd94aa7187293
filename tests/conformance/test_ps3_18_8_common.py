"""PS3.18 8: what all DICOM web services have in common."""

from __future__ import annotations

import io

import httpx
import pydicom
import pytest

from tests.conformance.conftest import Get
from tests.web.wado_fixtures import parts

IMAGE = "studies/1.1/series/1.1.1/instances/1.1.1.1"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
JPEG_2000 = "1.2.840.10008.1.2.4.91"


@pytest.fixture
def compressed(get: Get) -> str:
    """The path of an image that is stored in JPEG 2000."""
    (found,) = (i for i in get("instances") if i["00083002"]["Value"] == [JPEG_2000])
    url: str = found["00081190"]["Value"][0]
    return url.partition("/dicom-web/")[2]


def test_8_3_3_1_the_accept_parameter_goes_before_the_header(pacs: httpx.Client) -> None:
    answer = pacs.get(f"{IMAGE}?accept=application/dicom", headers={"Accept": "text/html"})
    assert answer.headers["content-type"].startswith("application/dicom;")


@pytest.mark.parametrize("key", ["PatientID", "00100020"])
def test_8_3_4_1_attributes_by_keyword_and_tag(get: Get, key: str) -> None:
    assert len(get(f"studies?{key}=P1")) == 1


def test_8_3_4_1_parameters_are_percent_encoded_utf_8(get: Get) -> None:
    assert len(get("studies?PatientName=%E5%B1%B1%E7%94%B0*")) == 1


def test_8_3_4_2_fuzzymatching(pacs: httpx.Client) -> None:
    answer = pacs.get("studies?fuzzymatching=true&PatientName=Mueller")
    assert [s["00100020"]["Value"] for s in answer.json()] == [["P3"]]
    assert "warning" not in answer.headers
    for query in ("fuzzymatching=false&PatientName=Mueller", "PatientName=Mueller"):
        assert pacs.get(f"studies?{query}").json() == []


def test_8_3_4_2_fuzzymatching_is_for_person_names_only(get: Get) -> None:
    assert get("studies?fuzzymatching=true&StudyDescription=Haed*") == []


def test_8_3_4_5_emptyvaluematching_is_false_unless_asked_for(get: Get) -> None:
    empty = "StudyDescription=%22%22&StudyInstanceUID=1.1,1.2,1.3,1.4"
    assert len(get(f"studies?{empty}&emptyvaluematching=true")) == 2
    assert get(f"studies?{empty}&emptyvaluematching=false") == []
    assert get(f"studies?{empty}") == []


def test_8_3_4_6_multiplevaluematching_is_false_unless_asked_for(get: Get) -> None:
    both = "ModalitiesInStudy=CT%5CUS&StudyInstanceUID=1.1,1.2"
    assert get(f"studies?{both}&multiplevaluematching=true") == []
    assert len(get(f"studies?{both}&multiplevaluematching=false")) == 2


@pytest.mark.parametrize("query", ["?", "?&", "?limit=9&", "?&&limit=9&&", "?=&limit=9"])
def test_8_3_4_empty_parameters_are_no_parameters(get: Get, query: str) -> None:
    assert len(get(f"studies{query}")) == 5


@pytest.mark.parametrize(
    "query",
    [
        "includefield=ProtocolName&includefield=PatientAge",
        "includefield=ProtocolName,PatientAge",
        "includefield=00181030,00101010",
    ],
)
def test_8_3_4_3_includefield_repeated_listed_by_keyword_and_tag(get: Get, query: str) -> None:
    assert {"00181030", "00101010"} <= set(get(f"series?{query}")[0])


def test_8_3_4_3_includefield_in_sequences(get: Get) -> None:
    (first, *_) = get("studies/1.1/instances?includefield=RequestAttributesSequence.StudyID")
    (request,) = first["00400275"]["Value"]
    assert request["00200010"] == {"vr": "SH", "Value": ["x"]}


def test_8_3_4_3_includefield_all(get: Get) -> None:
    assert "00280102" in get("studies/1.1/instances?includefield=all")[0]


def test_8_3_4_4_limit_and_offset_count_matches(get: Get) -> None:
    uids = [i["00080018"]["Value"][0] for i in get("instances")]
    paged = [
        i["00080018"]["Value"][0]
        for offset in range(0, 20, 3)
        for i in get(f"instances?limit=3&offset={offset}")
    ]
    assert paged == uids
    assert len(set(paged)) == 17


def test_8_3_4_4_1_the_same_search_has_the_same_order(pacs: httpx.Client) -> None:
    assert len({pacs.get("instances?limit=9&offset=2").content for _ in range(3)}) == 1


def test_8_3_4_4_1_an_offset_beyond_the_end_is_an_empty_answer(get: Get) -> None:
    assert get("studies?offset=5") == []


def test_8_3_4_4_a_warning_tells_how_many_more_there_are(pacs: httpx.Client) -> None:
    told = pacs.get("studies?limit=2&offset=1").headers["warning"]
    assert told == '299 pacslab "There are 2 additional results that can be requested"'
    assert "warning" not in pacs.get("studies?limit=5").headers


@pytest.mark.parametrize(
    "query", ["window=1", "viewport=0,0", "quality=101", "annotation=x", "iccprofile=x"]
)
def test_8_3_5_1_malformed_rendering_parameters_are_400(pacs: httpx.Client, query: str) -> None:
    assert pacs.get(f"{IMAGE}/rendered?{query}").status_code == 400


def test_8_4_problems_say_what_to_do_in_json(pacs: httpx.Client) -> None:
    answer = pacs.get(IMAGE, headers={"Accept": "text/html"})
    assert answer.headers["content-type"] == "application/problem+json"
    assert "application/dicom" in answer.json()["detail"]


def test_8_6_1_2_parts_have_their_header_fields(pacs: httpx.Client) -> None:
    answer = pacs.get("studies/1.1")
    assert answer.headers["content-type"].startswith('multipart/related; type="application/dicom"')
    found = parts(answer)
    assert len(found) == 4
    for fields, data in found:
        assert fields["content-type"] == f"application/dicom; transfer-syntax={EXPLICIT_LITTLE}"
        assert int(fields["content-length"]) == len(data)
        assert pacs.get(fields["content-location"]).status_code == 200


def test_8_6_1_1_a_single_part_for_what_is_single_only(pacs: httpx.Client) -> None:
    one = {"Accept": "application/dicom"}
    assert pacs.get(IMAGE, headers=one).status_code == 200
    assert pacs.get("studies/1.1/series/1.1.1", headers=one).status_code == 406
    octets = {"Accept": "application/octet-stream"}
    assert pacs.get(f"{IMAGE}/frames/1", headers=octets).status_code == 200
    assert pacs.get(f"{IMAGE}/frames/1,1", headers=octets).status_code == 406


@pytest.mark.parametrize(
    "accept",
    [
        'multipart/related; type="application/dicom"; transfer-syntax=*',
        "multipart/related;type=application/dicom;transfer-syntax=*",
        'Multipart/Related; Type="application/dicom"; Transfer-Syntax="*"',
    ],
)
def test_8_7_1_quoted_and_unquoted_parameters_are_equal(
    pacs: httpx.Client, compressed: str, accept: str
) -> None:
    ((fields, _),) = parts(pacs.get(compressed, headers={"Accept": accept}))
    assert fields["content-type"] == f"application/dicom; transfer-syntax={JPEG_2000}"


def test_8_7_3_4_the_default_is_explicit_vr_little_endian(
    pacs: httpx.Client, compressed: str
) -> None:
    ((fields, data),) = parts(pacs.get(compressed))
    assert fields["content-type"].endswith(EXPLICIT_LITTLE)
    assert pydicom.dcmread(io.BytesIO(data)).file_meta.TransferSyntaxUID == EXPLICIT_LITTLE
    ((fields, _),) = parts(pacs.get(f"{compressed}/frames/1"))
    assert fields["content-type"] == f"application/octet-stream; transfer-syntax={EXPLICIT_LITTLE}"


@pytest.mark.parametrize("uid", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.2"])
def test_8_7_3_implicit_and_big_endian_are_not_to_be_had(pacs: httpx.Client, uid: str) -> None:
    accept = f"application/dicom; transfer-syntax={uid}"
    assert pacs.get(IMAGE, headers={"Accept": accept}).status_code == 406


def test_8_7_3_3_compressed_frames_have_their_media_type(
    pacs: httpx.Client, compressed: str
) -> None:
    accept = 'multipart/related; type="image/jp2"'
    answer = pacs.get(f"{compressed}/frames/1", headers={"Accept": f"{accept}; transfer-syntax=*"})
    ((fields, _),) = parts(answer)
    assert fields["content-type"] == f"image/jp2; transfer-syntax={JPEG_2000}"


def test_8_7_3_5_2_any_transfer_syntax_is_the_stored_bytes(
    pacs: httpx.Client, compressed: str
) -> None:
    answer = pacs.get(compressed, headers={"Accept": "application/dicom; transfer-syntax=*"})
    assert answer.headers["content-type"] == f"application/dicom; transfer-syntax={JPEG_2000}"


def test_8_7_5_weights_decide(pacs: httpx.Client) -> None:
    accept = "image/jpeg;q=0.2, image/png;q=0.9"
    answer = pacs.get(f"{IMAGE}/rendered", headers={"Accept": accept})
    assert answer.headers["content-type"] == "image/png"


def test_8_7_8_nothing_acceptable_is_406(pacs: httpx.Client) -> None:
    for path in ("studies", "studies/1.1", f"{IMAGE}/metadata", f"{IMAGE}/frames/1"):
        assert pacs.get(path, headers={"Accept": "text/html"}).status_code == 406


def test_8_8_json_and_xml_are_utf_8(pacs: httpx.Client) -> None:
    assert "山田" in pacs.get("studies/1.4/metadata").content.decode("utf-8")
    accept = {"Accept": 'multipart/related; type="application/dicom+xml"'}
    xml = pacs.get("studies/1.4/metadata", headers=accept).content.decode("utf-8")
    assert 'encoding="utf-8"' in xml.lower()
    assert "山田" in xml
