"""An HTTP client that costs next to nothing, so that the server is what is measured."""

from __future__ import annotations

import re
import socket
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from tests.benchmarks.peers import Peer

_PIECE = 1 << 20
# Linux throws bytes away that nobody looks at instead of copying them (tcp(7))
_DISCARD = socket.MSG_TRUNC if sys.platform == "linux" else 0


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: a path below the server's DICOMweb root, and what is accepted."""

    path: str
    accept: str = "application/dicom+json"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came: how many bytes of body, and after how many seconds the first and the last."""

    length: int
    first: float
    last: float
    body: bytes


class Connection:
    """One keep-alive connection; ``keep`` the bodies of answers to look at them."""

    def __init__(self, peer: Peer, *, keep: bool = False) -> None:
        self._peer = peer
        self._keep = keep
        self._discarding = 0 if keep else _DISCARD
        self._room = bytearray(_PIECE)
        self._held = b""
        self._kept: list[bytes] = []
        self._open()

    def get(self, ask: Ask) -> Answer:
        """Ask and read the whole answer. Fails on any status but 200 and 204."""
        lines = {**self._peer.headers, "Host": f"127.0.0.1:{self._peer.http_port}"}
        lines["Accept"] = ask.accept
        fields = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self._kept.clear()
        began = time.perf_counter()
        self._socket.sendall(f"GET {self._peer.root}{ask.path} HTTP/1.1\r\n{fields}\r\n".encode())
        head = self._until(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        assert status in (200, 204), (self._peer.name, ask, status, self._held[:300])
        told = re.search(rb"\r\ncontent-length: *(\d+)", head, re.I)
        chunked = re.search(rb"\r\ntransfer-encoding: *chunked", head, re.I)
        closes = not (told or chunked or status == 204)
        if not self._held and not (told and told[1] == b"0") and status != 204:
            self._held = self._socket.recv(_PIECE)
        first = time.perf_counter()
        length = self._chunks() if chunked else self._take(int(told[1])) if told else 0
        if closes:
            length = self._rest()
        last = time.perf_counter()
        if closes or re.search(rb"\r\nconnection: *close", head, re.I):
            self._socket.close()
            self._open()
        return Answer(length, first - began, last - began, b"".join(self._kept))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _open(self) -> None:
        self._socket = socket.create_connection(("127.0.0.1", self._peer.http_port), timeout=300)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._held = b""

    def _until(self, mark: bytes) -> bytes:
        while (found := self._held.find(mark)) < 0:
            more = self._socket.recv(1 << 16)
            assert more, f"{self._peer.name} broke the connection off"
            self._held += more
        taken, self._held = self._held[:found], self._held[found + len(mark) :]
        return taken

    def _chunks(self) -> int:
        total = 0
        while size := int(self._until(b"\r\n").split(b";")[0], 16):
            total += self._take(size)
            self._until(b"\r\n")
        self._until(b"\r\n")
        return total

    def _take(self, number: int) -> int:
        here, self._held = self._held[:number], self._held[number:]
        if self._keep:
            self._kept.append(here)
        missing = number - len(here)
        while missing:
            came = self._socket.recv_into(self._room, min(missing, _PIECE), self._discarding)
            assert came, f"{self._peer.name} broke the connection off"
            if self._keep:
                self._kept.append(bytes(self._room[:came]))
            missing -= came
        return number

    def _rest(self) -> int:
        total = len(self._held)
        while came := self._socket.recv_into(self._room):
            total += came
        return total


def requests_per_second(peer: Peer, asks: Sequence[Ask], *, connections: int = 4) -> float:
    """Requests a second over keep-alive connections, each path asked once."""
    errors: list[BaseException] = []

    def ask(mine: Sequence[Ask]) -> None:
        try:
            with Connection(peer) as connection:
                for one in mine:
                    connection.get(one)
        except BaseException as error:
            errors.append(error)

    threads = [
        threading.Thread(target=ask, args=(asks[i::connections],)) for i in range(connections)
    ]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    if errors:
        raise errors[0]
    return len(asks) / seconds


def median_ms(
    peer: Peer, ask: Ask, repeat: int = 7, of: Callable[[Answer], float] = lambda a: a.last
) -> float:
    """Milliseconds until an answer's end, or its first byte: the median on one connection."""
    with Connection(peer) as connection:
        return statistics.median(of(connection.get(ask)) for _ in range(repeat)) * 1000
