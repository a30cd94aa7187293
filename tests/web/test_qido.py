"""QIDO-RS (PS3.18 10.6) as clients ask it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from email import message_from_bytes
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient
from dicomweb_client.session_utils import create_session
from starlette.testclient import TestClient

from pacslab.archive import Archive
from pacslab.dicom.keywords import ATTRIBUTES, Level, returned_at
from pacslab.web.app import create_app
from pacslab.web.context import Context
from tests.conftest import dicom_file
from tests.making import instance, item, written
from tests.servers import serving

NATIVE = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """Six studies: five of one kind, one with names in three scripts."""
    with Archive(Path(tmp_path_factory.mktemp("qido")) / "a") as made:
        made.add_many(
            instance(
                StudyInstanceUID=f"1.{s}", SeriesInstanceUID=f"1.{s}.{e}",
                SOPInstanceUID=f"1.{s}.{e}.{i}", PatientID=f"P{s}", PatientName=f"Doe^Jane{s}",
                Modality=("CT", "MR")[e - 1], SeriesNumber=e, InstanceNumber=i,
                StudyDescription="Head", StudyDate=f"2020010{s}", ProtocolName="T1 sag",
                PixelSpacing=["0.5", "0.25"],
                RequestAttributesSequence=[item(RequestedProcedureID="RP7", StudyID="x")],
            )
            for s in range(1, 6) for e in (1, 2) for i in (1, 2)
        )  # fmt: skip
        made.add(instance(StudyInstanceUID="1.9", SpecificCharacterSet="ISO_IR 192",
                          PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう"))  # fmt: skip
        yield made


@pytest.fixture(scope="module")
def web(archive: Archive) -> Iterator[httpx.Client]:
    with TestClient(create_app(Context(archive))) as client:
        yield client


def get(web: httpx.Client, path: str, **headers: str) -> Any:
    answer = web.get(f"/dicom-web{path}", headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/dicom+json"
    return answer.json()


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("/studies", 6),
        ("/series", 11),
        ("/instances", 21),
        ("/studies/1.2/series", 2),
        ("/studies/1.2/instances", 4),
        ("/studies/1.2/series/1.2.1/instances", 2),
        ("/series?Modality=MR", 5),
        ("/instances?PatientID=P3", 4),
        ("/studies?ModalitiesInStudy=MR", 5),
        ("/studies?00100010=doe*&00080020=20200102-20200103", 2),
        ("/studies?PatientName=%E5%B1%B1%E7%94%B0*", 1),
        ("/studies?StudyInstanceUID=1.1,1.2&limit=5", 2),
        ("/studies/1.2/series/1.1.1/instances", 0),
        ("/studies/7.7/series", 0),
        ("/studies?PatientID=nobody", 0),
        ("/series?RequestAttributesSequence.RequestedProcedureID=RP7", 10),
        ("/series?00400275.00401001=RP*", 10),
        ("/series?RequestAttributesSequence.00401001=RP8", 0),
        ("/studies/1.2/series?00400275.00401001=R%3F7", 2),
        ("/studies?00400275.00401001=RP7&PatientID=P1", 1),
        ("/instances?00400275.00401001=RP7&PatientID=P1", 4),
        ("/series?00400275.00400009=%22%22&emptyvaluematching=true", 11),
        ("/series?00400275.00400009=%22%22", 0),
        ("/series?RequestAttributesSequence.ScheduledProcedureStepID=x", 0),
    ],
)
def test_six_resources(web: httpx.Client, path: str, number: int) -> None:
    assert len(get(web, path)) == number


@pytest.mark.parametrize(
    ("path", "levels"),
    [
        ("/studies", "STUDY"),
        ("/studies/1.1/series", "SERIES"),
        ("/series", "STUDY SERIES"),
        ("/studies/1.1/series/1.1.1/instances", "IMAGE"),
        ("/studies/1.1/instances", "SERIES IMAGE"),
        ("/instances", "STUDY SERIES IMAGE"),
    ],
)
def test_required_attributes_are_there_even_when_empty(
    web: httpx.Client, path: str, levels: str
) -> None:
    (first, *_) = get(web, path)
    required = {a.json_key for level in levels.split() for a in returned_at(Level(level))}
    assert required <= set(first)
    assert first["00081190"]["vr"] == "UR"
    assert first["00080056"]["Value"] == ["ONLINE"]
    assert list(first) == sorted(first)
    if "00080050" in required:
        assert first["00080050"] == {"vr": "SH"}


def test_values_are_as_annex_f_has_them(web: httpx.Client) -> None:
    (study,) = get(web, "/studies?StudyInstanceUID=1.1")
    assert study["00100010"] == {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane1"}]}
    assert study["00201208"] == {"vr": "IS", "Value": [4]}
    assert study["00080061"] == {"vr": "CS", "Value": ["CT", "MR"]}
    assert study["00081190"]["Value"] == ["http://testserver/dicom-web/studies/1.1"]
    (image, *_) = get(web, "/studies/1.1/series/1.1.1/instances?includefield=PixelSpacing")
    assert image["00280030"] == {"vr": "DS", "Value": [0.5, 0.25]}
    assert image["00083002"]["Value"] == ["1.2.840.10008.1.2.1"]
    assert image["00081190"]["Value"][0].endswith("/studies/1.1/series/1.1.1/instances/1.1.1.1")
    (named,) = get(web, "/studies?StudyInstanceUID=1.9")
    assert set(named["00100010"]["Value"][0]) == {"Alphabetic", "Ideographic", "Phonetic"}


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        ("/series?SeriesInstanceUID=1.1.1&includefield=ProtocolName", "00181030", ["T1 sag"]),
        ("/series?SeriesInstanceUID=1.1.1&includefield=00181030,00081030", "00081030", ["Head"]),
        ("/series?SeriesInstanceUID=1.1.1&includefield=StudyID&includefield=ProtocolName",
         "00181030", ["T1 sag"]),
        ("/studies/1.1/series?includefield=PatientID", "00100020", ["P1"]),
        ("/studies/1.1/series?includefield=all", "00181030", ["T1 sag"]),
        ("/studies/1.1/series?includefield=HighBit", "00280102", [11]),
        ("/studies/1.1/series?includefield=RequestAttributesSequence.RequestedProcedureID",
         "00400275", [{"00401001": {"vr": "SH", "Value": ["RP7"]}}]),
        ("/studies/1.1/series?includefield=00400275.00401001,00400275.00200010", "00400275",
         [{"00401001": {"vr": "SH", "Value": ["RP7"]}, "00200010": {"vr": "SH", "Value": ["x"]}}]),
        ("/studies/1.1/series/1.1.1/instances?includefield=all", "00280102", [11]),
    ],
)  # fmt: skip
def test_includefield(web: httpx.Client, path: str, key: str, value: list[Any]) -> None:
    assert get(web, path)[0][key]["Value"] == value


def test_the_request_is_returned_where_there_is_one(tmp_path: Path) -> None:
    first = item(RequestedProcedureID="RP1", ScheduledProcedureStepID="S1", StudyID="x")
    second = item(RequestedProcedureID="RP2")
    with Archive(tmp_path / "a") as archive:
        for study, items in (("1.1", [first, second]), ("1.2", []), ("1.3", [item()])):
            archive.add(instance(StudyInstanceUID=study, SeriesInstanceUID=f"{study}.1",
                                 RequestAttributesSequence=items))  # fmt: skip
        one = {"00400009": {"vr": "SH", "Value": ["S1"]},
               "00401001": {"vr": "SH", "Value": ["RP1"]}}  # fmt: skip
        with TestClient(create_app(Context(archive))) as web:
            for path in ("/series", "/studies/1.1/series"):
                found, *rest = get(web, path)
                assert found["00400275"] == {"vr": "SQ", "Value": [one]}
                assert list(found) == sorted(found)
                assert all("00400275" not in other for other in rest)
            assert len(get(web, "/series?00400275.00400009=S1")) == 1
            assert get(web, "/series?00400275.00401001=RP2") == []  # the second item's
            for asked in ("RequestAttributesSequence", "all"):
                (found,) = get(web, f"/studies/1.1/instances?includefield={asked}")
                assert len(found["00400275"]["Value"]) == 2
            (found,) = get(web, "/studies/1.1/series?includefield=00400275.00200010")
            assert found["00400275"]["Value"][0]["00200010"]["Value"] == ["x"]


@pytest.mark.parametrize("path", ["/studies", "/studies/1.1/series", "/studies/1.1/instances"])
def test_private_elements_come_with_their_creator(tmp_path: Path, path: str) -> None:
    with Archive(tmp_path / "a") as archive:
        dataset = pydicom.dcmread(BytesIO(instance(StudyInstanceUID="1.1")))
        inside = item(StudyID="x")
        for target in (dataset, inside):
            block = target.private_block(0x0009, "PACSLAB TEST", create=True)
            block.add_new(0x01, "LO", "ours")
            block.add_new(0x02, "LO", "not asked for")
        dataset.RequestAttributesSequence = [inside]
        archive.add(written(dataset))
        with TestClient(create_app(Context(archive))) as web:
            (found,) = get(web, f"{path}?includefield=00091001,00400275.00091001")
            assert found["00091001"] == {"vr": "LO", "Value": ["ours"]}
            assert found["00090010"] == {"vr": "LO", "Value": ["PACSLAB TEST"]}
            assert "00091002" not in found
            assert set(found["00400275"]["Value"][0]) == {"00090010", "00091001"}
            answer = web.get(
                f"/dicom-web{path}?includefield=00091001",
                headers={"Accept": 'multipart/related; type="application/dicom+xml"'},
            )
    # PS3.19 A.1.6: the block number is left out, the creator says it
    assert (
        b'<DicomAttribute tag="00090001" vr="LO" privateCreator="PACSLAB TEST">' in answer.content
    )


def test_includefield_when_an_instance_has_just_been_removed(
    web: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Archive.first_headers

    def without_the_first(self: Archive, *asked: Any) -> Iterator[Any]:
        yield from islice(found(self, *asked), 1, None)

    monkeypatch.setattr(Archive, "first_headers", without_the_first)
    first, second, *_ = get(web, "/studies?includefield=HighBit")
    assert "00280102" not in first
    assert second["00280102"]["Value"] == [11]


def test_nobody_can_write_the_boundary_into_an_answer(web: httpx.Client) -> None:
    kind = {"Accept": 'multipart/related; type="application/dicom+xml"'}
    limits = {web.get("/dicom-web/studies", headers=kind).headers["content-type"] for _ in "12"}
    assert len(limits) == 2


def test_bulk_data_of_whole_headers_has_absolute_addresses(web: httpx.Client) -> None:
    (image, *_) = get(web, "/studies/1.1/series/1.1.1/instances?includefield=all")
    assert image["7FE00010"]["BulkDataURI"] == (
        "http://testserver/dicom-web/studies/1.1/series/1.1.1/instances/1.1.1.1/bulkdata/7FE00010"
    )


def test_pages_and_the_warning_that_there_is_more(web: httpx.Client) -> None:
    whole = [r["00080018"]["Value"][0] for r in get(web, "/instances")]
    paged: list[str] = []
    while True:
        answer = web.get("/dicom-web/instances", params={"limit": 4, "offset": len(paged)})
        found = answer.json()
        if not found:
            break
        paged += [r["00080018"]["Value"][0] for r in found]
        left = len(whole) - len(paged)
        warning = answer.headers.get("warning")
        assert (warning is None) if left == 0 else (f"{left} additional results" in warning)
    assert paged == whole


def test_what_ohif_asks_all_at_once(web: httpx.Client) -> None:
    answer = web.get(
        "/dicom-web/studies?limit=101&offset=0&fuzzymatching=true&includefield=00081030%2C00080060"
        "&PatientName=DOE*&00080061=CT,MR"
    )
    assert answer.status_code == 200
    assert len(answer.json()) == 5
    assert answer.json()[0]["00081030"]["Value"] == ["Head"]
    assert "warning" not in answer.headers


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("PatientNmae=x", "did you mean PatientName"),
        ("limit=ten", "whole number"),
        ("offset=-1", "whole number"),
        ("fuzzymatching=perhaps", "true or false"),
        ("emptyvaluematching=", "true or false"),
        ("multiplevaluematching=1", "true or false"),
        ("StudyDate=%22%22", "emptyvaluematching wasn't asked for"),
        ("=x", "'' is no DICOM attribute"),
        ("StudyDate=yesterday", "YYYYMMDD"),
        ("StudyInstanceUID=1.x", "isn't a UID"),
        ("includefield=Nonsense", "no DICOM keyword"),
        ("PatientID=a&PatientID=b", "given twice"),
        ("limit=1&limit=2", "given twice"),
        ("RequestAttributesSequence.StudyID=x", "includefield returns it"),
        ("RequestedProcedureID=x", "isn't indexed"),
        ("00400275.Nonsense=x", "'Nonsense' is no DICOM keyword"),
        ("00990010=x", "isn't indexed"),
    ],
)
def test_mistakes_are_400_with_the_reason(web: httpx.Client, query: str, says: str) -> None:
    answer = web.get(f"/dicom-web/studies?{query}")
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert says in answer.json()["detail"]


def test_a_path_that_is_no_uid(web: httpx.Client) -> None:
    assert web.get("/dicom-web/studies/..%2F..%2Fetc/series").status_code in {400, 404}
    assert web.get("/dicom-web/studies/abc/series").status_code == 400
    assert web.get("/dicom-web/nothing").status_code == 404


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("application/dicom+json", 200),
        ("application/json", 200),
        ("*/*", 200),
        ("text/html;q=0.9, application/dicom+json;q=0.5", 200),
        ("text/html", 406),
        ("application/dicom", 406),
    ],
)
def test_negotiation(web: httpx.Client, accept: str, status: int) -> None:
    assert web.get("/dicom-web/studies", headers={"Accept": accept}).status_code == status


def test_xml_says_the_same(web: httpx.Client) -> None:
    answer = web.get(
        "/dicom-web/studies?StudyInstanceUID=1.1,1.9",
        headers={"Accept": 'multipart/related; type="application/dicom+xml"'},
    )
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    parts = message_from_bytes(head + answer.content).get_payload()
    assert isinstance(parts, list)
    assert len(parts) == 2
    root = ElementTree.fromstring(parts[1].get_payload(decode=True))  # type: ignore[union-attr]
    assert root.tag == f"{NATIVE}NativeDicomModel"
    name = root.find(f"{NATIVE}DicomAttribute[@keyword='PatientName']/{NATIVE}PersonName")
    assert name is not None
    family = name.find(f"{NATIVE}Ideographic/{NATIVE}FamilyName")
    assert family is not None
    assert family.text == "山田"


def test_head_has_the_same_header_fields_and_no_body(web: httpx.Client) -> None:
    answer = web.head("/dicom-web/studies?limit=1")
    assert (answer.status_code, answer.content) == (200, b"")
    assert "additional results" in answer.headers["warning"]


def test_json_is_compressed_for_those_who_accept_it(web: httpx.Client) -> None:
    packed = web.get("/dicom-web/instances", headers={"Accept-Encoding": "gzip"})
    plain = web.get("/dicom-web/instances", headers={"Accept-Encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.json() == plain.json()


def test_many_results_are_streamed_as_one_array(tmp_path: Path) -> None:
    with Archive(tmp_path / "a") as archive:
        batch = [instance(StudyInstanceUID="1.1", SeriesInstanceUID="1.1.1",
                          SOPInstanceUID=f"1.1.1.{i}") for i in range(450)]  # fmt: skip
        archive.add_many(batch)
        with TestClient(create_app(Context(archive))) as web:
            answer = web.get("/dicom-web/instances")
            assert "content-length" not in answer.headers
            found = [r["00080018"]["Value"][0] for r in answer.json()]
    assert found == sorted(f"1.1.1.{i}" for i in range(450))


def test_dicomweb_client_and_pydicom_read_the_answers(tmp_path: Path) -> None:
    with Archive(tmp_path / "a") as archive:
        for name in ("CT_small.dcm", "MR_small.dcm", "rtplan.dcm", "examples_overlay.dcm"):
            archive.add(dicom_file(name).read_bytes())
    with serving(tmp_path / "a") as ready:
        session = create_session()
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {ready.token}"
        client = DICOMwebClient(ready.dicomweb, session=session)
        studies = [pydicom.Dataset.from_json(s) for s in client.search_for_studies()]
        assert len(studies) == 4
        for study in studies:
            series = client.search_for_series(study.StudyInstanceUID)
            assert len(series) == study.NumberOfStudyRelatedSeries
        found = client.search_for_instances(
            search_filters={"Modality": "CT"}, fields=["SliceThickness"], limit=5
        )
        expected = pydicom.dcmread(dicom_file("CT_small.dcm"))
        got = pydicom.Dataset.from_json(found[0])
        assert got.SliceThickness == expected.SliceThickness
        assert got.PatientName == expected.PatientName
        assert client.search_for_studies(search_filters={"PatientID": "nobody"}) == []


def test_every_indexed_attribute_is_a_key_by_keyword_and_by_tag(web: httpx.Client) -> None:
    for keyword, attribute in ATTRIBUTES.items():
        value = {"DA": "20200101", "TM": "1015", "DT": "2020", "UI": "1.2.3"}.get(
            attribute.vr, "1" if attribute.python_type is not str or attribute.computed else "x"
        )
        for key in (keyword, attribute.json_key):
            answer = web.get("/dicom-web/instances", params={key: value})
            assert answer.status_code == 200, (key, answer.text)


def test_the_description_names_every_resource(web: httpx.Client) -> None:
    paths = web.get("/openapi.json").json()["paths"]
    for path in ("/dicom-web/studies", "/dicom-web/studies/{study}/series/{series}/instances"):
        assert "get" in paths[path]
    assert not re.search(r"https?://", json.dumps(paths))
