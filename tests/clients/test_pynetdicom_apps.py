"""pynetdicom's own programs as SCU of every service they know."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest

from pacslab.archive import Archive
from pacslab.network.listener import DicomListener
from pacslab.network.registry import Peer, Registry
from tests.making import instance
from tests.network.conftest import HOST, storescp
from tests.network.test_find import STUDY_A, fill


@pytest.fixture
def listener(archive: Archive) -> Iterator[DicomListener]:
    fill(archive)
    with DicomListener(archive, port=0) as started:
        yield started


def app(name: str, listener: DicomListener, *words: object, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "pynetdicom", name, HOST, str(listener.port), *map(str, words)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=cwd,
        env=dict(os.environ),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def keys(*pairs: str) -> list[str]:
    return [word for pair in pairs for word in ("-k", pair)]


def test_echoscu_and_storescu(listener: DicomListener, archive: Archive, tmp_path: Path) -> None:
    app("echoscu", listener, cwd=tmp_path)
    file = tmp_path / "one.dcm"
    file.write_bytes(instance(SOPInstanceUID="1.2.99"))
    app("storescu", listener, file, cwd=tmp_path)
    assert archive.instance("1.2.99").transfer_syntax_uid == "1.2.840.10008.1.2.1"


def test_findscu(listener: DicomListener, tmp_path: Path) -> None:
    said = app("findscu", listener, "-S", *keys("QueryRetrieveLevel=STUDY", "PatientID=P1",
               "StudyInstanceUID="), cwd=tmp_path)  # fmt: skip
    assert STUDY_A in said
    assert "0x0000 (Success)" in said


def test_getscu(listener: DicomListener, tmp_path: Path) -> None:
    out = tmp_path / "got"
    app("getscu", listener, "-S", "-od", out, *keys("QueryRetrieveLevel=STUDY",
        f"StudyInstanceUID={STUDY_A}"), cwd=tmp_path)  # fmt: skip
    got = {pydicom.dcmread(f).SOPInstanceUID for f in out.iterdir()}
    assert got == {"1.2.3.1.1.1", "1.2.3.1.1.2", "1.2.3.1.2.1"}


@pytest.mark.dcmtk
def test_movescu(listener: DicomListener, archive: Archive, tmp_path: Path) -> None:
    with storescp(tmp_path / "in") as port:
        Registry(archive.directory / "peers.toml").put(Peer("DEST", HOST, port))
        app("movescu", listener, "-P", "-aem", "DEST", *keys("QueryRetrieveLevel=PATIENT",
            "PatientID=P1"), cwd=tmp_path)  # fmt: skip
        assert len(list((tmp_path / "in").iterdir())) == 3
