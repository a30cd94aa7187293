"""JSON and XML answers in zstd or gzip for those who accept it; pixels stay as they are."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, Protocol

import zstandard
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_TEXT: Final = re.compile(
    r"application/(dicom\+json|json|problem\+json|dicom\+xml)"
    r'|multipart/related; type="application/dicom\+xml"'
)
_SMALLEST: Final = 1024
_LARGE: Final = 128 << 10  # bytes that take too long for the event loop
_WEIGHT: Final = re.compile(r"q=(0(\.\d*)?|1(\.0*)?)")


class Packer(Protocol):
    """What compresses one answer, piece by piece."""

    def pack(self, body: bytes, more: bool) -> bytes:
        """The next piece; all that was given can be unpacked when it has arrived."""


class _Gzip:
    def __init__(self) -> None:
        # Level 1 takes a fifth of the time of level 6 and compresses headers nearly as well.
        self._packer = zlib.compressobj(1, zlib.DEFLATED, 31)

    def pack(self, body: bytes, more: bool) -> bytes:
        flushed = zlib.Z_SYNC_FLUSH if more else zlib.Z_FINISH
        return self._packer.compress(body) + self._packer.flush(flushed)


class _Zstd:
    def __init__(self) -> None:
        self._packer = zstandard.ZstdCompressor(level=1).compressobj()

    def pack(self, body: bytes, more: bool) -> bytes:
        flushed = zstandard.COMPRESSOBJ_FLUSH_BLOCK if more else zstandard.COMPRESSOBJ_FLUSH_FINISH
        return self._packer.compress(body) + self._packer.flush(flushed)


# The better one first: of equally welcome ones it is taken.
_PACKERS: Final[Mapping[str, type[_Gzip] | type[_Zstd]]] = {"zstd": _Zstd, "gzip": _Gzip}


class Compression:
    """Compresses as it streams; the client's ``Accept-Encoding`` decides (RFC 9110 12.5.3)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and its answer back."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        coding = chosen(Headers(scope=scope).get("accept-encoding", ""))
        await self._app(scope, receive, _Sender(send, coding).send)


@lru_cache(maxsize=256)
def chosen(header: str) -> str | None:
    """The coding that an Accept-Encoding wants most of those that we have; None for none."""
    weights: dict[str, float] = {}
    for part in header.lower().split(","):
        name, _, parameter = part.partition(";")
        found = _WEIGHT.fullmatch(parameter.replace(" ", "")) if parameter else None
        weights[name.strip()] = 1.0 if not parameter else float(found[1]) if found else 0.0
    other = weights.get("*", 0.0)
    best = max(_PACKERS, key=lambda name: weights.get(name, other))
    return best if weights.get(best, other) > 0 else None


class _Sender:
    """One answer on its way."""

    def __init__(self, send: Send, coding: str | None) -> None:
        self._send = send
        self._coding = coding
        self._start: Message | None = None
        self._packer: Packer | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_text(message):
            self._start = message  # until its body says whether it is worth it
            return
        if message["type"] == "http.response.body":
            body, more = message.get("body", b""), message.get("more_body", False)
            if self._start is not None:
                start, self._start = self._start, None
                self._begin(start, body, more)
                await self._send(start)
            if self._packer is not None:
                if len(body) < _LARGE:
                    body = self._packer.pack(body, more)
                else:
                    body = await run_in_threadpool(self._packer.pack, body, more)
                message = {**message, "body": body}
        await self._send(message)

    def _begin(self, start: Message, body: bytes, more: bool) -> None:
        headers = MutableHeaders(raw=start["headers"])
        headers.add_vary_header("Accept-Encoding")
        if self._coding is None or not (more or len(body) >= _SMALLEST):
            return
        self._packer = _PACKERS[self._coding]()
        headers["Content-Encoding"] = self._coding
        del headers["Content-Length"]
        if tag := headers.get("etag"):
            headers["etag"] = tag if tag.startswith("W/") else f"W/{tag}"


def _is_text(start: Message) -> bool:
    headers = Headers(raw=start["headers"])
    return (
        start["status"] in {200, 202, 409}
        and _TEXT.match(headers.get("content-type", "")) is not None
        and "content-encoding" not in headers
    )
