"""Pieces are the whole; a mapped file's pages are let go of."""

from __future__ import annotations

import hashlib
import mmap
import os
from pathlib import Path

import psutil
import pytest

from pacslab.dicom.buffers import pieces, sha256

_SIZE = (12 << 20) + 4321


@pytest.fixture
def mapped(tmp_path: Path) -> mmap.mmap:
    """A file of some pieces and a bit."""
    file = tmp_path / "file"
    file.write_bytes(os.urandom(_SIZE))
    with file.open("rb") as opened:
        return mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)


@pytest.mark.parametrize("start", [0, 1, 4096, (4 << 20) - 1, 4 << 20, _SIZE - 1, _SIZE])
def test_pieces_are_the_whole(mapped: mmap.mmap, start: int) -> None:
    held = mapped[:]
    assert b"".join(map(bytes, pieces(mapped, start))) == held[start:]
    assert b"".join(map(bytes, pieces(held, start))) == held[start:]
    assert sha256(mapped, start) == sha256(held, start)
    assert sha256(held, start) == hashlib.sha256(held[start:]).hexdigest()


def test_a_mapped_file_can_be_closed_afterwards(mapped: mmap.mmap) -> None:
    for piece in pieces(mapped):
        assert len(piece)
    mapped.close()
    assert mapped.closed


def test_pages_are_let_go_of(mapped: mmap.mmap) -> None:
    process = psutil.Process()
    before = process.memory_info().rss
    # Each piece is read, so that all of it would be resident
    most = max(process.memory_info().rss for piece in pieces(mapped) if hash(bytes(piece)))
    assert most - before < _SIZE
