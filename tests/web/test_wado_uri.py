"""WADO-URI, as older viewers use it (PS3.18 9)."""

from __future__ import annotations

import io
from urllib.parse import urlencode

import httpx
import pydicom
import pytest
from PIL import Image

from tests.web.wado_fixtures import holding


def _get(name: str, **more: str) -> httpx.Response:
    here, stored = holding(name)
    said = {
        "requestType": "WADO",
        "studyUID": stored.study_instance_uid,
        "seriesUID": stored.series_instance_uid,
        "objectUID": stored.sop_instance_uid,
        **more,
    }
    return here.client.get("/wado?" + urlencode({k: v for k, v in said.items() if v}))


def test_an_image_is_a_jpeg_by_default() -> None:
    answer = _get("CT_small.dcm")
    assert answer.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(answer.content)).size == (128, 128)


def test_several_frames_are_an_object_unless_one_is_named() -> None:
    assert _get("emri_small.dcm").headers["content-type"].startswith("application/dicom")
    answer = _get("emri_small.dcm", frameNumber="3")
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.content != _get("emri_small.dcm", frameNumber="9").content
    assert _get("emri_small.dcm", frameNumber="11").status_code == 404
    gif = _get("emri_small.dcm", contentType="image/gif")
    assert Image.open(io.BytesIO(gif.content)).n_frames > 1  # type: ignore[attr-defined]


def test_the_object_is_explicit_little_endian_unless_said_otherwise() -> None:
    answer = _get("JPEG2000.dcm", contentType="application/dicom")
    read = pydicom.dcmread(io.BytesIO(answer.content))
    assert read.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    _, stored = holding("JPEG2000.dcm")
    same = _get(
        "JPEG2000.dcm", contentType="application/dicom", transferSyntax=stored.transfer_syntax_uid
    )
    assert same.content == stored.path.read_bytes()
    refused = _get(
        "CT_small.dcm", contentType="application/dicom", transferSyntax="1.2.840.10008.1.2.4.102"
    )
    assert refused.status_code == 406


def test_size_window_region_and_quality() -> None:
    answer = _get("CT_small.dcm", contentType="image/png", rows="64", columns="32")
    assert Image.open(io.BytesIO(answer.content)).size == (32, 32)
    answer = _get("CT_small.dcm", contentType="image/png", rows="64")
    assert Image.open(io.BytesIO(answer.content)).size == (64, 64)
    answer = _get("CT_small.dcm", contentType="image/png", region="0,0,0.5,0.25")
    assert Image.open(io.BytesIO(answer.content)).size == (64, 32)
    plain = _get("CT_small.dcm", contentType="image/png").content
    narrow = _get("CT_small.dcm", contentType="image/png", windowCenter="0", windowWidth="9")
    assert narrow.content != plain
    assert len(_get("CT_small.dcm", imageQuality="5").content) < len(_get("CT_small.dcm").content)


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"requestType": ""}, 400),
        ({"requestType": "STOW"}, 400),
        ({"studyUID": "x"}, 400),
        ({"objectUID": ""}, 400),
        ({"objectUID": "1.2.3.4.5.6"}, 404),
        ({"rows": "0"}, 400),
        ({"columns": "a"}, 400),
        ({"windowCenter": "5"}, 400),
        ({"windowCenter": "5", "windowWidth": "a"}, 400),
        ({"region": "0,0,2,1"}, 400),
        ({"region": "0.5"}, 400),
        ({"imageQuality": "0"}, 400),
        ({"frameNumber": "0"}, 400),
        ({"frameNumber": "2"}, 404),
        ({"contentType": "video/mpeg"}, 406),
        ({"transferSyntax": "1.2.840.10008.1.2.1"}, 400),
        ({"contentType": "application/dicom", "transferSyntax": "x"}, 400),
        ({"contentType": "application/dicom", "transferSyntax": "1.2.840.10008.1.2"}, 406),
        ({"anonymize": "yes"}, 406),
        ({"anonymize": "no"}, 400),
        ({"presentationSeriesUID": "1.2"}, 406),
        ({"seriesUID": "1.2"}, 404),
        ({"contentType": "application/dicom", "objectUID": "1.2.3.4.5.6"}, 404),
        ({"contentType": "no media type"}, 400),
        ({"presentationUID": "1.2"}, 406),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_reason(said: dict[str, str], status: int) -> None:
    answer = _get("CT_small.dcm", **said)
    assert answer.status_code == status
    assert answer.json()["detail"]


def test_what_has_no_effect_does_no_harm() -> None:
    plain = _get("CT_small.dcm").content
    for said in ({"charset": "UTF-8"}, {"annotation": "patient"}, {"unknown": "x"}):
        assert _get("CT_small.dcm", **said).content == plain


def test_what_has_no_pixels_is_sent_as_object() -> None:
    answer = _get("rtplan.dcm")
    assert answer.headers["content-type"].startswith("application/dicom")
    assert _get("rtplan.dcm", contentType="image/png").status_code == 406


def test_pictures_have_entity_tags() -> None:
    here, stored = holding("CT_small.dcm")
    url = (
        f"/wado?requestType=WADO&studyUID={stored.study_instance_uid}"
        f"&seriesUID={stored.series_instance_uid}&objectUID={stored.sop_instance_uid}"
    )
    tag = here.client.get(url).headers["etag"]
    assert here.client.get(url, headers={"if-none-match": tag}).status_code == 304
