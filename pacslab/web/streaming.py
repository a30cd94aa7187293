"""Answers of any size with little memory: chunks, multipart/related and zip (PS3.18 8.6)."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import secrets
import zipfile
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Protocol, cast

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from typing_extensions import Buffer

from pacslab.web.files import Slice, disconnected
from pacslab.web.negotiation import MULTIPART

CHUNK: Final = 1 << 20
"""How much is read and sent at once, in bytes."""

EAGER: Final = 4 << 20
"""Answers up to this many bytes may be held in memory as a whole."""

Chunks = Generator[bytes, None, None]


class Streamed(Response):
    """An answer made chunk by chunk in worker threads; the next is read while one is sent.

    ``length`` is that of the whole in bytes, where it is known. When the client goes away the
    generator is closed; when it raises the connection is broken off, so that half of an answer
    can't be taken for the whole.
    """

    def __init__(
        self,
        chunks: Chunks,
        content_type: str,
        headers: Mapping[str, str] | None = None,
        *,
        length: int | None = None,
        status_code: int = 200,
    ) -> None:
        self.chunks = chunks
        self.status_code = status_code
        self.background = None
        known = {} if length is None else {"content-length": str(length)}
        self.init_headers({"content-type": content_type, **known, **(headers or {})})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; of HEAD only the header fields."""
        start = {"type": "http.response.start", "status": self.status_code}
        if scope["method"] == "HEAD":
            self.chunks.close()
            await send({**start, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": b""})
            return
        gone = asyncio.ensure_future(disconnected(receive))
        ahead = self._ahead()
        try:
            await send({**start, "headers": self.raw_headers})
            while chunk := await ahead:
                ahead = self._ahead()
                if gone.done():
                    return
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()
            # A generator can't be closed while a thread is in it
            await asyncio.wait([ahead])
            if not ahead.cancelled():
                ahead.exception()
            self.chunks.close()

    def _ahead(self) -> asyncio.Future[bytes]:
        return asyncio.ensure_future(run_in_threadpool(next, self.chunks, b""))


class Ready(Response):
    """An answer whose body is in memory already, and isn't copied."""

    def __init__(
        self,
        body: bytes | bytearray,
        headers: Mapping[str, str],
        status_code: int = 200,
    ) -> None:
        self.body = body  # type: ignore[assignment]
        self.status_code = status_code
        self.background = None
        self.init_headers(headers)


def ready_or_streamed(
    chunks: Chunks,
    content_type: str,
    headers: Mapping[str, str],
    *,
    length: int,
    status_code: int = 200,
) -> Response:
    """A small answer read at once, since a thread for each chunk would take longer; else a stream.

    To be called in a worker thread.
    """
    if length > EAGER:
        return Streamed(chunks, content_type, headers, length=length, status_code=status_code)
    return Ready(b"".join(chunks), {"content-type": content_type, **headers}, status_code)


class Pieces(Protocol):
    """Bytes that are made when they are sent."""

    def chunks(self, start: int, stop: int) -> Iterable[bytes]:
        """Those from ``start`` up to ``stop``."""


Source = bytes | Path | Pieces


@dataclass(frozen=True, slots=True)
class Part:
    """One body part: what it is, where else it can be had, and its bytes or where they are."""

    content_type: str
    location: str
    source: Source
    length: int
    start: int = 0
    headers: Mapping[str, str] | None = None


class Multipart:
    """A multipart/related body of parts of one type (RFC 2387, PS3.18 8.6.1.2)."""

    def __init__(self, media_type: str) -> None:
        # Another one each time: who stores an object shall not be able to write it into it
        self.boundary = secrets.token_hex(16)
        self.content_type = f'{MULTIPART}; type="{media_type}"; boundary={self.boundary}'

    def head(self, part: Part) -> bytes:
        """What stands before a part's bytes."""
        where = f"Content-Location: {part.location}\r\n" if part.location else ""
        more = "".join(f"{k}: {v}\r\n" for k, v in (part.headers or {}).items())
        return (
            f"--{self.boundary}\r\nContent-Type: {part.content_type}\r\n"
            f"Content-Length: {part.length}\r\n{where}{more}\r\n"
        ).encode("latin-1")

    @property
    def tail(self) -> bytes:
        """What stands behind the last part."""
        return f"--{self.boundary}--\r\n".encode("latin-1")

    def length(self, parts: Iterable[Part]) -> int:
        """The length of the whole body in bytes."""
        return sum(len(self.head(p)) + p.length + 2 for p in parts) + len(self.tail)

    def body(self, parts: Iterable[Part]) -> bytes:
        """The whole body, of parts that are in memory or small."""
        return b"".join(self.chunks(parts))

    def chunks(self, parts: Iterable[Part]) -> Chunks:
        """The body in chunks of about :data:`CHUNK` bytes; parts are read when their turn comes."""
        return gathered(self._pieces(parts))

    def pieces(self, parts: Iterable[Part]) -> Iterator[bytes | Slice]:
        """The body in pieces of any length, of which files' aren't read yet."""
        for part in parts:
            yield self.head(part)
            if isinstance(part.source, Path):
                yield Slice(part.source, part.start, part.length)
            else:
                yield from read(part.source, part.length, part.start)
            yield b"\r\n"
        yield self.tail

    def _pieces(self, parts: Iterable[Part]) -> Iterator[bytes]:
        for piece in self.pieces(parts):
            if isinstance(piece, Slice):
                yield from read(piece.path, piece.length, piece.start)
            else:
                yield piece


def read(source: Source, length: int, start: int = 0) -> Iterator[bytes]:
    """A source's bytes from ``start`` on, ``length`` of them.

    Raises OSError when a file is shorter than it was.
    """
    if isinstance(source, bytes):
        yield source[start : start + length]
        return
    if not isinstance(source, Path):
        yield from source.chunks(start, start + length)
        return
    descriptor = os.open(source, os.O_RDONLY)
    try:
        while length:
            chunk = os.pread(descriptor, min(CHUNK, length), start)
            if not chunk:
                raise OSError(f"{source} has become shorter while it was sent")
            start, length = start + len(chunk), length - len(chunk)
            yield chunk
    finally:
        os.close(descriptor)


def gathered(pieces: Iterable[bytes]) -> Chunks:
    """The same bytes in fewer pieces: small ones joined to about :data:`CHUNK`."""
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        if size and size + len(piece) > CHUNK:
            yield b"".join(waiting)
            waiting, size = [], 0
        if len(piece) >= CHUNK:
            yield piece
        elif piece:
            waiting.append(piece)
            size += len(piece)
    if waiting:
        yield b"".join(waiting)


class _Sink(io.RawIOBase):
    """A file that zipfile writes to and that is emptied after each piece."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Buffer) -> int:
        self._pieces.append(bytes(data))
        return len(self._pieces[-1])

    def taken(self) -> bytes:
        found = b"".join(self._pieces)
        self._pieces.clear()
        return found


def zipped(files: Iterable[tuple[str, Part]]) -> Chunks:
    """A zip file of parts by name, uncompressed, since pixels gain little from it."""
    return gathered(_zip_pieces(files))


def _zip_pieces(files: Iterable[tuple[str, Part]]) -> Iterator[bytes]:
    sink = _Sink()
    with contextlib.closing(zipfile.ZipFile(cast(IO[bytes], sink), "w")) as made:
        for name, part in files:
            with made.open(zipfile.ZipInfo(name), "w", force_zip64=True) as entry:
                for chunk in read(part.source, part.length):
                    entry.write(chunk)
                    yield sink.taken()
    yield sink.taken()
