"""multipart/related, however it is cut into chunks."""

from __future__ import annotations

import asyncio
import mmap
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pacslab.errors import UsageError
from pacslab.web.multipart import Part, boundary, parameters, parts, whole


def split(body: bytes, sizes: Sequence[int], directory: Path, limit: str = "XX") -> list[Part]:
    async def stream() -> AsyncIterator[bytes]:
        at = 0
        for size in [*sizes, len(body) + 1]:
            yield body[at : at + size]
            at += size

    async def collect() -> list[Part]:
        return [part async for part in parts(stream(), limit, directory)]

    return asyncio.run(collect())


def joined(bodies: Sequence[bytes], limit: str = "XX") -> bytes:
    made = b"".join(
        f"--{limit}\r\nContent-Type: application/dicom\r\n\r\n".encode() + b + b"\r\n"
        for b in bodies
    )
    return made + f"--{limit}--\r\n".encode()


tricky = st.binary(max_size=60) | st.sampled_from(
    [b"\r\n--X", b"\r\n--XY", b"--XX", b"\r\n", b"\r\n-", b"\r\n--XX"[:-1] + b"\r\n", b""]
)


@given(st.lists(tricky, max_size=4), st.lists(st.integers(1, 30), max_size=40))
@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_chunks_give_the_same_parts(
    tmp_path: Path, bodies: list[bytes], sizes: list[int]
) -> None:
    found = split(joined(bodies), sizes, tmp_path)
    assert [bytes(p.data[:]) for p in found] == bodies
    assert all(p.headers == {"content-type": "application/dicom"} for p in found)


def test_preamble_epilogue_and_parts_without_header_fields(tmp_path: Path) -> None:
    body = (
        b"words before\r\n--XX  \r\n\r\none\r\n--XX\r\nA: 1\r\nb:2\r\n\r\n\r\n--XX--\r\nwords after"
    )
    first, second = split(body, [], tmp_path)
    assert (first.headers, first.data) == ({}, b"one")
    assert (second.headers, second.data) == ({"a": "1", "b": "2"}, b"")


def test_large_parts_are_mapped_and_leave_no_file(tmp_path: Path) -> None:
    large = bytes(range(256)) * (5 << 12)
    found = split(joined([large, b"small"]), [1000] * 10, tmp_path)
    assert isinstance(found[0].data, mmap.mmap)
    assert found[0].data[:] == large
    assert found[1].data == b"small"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "breaks off"),
        (b"--XX\r\n\r\nhalf", "breaks off"),
        (b"--XX\r\nContent-Type: x", "breaks off"),
        (b"--XX nonsense\r\n\r\nx\r\n--XX--", "line end"),
        (b"--XX\r\nno colon here\r\n\r\nx\r\n--XX--", "header fields"),
        (b"--XX\r\nA: " + b"x" * 40000 + b"\r\n\r\nx\r\n--XX--", "header fields"),
        (b"x" * 200000, "is it a multipart"),
    ],
)
def test_what_is_no_multipart(tmp_path: Path, body: bytes, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        split(body, [70000], tmp_path)


@pytest.mark.parametrize(
    "text",
    ['multipart/related; type="application/dicom"; boundary="a b"',
     "multipart/related; boundary=\"a b\"; TYPE=application/dicom"],
)  # fmt: skip
def test_parameters(text: str) -> None:
    assert boundary(text) == "a b"
    assert parameters(text)["type"] == "application/dicom"


def test_a_boundary_there_must_be() -> None:
    with pytest.raises(UsageError, match="no boundary"):
        boundary("multipart/related; type=x")


def test_a_whole_body(tmp_path: Path) -> None:
    async def stream() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    assert asyncio.run(whole(stream(), tmp_path)) == b"onetwo"
