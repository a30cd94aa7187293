"""The log of what was done to each instance: HMACs and lengths, never originals."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import zstandard

from pacslab.deid.actions import Action

COLUMNS: Final = ("Path", "Did", "Verb", "Source", "Category", "Mark", "Before", "After")


def record(sop_instance_uid: str, kept: int, actions: Iterable[Action]) -> dict[str, Any]:
    """What was done to one instance, by its new UID."""
    return {
        "SOPInstanceUID": sop_instance_uid,
        "Kept": kept,
        "Actions": [action.row() for action in actions],
    }


def append(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """Add records to a log, as one frame of zstd; a log has mode 0600."""
    text = "".join(json.dumps(one, separators=(",", ":")) + "\n" for one in records)
    if not text:
        return
    packed = zstandard.ZstdCompressor(level=3).compress(text.encode())
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, packed)
    finally:
        os.close(descriptor)


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a log, oldest first."""
    with path.open("rb") as file:
        reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        text = b""
        while piece := reader.read(1 << 20):
            *lines, text = (text + piece).split(b"\n")
            yield from map(json.loads, lines)
