"""Bytes of any size with little memory: mapped files are let go of as they are read.

A page of a mapped file counts as the process's memory from when it is touched until it is let go
of; it stays in the system's cache either way.
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Iterator
from typing import Final, TypeAlias

Buffer: TypeAlias = bytes | mmap.mmap

_PIECE: Final = 4 << 20  # bytes; a whole number of pages


def pieces(data: Buffer, start: int = 0) -> Iterator[memoryview]:
    """The bytes from ``start`` on, of some MiB each; a piece is valid until the next is asked for.

    Those of a mapped file are let go of then.
    """
    with memoryview(data) as view:
        at = start
        while at < len(view):
            stop = min((at // _PIECE + 1) * _PIECE, len(view))
            with view[at:stop] as piece:
                yield piece
            if isinstance(data, mmap.mmap) and hasattr(data, "madvise"):
                begin = at // _PIECE * _PIECE
                data.madvise(mmap.MADV_DONTNEED, begin, stop - begin)
            at = stop


def sha256(data: Buffer, start: int = 0) -> str:
    """SHA-256 of the bytes from ``start`` on, in hexadecimal digits."""
    digest = hashlib.sha256()
    for piece in pieces(data, start):
        digest.update(piece)
    return digest.hexdigest()
