"""PS3.18 10.5: Store Transaction (STOW-RS), and the DELETE that has no clause."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import httpx
import pytest

from pacslab.archive import Archive
from tests.making import instance
from tests.web.test_multipart import joined
from tests.web.wado_fixtures import parts

KIND = 'multipart/related; type="application/dicom"; boundary=XX'
OF_11 = {"StudyInstanceUID": "1.1", "SeriesInstanceUID": "1.1.1"}


def post(
    web: httpx.Client, *bodies: bytes, path: str = "studies", kind: str = KIND
) -> httpx.Response:
    headers = {"Content-Type": kind}
    return web.post(f"/dicom-web/{path}", content=joined(bodies), headers=headers)


def test_10_5_1_1_two_target_resources(web: httpx.Client) -> None:
    assert post(web, instance(**OF_11)).status_code == 200
    assert post(web, instance(**OF_11), path="studies/1.1").status_code == 200


def test_10_5_1_2_dicom_files_in_multipart_or_one_alone(web: httpx.Client) -> None:
    assert post(web, instance(), instance()).status_code == 200
    assert post(web, instance(), kind=KIND.replace('"', "")).status_code == 200
    headers = {"Content-Type": "application/dicom"}
    answer = web.post("/dicom-web/studies", content=instance(), headers=headers)
    assert answer.status_code == 200


def test_10_5_1_2_a_transfer_syntax_parameter_does_no_harm(web: httpx.Client) -> None:
    kind = f"{KIND}; transfer-syntax=1.2.840.10008.1.2.1"
    assert post(web, instance(), kind=kind).status_code == 200


def test_10_5_1_2_dicom_json_with_bulk_data(web: httpx.Client, archive: Archive) -> None:
    post(web, instance(**OF_11, SOPInstanceUID="1.1.1.1"))
    (header,) = web.get("/dicom-web/studies/1.1/metadata").json()
    header["00080018"]["Value"] = ["1.1.1.2"]
    header["7FE00010"]["BulkDataURI"] = "bulk/1"
    body = (
        b"--XX\r\nContent-Type: application/dicom+json\r\n\r\n" + json.dumps([header]).encode()
        + b"\r\n--XX\r\nContent-Type: application/octet-stream\r\nContent-Location: bulk/1\r\n\r\n"
        + bytes(32) + b"\r\n--XX--\r\n"
    )  # fmt: skip
    kind = KIND.replace("application/dicom", "application/dicom+json")
    answer = web.post("/dicom-web/studies", content=body, headers={"Content-Type": kind})
    assert answer.status_code == 200
    assert archive.counts()["instances"] == 2


def test_10_5_1_2_native_dicom_model_with_bulk_data(web: httpx.Client, archive: Archive) -> None:
    post(web, instance(**OF_11, SOPInstanceUID="1.1.1.1"))
    accept = {"Accept": 'multipart/related; type="application/dicom+xml"'}
    ((_, document),) = parts(web.get("/dicom-web/studies/1.1/metadata", headers=accept))
    document = document.replace(b">1.1.1.1<", b">1.1.1.2<")
    (uri,) = re.findall(rb'<BulkData uri="([^"]+)"', document)
    body = (
        b"--XX\r\nContent-Type: application/dicom+xml\r\n\r\n" + document
        + b"\r\n--XX\r\nContent-Type: application/octet-stream\r\nContent-Location: " + uri
        + b"\r\n\r\n" + bytes(32) + b"\r\n--XX--\r\n"
    )  # fmt: skip
    kind = KIND.replace("application/dicom", "application/dicom+xml")
    answer = web.post("/dicom-web/studies", content=body, headers={"Content-Type": kind})
    assert answer.status_code == 200, answer.headers
    assert archive.counts()["instances"] == 2


def test_10_5_3_1_200_when_all_are_stored_and_again(web: httpx.Client) -> None:
    data = instance()
    assert post(web, data).status_code == 200
    assert post(web, data).status_code == 200


def test_10_5_3_1_202_when_some_are_stored(web: httpx.Client) -> None:
    assert post(web, instance(), b"no DICOM").status_code == 202


def test_10_5_3_1_409_when_none_is_stored(web: httpx.Client) -> None:
    assert post(web, b"no DICOM").status_code == 409


@pytest.mark.parametrize(
    "kind", ["text/plain", "image/png", 'multipart/related; type="text/plain"; boundary=XX']
)
def test_10_5_3_1_415_for_other_media_types(web: httpx.Client, kind: str) -> None:
    assert post(web, instance(), kind=kind).status_code == 415


def test_10_5_3_1_400_for_a_body_that_is_none(web: httpx.Client) -> None:
    headers = {"Content-Type": KIND}
    for body in (b"", b"no multipart", b"--XX--\r\n"):
        assert web.post("/dicom-web/studies", content=body, headers=headers).status_code == 400


def test_10_5_3_2_the_referenced_sop_sequence_says_what_is_stored_and_where(
    web: httpx.Client,
) -> None:
    told = post(web, instance(**OF_11, SOPInstanceUID="1.1.1.1")).json()
    assert set(told) == {"00081190", "00081199"}
    (item,) = told["00081199"]["Value"]
    assert item["00081150"]["Value"] == ["1.2.840.10008.5.1.4.1.1.2"]
    assert item["00081155"]["Value"] == ["1.1.1.1"]
    assert web.get(item["00081190"]["Value"][0]).status_code == 200
    assert web.get(told["00081190"]["Value"][0]).status_code == 200


@pytest.mark.parametrize(
    ("data", "reason", "sequence"),
    [
        # Of what has no SOP Instance UID it is said in the Other Failures Sequence
        (b"no DICOM", 0xC000, "0008119A"),
        (instance(SOPInstanceUID="1.x"), 0xC000, "0008119A"),
        (instance(StudyInstanceUID="1.2"), 0xA900, "00081198"),
        (instance(**OF_11, SOPInstanceUID="1.1.1.1", PatientID="other"), 0x0111, "00081198"),
    ],
    ids=["not-dicom", "invalid-uid", "another-study", "other-content"],
)
def test_10_5_3_2_the_failed_sop_sequence_says_why(
    web: httpx.Client, data: bytes, reason: int, sequence: str
) -> None:
    stored = instance(**OF_11, SOPInstanceUID="1.1.1.1")
    answer = post(web, stored, data, path="studies/1.1")
    (failed,) = answer.json()[sequence]["Value"]
    assert failed["00081197"] == {"vr": "US", "Value": [reason]}
    assert answer.headers["warning"].startswith("299 pacslab")


def test_10_5_3_3_the_answer_is_json_or_xml(web: httpx.Client) -> None:
    for accept in ("application/dicom+json", "application/dicom+xml"):
        headers = {"Content-Type": KIND, "Accept": accept}
        answer = web.post("/dicom-web/studies", content=joined([instance()]), headers=headers)
        assert answer.headers["content-type"] == accept


def test_delete_is_forbidden_by_default(web: httpx.Client) -> None:
    post(web, instance(**OF_11))
    assert web.delete("/dicom-web/studies/1.1").status_code == 403


def test_delete_can_be_taken_back(webs: Callable[..., httpx.Client], archive: Archive) -> None:
    web = webs(allow_delete=True)
    post(web, instance(**OF_11))
    assert web.delete("/dicom-web/studies/1.1").status_code == 204
    assert web.delete("/dicom-web/studies/1.1").status_code == 404
    assert [kept.code for kept in archive.quarantined()] == ["deleted"]
