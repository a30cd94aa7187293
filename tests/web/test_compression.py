"""Accept-Encoding: what is chosen, and that it can be unpacked as it comes."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Sequence
from typing import Any

import pytest
import zstandard

from pacslab.web.compression import Compression, chosen


@pytest.mark.parametrize(
    ("header", "coding"),
    [
        ("", None),
        ("identity", None),
        ("br", None),
        ("gzip", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("GZIP;q=1.0, zstd;q=0.5", "gzip"),
        ("gzip;q=0.000", None),
        ("*", "zstd"),
        ("*, zstd;q=0", "gzip"),
        ("gzip;q=0, zstd;q=0, *", None),
        ("gzip; q=0.3, *;q=0.2", "gzip"),
        ("gzip;q=nonsense", None),
    ],
)
def test_what_is_chosen(header: str, coding: str | None) -> None:
    assert chosen(header) == coding


def answered(
    pieces: Sequence[bytes], coding: str, kind: str = "application/dicom+json"
) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", kind.encode()), (b"content-length", b"1"), (b"etag", b'"x"')]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for i, piece in enumerate(pieces, 1):
            more = i < len(pieces)
            await send({"type": "http.response.body", "body": piece, "more_body": more})

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "headers": [(b"accept-encoding", coding.encode())]}
    asyncio.run(Compression(app)(scope, None, send))  # type: ignore[arg-type]
    return sent


@pytest.mark.parametrize("coding", ["zstd", "gzip"])
def test_each_piece_can_be_unpacked_when_it_has_come(coding: str) -> None:
    pieces = [b"[1", b"," * 5000, b"," * 500_000, b"2]"]
    start, *bodies = answered(pieces, coding)
    headers = dict(start["headers"])
    assert headers[b"content-encoding"] == coding.encode()
    assert headers[b"vary"] == b"Accept-Encoding"
    assert headers[b"etag"] == b'W/"x"'
    assert b"content-length" not in headers
    unpack = (
        zstandard.ZstdDecompressor().decompressobj() if coding == "zstd" else zlib.decompressobj(31)
    )
    assert [unpack.decompress(message["body"]) for message in bodies] == pieces


@pytest.mark.parametrize(
    ("pieces", "kind"),
    [([b"[]"], "application/dicom+json"), ([b"x" * 5000, b"y"], "image/jpeg")],
)
def test_small_answers_and_pixels_stay_as_they_are(pieces: list[bytes], kind: str) -> None:
    start, *bodies = answered(pieces, "gzip", kind)
    headers = dict(start["headers"])
    assert b"content-encoding" not in headers
    assert headers[b"content-length"] == b"1"
    assert [message["body"] for message in bodies] == pieces
