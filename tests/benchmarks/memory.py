"""How much the server's memory grows while large studies are stored and retrieved."""

from __future__ import annotations

import io
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import psutil
import pydicom
from pydicom.uid import generate_uid

from tests.benchmarks import data
from tests.benchmarks.asking import Ask, Connection
from tests.benchmarks.peers import Peer, pacslab
from tests.benchmarks.table import Row
from tests.conftest import dcmtk, dicom_file

DICOM = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_EVERY = 0.02  # seconds between two looks at the server's memory


@dataclass(frozen=True)
class Study:
    """A study of so many multi-frame CT objects, made as it is sent; frames are 512 KiB each."""

    objects: int
    frames: int

    @cached_property
    def uid(self) -> str:
        """Its Study Instance UID."""
        return str(generate_uid())

    @cached_property
    def _made(self) -> tuple[bytes, str, bytes]:
        """The bytes before the frames, the UID in them that each object replaces, and a frame."""
        dataset = pydicom.dcmread(dicom_file(data.CT))
        frame = np.random.default_rng(1).integers(0, 256, 512 * 1024, np.uint8).tobytes()
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = self.uid, generate_uid()
        dataset.NumberOfFrames = f"{self.frames:>12}"
        dataset.SOPInstanceUID = f"{generate_uid()[:50]}.100000"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.PixelData = b""
        file = io.BytesIO()
        dataset.save_as(file)
        length = (self.frames * len(frame)).to_bytes(4, "little")
        return file.getvalue()[:-4] + length, str(dataset.SOPInstanceUID), frame

    @property
    def megabytes(self) -> float:
        """Its size."""
        return self.objects * self.frames * 512 * 1024 / 1e6

    def pieces(self, number: int) -> Iterator[bytes]:
        """The bytes of one of its objects."""
        head, uid, frame = self._made
        yield head.replace(uid.encode(), f"{uid[:-6]}{100_000 + number}".encode())
        for _ in range(self.frames):
            yield frame


def growth(peer: Peer, action: Callable[[], None]) -> float:
    """By how many MB the server's resident memory is larger at most while something is done."""
    process, done = psutil.Process(peer.pid), threading.Event()
    before = most = process.memory_info().rss

    def watch() -> None:
        nonlocal most
        while not done.wait(_EVERY):
            most = max(most, process.memory_info().rss)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        action()
    finally:
        done.set()
        watching.join()
    return (max(most, process.memory_info().rss) - before) / 1e6


def store_by_web(peer: Peer, study: Study) -> None:
    """Send it by STOW-RS in one request."""

    def body() -> Iterator[bytes]:
        for number in range(study.objects):
            yield b"--bench\r\nContent-Type: application/dicom\r\n\r\n"
            yield from study.pieces(number)
            yield b"\r\n"
        yield b"--bench--\r\n"

    answer = peer.post(
        "/studies", body(), 'multipart/related; type="application/dicom"; boundary=bench'
    )
    assert answer.status_code == 200, answer.text[:300]


def store_by_dimse(peer: Peer, study: Study, folder: Path) -> None:
    """Send it by C-STORE, some objects at a time, so that not all of them have to be on disk."""
    sent = folder / "sent"
    at_once = max(1, 300 // study.frames)
    for start in range(0, study.objects, at_once):
        sent.mkdir()
        for number in range(start, min(start + at_once, study.objects)):
            with (sent / f"{number}.dcm").open("wb") as opened:
                opened.writelines(study.pieces(number))
        words = [dcmtk("storescu"), "-aec", peer.aet, "+sd", "127.0.0.1", str(peer.dicom_port)]
        subprocess.run([*words, str(sent)], check=True, capture_output=True)
        shutil.rmtree(sent)


def retrieve(peer: Peer, study: Study) -> None:
    """Read it as a whole, as it is stored."""
    with Connection(peer) as connection:
        answer = connection.get(Ask(f"/studies/{study.uid}", DICOM))
    assert answer.length > study.megabytes * 1e6


def warm(peer: Peer, folder: Path) -> None:
    """Do all of it once with little, so that what is loaded once isn't counted."""
    small = Study(2, 12)
    store_by_web(peer, small)
    store_by_dimse(peer, Study(2, 12), folder)
    retrieve(peer, small)


def figures(peer: Peer, folder: Path, study: Study, again: Study) -> dict[str, float]:
    """The growth in MB while ``study`` is stored and retrieved, and ``again`` stored."""
    warm(peer, folder)
    return {
        "STOW-RS": growth(peer, lambda: store_by_web(peer, study)),
        "C-STORE": growth(peer, lambda: store_by_dimse(peer, again, folder)),
        "retrieval": growth(peer, lambda: retrieve(peer, study)),
    }


def rows(folder: Path) -> list[Row]:
    """What becomes of pacslab's memory with two studies of 4 GB, of large and of small objects."""
    found = []
    for kind, objects, frames in (("300 MB objects", 14, 572), ("2 MB objects", 2000, 4)):
        home = folder / kind.replace(" ", "-")
        home.mkdir()
        with pacslab(home) as peer:
            grown = figures(peer, home, Study(objects, frames), Study(objects, frames))
            total = psutil.Process(peer.pid).memory_info().rss / 1e6
        found += [
            Row(f"memory's growth, {how} of 4 GB in {kind}", "MB", more, higher=False)
            for how, more in grown.items()
        ]
        found.append(Row(f"the server's memory after that, {kind}", "MB", total, higher=False))
    return found
