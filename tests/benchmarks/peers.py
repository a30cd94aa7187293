"""The two servers, each on free loopback ports, over an empty directory."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.servers import serving

ORTHANC_PLUGINS = Path("/usr/share/orthanc/plugins")


@dataclass(frozen=True)
class Peer:
    """A running server: where it answers, and the header that its HTTP wants."""

    name: str
    aet: str
    dicom_port: int
    http_port: int
    root: str
    headers: dict[str, str]
    pid: int

    def post(self, path: str, body: bytes | Iterator[bytes], content_type: str) -> httpx.Response:
        """Send a body to a path below the DICOMweb root."""
        return httpx.post(
            f"http://127.0.0.1:{self.http_port}{self.root}{path}",
            content=body,
            headers={
                **self.headers,
                "Content-Type": content_type,
                "Accept": "application/dicom+json",
            },
            timeout=300,
            trust_env=False,
        )


@contextmanager
def pacslab(directory: Path) -> Iterator[Peer]:
    """pacslab as ``pacslab serve`` runs it."""
    with serving(directory / "archive", stderr=directory / "pacslab.log") as ready:
        yield Peer(
            "pacslab",
            ready.ae_title,
            int(ready.dicom.rsplit(":", 1)[1]),
            int(ready.base.rsplit(":", 1)[1]),
            "/dicom-web",
            {"Authorization": f"Bearer {ready.token}"},
            ready.pid,
        )


@contextmanager
def orthanc(directory: Path) -> Iterator[Peer]:
    """Orthanc with its SQLite index and its DICOMweb plugin, TCP_NODELAY set."""
    dicom, http = free_ports(2)
    settings = {
        "Name": "BENCH",
        "StorageDirectory": str(directory / "db"),
        "IndexDirectory": str(directory / "db"),
        "DicomAet": "ORTHANC",
        "DicomPort": dicom,
        "HttpPort": http,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAlwaysAllowStore": True,
        "Plugins": [str(ORTHANC_PLUGINS / "libOrthancDicomWeb.so")],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    config = directory / "orthanc.json"
    config.write_text(json.dumps(settings))
    with (directory / "orthanc.log").open("wb") as log:
        process = subprocess.Popen(
            ["Orthanc", str(config)],
            stdout=log,
            stderr=log,
            env={**os.environ, "TCP_NODELAY": "1"},
        )
        try:
            _wait(f"http://127.0.0.1:{http}/dicom-web/studies", process)
            yield Peer("Orthanc", "ORTHANC", dicom, http, "/dicom-web", {}, process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def free_ports(number: int) -> list[int]:
    """Ports of the loopback address that nobody uses at this moment."""
    sockets = [socket.socket() for _ in range(number)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(600):
        try:
            opener.open(url, timeout=5).read()
            return
        except urllib.error.URLError:
            assert process.poll() is None, "Orthanc ended: see orthanc.log"
            time.sleep(0.1)
    raise TimeoutError(url)
