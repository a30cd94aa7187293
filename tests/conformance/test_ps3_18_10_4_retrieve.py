"""PS3.18 10.4: Retrieve Transaction (WADO-RS)."""

from __future__ import annotations

import io

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.conformance.conftest import Get
from tests.web.wado_fixtures import parts

STUDY, SERIES = "studies/1.1", "studies/1.1/series/1.1.1"
JPEG_2000 = "1.2.840.10008.1.2.4.91"
IMAGE = f"{SERIES}/instances/1.1.1.1"
LEVELS = {STUDY: 4, SERIES: 2, IMAGE: 1}


@pytest.mark.parametrize(("path", "number"), LEVELS.items())
def test_10_4_1_1_1_instances_of_a_study_a_series_an_instance(
    pacs: httpx.Client, path: str, number: int
) -> None:
    assert len(parts(pacs.get(path))) == number


@pytest.mark.parametrize(("path", "number"), LEVELS.items())
def test_10_4_1_1_2_metadata_at_three_levels(get: Get, path: str, number: int) -> None:
    assert len(get(f"{path}/metadata")) == number


@pytest.mark.parametrize("path", LEVELS)
def test_10_4_1_1_3_rendered_at_three_levels(pacs: httpx.Client, path: str) -> None:
    answer = pacs.get(f"{path}/rendered", headers={"Accept": "image/png"})
    assert answer.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(answer.content)).size == (4, 4)


@pytest.mark.parametrize("kind", ["image/jpeg", "image/png", "image/gif"])
def test_10_4_1_1_3_rendered_media_types(pacs: httpx.Client, kind: str) -> None:
    answer = pacs.get(f"{IMAGE}/frames/1/rendered", headers={"Accept": kind})
    assert answer.headers["content-type"] == kind


@pytest.mark.parametrize("path", [*LEVELS, f"{IMAGE}/frames/1"])
def test_10_4_1_1_7_thumbnails_at_four_levels(pacs: httpx.Client, path: str) -> None:
    answer = pacs.get(f"{path}/thumbnail?viewport=32,32")
    assert answer.headers["content-type"] == "image/jpeg"
    assert max(Image.open(io.BytesIO(answer.content)).size) <= 32


def test_10_4_1_1_4_bulk_data_and_a_range_of_it(pacs: httpx.Client, get: Get) -> None:
    uri = get(f"{IMAGE}/metadata")[0]["7FE00010"]["BulkDataURI"]
    headers = {"Accept": "application/octet-stream", "Range": "bytes=4-7"}
    answer = pacs.get(uri, headers=headers)
    assert answer.status_code == 206
    assert answer.headers["content-range"] == "bytes 4-7/32"
    assert answer.content == np.arange(2, 4, dtype="<u2").tobytes()


def test_10_4_1_1_5_pixel_data(pacs: httpx.Client) -> None:
    answer = pacs.get(f"{IMAGE}/pixeldata", headers={"Accept": "application/octet-stream"})
    assert answer.content == np.arange(16, dtype="<u2").tobytes()


@pytest.mark.parametrize(
    ("path", "images"),
    [("studies/1.1", 4), ("studies/1.1/series/1.1.1", 2), (IMAGE, 1)],
)
@pytest.mark.parametrize("resource", ["bulkdata", "pixeldata"])
def test_10_4_1_1_5_bulk_data_of_a_study_a_series_an_instance(
    pacs: httpx.Client, get: Get, path: str, images: int, resource: str
) -> None:
    headers = {"Accept": 'multipart/related; type="application/octet-stream"'}
    found = parts(pacs.get(f"{path}/{resource}", headers=headers))
    # 10.4.3.3.5: the Content-Location is the URI in the metadata
    uris = [one["7FE00010"]["BulkDataURI"] for one in get(f"{path}/metadata")]
    assert [fields["content-location"] for fields, _ in found] == uris
    assert len(found) == images
    for fields, data in found:
        assert fields["content-type"].startswith("application/octet-stream; transfer-syntax=")
        assert data == np.arange(16, dtype="<u2").tobytes()
        assert pacs.get(fields["content-location"], headers=headers).status_code == 200


def test_10_4_1_1_5_compressed_pixel_data_has_its_media_type(pacs: httpx.Client, get: Get) -> None:
    (one,) = (i for i in get("instances") if i["00083002"]["Value"] == [JPEG_2000])
    url = one["00081190"]["Value"][0]
    accept = 'multipart/related; type="image/jp2"; transfer-syntax=*'
    ((fields, data),) = parts(pacs.get(f"{url}/bulkdata", headers={"Accept": accept}))
    assert fields["content-type"] == f"image/jp2; transfer-syntax={JPEG_2000}"
    assert data.startswith(b"\xff\x4f\xff\x51")
    octets = {"Accept": 'multipart/related; type="application/octet-stream"'}
    ((fields, data),) = parts(pacs.get(f"{url}/bulkdata", headers=octets))
    assert len(data) == one["00280010"]["Value"][0] * one["00280011"]["Value"][0] * 2


@pytest.mark.parametrize("resource", ["bulkdata", "pixeldata"])
def test_10_4_3_1_bulk_data_that_is_not_here_or_not_acceptable(
    pacs: httpx.Client, resource: str
) -> None:
    assert pacs.get(f"studies/1.9/{resource}").status_code == 404
    video = {"Accept": 'multipart/related; type="video/mp4"'}
    assert pacs.get(f"studies/1.1/{resource}", headers=video).status_code == 406


def test_10_4_1_1_6_frames_in_the_order_of_the_list(pacs: httpx.Client) -> None:
    found = parts(pacs.get(f"{IMAGE}/frames/1,1"))
    assert [data for _, data in found] == [np.arange(16, dtype="<u2").tobytes()] * 2
    assert found[0][0]["content-location"].endswith(f"{IMAGE}/frames/1")


@pytest.mark.parametrize(
    ("frames", "status"), [("0", 400), ("a", 400), ("1,", 400), ("2", 404), ("1,2", 404)]
)
def test_10_4_1_1_6_frames_that_are_not_there(pacs: httpx.Client, frames: str, status: int) -> None:
    assert pacs.get(f"{IMAGE}/frames/{frames}").status_code == status


def test_10_4_1_head_is_get_without_its_body(pacs: httpx.Client) -> None:
    for path in (STUDY, f"{IMAGE}/frames/1", f"{IMAGE}/rendered", f"{STUDY}/metadata"):
        answer = pacs.head(path)
        assert answer.status_code == 200
        assert answer.content == b""


@pytest.mark.parametrize(
    "path",
    ["studies/9.9", f"{STUDY}/series/9.9", f"{SERIES}/instances/9.9", "studies/9.9/metadata",
     f"{STUDY}/series/1.2.1", f"{SERIES}/instances/9.9/frames/1", f"{IMAGE}/bulkdata/00282000"],
)  # fmt: skip
def test_10_4_3_1_404_for_what_is_not_here(pacs: httpx.Client, path: str) -> None:
    assert pacs.get(path).status_code == 404


@pytest.mark.parametrize("path", ["studies/x", "studies/1..2/metadata", f"{STUDY}/series/1.a"])
def test_10_4_3_1_400_for_what_is_no_uid(pacs: httpx.Client, path: str) -> None:
    assert pacs.get(path).status_code == 400


def test_10_4_3_1_304_for_what_the_client_has(pacs: httpx.Client) -> None:
    for path in (STUDY, f"{STUDY}/metadata", f"{IMAGE}/frames/1"):
        tag = pacs.get(path).headers["etag"]
        assert pacs.get(path, headers={"If-None-Match": tag}).status_code == 304


def test_9_4_wado_uri(pacs: httpx.Client) -> None:
    uids = "studyUID=1.1&seriesUID=1.1.1&objectUID=1.1.1.1"
    answer = pacs.get(f"http://testserver/wado?requestType=WADO&{uids}")
    assert answer.headers["content-type"] == "image/jpeg"
    answer = pacs.get(
        f"http://testserver/wado?requestType=WADO&{uids}&contentType=application/dicom"
    )
    assert answer.headers["content-type"].startswith("application/dicom")
    assert pacs.get(f"http://testserver/wado?{uids}").status_code == 400
