"""An archive of pydicom's own files that is only read, its clients, and a server on a free port."""

from __future__ import annotations

import atexit
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.parser import BytesHeaderParser
from functools import cache
from pathlib import Path

import httpx
import uvicorn
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from pacslab.archive import Archive
from pacslab.archive.archive import Stored
from pacslab.archive.receipts import Status
from pacslab.errors import ConflictError
from pacslab.web.app import create_app
from pacslab.web.context import Context
from tests.conftest import dicom_file, pydicom_files

MULTIPART_ANY = 'multipart/related; type="application/dicom"; transfer-syntax=*'


@dataclass(frozen=True)
class Shelf:
    """An archive, the application over it, and where each file's instance is."""

    archive: Archive
    app: ASGIApp
    client: httpx.Client
    stored: dict[str, Stored]


@cache
def shelves() -> list[Shelf]:
    """Every file that comes with pydicom, as far as it can be stored; made once a process.

    Several of them are the same instance in other encodings, which takes an archive for each.
    """
    folder = tempfile.mkdtemp(prefix="pacslab-shelf-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    made: list[Shelf] = []
    paths = [*pydicom_files(), dicom_file("emri_small.dcm")]
    while paths:
        archive = Archive(Path(folder) / str(len(made)))
        receipts = dict(
            zip(paths, archive.add_many([path.read_bytes() for path in paths]), strict=True)
        )
        stored = {
            path.name: archive.instance(receipt.sop_instance_uid)
            for path, receipt in receipts.items()
            if receipt.status is Status.STORED
        }
        app = create_app(Context(archive))
        client = TestClient(app, raise_server_exceptions=False)
        made.append(Shelf(archive, app, client, stored))
        paths = [
            path
            for path, receipt in receipts.items()
            if receipt.status is Status.PRESENT or isinstance(receipt.error, ConflictError)
        ]
    return made


def names() -> list[str]:
    """The names of all stored files, for parametrizing."""
    return sorted(name for shelf in shelves() for name in shelf.stored)


def holding(name: str) -> tuple[Shelf, Stored]:
    """The shelf that has the file with this name, and its instance there."""
    shelf = next(one for one in shelves() if name in one.stored)
    return shelf, shelf.stored[name]


def address(stored: Stored) -> str:
    """The path of an instance."""
    return (
        f"/dicom-web/studies/{stored.study_instance_uid}/series/{stored.series_instance_uid}"
        f"/instances/{stored.sop_instance_uid}"
    )


def parts(answer: httpx.Response) -> list[tuple[dict[str, str], bytes]]:
    """The parts of a multipart answer, each with its fields in lower case."""
    boundary = answer.headers["content-type"].rpartition("boundary=")[2].strip('"').encode()
    body = answer.content
    assert body.startswith(b"--" + boundary + b"\r\n")
    assert body.endswith(b"\r\n--" + boundary + b"--\r\n")
    found = []
    for piece in body.split(b"--" + boundary)[1:-1]:
        head, _, data = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        fields = {k.lower(): v for k, v in BytesHeaderParser().parsebytes(head).items()}
        data = data.removesuffix(b"\r\n")
        assert int(fields["content-length"]) == len(data)
        found.append((fields, data))
    return found


@contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """A real server for an application; the root of its addresses."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        config = uvicorn.Config(app, log_level="error", lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([bound],), daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)
