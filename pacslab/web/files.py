"""Answers made of files as they lie on disk, read without a thread where no disk is waited for.

To hand a piece from a thread to the event loop takes about as long as to read it from the system's
memory, where a study that is looked at mostly is. So the event loop reads what is there by itself
(preadv2(2), RWF_NOWAIT), and only what isn't is read by a thread.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

EXTENSION: Final = "http.response.zerocopysend"
"""The ASGI extension for sending files; the server says whether it has it."""

NOWAIT: Final[int] = getattr(os, "RWF_NOWAIT", 0)
"""The flag for reading only what is in memory; 0 where the system has none."""

PIECE: Final = 1 << 19
"""How much is read and sent at once, in bytes."""

_LARGE: Final = 1 << 16  # smaller ones are sent several at once instead
_STRIDE: Final = 1 << 22
_AHEAD: Final = 1 << 17
_LATER: Final = frozenset({errno.EAGAIN, errno.EOPNOTSUPP})


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of a file: ``length`` bytes from ``start`` on."""

    path: Path
    start: int
    length: int


class FromFiles(Response):
    """An answer of bytes and slices of files, of ``length`` bytes together.

    When the client goes away nothing more is read; when a file has become shorter the connection
    is broken off, so that half of an answer can't be taken for the whole.
    """

    def __init__(
        self,
        pieces: Iterable[bytes | Slice],
        content_type: str,
        headers: Mapping[str, str],
        *,
        length: int,
        status_code: int = 200,
    ) -> None:
        self.pieces = pieces
        self.status_code = status_code
        self.background = None
        self.init_headers({"content-type": content_type, "content-length": str(length), **headers})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; of HEAD only the header fields."""
        start = {"type": "http.response.start", "status": self.status_code}
        await send({**start, "headers": self.raw_headers})
        if scope["method"] != "HEAD":
            gone = asyncio.ensure_future(disconnected(receive))
            direct = EXTENSION in scope.get("extensions", {})
            made = _direct(self.pieces) if direct else _copied(self.pieces)
            try:
                async with aclosing(made) as parts:
                    async for part in parts:
                        if gone.done():
                            return
                        await send({**part, "more_body": True})
            finally:
                gone.cancel()
        await send({"type": "http.response.body", "body": b""})


async def disconnected(receive: Receive) -> None:
    """Wait until the client has gone away."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _copied(pieces: Iterable[bytes | Slice]) -> AsyncGenerator[dict[str, Any], None]:
    async for chunk in filled(pieces):
        yield {"type": "http.response.body", "body": chunk}


async def _direct(pieces: Iterable[bytes | Slice]) -> AsyncGenerator[dict[str, Any], None]:
    """The messages that send them, large slices by the extension for files."""
    small: list[bytes | Slice] = []
    for piece in pieces:
        if isinstance(piece, bytes) or piece.length < _LARGE:
            small.append(piece)
            continue
        async for message in _copied(small):
            yield message
        small.clear()
        descriptor = os.open(piece.path, os.O_RDONLY)
        try:
            at, stop = piece.start, piece.start + piece.length
            while at < stop:
                number = min(_STRIDE, stop - at)
                if not _in_memory(descriptor, at, number):
                    await run_in_threadpool(_load, descriptor, at, number)
                yield {"type": EXTENSION, "file": descriptor, "offset": at, "count": number}
                at += number
        finally:
            os.close(descriptor)
    async for message in _copied(small):
        yield message


def _in_memory(descriptor: int, at: int, number: int) -> bool:
    """Whether it seems so: a byte is looked for in each piece that systems read ahead at once."""
    if not NOWAIT:
        return False
    byte = bytearray(1)
    try:
        for place in range(at, at + number, _AHEAD):
            os.preadv(descriptor, [byte], place, NOWAIT)
    except OSError as error:
        if error.errno in _LATER:
            return False
        raise
    return True


def _load(descriptor: int, at: int, number: int) -> None:
    while number > 0:
        came = len(os.pread(descriptor, min(number, PIECE), at))
        if not came:
            return  # shorter than it was, which whoever sends it finds out
        at, number = at + came, number - came


async def filled(pieces: Iterable[bytes | Slice]) -> AsyncGenerator[memoryview, None]:
    """All bytes in chunks of :data:`PIECE`, the last one shorter.

    Raises OSError when a file is gone, or shorter than it was.
    """
    room, at = _room(), 0
    for piece in pieces:
        source = _Bytes(piece) if isinstance(piece, bytes) else _File(piece)
        try:
            while source.left:
                number = min(source.left, PIECE - at)
                await source.read(room[at : at + number])
                at += number
                if at == PIECE:
                    yield room
                    # Another one: the transport may still hold what it couldn't send
                    room, at = _room(), 0
                    # Others shall have their turn, even when this client never keeps us waiting
                    await asyncio.sleep(0)
        finally:
            source.close()
    if at:
        yield room[:at]


def _room() -> memoryview:
    # Not a bytearray, which would be filled with zeros first
    return np.empty(PIECE, np.uint8).data


class _Bytes:
    """Bytes that are in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.left = len(data)

    async def read(self, into: memoryview) -> None:
        begin = len(self._data) - self.left
        into[:] = self._data[begin : begin + len(into)]
        self.left -= len(into)

    def close(self) -> None:
        """Nothing is open."""


class _File:
    """A slice of a file."""

    def __init__(self, piece: Slice) -> None:
        self._path = piece.path
        self._at = piece.start
        self.left = piece.length
        self._descriptor = os.open(piece.path, os.O_RDONLY)

    async def read(self, into: memoryview) -> None:
        came = self._at_once(into)
        if came < len(into):
            await run_in_threadpool(self._wait, into[came:], self._at + came)
        self._at += len(into)
        self.left -= len(into)

    def close(self) -> None:
        os.close(self._descriptor)

    def _at_once(self, into: memoryview) -> int:
        if not NOWAIT:
            return 0
        try:
            return os.preadv(self._descriptor, [into], self._at, NOWAIT)
        except OSError as error:
            if error.errno in _LATER:
                return 0
            raise

    def _wait(self, into: memoryview, at: int) -> None:
        while into:
            came = os.preadv(self._descriptor, [into], at)
            if not came:
                raise OSError(f"{self._path} has become shorter while it was sent")
            into, at = into[came:], at + came
