"""STOW-RS (PS3.18 10.5): what is answered, and that it is true."""

from __future__ import annotations

import errno
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import psutil
import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient
from dicomweb_client.session_utils import create_session
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import JPEG2000Lossless
from starlette.testclient import TestClient

from pacslab.archive import Archive
from pacslab.archive.files import Files
from pacslab.dicom.instance import read
from pacslab.web import xml
from pacslab.web.app import create_app
from pacslab.web.context import Context
from tests.conftest import dicom_file
from tests.making import instance
from tests.servers import client, serving
from tests.web.test_multipart import joined
from tests.web.wado_fixtures import parts

MULTIPART = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=XX'}


def post(web: httpx.Client, *bodies: bytes, path: str = "/studies") -> httpx.Response:
    return web.post(f"/dicom-web{path}", content=joined(bodies), headers=MULTIPART)


def test_all_stored_is_200(web: httpx.Client, archive: Archive) -> None:
    batch = [instance() for _ in range(3)]
    answer = post(web, *batch)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/dicom+json"
    told = answer.json()
    assert "00081198" not in told
    items = told["00081199"]["Value"]
    assert [i["00081155"]["Value"][0] for i in items] == [
        read(data).sop_instance_uid for data in batch
    ]
    for item in items:
        url = item["00081190"]["Value"][0]
        assert web.get(url, headers={"Accept": "application/dicom"}).status_code == 200
    assert archive.counts()["instances"] == 3
    assert {i.path.read_bytes() for i in archive.instances()} == set(batch)
    again = post(web, *batch)
    assert again.status_code == 200
    assert archive.counts()["instances"] == 3


def test_some_stored_is_202_with_the_reason_for_each_of_the_others(
    web: httpx.Client, archive: Archive
) -> None:
    stored = instance(SOPInstanceUID="1.2.3", StudyInstanceUID="1.2", SeriesInstanceUID="1.2.1")
    archive.add(stored)
    other = instance(SOPInstanceUID="1.2.3", StudyInstanceUID="1.2", SeriesInstanceUID="1.2.1",
                     PatientID="Q")  # fmt: skip
    answer = post(web, instance(), b"this is no DICOM file", other)
    assert answer.status_code == 202
    (failed,) = answer.json()["00081198"]["Value"]
    assert failed["00081197"]["Value"] == [0x0111]
    assert failed["00081155"]["Value"] == ["1.2.3"]
    (unnamed,) = answer.json()["0008119A"]["Value"]  # Other Failures: no instance to name
    assert unnamed == {"00081197": {"vr": "US", "Value": [0xC000]}}
    assert "other content" in answer.headers["warning"]
    assert archive.counts()["instances"] == 2
    assert len(list(archive.quarantined())) == 2


def test_none_stored_is_409(web: httpx.Client, archive: Archive) -> None:
    answer = post(web, b"this is no DICOM file")
    assert answer.status_code == 409
    assert "00081199" not in answer.json()
    assert archive.counts()["instances"] == 0


def test_instances_of_another_study_fail(web: httpx.Client, archive: Archive) -> None:
    mine, other = instance(StudyInstanceUID="1.7"), instance(StudyInstanceUID="1.8")
    answer = post(web, mine, other, path="/studies/1.7")
    assert answer.status_code == 202
    (failed,) = answer.json()["00081198"]["Value"]
    assert failed["00081197"]["Value"] == [0xA900]
    assert failed["00081155"]["Value"] == [read(other).sop_instance_uid]
    assert failed["00081150"]["Value"] == [read(other).sop_class_uid]
    assert answer.json()["00081190"]["Value"][0].endswith("/dicom-web/studies/1.7")
    assert archive.counts()["instances"] == 1


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("text/plain", b"x", 415),
        ("", b"x", 415),
        ('multipart/related; type="image/png"; boundary=XX', joined([b"x"]), 415),
        ("multipart/related; type=application/dicom", joined([b"x"]), 400),
        ("multipart/related; type=application/dicom; boundary=XX", b"no multipart", 400),
        ("multipart/related; type=application/dicom; boundary=XX", b"--XX--\r\n", 400),
        ("application/dicom", b"", 400),
    ],
)
def test_bodies_that_cannot_be_meant(
    web: httpx.Client, archive: Archive, content_type: str, body: bytes, status: int
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    answer = web.post("/dicom-web/studies", content=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert ("application/dicom+json" in answer.headers.get("accept-post", "")) == (status == 415)
    assert list(archive.quarantined()) == []


def test_parts_of_another_kind_fail(web: httpx.Client) -> None:
    body = joined([b"x"]).replace(b"application/dicom", b"image/png")
    answer = web.post("/dicom-web/studies", content=body, headers=MULTIPART)
    assert answer.status_code == 415
    assert "application/dicom" in answer.headers["accept-post"]


def test_what_came_whole_before_the_body_broke_off_is_stored(
    web: httpx.Client, archive: Archive
) -> None:
    body = joined([instance(), instance()])
    answer = web.post("/dicom-web/studies", content=body[:-300], headers=MULTIPART)
    assert answer.status_code == 400
    assert "breaks off" in answer.json()["detail"]
    assert archive.counts()["instances"] == 1


def test_a_full_disk_is_507(web: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Files, parts: object) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Files, "_write_new", full)
    assert post(web, instance()).status_code == 507


def test_xml_answer(web: httpx.Client) -> None:
    answer = web.post(
        "/dicom-web/studies",
        content=joined([instance(SOPInstanceUID="1.2.3")]),
        headers={**MULTIPART, "Accept": "application/dicom+xml"},
    )
    assert answer.status_code == 200
    root = ElementTree.fromstring(answer.content)
    assert "1.2.3" in "".join(root.itertext())


def test_dicom_json_with_bulk_data(web: httpx.Client, archive: Archive) -> None:
    original = pydicom.dcmread(dicom_file("CT_small.dcm"))
    told = json.loads(original.to_json(bulk_data_threshold=20000, bulk_data_element_handler=_uri))
    pixels = original.PixelData
    body = (
        b"--XX\r\nContent-Type: application/dicom+json\r\n\r\n"
        + json.dumps([told]).encode()
        + b"\r\n--XX\r\nContent-Type: application/octet-stream\r\nContent-Location: bulk/7FE00010"
        + b"\r\n\r\n" + pixels + b"\r\n--XX--"
    )  # fmt: skip
    kind = 'multipart/related; type="application/dicom+json"; boundary=XX'
    answer = web.post("/dicom-web/studies", content=body, headers={"Content-Type": kind})
    assert answer.status_code == 200, answer.text
    (stored,) = archive.instances()
    again = pydicom.dcmread(stored.path)
    assert again.PixelData == pixels
    assert again.PatientName == original.PatientName
    missing = body.replace(b"Content-Location: bulk/7FE00010", b"Content-Location: elsewhere")
    answer = web.post("/dicom-web/studies", content=missing, headers={"Content-Type": kind})
    assert answer.status_code == 409
    assert "Content-Location" in answer.headers["warning"]
    (failed,) = answer.json()["00081198"]["Value"]  # its UIDs could be read: it is named
    assert failed["00081155"]["Value"] == [original.SOPInstanceUID]
    assert failed["00081150"]["Value"] == [original.SOPClassUID]
    for broken, status in (
        (b"[{", 400), (b"[1]", 400), (b'[{"7FE00010": [1]}]', 409), (b'[{"00080018": 5}]', 409),
        (b'[{"00080018": {"vr": "UI", "BulkDataURI": "\\u0000\\u001b\\\\\\u20ac"}}]', 409),
    ):  # fmt: skip
        text = b"--XX\r\nContent-Type: application/dicom+json\r\n\r\n" + broken + b"\r\n--XX--"
        answer = web.post("/dicom-web/studies", content=text, headers={"Content-Type": kind})
        assert answer.status_code == status, (broken, answer.text)
        assert answer.headers.get("warning", "").isprintable()


XML = "application/dicom+xml"


def xml_body(*documents: bytes, bulk: tuple[str, bytes] | None = None) -> bytes:
    """A multipart body of documents, and a part of bulk data."""
    body = b"".join(
        f"--XX\r\nContent-Type: {XML}\r\n\r\n".encode() + one + b"\r\n" for one in documents
    )
    if bulk:
        head = f"--XX\r\nContent-Type: application/octet-stream\r\nContent-Location: {bulk[0]}"
        body += head.encode() + b"\r\n\r\n" + bulk[1] + b"\r\n"
    return body + b"--XX--"


def post_xml(web: httpx.Client, body: bytes) -> httpx.Response:
    kind = f'multipart/related; type="{XML}"; boundary=XX'
    return web.post("/dicom-web/studies", content=body, headers={"Content-Type": kind})


@pytest.mark.parametrize("name", ["CT_small.dcm", "rtplan.dcm", "test-SR.dcm", "rtdose.dcm"])
def test_native_dicom_model_with_bulk_data(
    web: httpx.Client, archive: Archive, name: str,
    tmp_path: Path,
) -> None:  # fmt: skip
    """What the metadata says in XML, stored in another archive, is the same data set."""
    original = pydicom.dcmread(dicom_file(name))
    with Archive(tmp_path / "other") as other:
        other.add(dicom_file(name).read_bytes())
        there = TestClient(create_app(Context(other)))
        at = (
            f"/dicom-web/studies/{original.StudyInstanceUID}/series/{original.SeriesInstanceUID}"
            f"/instances/{original.SOPInstanceUID}"
        )
        told = there.get(f"{at}/metadata", headers={"Accept": f'multipart/related; type="{XML}"'})
        (document,) = [data for _, data in parts(told)]
        root = ElementTree.fromstring(document)
        bulk = [e.attrib["uri"] for e in root.iter() if e.tag.endswith("BulkData")]
        body = xml_body(document, bulk=(bulk[0], there.get(bulk[0]).content) if bulk else None)
        before = there.get(f"{at}/metadata").json()
    answer = post_xml(web, body)
    assert answer.status_code == 200, (answer.text, answer.headers)
    (stored,) = archive.instances()
    again = pydicom.dcmread(stored.path)
    assert again.get("PixelData") == original.get("PixelData")
    assert again.get("PatientName") == original.get("PatientName")
    assert len(bulk) == ("PixelData" in original)
    after = web.get(f"{at}/metadata").json()
    assert _plain(after) == _plain(before)


def _plain(header: Any) -> Any:
    """DICOM JSON, numbers as numbers: DS and IS may be either."""
    if isinstance(header, dict):
        if header.get("vr") in ("DS", "IS") and "Value" in header:
            return [None if v is None else float(v) for v in header["Value"]]
        return {
            k: _plain(v) for k, v in header.items()
            if k != "00080005" and not (len(k) == 8 and k.endswith("0000"))
        }  # fmt: skip
    return [_plain(one) for one in header] if isinstance(header, list) else header


BOMB = b"""<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>
<NativeDicomModel><DicomAttribute tag="00100020" vr="LO"><Value number="1">&b;</Value>
</DicomAttribute></NativeDicomModel>"""
OUTSIDE = b"""<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]><NativeDicomModel/>"""


def _nested(depth: int) -> bytes:
    start = b'<DicomAttribute tag="00081115" vr="SQ"><Item number="1">'
    inside = start * depth + b"</Item></DicomAttribute>" * depth
    return b"<NativeDicomModel>" + inside + b"</NativeDicomModel>"


def _attribute(inside: bytes, vr: bytes = b"LO") -> bytes:
    return (
        b'<NativeDicomModel><DicomAttribute tag="00100020" vr="' + vr + b'">' + inside
        + b"</DicomAttribute></NativeDicomModel>"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (b"<Native", "can't be parsed"),
        (b"", "can't be parsed"),
        (BOMB, "DTDs"),
        (OUTSIDE, "DTDs"),
        (b"<html/>", "NativeDicomModel"),
        (b"<NativeDicomModel><Value/></NativeDicomModel>", "DicomAttribute"),
        (_nested(40), "deep"),
        (_nested(20000), "deep"),
        (_attribute(b"<Value>x</Value>"), "number"),
        (_attribute(b'<Value number="9999999">x</Value>'), "number 9999999"),
        (_attribute(b'<Value number="1">x</Value>', b"US"), "no number"),
    ],
    ids=range(11),
)
def test_dicom_xml_that_is_none_is_400(
    web: httpx.Client, archive: Archive, document: bytes, said: str
) -> None:
    answer = post_xml(web, xml_body(document))
    assert answer.status_code == 400, answer.text
    assert said in answer.json()["detail"]
    assert archive.counts()["instances"] == 0


def test_dicom_xml_too_large_is_400(web: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pacslab.web.xml._LARGEST", 100)
    answer = post_xml(web, xml_body(_nested(3)))
    assert answer.status_code == 400
    assert "parts of their own" in answer.json()["detail"]


def test_dicom_xml_that_lacks_its_bulk_data_is_refused_and_named(web: httpx.Client) -> None:
    attributes = (
        ("00080016", "UI", '<Value number="1">1.2.840.10008.5.1.4.1.1.7</Value>'),
        ("00080018", "UI", '<Value number="1">1.2.3</Value>'),
        ("7FE00010", "OW", '<BulkData uri="elsewhere"/>'),
    )
    inside = "".join(f'<DicomAttribute tag="{t}" vr="{v}">{x}</DicomAttribute>'
                     for t, v, x in attributes)  # fmt: skip
    answer = post_xml(web, xml_body(f"<NativeDicomModel>{inside}</NativeDicomModel>".encode()))
    assert answer.status_code == 409
    (failed,) = answer.json()["00081198"]["Value"]
    assert failed["00081155"]["Value"] == ["1.2.3"]


def test_private_attributes_in_xml_get_a_block_of_their_creator() -> None:
    creator = '<DicomAttribute tag="00090010" vr="LO"><Value number="1">A</Value></DicomAttribute>'
    private = (
        f'<DicomAttribute tag="00090001" vr="LO" privateCreator="{c}"><Value number="1">{c}</Value>'
        "</DicomAttribute>"
        for c in "BA"
    )
    found = xml.read(f"<NativeDicomModel>{creator}{''.join(private)}</NativeDicomModel>".encode())
    assert {tag: element["Value"] for tag, element in found.items()} == {
        "00090010": ["A"], "00090011": ["B"], "00091001": ["A"], "00091101": ["B"],
    }  # fmt: skip


def test_what_is_written_as_xml_is_read_as_the_same() -> None:
    header = {
        "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
        "00080008": {"vr": "CS", "Value": ["ORIGINAL", None, "AXIAL"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "A^^C", "Ideographic": "山田^太郎"}]},
        "00100020": {"vr": "LO"},
        "00280010": {"vr": "US", "Value": [4]},
        "00189073": {"vr": "FD", "Value": [1.5]},
        "00081115": {"vr": "SQ", "Value": [{"0020000E": {"vr": "UI", "Value": ["1.2"]}}, {}]},
        "00420011": {"vr": "OB", "InlineBinary": "AAEC"},
        "7FE00010": {"vr": "OW", "BulkDataURI": "https://x/?a=1&b=<2>"},
    }
    assert xml.read(xml.document(header)) == header


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("already", [True, False])
def test_dicom_json_with_compressed_frames(
    web: httpx.Client, archive: Archive, named: bool, already: bool
) -> None:
    """Frames as bare codestreams, a part each, or encapsulated by the sender."""
    original = pydicom.dcmread(dicom_file("JPEG2000.dcm"))
    frames = list(generate_frames(original.PixelData))
    original.NumberOfFrames = 2
    frames *= 2
    told = original.to_json_dict()
    told["7FE00010"] = {"vr": "OB", "BulkDataURI": "px"}
    syntax = JPEG2000Lossless if not named else original.file_meta.TransferSyntaxUID
    kind = b"image/jp2" + (f"; transfer-syntax={syntax}".encode() if named else b"")
    parts = [encapsulate(frames)] if already else frames
    body = b"--XX\r\nContent-Type: application/dicom+json\r\n\r\n" + json.dumps(told).encode()
    for part in parts:
        body += b"\r\n--XX\r\nContent-Type: " + kind + b"\r\nContent-Location: px\r\n\r\n" + part
    answer = web.post(
        "/dicom-web/studies",
        content=body + b"\r\n--XX--",
        headers={"Content-Type": 'multipart/related; type="application/dicom+json"; boundary=XX'},
    )
    assert answer.status_code == 200, answer.headers["warning"]
    (stored,) = archive.instances()
    again = pydicom.dcmread(stored.path)
    assert again.file_meta.TransferSyntaxUID == syntax
    # A fragment is padded to an even length
    assert [f.rstrip(b"\0") for f in generate_frames(again.PixelData, number_of_frames=2)] == [
        f.rstrip(b"\0") for f in frames
    ]


def _uri(element: Any) -> str:
    return f"bulk/{element.tag:08X}"


def test_dicomweb_client_stores_and_retrieves(tmp_path: Path) -> None:
    names = ["CT_small.dcm", "MR_small_RLE.dcm", "JPEG2000.dcm", "rtplan.dcm"]
    datasets = [pydicom.dcmread(dicom_file(name)) for name in names]
    with serving(tmp_path / "a") as ready:
        session = create_session()
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {ready.token}"
        web = DICOMwebClient(ready.dicomweb, session=session)
        answer = web.store_instances(datasets)
        assert len(answer.ReferencedSOPSequence) == len(names)
        assert "FailedSOPSequence" not in answer
        for dataset in datasets:
            got = web.retrieve_instance(
                dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID,
                media_types=(("application/dicom", "*"),),
            )  # fmt: skip
            assert got == dataset
            assert got.file_meta.TransferSyntaxUID == dataset.file_meta.TransferSyntaxUID


def test_memory_stays_flat_while_a_large_body_comes_in(tmp_path: Path) -> None:
    """300 MB in one instance, generated while it is sent."""
    size = 300 << 20
    head = instance(Rows=4, PixelData=None, StudyInstanceUID="1.2.3")
    pixels = b"\xe0\x7f\x10\x00OW\x00\x00" + size.to_bytes(4, "little")

    def body() -> Iterator[bytes]:
        yield b"--XX\r\nContent-Type: application/dicom\r\n\r\n" + head + pixels
        for _ in range(size >> 20):
            yield bytes(1 << 20)
        yield b"\r\n--XX--\r\n"

    with serving(tmp_path / "a") as ready, client(ready) as web:
        server = psutil.Process(ready.pid)
        before = _own(server)
        seen = [before]
        done = threading.Event()

        def watch() -> None:
            while not done.is_set():
                seen.append(_own(server))
                time.sleep(0.02)

        watcher = threading.Thread(target=watch)
        watcher.start()
        answer = web.post("/dicom-web/studies", content=body(), headers=MULTIPART, timeout=120)
        done.set()
        watcher.join()
        assert answer.status_code == 200, answer.text
    assert max(seen) - before < 60 << 20


def _own(process: psutil.Process) -> int:
    """Resident bytes without mapped files, which the system takes back as it likes."""
    memory = process.memory_info()
    return int(memory.rss - getattr(memory, "shared", 0))
