"""Broken objects: each gets a clear problem, and none harms the answers of its neighbours."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import JPEG2000Lossless, RLELossless
from starlette.testclient import TestClient

from pacslab.archive import Archive
from pacslab.archive.archive import Stored
from pacslab.dicom.transcode import transcode
from pacslab.web.app import create_app
from pacslab.web.context import Context
from tests.making import instance, written
from tests.web.wado_fixtures import parts

PATIENT = "Unsaid^Name"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
SERIES = "/dicom-web/studies/1.7/series/1.7.1"
DICOM = 'multipart/related; type="application/dicom"'

Dataset = pydicom.FileDataset


def image(number: int, syntax: str = EXPLICIT_LITTLE) -> Dataset:
    """A grey image of 32 x 32 in a transfer syntax."""
    data = instance(
        StudyInstanceUID="1.7", SeriesInstanceUID="1.7.1", SOPInstanceUID=f"1.7.1.{number}",
        InstanceNumber=number, PatientName=PATIENT, Rows=32, Columns=32,
        PixelData=np.arange(1024, dtype="<u2").tobytes(),
    )  # fmt: skip
    return pydicom.dcmread(
        io.BytesIO(data if syntax == EXPLICIT_LITTLE else transcode(data, syntax))
    )


def truncated(it: Dataset) -> None:
    it.PixelData = it.PixelData[:1000]


def wrong_photometric(it: Dataset) -> None:
    it.PhotometricInterpretation = "RGB"


def unknown_photometric(it: Dataset) -> None:
    it.PhotometricInterpretation = "PURPLE"


def missing_lut(it: Dataset) -> None:
    it.PhotometricInterpretation = "PALETTE COLOR"


def too_many_frames(it: Dataset) -> None:
    it.NumberOfFrames = 3


def no_rows(it: Dataset) -> None:
    del it.Rows


def corrupt_fragment(it: Dataset) -> None:
    code = bytearray(next(generate_frames(it.PixelData)))
    code[20:] = b"\x5a" * (len(code) - 20)
    it.PixelData = encapsulate([bytes(code)])


def cut_fragment(it: Dataset) -> None:
    code = next(generate_frames(it.PixelData))
    it.PixelData = encapsulate([code[: len(code) // 4 * 2]])


def no_fragment(it: Dataset) -> None:
    it.PixelData = b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"


def no_offset_table(it: Dataset) -> None:
    code = next(generate_frames(it.PixelData))
    it.PixelData = encapsulate([code, code], has_bot=False)
    it.NumberOfFrames = 2


def wrong_offset_table(it: Dataset) -> None:
    code = next(generate_frames(it.PixelData))
    value = bytearray(encapsulate([code, code], has_bot=True))
    value[8:16] = b"\xff" * 8
    it.PixelData = bytes(value)
    it.NumberOfFrames = 2


@dataclass(frozen=True)
class Case:
    """How an object is broken, and what can still be had of it."""

    broken: Callable[[Dataset], None]
    syntax: str = EXPLICIT_LITTLE
    frame: bool = False
    picture: bool = False
    explicit: bool = False

    def __str__(self) -> str:
        return f"{self.broken.__name__}-{pydicom.uid.UID(self.syntax).keyword}"


CASES = [
    Case(truncated, explicit=True),
    # Its frame is what it is, whatever the header calls its colours
    Case(wrong_photometric, frame=True, explicit=True),
    Case(unknown_photometric, frame=True, explicit=True),
    Case(missing_lut, frame=True, explicit=True),
    Case(missing_lut, RLELossless, frame=True, explicit=True),
    Case(no_rows, explicit=True),
    Case(too_many_frames, frame=True, picture=False, explicit=True),
    Case(too_many_frames, JPEG2000Lossless),
    Case(corrupt_fragment, JPEG2000Lossless),
    Case(corrupt_fragment, RLELossless),
    Case(cut_fragment, RLELossless),
    Case(no_fragment, JPEG2000Lossless),
    # These two are damaged so that everything can be had all the same
    Case(no_offset_table, RLELossless, frame=True, picture=True, explicit=True),
    Case(wrong_offset_table, JPEG2000Lossless, frame=True, picture=True, explicit=True),
]


@dataclass(frozen=True)
class Room:
    """A series of a sound image, a broken one and another sound one."""

    case: Case
    client: httpx.Client
    stored: dict[str, Stored]
    log: pytest.LogCaptureFixture

    def get(self, path: str, accept: str = "*/*") -> httpx.Response:
        answer: httpx.Response = self.client.get(f"{SERIES}{path}", headers={"Accept": accept})
        return answer

    def broken(self, path: str, accept: str = "*/*") -> httpx.Response:
        return self.get(f"/instances/1.7.1.2{path}", accept)

    def found(self, path: str, accept: str) -> list[tuple[str, dict[str, str], bytes]]:
        """The parts of an answer, by the number of their instance."""
        answer = self.get(path, accept)
        assert answer.status_code in (200, 206), answer.text
        if answer.status_code == 206:
            assert "1.7.1.2" in answer.headers["warning"]
        return [
            (f["content-location"].partition("/instances/")[2].split("/")[0], f, data)
            for f, data in parts(answer)
        ]


@pytest.fixture(params=CASES, ids=str)
def room(
    request: pytest.FixtureRequest, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> Iterator[Room]:
    case: Case = request.param
    middle = image(2, case.syntax)
    case.broken(middle)
    with Archive(tmp_path / "a") as archive, caplog.at_level(logging.DEBUG):
        for data in (written(image(1)), written(middle), written(image(3))):
            receipt = archive.add(data)
            assert receipt.error is None
        client = TestClient(create_app(Context(archive)), raise_server_exceptions=False)
        yield Room(case, client, {i.sop_instance_uid: i for i in archive.instances()}, caplog)
    assert PATIENT.split("^", maxsplit=1)[0] not in caplog.text


def check(answer: httpx.Response, fine: bool) -> None:
    if fine:
        assert answer.status_code == 200, answer.text
        assert answer.content
        return
    assert 400 <= answer.status_code < 600, answer.status_code
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert told["code"] in ("pixels", "not-acceptable"), told
    assert len(told["detail"]) > 20
    assert "unexpected" not in answer.text


def test_the_broken_one_alone(room: Room) -> None:
    case = room.case
    check(room.broken("/frames/1"), case.frame)
    for path in ("/rendered", "/thumbnail", "/frames/1/rendered"):
        check(room.broken(path), case.picture or (path == "/frames/1/rendered" and case.frame
              and case.broken is too_many_frames))  # fmt: skip
    check(room.broken("", f"application/dicom; transfer-syntax={EXPLICIT_LITTLE}"), case.explicit)
    check(room.broken("", DICOM), case.explicit)
    uids = "studyUID=1.7&seriesUID=1.7.1&objectUID=1.7.1.2"
    shown = case.picture or (case.frame and case.broken is too_many_frames)
    check(room.client.get(f"/wado?requestType=WADO&{uids}&contentType=image/png&frameNumber=1"),
          shown)  # fmt: skip


def test_of_the_broken_one_there_is_its_header_and_what_is_stored(room: Room) -> None:
    (header,) = room.broken("/metadata").json()
    assert header["00080018"]["Value"] == ["1.7.1.2"]
    answer = room.broken("", "application/dicom; transfer-syntax=*")
    assert answer.content == room.stored["1.7.1.2"].path.read_bytes()
    uids = "studyUID=1.7&seriesUID=1.7.1&objectUID=1.7.1.2"
    said = f"requestType=WADO&{uids}&contentType=application/dicom&transferSyntax=*"
    assert room.client.get(f"/wado?{said}").content == answer.content


def test_the_neighbours_alone(room: Room) -> None:
    for number in (1, 3):
        for path in ("", "/frames/1", "/rendered", "/thumbnail", "/metadata", "/bulkdata"):
            assert room.get(f"/instances/1.7.1.{number}{path}").status_code == 200
    assert room.get("/rendered", "image/png").status_code == 200
    assert room.get("/thumbnail").status_code == 200
    assert len(room.get("/metadata").json()) == 3


@pytest.mark.parametrize("syntax", [EXPLICIT_LITTLE, RLELossless, JPEG2000Lossless, "*"])
def test_a_series_is_whole_whatever_it_is_sent_in(room: Room, syntax: str) -> None:
    """What can't be brought to the transfer syntax is sent as it is stored, or named."""
    found = room.found("", f"{DICOM}; transfer-syntax={syntax}")
    numbers = [number for number, _, _ in found]
    assert set(numbers) >= {"1.7.1.1", "1.7.1.3"}
    for number, fields, data in found:
        read = pydicom.dcmread(io.BytesIO(data))
        held = room.stored[number]
        sent = read.file_meta.TransferSyntaxUID
        assert fields["content-type"] == f"application/dicom; transfer-syntax={sent}"
        if "warning" in fields:
            assert number == "1.7.1.2"
            assert fields["warning"].startswith("299 pacslab ")
            assert data == held.path.read_bytes()
        elif syntax != "*":
            assert sent == syntax
        if number != "1.7.1.2":
            assert np.array_equal(read.pixel_array, np.arange(1024).reshape(32, 32))


def test_pictures_of_a_series_are_those_of_the_sound_ones(room: Room) -> None:
    found = room.found("/rendered", 'multipart/related; type="image/png"')
    expected = ["1.7.1.1", "1.7.1.2", "1.7.1.3"]
    assert [n for n, _, _ in found] in (expected, expected[::2])
    assert all(data.startswith(b"\x89PNG") for _, _, data in found)


@pytest.mark.parametrize("resource", ["bulkdata", "pixeldata"])
def test_bulk_data_of_a_series_is_that_of_the_sound_ones_and_what_is_stored(
    room: Room, resource: str
) -> None:
    found = room.found(f"/{resource}", 'multipart/related; type="application/octet-stream"')
    values = {number: (fields, data) for number, fields, data in found}
    whole = np.arange(1024, dtype="<u2").tobytes()
    assert values["1.7.1.1"][1] == values["1.7.1.3"][1] == whole
    fields, data = values["1.7.1.2"]
    if "warning" not in fields and room.case.syntax != EXPLICIT_LITTLE:
        assert data[:2048] == whole
    alone = room.broken(f"/{resource}", 'multipart/related; type="application/octet-stream"')
    assert (alone.status_code == 200) == ("warning" not in fields)


def test_the_log_of_what_nobody_foresaw_quotes_no_header(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        try:
            raise ValueError(PATIENT)
        except ValueError as error:
            raise KeyError(f"no {PATIENT}") from error

    monkeypatch.setattr(Archive, "metadata", fails)
    with Archive(tmp_path / "a") as archive:
        archive.add(written(image(1)))
        # The exception doesn't leave the application, where the server would log it
        with TestClient(create_app(Context(archive))) as client:
            answer = client.get(f"{SERIES}/metadata")
    assert answer.status_code == 500
    assert answer.json()["code"] == "unexpected"
    assert PATIENT not in answer.text + caplog.text
    assert "builtins.ValueError" in caplog.text
    assert "in fails" in caplog.text
