"""Answers made of files: every byte in its place, and a connection that breaks rather than lies."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from starlette.types import Message

from pacslab.web import files
from pacslab.web.files import PIECE, FromFiles, Slice, filled


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of some pieces and a bit."""
    made = tmp_path / "file"
    made.write_bytes(os.urandom(2 * PIECE + 12345))
    return made


def _joined(pieces: list[bytes | Slice]) -> tuple[bytes, list[int]]:
    async def collect() -> list[bytes]:
        return [bytes(chunk) async for chunk in filled(pieces)]

    chunks = asyncio.run(collect())
    return b"".join(chunks), [len(chunk) for chunk in chunks]


@pytest.mark.parametrize("nowait", [files.NOWAIT, 0], ids=["at once", "by a thread"])
def test_bytes_and_slices_follow_each_other(
    file: Path, monkeypatch: pytest.MonkeyPatch, nowait: int
) -> None:
    monkeypatch.setattr(files, "NOWAIT", nowait)
    held = file.read_bytes()
    pieces = [b"head", Slice(file, 0, len(held)), b"", Slice(file, 7, 100), b"x" * (PIECE + 1)]
    found, lengths = _joined(pieces)
    assert found == b"head" + held + held[7:107] + b"x" * (PIECE + 1)
    assert set(lengths[:-1]) == {PIECE}


def test_what_the_system_has_in_part_only_is_waited_for(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.preadv

    def partly(descriptor: int, into: list[memoryview], at: int, flags: int = 0) -> int:
        part = [into[0][: max(1, len(into[0]) // 3)]] if flags else into
        return real(descriptor, part, at)

    monkeypatch.setattr(files, "NOWAIT", files.NOWAIT or 8)
    monkeypatch.setattr(os, "preadv", partly)
    assert _joined([Slice(file, 0, file.stat().st_size)])[0] == file.read_bytes()


def _answered(answer: FromFiles, method: str, *, leaves: bool = False) -> list[Message]:
    sent: list[Message] = []

    async def scene() -> None:
        async def receive() -> Message:
            if not leaves:
                await asyncio.Event().wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)
            await asyncio.sleep(0)

        await answer({"type": "http", "method": method}, receive, send)

    asyncio.run(scene())
    return sent


def test_of_head_only_the_fields_are_sent(file: Path) -> None:
    size = file.stat().st_size
    answer = FromFiles([Slice(file, 0, size)], "application/dicom", {"etag": "1"}, length=size)
    start, end = _answered(answer, "HEAD")
    assert (b"content-length", str(size).encode()) in start["headers"]
    assert end["body"] == b""


def test_whoever_goes_away_gets_no_more(file: Path) -> None:
    slices: list[bytes | Slice] = [Slice(file, 0, file.stat().st_size)] * 50
    answer = FromFiles(slices, "application/dicom", {}, length=50 * file.stat().st_size)
    assert len(_answered(answer, "GET", leaves=True)) < 10


def test_half_of_a_file_isnt_passed_off_as_the_whole(file: Path) -> None:
    longer = file.stat().st_size + 1
    answer = FromFiles([Slice(file, 0, longer)], "application/dicom", {}, length=longer)
    with pytest.raises(OSError, match="shorter"):
        _answered(answer, "GET")
