"""De-identification on receive: before disk, index, log and file name, and closed on failure."""

from __future__ import annotations

import io
import logging
import warnings
from pathlib import Path

import pytest
from pydicom import dcmread
from starlette.testclient import TestClient

from pacslab.archive import Archive, Status
from pacslab.deid import receive
from pacslab.deid.crosswalk import Crosswalk
from pacslab.deid.keys import Keys
from pacslab.deid.receive import Receiver, unseal
from pacslab.errors import UsageError
from pacslab.network import client
from pacslab.network.spool import Spool
from pacslab.web.app import create_app
from pacslab.web.context import Context
from tests import servers
from tests.deid.planting import ALWAYS, STRICT, found_in, planted
from tests.deid.test_job import everything
from tests.making import instance

NAMED = {"PatientName": "Quibblethorpe^Zephyrine", "PatientID": "ZQ7781234"}


def objects() -> list[bytes]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [planted(kind) for kind in ("CT", "SR", "DX", "RTSTRUCT")]


def receiving(directory: Path, profile: str = "basic") -> Archive:
    return Archive(directory, on_receive=Receiver(directory, profile).arrival())


def test_nothing_of_it_reaches_the_disk(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    arriving = objects()
    caplog.set_level(logging.DEBUG)
    caplog.clear()
    with receiving(tmp_path / "a") as archive:
        receipts = archive.add_many(arriving)
        assert [r.status for r in receipts] == [Status.STORED] * len(arriving)
        again = archive.add(arriving[0])
        assert again.status is Status.PRESENT
        header = b"".join(h for _, h in archive.metadata())
    assert found_in(everything(tmp_path / "a") + header, STRICT) == []
    assert found_in(caplog.text.encode(), STRICT) == []


@pytest.mark.parametrize(
    "data",
    [
        instance(**NAMED, BurnedInAnnotation="YES"),
        instance(**NAMED, StudyInstanceUID="Quibblethorpe"),
        b"Quibblethorpe, Zephyrine: no DICOM at all",
    ],
)
def test_what_is_refused_is_sealed(tmp_path: Path, data: bytes) -> None:
    with receiving(tmp_path / "a") as archive:
        receipt = archive.add(data)
        assert receipt.status is Status.REFUSED
        assert found_in(receipt.reason.encode(), STRICT) == []
        (kept,) = archive.quarantined()
    assert found_in(everything(tmp_path / "a"), STRICT) == []
    keys = Keys.of(tmp_path / "a" / "deidentification")
    assert unseal(kept.path, keys) == data
    with pytest.raises(UsageError):
        unseal(kept.path, Keys.new())


def test_a_failure_of_any_kind_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("no room for Quibblethorpe")

    with receiving(tmp_path / "a") as archive:
        monkeypatch.setattr(Crosswalk, "note_study", fails)
        receipt = archive.add(instance(**NAMED))
        assert receipt.status is Status.REFUSED
        assert "Quibble" not in receipt.reason
        monkeypatch.undo()
        monkeypatch.setattr(receive, "read", fails)
        assert archive.add(instance(**NAMED)).status is Status.REFUSED
        assert archive.counts()["instances"] == 0
    assert found_in(everything(tmp_path / "a"), STRICT) == []


def test_no_door_lays_it_down_on_the_disk(tmp_path: Path) -> None:
    with receiving(tmp_path / "a") as archive:
        assert archive.spool is None
    with Archive(tmp_path / "b") as plain:
        assert plain.spool == plain.files.incoming
    spool = Spool(lambda: b"head", None)
    for _ in range(6):
        spool.write(bytes(1 << 20))
    assert isinstance(spool.buffer(), bytes)


def test_stow(tmp_path: Path) -> None:
    with (
        receiving(tmp_path / "a") as archive,
        TestClient(create_app(Context(archive))) as web,
    ):
        large = instance(**NAMED, Rows=2048, PixelData=bytes(5 << 20), Columns=1280)
        for data in (large, instance(**NAMED, StudyDescription="Quibblethorpe")):
            answer = web.post(
                "/dicom-web/studies", content=data, headers={"Content-Type": "application/dicom"}
            )
            assert answer.status_code == 200, answer.text
            assert found_in(answer.content, STRICT) == []
        assert archive.counts()["instances"] == 2
    assert found_in(everything(tmp_path / "a"), STRICT) == []


def test_a_server_that_is_asked_to(tmp_path: Path) -> None:
    """C-STORE to a real server process; fake patients, UIDs kept, log and all files searched."""
    sent = [dcmread(io.BytesIO(data)) for data in objects()]
    sent.append(dcmread(io.BytesIO(instance(**NAMED, BurnedInAnnotation="YES", StudyID="7"))))
    log = tmp_path / "serve.log"
    with servers.serving(
        tmp_path / "a", "--deidentify", "fake-patient", "--log-level", "debug", stderr=log
    ) as ready:
        host, port = ready.dicom.rsplit(":", 1)
        results = client.send(sent, host, int(port), ae_title=ready.ae_title, progress=False)
        with servers.client(ready) as web:
            found = web.get("/dicom-web/instances").content
    assert [r.ok for r in results] == [True] * len(sent)
    for held in (found, everything(tmp_path / "a"), log.read_bytes()):
        assert found_in(held, ALWAYS) == []


def test_a_profile_that_isnt_there_stops_the_server(tmp_path: Path) -> None:
    words = ["serve", str(tmp_path / "a"), "--dicom-port", "0", "--http-port", "0"]
    done = servers.run(*words, "--deidentify", "nonsense")
    assert done.returncode == 2
    assert "there is no profile 'nonsense'" in done.stderr
