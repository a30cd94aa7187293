"""Metadata is what pydicom reads from the file (PS3.18 10.4.1.1.2 and Annex F)."""

from __future__ import annotations

import json
import warnings
import xml.etree.ElementTree as ET

import pydicom
import pytest
from pydicom.dataset import Dataset
from starlette.testclient import TestClient

from pacslab.archive import Archive
from pacslab.web.app import create_app
from pacslab.web.context import Context
from tests.making import instance, item
from tests.web.wado_fixtures import address, holding, names, parts

warnings.filterwarnings("ignore", module="pydicom")

# Its NumberOfFrames is '1A', which no integer string can be: text stays text.
BROKEN_VALUES = {("badVR.dcm", "NumberOfFrames")}
# What the web carries isn't what the file holds: swapped to little endian, or decoded
BIG_ENDIAN = "1.2.840.10008.1.2.2"


@pytest.mark.parametrize("name", names())
def test_metadata_and_its_bulk_data_are_pydicoms_reading(name: str) -> None:
    here, stored = holding(name)
    original = pydicom.dcmread(stored.path, force=True)
    answer = here.client.get(address(stored) + "/metadata")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/dicom+json"
    unequal: list[str] = []

    def bulk(uri: str) -> bytes:
        assert uri.startswith("http://testserver" + address(stored) + "/bulkdata/")
        if stored.transfer_syntax_uid == BIG_ENDIAN or uri.endswith("/bulkdata/7FE00010"):
            return b""  # of these the tests of bulk data and frames tell
        got = here.client.get(uri)
        assert got.status_code == 200, got.text
        return got.content

    (told,) = answer.json()
    again = Dataset.from_json(told, bulk)
    for element in original:
        if element.tag.element == 0 or (name, element.keyword) in BROKEN_VALUES:
            continue
        same = again[element.tag]
        if "BulkDataURI" in told[f"{element.tag:08X}"] and same.value == b"":
            continue
        if not (same.value == element.value or (same.is_empty and element.is_empty)):
            unequal.append(f"{element.tag} {element.keyword}")
    assert unequal == []
    assert len(told) == sum(1 for e in original if e.tag.element != 0)


def _series(archive: Archive, count: int) -> tuple[str, str]:
    study, series = "1.2.3.4", "1.2.3.4.5"
    archive.add_many(
        instance(
            StudyInstanceUID=study, SeriesInstanceUID=series, SOPInstanceUID=f"{series}.{k}",
            InstanceNumber=k,
        )
        for k in range(1, count + 1)
    )  # fmt: skip
    archive.add(instance(StudyInstanceUID=study, SeriesInstanceUID="1.2.3.4.6"))
    return study, series


def test_three_levels_with_an_object_for_each_instance_in_order(archive: Archive) -> None:
    study, series = _series(archive, 30)
    client = TestClient(create_app(Context(archive)))
    of_study = client.get(f"/dicom-web/studies/{study}/metadata").json()
    of_series = client.get(f"/dicom-web/studies/{study}/series/{series}/metadata").json()
    assert len(of_study) == 31
    assert [d["00200013"]["Value"][0] for d in of_series] == list(range(1, 31))
    one = client.get(
        f"/dicom-web/studies/{study}/series/{series}/instances/{series}.7/metadata"
    ).json()
    assert one == [of_series[6]]
    uri = one[0]["7FE00010"]["BulkDataURI"]
    assert client.get(uri).status_code == 200


def test_more_than_fits_in_one_piece_is_streamed_whole(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, series = _series(archive, 30)
    monkeypatch.setattr("pacslab.web.metadata._CHUNK", 4000)
    monkeypatch.setattr("pacslab.web.metadata._SECONDS", 0.0)
    client = TestClient(create_app(Context(archive)))
    answer = client.get(f"/dicom-web/studies/{study}/series/{series}/metadata")
    assert "content-length" not in answer.headers
    assert len(answer.json()) == 30


def test_bulk_data_addresses_follow_the_prefix_under_which_we_are_seen(archive: Archive) -> None:
    study, _ = _series(archive, 1)
    client = TestClient(create_app(Context(archive)), client=("127.0.0.1", 1))
    answer = client.get(
        f"/dicom-web/studies/{study}/metadata",
        headers={
            "X-Forwarded-Prefix": "/user/x/proxy/8042",
            "X-Forwarded-Host": "hub.example",
            "X-Forwarded-Proto": "https",
        },
    )
    uri = answer.json()[0]["7FE00010"]["BulkDataURI"]
    assert uri.startswith(f"https://hub.example/user/x/proxy/8042/dicom-web/studies/{study}/")


def test_nested_bulk_data_is_found_at_its_address(archive: Archive) -> None:
    long = bytes(range(256)) * 20
    archive.add(instance(OpticalPathSequence=[item(Rows=1), item(ICCProfile=long)]))
    client = TestClient(create_app(Context(archive)))
    stored = next(archive.instances())
    (told,) = client.get(address(stored) + "/metadata").json()
    uri = told["00480105"]["Value"][1]["00282000"]["BulkDataURI"]
    assert client.get(uri).content == long


def test_xml_is_a_part_for_each_instance(archive: Archive) -> None:
    study, series = _series(archive, 3)
    client = TestClient(create_app(Context(archive)))
    answer = client.get(
        f"/dicom-web/studies/{study}/series/{series}/metadata",
        headers={"accept": 'multipart/related; type="application/dicom+xml"'},
    )
    found = parts(answer)
    assert len(found) == 3
    for fields, data in found:
        assert fields["content-type"] == "application/dicom+xml"
        root = ET.fromstring(data)
        assert root.tag.endswith("NativeDicomModel")
        assert any(e.get("tag") == "00080018" for e in root)


def test_what_is_not_there_is_404_and_what_is_no_uid_400(archive: Archive) -> None:
    study, series = _series(archive, 1)
    client = TestClient(create_app(Context(archive)))
    assert client.get("/dicom-web/studies/1.9.9/metadata").status_code == 404
    other = f"/dicom-web/studies/{study}/series/1.2.3.4.6/instances/{series}.1/metadata"
    assert client.get(other).status_code == 404
    assert client.get("/dicom-web/studies/x/metadata").status_code == 400
    assert client.get(
        f"/dicom-web/studies/{study}/metadata", headers={"accept": "image/png"}
    ).status_code == 406  # fmt: skip


def test_an_entity_tag_holds_until_something_changes(archive: Archive) -> None:
    study, series = _series(archive, 2)
    client = TestClient(create_app(Context(archive)))
    url = f"/dicom-web/studies/{study}/series/{series}/metadata"
    tag = client.get(url, headers={"accept-encoding": "identity"}).headers["etag"]
    assert client.get(url, headers={"if-none-match": tag}).status_code == 304
    zipped = client.get(url, headers={"accept-encoding": "gzip"}).headers["etag"]
    assert client.get(url, headers={"if-none-match": zipped}).status_code == 304
    archive.add(instance(StudyInstanceUID=study, SeriesInstanceUID=series))
    answer = client.get(url, headers={"if-none-match": tag})
    assert (answer.status_code, len(answer.json())) == (200, 3)


def test_head_gives_the_fields_alone(archive: Archive) -> None:
    study, _ = _series(archive, 2)
    client = TestClient(create_app(Context(archive)))
    url = f"/dicom-web/studies/{study}/metadata"
    whole = client.get(url, headers={"accept-encoding": "identity"})
    head = client.head(url, headers={"accept-encoding": "identity"})
    assert head.content == b""
    assert head.headers["content-length"] == whole.headers["content-length"]
    assert head.headers["etag"] == whole.headers["etag"]


def test_no_file_is_opened(archive: Archive) -> None:
    study, _ = _series(archive, 2)
    for stored in archive.instances():
        stored.path.unlink()
    client = TestClient(create_app(Context(archive)))
    assert len(json.loads(client.get(f"/dicom-web/studies/{study}/metadata").content)) == 3
