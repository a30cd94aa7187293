"""Every file of pydicom: added, found, read over the web as pydicom reads it, and returned.

What is refused has its reason. Each file gets an archive of its own, since many of them are other
encodings of the same instance.
"""

from __future__ import annotations

import json
import warnings
from email.parser import BytesParser
from pathlib import Path

import httpx
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian
from starlette.testclient import TestClient

from pacslab.archive import Archive, Status
from pacslab.web.app import create_app
from pacslab.web.context import Context
from tests.conftest import pydicom_files

ROOT = "http://testserver/dicom-web"
# Why a file that isn't in the table below may be refused.
NO_STUDY = "Study Instance UID is missing"
REFUSED = ("not a DICOM file", NO_STUDY, "a DICOMDIR is a table of contents")
# Its NumberOfFrames is '1A', which no integer string can be: text stays text.
BROKEN_VALUES = {("badVR.dcm", "NumberOfFrames")}


@pytest.mark.parametrize("path", pydicom_files(), ids=lambda p: p.name)
@pytest.mark.filterwarnings("ignore")
def test_each_file(path: Path, tmp_path: Path) -> None:
    data = path.read_bytes()
    with (
        Archive(tmp_path / "a") as archive,
        TestClient(create_app(Context(archive))) as web,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        receipt = archive.add(data)
        if receipt.status is Status.REFUSED:
            assert receipt.reason.startswith(REFUSED), receipt.reason
            assert next(archive.quarantined()).path.read_bytes() == data
            _is_no_instance(path)
            return
        original = pydicom.dcmread(path, force=True)
        (found,) = web.get("/dicom-web/instances").json()
        assert found["00080018"]["Value"] == [original.SOPInstanceUID]
        url = found["00081190"]["Value"][0]
        _same_metadata(web, url, original, path.name)
        answer = web.get(
            url,
            headers={"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'},
        )
        assert answer.status_code == 200, answer.text
        assert (
            _part(answer) == data
            or path.name.startswith(("rtplan", "ExplVR"))
            or (
                _part(answer).endswith(data)  # a file without preamble and file meta gets them
            )
        )


def _is_no_instance(path: Path) -> None:
    """What is refused must be something that has no place in a study."""
    try:
        dataset = pydicom.dcmread(path, force=True)
    except Exception:
        return
    assert not ("SOPInstanceUID" in dataset and "StudyInstanceUID" in dataset)


def _same_metadata(web: httpx.Client, url: str, original: Dataset, name: str) -> None:
    (told,) = web.get(f"{url}/metadata").json()

    # Pixels in other forms than native little endian are had as frames: tests/web/test_frames.py
    syntax = pydicom.uid.UID(original.file_meta.get("TransferSyntaxUID", ImplicitVRLittleEndian))
    elsewhere = (
        {"PixelData"}
        if name == "badVR.dcm" or syntax.is_compressed or not syntax.is_little_endian
        else set()
    )

    def bulk(uri: str) -> bytes:
        assert uri.startswith(f"{url}/bulkdata/")
        if elsewhere and uri.endswith("/bulkdata/7FE00010"):
            return b""
        answer = web.get(uri, headers={"Accept": "application/octet-stream; transfer-syntax=*"})
        assert answer.status_code == 200, answer.text
        return answer.content

    again = Dataset.from_json(json.dumps(told), bulk)
    for element in original:
        if element.tag.element == 0 or (name, element.keyword) in BROKEN_VALUES:
            continue
        if element.keyword in elsewhere:
            continue
        got = again[element.tag]
        assert got.value == element.value or (got.is_empty and element.is_empty), element.tag


def _part(answer: httpx.Response) -> bytes:
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    (part,) = BytesParser().parsebytes(head + answer.content).get_payload()
    body = part.get_payload(decode=True)  # type: ignore[union-attr]
    assert isinstance(body, bytes)
    return body


def test_most_of_them_are_instances(tmp_path: Path) -> None:
    with Archive(tmp_path / "a") as archive:
        receipts = archive.add_many(p.read_bytes() for p in pydicom_files())
    reasons = [r.reason for r in receipts if r.error and r.error.code != "conflict"]
    assert len(receipts) - len(reasons) >= 160
