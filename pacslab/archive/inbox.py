"""What lies in folders and zip files, for those who add it."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from pacslab.archive.files import load
from pacslab.dicom.instance import Buffer
from pacslab.errors import UsageError

_BATCH: Final = 64
_BATCH_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Found:
    """A file to be added: its name for people, its size in bytes, and how its bytes are had.

    ``load`` raises OSError for a file that can't be read.
    """

    name: str
    size: int
    load: Callable[[], Buffer]


def find(paths: Iterable[str | os.PathLike[str]]) -> list[Found]:
    """Every file under these paths, in the order of their names; zip files are looked into.

    Hidden files are left out. Raises UsageError for a path that doesn't exist.
    """
    found: list[Found] = []
    for given in paths:
        path = Path(given).expanduser()
        if not path.exists():
            raise UsageError(f"{path} doesn't exist")
        for file in [path] if path.is_file() else _walk(path):
            found += _zipped(file) if _is_zip(file) else [_single(file)]
    return found


def _walk(folder: Path) -> Iterator[Path]:
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f != "__MACOSX")
        yield from (Path(here, name) for name in sorted(names) if not name.startswith("."))


def _single(file: Path) -> Found:
    try:
        size = file.stat().st_size
    except OSError:
        size = 0
    return Found(str(file), size, lambda: load(file))


def _is_zip(file: Path) -> bool:
    try:
        return file.suffix.lower() == ".zip" and zipfile.is_zipfile(file)
    except OSError:
        return False


def _zipped(file: Path) -> list[Found]:
    def loader(name: str) -> Callable[[], Buffer]:
        def read() -> Buffer:
            try:
                with zipfile.ZipFile(file) as archive:
                    return archive.read(name)
            except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
                # A wrong checksum, a password, a compression that Python doesn't know.
                raise OSError(f"can't be unpacked: {error}") from error

        return read

    with zipfile.ZipFile(file) as archive:
        return [
            Found(f"{file}/{entry.filename}", entry.file_size, loader(entry.filename))
            for entry in archive.infolist()
            if not entry.is_dir()
            and not any(p.startswith((".", "__MACOSX")) for p in entry.filename.split("/"))
        ]


def in_memory(made: Iterable[bytes], name: str) -> Iterator[Found]:
    """Instances that aren't files yet, numbered from 0 under a name."""
    for number, data in enumerate(made):
        yield Found(f"{name}/{number:06d}", len(data), partial(bytes, data))


def batches(found: Iterable[Found]) -> Iterator[list[Found]]:
    """Files in groups that are read and committed together, small enough to be held in memory."""
    group: list[Found] = []
    size = 0
    for one in found:
        group.append(one)
        size += one.size
        if len(group) == _BATCH or size > _BATCH_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group
