"""Files sent by sendfile(2): the same bytes as by chunks, to clients of every pace and manner."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from pacslab.web.files import EXTENSION, FromFiles, Slice
from pacslab.web.protocol import FileProtocol

_HOST = "127.0.0.1"
_LARGE = (9 << 20) + 77  # more than a connection holds


@pytest.fixture(params=["sendfile", "chunks"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """A server that answers /NAME with that file between two words, by either way."""
    for name, size in (("large", _LARGE), ("small", 1000), ("empty", 0)):
        (tmp_path / name).write_bytes(os.urandom(size))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        assert EXTENSION in scope["extensions"]
        if request.param == "chunks":
            scope["extensions"].clear()
        path = tmp_path / scope["path"][1:]
        told = int(scope["query_string"] or path.stat().st_size)
        pieces = [b"begin", Slice(path, 0, told), b"end"]
        await FromFiles(pieces, "application/dicom", {}, length=told + 8)(scope, receive, send)

    with socket.create_server((_HOST, 0)) as bound:
        server = uvicorn.Server(
            uvicorn.Config(app, http=FileProtocol, lifespan="off", log_config=None)
        )
        thread = threading.Thread(target=server.run, args=([bound],))
        thread.start()
        yield bound.getsockname()[1], tmp_path
        server.should_exit = True
        thread.join(60)
        assert not thread.is_alive()


def _connect(port: int) -> socket.socket:
    return socket.create_connection((_HOST, port), timeout=60)


def _ask(connection: socket.socket, name: str, method: str = "GET", more: str = "") -> None:
    connection.sendall(f"{method} /{name} HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode())


def _read(connection: socket.socket, number: int) -> bytes:
    held = bytearray()
    while len(held) < number and (came := connection.recv(min(1 << 20, number - len(held)))):
        held += came
    return bytes(held)


def _head(connection: socket.socket) -> bytes:
    held = b""
    while not held.endswith(b"\r\n\r\n"):
        held += _read(connection, 1)
    return held


def _whole(path: Path) -> bytes:
    return b"begin" + path.read_bytes() + b"end"


@pytest.mark.parametrize("name", ["large", "small", "empty"])
def test_every_byte_and_the_connection_goes_on(files: tuple[int, Path], name: str) -> None:
    port, folder = files
    whole = _whole(folder / name)
    with _connect(port) as connection:
        for _ in range(3):
            _ask(connection, name)
            assert f"content-length: {len(whole)}\r\n".encode() in _head(connection)
            assert _read(connection, len(whole)) == whole
        _ask(connection, name, "HEAD")
        assert f"content-length: {len(whole)}\r\n".encode() in _head(connection)
        _ask(connection, "small")
        _head(connection)
        assert _read(connection, 1008) == _whole(folder / "small")


def test_answers_to_pipelined_requests_follow_each_other(files: tuple[int, Path]) -> None:
    port, folder = files
    names = ["large", "small", "large"]
    with _connect(port) as connection:
        for name in names:
            _ask(connection, name)
        for name in names:
            _head(connection)
            whole = _whole(folder / name)
            assert _read(connection, len(whole)) == whole


def test_a_slow_reader_gets_all_and_holds_nobody_up(files: tuple[int, Path]) -> None:
    port, folder = files
    with _connect(port) as slow, _connect(port) as quick:
        _ask(slow, "large")
        _head(slow)
        _ask(quick, "large")
        _head(quick)
        whole = _whole(folder / "large")
        assert _read(quick, len(whole)) == whole
        assert _read(slow, len(whole)) == whole


def test_a_client_that_goes_away_leaves_nothing_open(files: tuple[int, Path]) -> None:
    port, folder = files
    process = psutil.Process()
    with _connect(port) as connection:
        _ask(connection, "small")
        _head(connection)
        before = process.num_fds()
        for leave in (socket.SHUT_WR, socket.SHUT_RDWR, None):
            with _connect(port) as leaving:
                _ask(leaving, "large")
                _read(leaving, 100_000)
                if leave is not None:
                    leaving.shutdown(leave)
        deadline = time.monotonic() + 60
        while process.num_fds() > before and time.monotonic() < deadline:
            time.sleep(0.01)
        assert process.num_fds() <= before
    assert not any(f.path == str(folder / "large") for f in process.open_files())


def test_a_file_that_became_shorter_breaks_the_connection_off(files: tuple[int, Path]) -> None:
    port, _ = files
    with _connect(port) as connection:
        _ask(connection, f"large?{_LARGE + 10}")
        _head(connection)
        assert len(_read(connection, _LARGE + 18)) < _LARGE + 18


def test_asked_to_close_it_closes(files: tuple[int, Path]) -> None:
    port, folder = files
    with _connect(port) as connection:
        _ask(connection, "large", more="Connection: close\r\n")
        _head(connection)
        whole = _whole(folder / "large")
        assert _read(connection, len(whole) + 1) == whole
