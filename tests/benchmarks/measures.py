"""What is measured: each takes a running server and gives a figure."""

from __future__ import annotations

import http.client
import os
import statistics
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import pydicom
from pydicom.uid import generate_uid

from tests.benchmarks.peers import Peer
from tests.conftest import dcmtk, dicom_file


def copies(name: str, folder: Path, number: int, per_series: int = 50) -> Path:
    """Copies of a real file as instances of their own: studies of four series of slices."""
    folder.mkdir(parents=True)
    dataset = pydicom.dcmread(dicom_file(name))
    for i in range(number):
        if i % (4 * per_series) == 0:
            dataset.StudyInstanceUID = generate_uid()
            dataset.PatientID = f"BENCH{i // (4 * per_series):05d}"
        if i % per_series == 0:
            dataset.SeriesInstanceUID = generate_uid()
        dataset.InstanceNumber = i % per_series + 1
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset.save_as(folder / f"{i:06d}.dcm")
    return folder


def stored_per_second(peer: Peer, folders: Sequence[Path], *, nagle: bool = False) -> float:
    """Instances a second that DCMTK's storescu gets stored, one association a folder at once."""
    environment = {**os.environ, "TCP_NODELAY": "0" if nagle else "1"}
    number = sum(1 for folder in folders for _ in folder.iterdir())
    started = time.perf_counter()
    senders = [
        subprocess.Popen(
            [
                dcmtk("storescu"),
                "-aec",
                peer.aet,
                "+sd",
                "127.0.0.1",
                str(peer.dicom_port),
                str(folder),
            ],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for folder in folders
    ]
    for sender in senders:
        _, said = sender.communicate()
        assert sender.returncode == 0, said.decode()
    seconds = time.perf_counter() - started
    return number / seconds


def requests_per_second(peer: Peer, paths: Sequence[str], *, connections: int = 4) -> float:
    """Requests a second over keep-alive connections, each path asked once."""
    errors: list[BaseException] = []

    def ask(mine: Sequence[str]) -> None:
        try:
            with_connection = http.client.HTTPConnection("127.0.0.1", peer.http_port, timeout=60)
            for path in mine:
                _get(with_connection, peer, path)
            with_connection.close()
        except BaseException as error:
            errors.append(error)

    threads = [
        threading.Thread(target=ask, args=(paths[i::connections],)) for i in range(connections)
    ]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    if errors:
        raise errors[0]
    return len(paths) / seconds


def median_ms(peer: Peer, path: str, repeat: int = 11) -> float:
    """Milliseconds of one request, the median of several on one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", peer.http_port, timeout=120)
    times = []
    for _ in range(repeat):
        started = time.perf_counter()
        _get(connection, peer, path)
        times.append(time.perf_counter() - started)
    connection.close()
    return statistics.median(times) * 1000


def by_patient(peer: Peer, patients: int, number: int) -> list[str]:
    """QIDO-RS addresses that ask for one patient after the other."""
    return [
        f"{peer.root}/studies?PatientID={quote(f'BENCH{i % patients:05d}')}" for i in range(number)
    ]


def _get(connection: http.client.HTTPConnection, peer: Peer, path: str) -> bytes:
    connection.request("GET", path, headers={**peer.headers, "Accept": "application/dicom+json"})
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status in (200, 204), (peer.name, path, answer.status, body[:200])
    return body
