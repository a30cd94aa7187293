"""JSON and XML answers in gzip for those who accept it; pixels stay as they are."""

from __future__ import annotations

import zlib
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_TEXT: Final = ("application/dicom+json", "application/json", "application/problem+json")
_SMALLEST: Final = 1024
# Level 1 takes a fifth of the time of level 6 and compresses headers nearly as well.
_LEVEL: Final = 1


class Compression:
    """Compresses as it streams; the client's ``Accept-Encoding`` decides (RFC 9110 12.5.3)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and its answer back."""
        if scope["type"] != "http" or not _accepts(Headers(scope=scope).get("accept-encoding")):
            await self._app(scope, receive, send)
            return
        await self._app(scope, receive, _Sender(send).send)


class _Sender:
    """One answer on its way."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None
        self._packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, 31)
        self._packs = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        if message["type"] != "http.response.body":
            await self._send(message)
            return
        body, more = message.get("body", b""), message.get("more_body", False)
        if self._start is not None:
            start, self._start = self._start, None
            self._packs = _worth_it(start, body, more)
            if self._packs:
                headers = MutableHeaders(raw=start["headers"])
                headers["Content-Encoding"] = "gzip"
                headers.add_vary_header("Accept-Encoding")
                del headers["Content-Length"]
                if tag := headers.get("etag"):
                    headers["etag"] = tag if tag.startswith("W/") else f"W/{tag}"
            await self._send(start)
        if self._packs:
            body = self._packer.compress(body)
            body += self._packer.flush(zlib.Z_SYNC_FLUSH if more else zlib.Z_FINISH)
        await self._send({"type": "http.response.body", "body": body, "more_body": more})


def _worth_it(start: Message, body: bytes, more: bool) -> bool:
    headers = Headers(raw=start["headers"])
    kind = headers.get("content-type", "").split(";")[0].strip()
    return (
        start["status"] in {200, 202, 409}
        and kind in _TEXT
        and "content-encoding" not in headers
        and (more or len(body) >= _SMALLEST)
    )


def _accepts(header: str | None) -> bool:
    for part in (header or "").lower().split(","):
        name, _, weight = part.partition(";")
        if name.strip() in {"gzip", "*"} and weight.replace(" ", "") not in {"q=0", "q=0.0"}:
            return True
    return False
