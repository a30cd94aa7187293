"""Headers packed against the first header of their series.

The slices of a series differ in a few values; with the first header as zstd's dictionary one of
6 KB takes about 200 bytes, so that the whole header of a million instances fits in the index.
"""

from __future__ import annotations

import threading
from functools import lru_cache

import zstandard


def pack_base(header: str) -> bytes:
    """The first header of a series, in zstd."""
    return zstandard.ZstdCompressor(level=3).compress(header.encode("utf-8", "replace"))


def pack(header: str, base: bytes) -> bytes:
    """A header, in zstd with what ``base`` holds as dictionary."""
    return _coders(base, threading.get_ident())[0].compress(header.encode("utf-8", "replace"))


def unpack(packed: bytes, base: bytes) -> bytes:
    """The header's UTF-8 text again."""
    return _coders(base, threading.get_ident())[1].decompress(packed)


@lru_cache(maxsize=512)
def _coders(
    base: bytes, _thread: int
) -> tuple[zstandard.ZstdCompressor, zstandard.ZstdDecompressor]:
    # A context crashes when two threads use it at once: each thread has its own.
    content = zstandard.ZstdDecompressor().decompress(base)
    words = zstandard.ZstdCompressionDict(content, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    return (
        zstandard.ZstdCompressor(level=3, dict_data=words),
        zstandard.ZstdDecompressor(dict_data=words),
    )
