"""Studies, series, instances and bulk data, as bytes and by other people's client."""

from __future__ import annotations

import io
import subprocess
import sys
import warnings
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom.uid import UID, JPEG2000Lossless, JPEGLSLossless, RLELossless
from starlette.testclient import TestClient

from pacslab.archive import Archive
from pacslab.errors import PacslabError
from pacslab.web.app import create_app
from pacslab.web.context import Context
from tests.making import instance, item
from tests.web.wado_fixtures import (
    MULTIPART_ANY,
    address,
    holding,
    names,
    parts,
    serving,
    shelves,
)

warnings.filterwarnings("ignore", module="pydicom")

EXPLICIT = "1.2.840.10008.1.2.1"
STUDY, SERIES = "1.2.3", "1.2.3.1"


def _client(archive: Archive) -> httpx.Client:
    return TestClient(create_app(Context(archive)), raise_server_exceptions=False)


def _series(archive: Archive, count: int, **more: object) -> str:
    archive.add_many(
        instance(
            StudyInstanceUID=STUDY,
            SeriesInstanceUID=SERIES,
            SOPInstanceUID=f"{SERIES}.{k}",
            InstanceNumber=k,
            **more,
        )
        for k in range(1, count + 1)
    )
    return f"/dicom-web/studies/{STUDY}/series/{SERIES}"


# --- instances ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", names())
def test_any_transfer_syntax_gives_the_bytes_as_they_came(name: str) -> None:
    here, stored = holding(name)
    alone = here.client.get(
        address(stored), headers={"accept": "application/dicom; transfer-syntax=*"}
    )
    assert alone.content == stored.path.read_bytes()
    syntax = stored.transfer_syntax_uid
    assert alone.headers["content-type"] == f"application/dicom; transfer-syntax={syntax}"
    ((fields, data),) = parts(here.client.get(address(stored), headers={"accept": MULTIPART_ANY}))
    assert data == alone.content
    assert fields["content-type"] == f"application/dicom; transfer-syntax={syntax}"
    assert fields["content-location"].endswith(address(stored))


@pytest.mark.parametrize("name", names())
def test_the_default_is_explicit_little_endian_or_a_problem(name: str) -> None:
    here, stored = holding(name)
    answer = here.client.get(address(stored), headers={"accept": "application/dicom"})
    if answer.status_code != 200:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == "pixels"
        return
    read = pydicom.dcmread(io.BytesIO(answer.content))
    assert read.file_meta.TransferSyntaxUID == EXPLICIT
    assert answer.headers["content-type"].endswith(EXPLICIT)
    assert read.SOPInstanceUID == stored.sop_instance_uid


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, RLELossless])
def test_transcoded_to_what_the_client_asks_for(syntax: UID) -> None:
    here, stored = holding("CT_small.dcm")
    answer = here.client.get(
        address(stored), headers={"accept": f"application/dicom; transfer-syntax={syntax}"}
    )
    read = pydicom.dcmread(io.BytesIO(answer.content))
    assert read.file_meta.TransferSyntaxUID == syntax
    assert np.array_equal(read.pixel_array, pydicom.dcmread(stored.path).pixel_array)


def test_the_first_of_several_transfer_syntaxes_that_can_be_had() -> None:
    here, stored = holding("CT_small.dcm")
    wanted = ", ".join(
        f"application/dicom; transfer-syntax={uid}"
        for uid in ("1.2.840.10008.1.2.4.102", JPEGLSLossless, EXPLICIT)
    )
    answer = here.client.get(address(stored), headers={"accept": wanted})
    assert answer.headers["content-type"].endswith(JPEGLSLossless)


@pytest.mark.parametrize(
    "accept",
    ["text/html", "application/dicom; transfer-syntax=1.2.840.10008.1.2",
     "application/dicom; transfer-syntax=1.2.840.10008.1.2.4.102", "image/jpeg",
     'multipart/related; type="image/jpeg"'],
)  # fmt: skip
def test_what_cannot_be_had_is_406_and_says_what_can(accept: str) -> None:
    here, stored = holding("CT_small.dcm")
    answer = here.client.get(address(stored), headers={"accept": accept})
    assert answer.status_code == 406
    assert "application/dicom" in answer.json()["detail"]


def test_the_query_parameter_accept_does_what_the_header_does() -> None:
    here, stored = holding("CT_small.dcm")
    url = address(stored) + "?accept=application/dicom;transfer-syntax%3D*"
    assert here.client.get(url).content == stored.path.read_bytes()


# --- series and studies ---------------------------------------------------------------------


def test_a_series_and_a_study_are_a_part_for_each_instance(archive: Archive) -> None:
    url = _series(archive, 5)
    archive.add(instance(StudyInstanceUID=STUDY, SeriesInstanceUID="1.2.3.2"))
    client = _client(archive)
    found = parts(client.get(url))
    assert [f["content-location"].rsplit("/", 1)[1] for f, _ in found] == [
        f"{SERIES}.{k}" for k in range(1, 6)
    ]
    assert [data for _, data in found] == [
        s.path.read_bytes() for s in archive.instances(STUDY, SERIES)
    ]
    study = client.get(f"/dicom-web/studies/{STUDY}", headers={"accept": MULTIPART_ANY})
    assert len(parts(study)) == 6
    assert study.headers["content-length"] == str(len(study.content))


def test_alone_only_one_instance_can_be_had(archive: Archive) -> None:
    url = _series(archive, 1)
    answer = _client(archive).get(url, headers={"accept": "application/dicom"})
    assert answer.status_code == 406


def test_a_zip_file_holds_every_instance(archive: Archive) -> None:
    url = _series(archive, 3)
    answer = _client(archive).get(url, headers={"accept": "application/zip"})
    with zipfile.ZipFile(io.BytesIO(answer.content)) as made:
        assert made.testzip() is None
        assert sorted(made.namelist()) == [f"{SERIES}/{SERIES}.{k}.dcm" for k in (1, 2, 3)]
        assert made.read(f"{SERIES}/{SERIES}.1.dcm") == next(archive.instances()).path.read_bytes()


def test_a_file_that_is_gone_is_left_out_with_a_warning(archive: Archive) -> None:
    url = _series(archive, 4)
    list(archive.instances())[1].path.unlink()
    client = _client(archive)
    for accept in ("*/*", MULTIPART_ANY):
        answer = client.get(url, headers={"accept": accept})
        assert answer.status_code == 206
        assert "1 of 4 instances left out" in answer.headers["warning"]
        assert f"{SERIES}.2" in answer.headers["warning"]
        assert len(parts(answer)) == 3
    assert client.get(f"{url}/instances/{SERIES}.2").status_code == 404


def test_what_has_no_codec_is_left_out_with_a_warning(archive: Archive) -> None:
    url = _series(archive, 2, Rows=64, Columns=64, PixelData=bytes(64 * 64 * 2))
    archive.add(instance(StudyInstanceUID=STUDY, SeriesInstanceUID=SERIES, PixelData=None))
    wanted = f'multipart/related; type="application/dicom"; transfer-syntax={JPEGLSLossless}'
    answer = _client(archive).get(url, headers={"accept": wanted})
    assert answer.status_code == 206
    assert [f["content-type"].rsplit("=", 1)[1] for f, _ in parts(answer)] == [JPEGLSLossless] * 2


def test_damaged_pixels_harm_no_neighbours(archive: Archive) -> None:
    _, stored = holding("JPEG2000.dcm")
    whole = pydicom.dcmread(stored.path)
    whole.StudyInstanceUID, whole.SeriesInstanceUID = STUDY, SERIES
    for k in (1, 2, 3):
        whole.SOPInstanceUID = UID(f"{SERIES}.{k}")
        whole.file_meta.MediaStorageSOPInstanceUID = whole.SOPInstanceUID
        whole.InstanceNumber = k
        if k == 2:
            kept, whole.PixelData = whole.PixelData, whole.PixelData[:200] + bytes(100)
        file = io.BytesIO()
        whole.save_as(file)
        archive.add(file.getvalue())
        if k == 2:
            whole.PixelData = kept
    client = _client(archive)
    url = f"/dicom-web/studies/{STUDY}/series/{SERIES}"
    found = parts(client.get(url))
    assert [f["content-location"].rsplit(".", 1)[1] for f, _ in found] == ["1", "2", "3"]
    syntaxes = [f["content-type"].rpartition("=")[2] for f, _ in found]
    assert syntaxes == ["1.2.840.10008.1.2.1", stored.transfer_syntax_uid, "1.2.840.10008.1.2.1"]
    assert ["warning" in f for f, _ in found] == [False, True, False]
    alone = client.get(f"{url}/instances/{SERIES}.2")
    assert (alone.status_code, alone.json()["code"]) == (500, "pixels")
    assert len(parts(client.get(url, headers={"accept": MULTIPART_ANY}))) == 3


def test_htj2k_without_its_encoder_is_406_with_the_remedy(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = _series(archive, 1, Rows=64, PixelData=bytes(64 * 4 * 2))
    (stored,) = archive.instances()
    asked = [
        (f"{url}/instances/{stored.sop_instance_uid}", "application/dicom"),
        (f"{url}/instances/{stored.sop_instance_uid}/frames/1", "image/jphc"),
    ]
    client = _client(archive)
    for at, kind in asked:
        accept = {"accept": f"{kind}; transfer-syntax=1.2.840.10008.1.2.4.201"}
        answer = client.get(at, headers=accept)
        assert answer.headers["content-type"] == accept["accept"]
        with monkeypatch.context() as without:
            without.setitem(sys.modules, "imagecodecs", None)
            answer = client.get(at, headers=accept)
        assert answer.status_code == 406
        assert "pip install 'pacslab[htj2k]'" in answer.json()["detail"]


def test_a_file_that_shrinks_while_it_is_sent_breaks_the_answer_off(archive: Archive) -> None:
    url = _series(archive, 1, Rows=1200, PixelData=bytes(1200 * 4 * 2) * 1000)
    app = create_app(Context(archive))
    path = next(archive.instances()).path
    with (
        serving(app) as root,
        httpx.stream("GET", root + url, headers={"accept": MULTIPART_ANY}) as answer,
    ):
        pieces = answer.iter_raw(1 << 16)
        next(pieces)
        with path.open("r+b") as file:
            file.truncate(1000)
        with pytest.raises(httpx.RemoteProtocolError):
            list(pieces)


def test_what_is_not_there_is_404_and_what_is_no_uid_400(archive: Archive) -> None:
    url = _series(archive, 1)
    client = _client(archive)
    for path in ("/dicom-web/studies/1.9", f"/dicom-web/studies/{STUDY}/series/1.9",
                 f"{url}/instances/1.9", f"/dicom-web/studies/1.9/series/{SERIES}"):  # fmt: skip
        assert client.get(path).status_code == 404
    for path in ("/dicom-web/studies/x", "/dicom-web/studies/1..2", f"{url}/instances/%2e%2e"):
        assert client.get(path).status_code in {400, 404}


def test_entity_tags_tell_forms_apart_and_head_sends_none_of_it(archive: Archive) -> None:
    url = _series(archive, 2)
    client = _client(archive)
    seen = set()
    for path, accept in (
        (url, MULTIPART_ANY),
        (f"{url}/instances/{SERIES}.1", MULTIPART_ANY),
        (f"{url}/instances/{SERIES}.1", "application/dicom"),
        (f"{url}/instances/{SERIES}.1", f"application/dicom; transfer-syntax={RLELossless}"),
        (f"{url}/instances/{SERIES}.2", "application/dicom"),
    ):
        whole = client.get(path, headers={"accept": accept})
        tag = whole.headers["etag"]
        again = client.get(path, headers={"accept": accept, "if-none-match": tag})
        assert (again.status_code, again.content) == (304, b"")
        head = client.head(path, headers={"accept": accept})
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == whole.headers["content-length"]
        seen.add(tag)
    assert len(seen) == 5
    archive.add(instance(StudyInstanceUID=STUDY, SeriesInstanceUID=SERIES))
    assert client.get(url, headers={"if-none-match": ", ".join(seen)}).status_code == 200


# --- bulk data ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "status", "start", "stop"),
    [
        ("bytes=0-9", 206, 0, 10),
        ("bytes=100-", 206, 100, None),
        ("bytes=-7", 206, -7, None),
        ("bytes=5-5", 206, 5, 6),
        ("bytes=30000-99999999", 206, 30000, None),
        ("bytes=9-5", 200, 0, None),
        ("bytes=0-1,5-6", 200, 0, None),
        ("lines=0-1", 200, 0, None),
        ("bytes=-", 200, 0, None),
    ],
)
def test_ranges_of_pixel_data(asked: str, status: int, start: int, stop: int | None) -> None:
    here, stored = holding("CT_small.dcm")
    whole = pydicom.dcmread(stored.path).PixelData
    url = address(stored) + "/bulkdata/7FE00010"
    answer = here.client.get(url, headers={"range": asked})
    assert answer.status_code == status
    assert answer.content == whole[start:stop]
    if status == 206:
        first, last = slice(start, stop).indices(len(whole))[:2]
        assert answer.headers["content-range"] == f"bytes {first}-{last - 1}/{len(whole)}"


def test_a_range_behind_the_end_is_416_and_if_range_is_heeded() -> None:
    here, stored = holding("CT_small.dcm")
    url = address(stored) + "/bulkdata/7FE00010"
    answer = here.client.get(url, headers={"range": "bytes=32768-"})
    assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */32768")
    tag = here.client.head(url).headers["etag"]
    for held, status in ((tag, 206), ('"other"', 200)):
        asked = {"range": "bytes=0-1", "if-range": held}
        assert here.client.get(url, headers=asked).status_code == status


def test_compressed_pixel_data_is_decoded_and_ranges_run_over_all_frames() -> None:
    here, stored = holding("examples_ybr_color.dcm")
    dataset = pydicom.dcmread(stored.path)
    url = address(stored) + "/bulkdata/7FE00010"
    whole = here.client.get(url)
    expected = b"".join(
        here.client.get(
            f"{address(stored)}/frames/{k}", headers={"accept": "application/octet-stream"}
        ).content
        for k in range(1, int(dataset.NumberOfFrames) + 1)
    )
    assert whole.content[: len(expected)] == expected
    size = len(expected) // int(dataset.NumberOfFrames)
    asked = {"range": f"bytes={size - 5}-{2 * size + 4}"}
    assert here.client.get(url, headers=asked).content == expected[size - 5 : 2 * size + 5]
    kind = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
    stored_frames = parts(here.client.get(url, headers={"accept": kind}))
    assert len(stored_frames) == dataset.NumberOfFrames
    assert stored_frames[0][0]["content-type"].endswith(stored.transfer_syntax_uid)


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small_bigendian.dcm", "liver_1frame.dcm"])
def test_native_pixel_data_is_little_endian(name: str) -> None:
    here, stored = holding(name)
    transcoded = here.client.get(address(stored), headers={"accept": "application/dicom"}).content
    value = pydicom.dcmread(io.BytesIO(transcoded)).PixelData
    answer = here.client.get(address(stored) + "/pixeldata")
    assert answer.content == value


@pytest.mark.parametrize("path", ["7FE00010/0", "00990099", "xyz", "00081140", "7FE00008", ""])
def test_no_bulk_data_where_there_is_none(path: str) -> None:
    here, stored = holding("CT_small.dcm")
    answer = here.client.get(f"{address(stored)}/bulkdata/{path}")
    assert answer.status_code == 404
    assert answer.json()["detail"]


# --- other people's client ------------------------------------------------------------------


def test_dicomweb_client_retrieves_everything(archive: Archive) -> None:
    _series(archive, 3, OpticalPathSequence=[item(ICCProfile=bytes(range(256)) * 20)])
    with serving(create_app(Context(archive, token="t0ken"))) as root:
        client = DICOMwebClient(root + "/dicom-web", headers={"Authorization": "Bearer t0ken"})
        for found in (
            client.retrieve_study(STUDY),
            client.retrieve_series(STUDY, SERIES),
            client.retrieve_series(STUDY, SERIES, media_types=(("application/dicom", "*"),)),
        ):
            assert [d.InstanceNumber for d in found] == [1, 2, 3]
        uid = f"{SERIES}.2"
        one = client.retrieve_instance(STUDY, SERIES, uid)
        assert one.SOPInstanceUID == uid
        assert len(client.retrieve_study_metadata(STUDY)) == 3
        assert len(client.retrieve_series_metadata(STUDY, SERIES)) == 3
        told = client.retrieve_instance_metadata(STUDY, SERIES, uid)
        assert client.retrieve_instance_frames(STUDY, SERIES, uid, [1]) == [one.PixelData]
        # This client's Host field lacks the port, and so do the addresses that it is given
        pixels = root + urlsplit(told["7FE00010"]["BulkDataURI"]).path
        assert client.retrieve_bulkdata(pixels) == [one.PixelData]
        assert client.retrieve_bulkdata(pixels, byte_range=(0, 3)) == [one.PixelData[:4]]
        nested = told["00480105"]["Value"][0]["00282000"]["BulkDataURI"]
        values = client.retrieve_bulkdata(root + urlsplit(nested).path)
        assert values == [bytes(range(256)) * 20]
        png = client.retrieve_instance_rendered(STUDY, SERIES, uid, media_types=("image/png",))
        assert png.startswith(b"\x89PNG")
        shown = client.retrieve_instance_frames_rendered(
            STUDY, SERIES, uid, [1], media_types=("image/jpeg",), params={"quality": 95}
        )
        assert shown.startswith(b"\xff\xd8")
        assert client.retrieve_series_rendered(STUDY, SERIES, media_types=("image/gif",))[:3] == (
            b"GIF"
        )


def test_dicomweb_client_gets_compressed_frames_of_every_kind() -> None:
    for shelf in shelves():
        with serving(shelf.app) as root:
            client = DICOMwebClient(root + "/dicom-web")
            for stored in shelf.stored.values():
                if not UID(stored.transfer_syntax_uid).is_encapsulated:
                    continue
                uids = (
                    stored.study_instance_uid,
                    stored.series_instance_uid,
                    stored.sop_instance_uid,
                )
                url = address(stored) + "/frames/1"
                kind = ("application/octet-stream", "*")
                expected = shelf.client.get(
                    url, headers={"accept": "application/octet-stream; transfer-syntax=*"}
                )
                if expected.status_code == 200:
                    found = client.retrieve_instance_frames(*uids, [1], media_types=(kind,))
                    assert found == [expected.content]


# --- memory ---------------------------------------------------------------------------------

_FLAT = """
import resource, sys, threading
import httpx
from pacslab.archive import Archive
from pacslab.web.app import create_app
from pacslab.web.context import Context
from tests.web.wado_fixtures import MULTIPART_ANY, serving
archive = Archive(sys.argv[1])
with serving(create_app(Context(archive))) as root:
    def get(accept):
        with httpx.stream("GET", root + "/dicom-web/studies/1.2.3", headers={"accept": accept},
                          timeout=60) as answer:
            assert answer.status_code == 200
            return sum(map(len, answer.iter_raw(1 << 20)))
    httpx.get(root + "/dicom-web/studies/1.2.3/metadata")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sent = [get(MULTIPART_ANY), get("*/*"), get("application/zip")]
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(min(sent), (after - before) * 1024)
"""


def test_memory_stays_flat_while_a_large_study_is_sent(tmp_path: Path) -> None:
    with Archive(tmp_path / "archive") as archive:
        _series(archive, 8, Rows=1024, Columns=16384, PixelData=bytes(1024 * 16384 * 2))
    done = subprocess.run(
        [sys.executable, "-c", _FLAT, str(tmp_path / "archive")],
        capture_output=True,
        check=False,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    sent, grown = map(int, done.stdout.split())
    assert sent > 8 * 32 << 20
    assert grown < 40 << 20


def test_a_request_of_many_at_once_is_answered_to_each(archive: Archive) -> None:
    url = _series(archive, 40)
    with serving(create_app(Context(archive))) as root:

        def get(k: int) -> int:
            path = f"{url}/instances/{SERIES}.{k % 40 + 1}"
            kinds = (url + "/metadata", path, path + "/frames/1", path + "/rendered")
            answer = httpx.get(root + kinds[k % 4], timeout=60)
            return answer.status_code

        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(get, range(160))) == {200}


def test_errors_carry_their_status(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    url = _series(archive, 1)

    def fail(*_: object) -> None:
        raise PacslabError("out of order: repair it")

    monkeypatch.setattr(archive, "instances", fail)
    answer = _client(archive).get(url)
    assert (answer.status_code, answer.json()["detail"]) == (500, "out of order: repair it")
