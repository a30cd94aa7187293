"""Frames are pydicom's frames, and stored ones the file's (PS3.18 10.4.1.1.6)."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import MPEG4HP41, UID, JPEG2000Lossless, JPEGLSLossless, RLELossless
from starlette.testclient import TestClient

from pacslab.archive import Archive
from pacslab.dicom.part10 import read_part10
from pacslab.dicom.pixels import Pixels, open_pixels
from pacslab.errors import PixelError
from pacslab.web.app import create_app
from pacslab.web.context import Context
from pacslab.web.negotiation import OCTETS, media_type_of
from tests.making import instance
from tests.web.wado_fixtures import address, holding, names, parts

warnings.filterwarnings("ignore", module="pydicom")

ANY = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
EXPLICIT = "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1"


def _images() -> list[str]:
    found = []
    for name in names():
        try:
            with Pixels(read_part10(holding(name)[1].path)):
                found.append(name)
        except PixelError:
            continue
    return found


IMAGES = _images()


def _or_error(decode: Callable[[], bytes]) -> tuple[bytes | None, str]:
    try:
        return decode(), ""
    except PixelError as error:
        return None, error.message


@pytest.mark.parametrize("name", IMAGES)
def test_decoded_frames_are_those_of_the_decoder(name: str) -> None:
    here, stored = holding(name)
    with open_pixels(stored.path) as pixels:
        for number in sorted({1, pixels.number_of_frames}):
            answer = here.client.get(f"{address(stored)}/frames/{number}")
            expected, why = _or_error(lambda: pixels.decoded_frame(number - 1))  # noqa: B023
            if expected is None:
                assert answer.status_code == 500, answer.text
                assert answer.json()["code"] == "pixels"
                assert answer.json()["detail"] == why
                continue
            ((fields, data),) = parts(answer)
            assert data == expected
            assert fields["content-type"] == EXPLICIT
            assert fields["content-location"].endswith(f"{address(stored)}/frames/{number}")


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small_RLE.dcm", "JPEG2000.dcm",
                                  "emri_small.dcm", "SC_rgb_rle_32bit.dcm"])  # fmt: skip
def test_decoded_frames_are_pydicoms_pixels(name: str) -> None:
    here, stored = holding(name)
    dataset = pydicom.dcmread(stored.path)
    expected = dataset.pixel_array.reshape(int(dataset.get("NumberOfFrames") or 1), -1)
    for number in range(1, len(expected) + 1):
        answer = here.client.get(f"{address(stored)}/frames/{number}", headers={"accept": OCTETS})
        assert answer.headers["content-type"] == EXPLICIT
        found = np.frombuffer(answer.content[: expected[0].nbytes], expected.dtype)
        assert np.array_equal(found, expected[number - 1])


@pytest.mark.parametrize("name", IMAGES)
def test_any_transfer_syntax_gives_the_stored_codestream(name: str) -> None:
    here, stored = holding(name)
    with open_pixels(stored.path) as pixels:
        if not pixels.encapsulated:
            return
        try:
            expected = pixels.stored_frame(0)
        except PixelError:
            return
    syntax = stored.transfer_syntax_uid
    ((fields, data),) = parts(
        here.client.get(f"{address(stored)}/frames/1", headers={"accept": ANY})
    )
    assert data == expected
    assert fields["content-type"] == f"{OCTETS}; transfer-syntax={syntax}"
    kind = media_type_of(syntax)
    answer = here.client.get(f"{address(stored)}/frames/1", headers={"accept": kind})
    assert answer.content == expected
    assert answer.headers["content-type"] == f"{kind}; transfer-syntax={syntax}"


def test_a_list_gives_its_frames_in_its_order() -> None:
    here, stored = holding("emri_small.dcm")
    found = parts(here.client.get(f"{address(stored)}/frames/3,1,2,3"))
    locations = [fields["content-location"].rsplit("/", 1)[1] for fields, _ in found]
    assert locations == ["3", "1", "2", "3"]
    assert found[0][1] == found[3][1] != found[1][1]


@pytest.mark.parametrize(
    ("frames", "status"),
    [("0", 400), ("a", 400), ("1,", 400), ("1,,2", 400), ("-1", 400), ("1-3", 400),
     ("11", 404), ("1,11", 404), ("999999999", 404), ("1" * 12, 400)],
)  # fmt: skip
def test_lists_that_are_malformed_or_go_outside(frames: str, status: int) -> None:
    here, stored = holding("emri_small.dcm")
    answer = here.client.get(f"{address(stored)}/frames/{frames}")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_several_frames_are_not_to_be_had_without_multipart() -> None:
    here, stored = holding("emri_small.dcm")
    answer = here.client.get(f"{address(stored)}/frames/1,2", headers={"accept": OCTETS})
    assert answer.status_code == 406
    assert "multipart/related" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("media_type", "syntax"),
    [
        ("image/jls", JPEGLSLossless),
        ("image/jp2", JPEG2000Lossless),
        ("image/dicom-rle", RLELossless),
    ],
)
def test_frames_are_encoded_as_they_are_asked_for(media_type: str, syntax: UID) -> None:
    here, stored = holding("CT_small.dcm")
    answer = here.client.get(f"{address(stored)}/frames/1", headers={"accept": media_type})
    assert answer.headers["content-type"] == f"{media_type}; transfer-syntax={syntax}"
    dataset = pydicom.dcmread(stored.path)
    expected = dataset.pixel_array
    dataset.PixelData = encapsulate([answer.content + b"\0" * (len(answer.content) % 2)])
    dataset["PixelData"].VR = "OB"
    dataset.file_meta.TransferSyntaxUID = syntax
    assert np.array_equal(dataset.pixel_array, expected)


def test_wildcards_take_what_is_stored_and_encode_nothing() -> None:
    here, stored = holding("CT_small.dcm")
    url = address(stored) + "/frames/1"
    assert here.client.get(url, headers={"accept": "image/*"}).status_code == 406
    here, stored = holding("JPEG2000.dcm")
    url = address(stored) + "/frames/1"
    answer = here.client.get(url, headers={"accept": "image/*"})
    assert answer.headers["content-type"].startswith(
        "image/jp2; transfer-syntax=1.2.840.10008.1.2.4.9"
    )


def test_the_frames_of_a_video_are_refused_and_its_stream_is_bulk_data(archive: Archive) -> None:
    stream = bytes(range(256)) * 300
    archive.add(
        instance(
            TransferSyntaxUID=MPEG4HP41, NumberOfFrames=20, PixelData=encapsulate([stream]),
            BitsAllocated=8, BitsStored=8, HighBit=7, SamplesPerPixel=3, PlanarConfiguration=0,
            PhotometricInterpretation="YBR_PARTIAL_420",
        )
    )  # fmt: skip
    client = TestClient(create_app(Context(archive)), raise_server_exceptions=False)
    here = address(next(archive.instances()))
    assert client.get(here + "/frames/1").status_code == 406
    answer = client.get(here + "/bulkdata/7FE00010", headers={"accept": "video/mp4"})
    assert answer.content == stream
    assert answer.headers["content-type"] == f"video/mp4; transfer-syntax={MPEG4HP41}"
    part = client.get(
        here + "/bulkdata/7FE00010", headers={"accept": "video/mp4", "range": "bytes=256-511"}
    )
    assert (part.status_code, part.content) == (206, bytes(range(256)))
    assert client.get(here + "/rendered").status_code == 406
    # Permitted for what can only be had compressed with loss (PS3.18 8.7.3.4)
    whole = client.get(here, headers={"accept": "application/dicom"})
    assert whole.headers["content-type"].endswith(str(MPEG4HP41))


def test_broken_frames_are_problems_and_harm_no_others(archive: Archive) -> None:
    uids = {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.1"}
    archive.add(instance(**uids, SOPInstanceUID="1.2.3.1.1", Rows=400, PixelData=bytes(64)))
    archive.add(instance(**uids, SOPInstanceUID="1.2.3.1.2"))
    archive.add(instance(**uids, SOPInstanceUID="1.2.3.1.3", PixelData=None))
    archive.add(instance(**uids, SOPInstanceUID="1.2.3.1.4", BitsAllocated=13))
    client = TestClient(create_app(Context(archive)), raise_server_exceptions=False)
    url = "/dicom-web/studies/1.2.3/series/1.2.3.1/instances/1.2.3.1."
    for number, status in ((1, 500), (2, 200), (3, 404), (4, 500)):
        answer = client.get(f"{url}{number}/frames/1")
        assert answer.status_code == status
        assert status == 200 or answer.json()["detail"]


def test_a_replaced_or_removed_file_is_seen_at_once(archive: Archive) -> None:
    uids = {
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.1",
        "SOPInstanceUID": "1.2.3.4",
    }
    archive.add(instance(**uids))
    client = TestClient(create_app(Context(archive)), raise_server_exceptions=False)
    url = address(next(archive.instances())) + "/frames/1"
    first = client.get(url)
    assert client.get(url, headers={"if-none-match": first.headers["etag"]}).status_code == 304
    archive.remove("1.2.3", source="test")
    assert client.get(url).status_code == 404
    archive.add(instance(**uids, PixelData=bytes(32)))
    second = client.get(url, headers={"if-none-match": first.headers["etag"]})
    assert second.status_code == 200
    assert parts(second)[0][1] == bytes(32)


def test_head_and_entity_tags_of_frames() -> None:
    here, stored = holding("CT_small.dcm")
    url = address(stored) + "/frames/1"
    for accept in ("*/*", OCTETS, "image/jls"):
        whole = here.client.get(url, headers={"accept": accept})
        head = here.client.head(url, headers={"accept": accept})
        assert head.content == b""
        for field in ("etag", "content-length"):
            assert head.headers[field] == whole.headers[field]
        again = here.client.get(
            url, headers={"accept": accept, "if-none-match": f'"x", {whole.headers["etag"]}'}
        )
        assert (again.status_code, again.content) == (304, b"")
