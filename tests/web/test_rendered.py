"""Rendered resources and thumbnails (PS3.18 10.4.1.1.3, 10.4.1.1.7 and 8.3.5)."""

from __future__ import annotations

import io
import warnings
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from pacslab.archive import Archive
from pacslab.dicom.pixels import open_pixels
from pacslab.dicom.rendering import render
from pacslab.errors import PixelError
from pacslab.web.app import create_app
from pacslab.web.context import Context
from tests.making import instance
from tests.web.test_frames import IMAGES
from tests.web.wado_fixtures import address, holding, parts

warnings.filterwarnings("ignore", module="pydicom")


def _picture(answer: httpx.Response) -> Image.Image:
    assert answer.status_code == 200, answer.text
    image = Image.open(io.BytesIO(answer.content))
    assert answer.headers["content-type"] == f"image/{str(image.format).lower()}"
    return image


@pytest.mark.parametrize("name", IMAGES)
def test_every_image_is_rendered_or_refused_with_a_reason(name: str) -> None:
    here, stored = holding(name)
    answer = here.client.get(
        address(stored) + "/frames/1/rendered", headers={"accept": "image/png"}
    )
    with open_pixels(stored.path) as pixels:
        try:
            expected = render(pixels, 0)
        except PixelError as error:
            why = error.message
            expected = None
    if expected is None:
        assert answer.status_code == 500
        assert answer.json()["detail"] == why
        return
    assert np.array_equal(np.asarray(_picture(answer)), expected)


@pytest.mark.parametrize("kind", ["image/jpeg", "image/png", "image/gif"])
def test_media_types(kind: str) -> None:
    here, stored = holding("CT_small.dcm")
    answer = here.client.get(address(stored) + "/rendered", headers={"accept": kind})
    assert _picture(answer).size == (128, 128)


def test_jpeg_is_the_default_and_others_are_406() -> None:
    here, stored = holding("CT_small.dcm")
    assert _picture(here.client.get(address(stored) + "/rendered")).format == "JPEG"
    answer = here.client.get(address(stored) + "/rendered", headers={"accept": "image/jp2"})
    assert answer.status_code == 406
    assert "image/png" in answer.json()["detail"]


def test_a_gif_of_several_frames_moves() -> None:
    here, stored = holding("emri_small.dcm")
    picture = _picture(
        here.client.get(address(stored) + "/rendered", headers={"accept": "image/gif"})
    )
    assert picture.n_frames > 1  # type: ignore[attr-defined]
    two = here.client.get(address(stored) + "/frames/1,5/rendered")
    assert len(parts(two)) == 2


def test_viewport_window_and_quality_have_their_effect() -> None:
    here, stored = holding("CT_small.dcm")
    url = address(stored) + "/rendered?"

    def get(query: str, accept: str = "image/png") -> Image.Image:
        return _picture(here.client.get(url + query, headers={"accept": accept}))

    assert get("viewport=64,32").size == (32, 32)
    with open_pixels(stored.path) as pixels:
        expected = render(pixels, 0, window=(40, 400))
    assert np.array_equal(np.asarray(get("window=40,400,linear")), expected)
    flipped = np.asarray(get("window=40,400,linear&viewport=128,128,0,0,-128,"))
    assert np.array_equal(flipped, expected[:, ::-1])
    cut = np.asarray(get("window=40,400,linear&viewport=32,64,16,8,32,64"))
    assert np.array_equal(cut, expected[8:72, 16:48])
    low = here.client.get(url + "quality=5", headers={"accept": "image/jpeg"})
    high = here.client.get(url + "quality=95", headers={"accept": "image/jpeg"})
    assert len(low.content) < len(high.content)


@pytest.mark.parametrize(
    "query",
    ["window=40", "window=a,b,linear", "window=40,0,linear", "window=40,400,cubic", "window=nan,4",
     "viewport=1", "viewport=0,5", "viewport=99999,5", "viewport=5,5,1,1", "viewport=a,b",
     "viewport=5,5,900,900,4,4", "viewport=5,5,0,0,0,5", "quality=0", "quality=101", "quality=x",
     "annotation=nonsense", "annotation=", "iccprofile=cmyk"],
)  # fmt: skip
def test_malformed_parameters_are_400_with_the_reason(query: str) -> None:
    here, stored = holding("CT_small.dcm")
    answer = here.client.get(f"{address(stored)}/rendered?{query}")
    assert answer.status_code == 400
    assert answer.json()["detail"]


def test_annotation_and_profile_are_ignored_politely() -> None:
    here, stored = holding("CT_small.dcm")
    plain = here.client.get(address(stored) + "/rendered")
    said = here.client.get(
        address(stored) + "/rendered?annotation=patient,technique&iccprofile=srgb"
    )
    assert said.content == plain.content


def _mixed(archive: Archive) -> httpx.Client:
    """A series of five: three images, one that is cut off in the middle, one without pixels."""
    uids = {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.1"}
    faults: dict[int, dict[str, Any]] = {
        2: {"PixelData": None},
        3: {"Rows": 400, "PixelData": bytes(64)},
    }
    for k in range(1, 6):
        more = faults.get(k, {})
        archive.add(instance(**uids, SOPInstanceUID=f"1.2.3.1.{k}", InstanceNumber=k, **more))
    return TestClient(create_app(Context(archive)), raise_server_exceptions=False)


def test_broken_neighbours_are_passed_over(archive: Archive) -> None:
    client = _mixed(archive)
    for url in ("/dicom-web/studies/1.2.3", "/dicom-web/studies/1.2.3/series/1.2.3.1"):
        assert len(parts(client.get(url + "/rendered"))) == 3
        assert _picture(client.get(url + "/rendered", headers={"accept": "image/png"})).size == (
            4,
            4,
        )
        gif = _picture(client.get(url + "/rendered", headers={"accept": "image/gif"}))
        assert gif.size == (4, 4)
        assert max(_picture(client.get(url + "/thumbnail")).size) == 128
    alone = "/dicom-web/studies/1.2.3/series/1.2.3.1/instances/1.2.3.1."
    assert client.get(alone + "3/rendered").status_code == 500
    assert client.get(alone + "2/rendered").status_code == 404
    assert client.get(alone + "2/thumbnail").status_code == 404


def test_thumbnails_at_every_level_and_only_with_a_viewport() -> None:
    here, stored = holding("emri_small.dcm")
    instance_url = address(stored)
    series_url = instance_url.rpartition("/instances/")[0]
    for url in (series_url.rpartition("/series/")[0], series_url, instance_url,
                instance_url + "/frames/2"):  # fmt: skip
        assert max(_picture(here.client.get(url + "/thumbnail")).size) <= 128
        small = _picture(here.client.get(url + "/thumbnail?viewport=20,10"))
        assert small.size[1] <= 10
    assert here.client.get(instance_url + "/thumbnail?viewport=9,9,1,1,2,2").status_code == 400


def test_pictures_have_entity_tags_of_their_presentation() -> None:
    here, stored = holding("CT_small.dcm")
    url = address(stored) + "/rendered"
    first = here.client.get(url)
    assert first.headers["cache-control"] == "private, no-cache"
    tag = {"if-none-match": first.headers["etag"]}
    assert here.client.get(url, headers=tag).status_code == 304
    assert here.client.get(url + "?quality=50", headers=tag).status_code == 200
    assert here.client.head(url).headers["content-length"] == str(len(first.content))
