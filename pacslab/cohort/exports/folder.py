"""The folder of an export: whose it is, what is done already, and files that appear whole."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pacslab.errors import OutOfResourcesError, UsageError

STATE: Final = "pacslab-export.json"
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")
_NO_ROOM: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES}


@dataclass(frozen=True)
class Folder:
    """Where an export goes. A second run of the same export finds it and finishes the work."""

    root: Path
    about: Mapping[str, Any]

    @classmethod
    def claimed(cls, root: Path, about: Mapping[str, Any]) -> Folder:
        """The folder, made or found. Raises UsageError when it holds something else."""
        state = root / STATE
        if state.exists():
            try:
                told = json.loads(state.read_text("utf-8"))
            except ValueError:
                told = {}
            if any(told.get(name) != value for name, value in about.items()):
                raise UsageError(
                    f"{root} holds the export of another cohort or format: give a new folder, or "
                    "remove that one"
                )
        elif root.is_file() or (root.is_dir() and any(root.iterdir())):
            raise UsageError(f"{root} isn't empty: give a new folder for the export")
        folder = cls(root, about)
        with writing(root):
            root.mkdir(parents=True, exist_ok=True)
            if not state.exists():
                folder.note({"finished": None})
        return folder

    def note(self, more: Mapping[str, Any]) -> None:
        """Keep what the export is and how it stands."""
        text = json.dumps({**self.about, **more}, ensure_ascii=False, indent=1, default=str)
        self.write(STATE, text + "\n")

    def finish(self, counts: Mapping[str, Any]) -> None:
        """Note that it is done, and when."""
        self.note({"finished": datetime.now(UTC).isoformat(timespec="seconds"), **counts})

    def write(self, name: str, text: str) -> Path:
        """Write a text file of the export, UTF-8."""
        with self.file(name) as partial:
            partial.write_text(text, "utf-8", newline="")
        return self.root / name

    @contextmanager
    def file(self, name: str) -> Iterator[Path]:
        """A path to write to, which becomes the file when all went well."""
        target = self.root / name
        partial = target.with_name(target.name + ".partial")
        try:
            with writing(self.root):
                target.parent.mkdir(parents=True, exist_ok=True)
                yield partial
                partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)

    def copy(self, source: Path, name: str) -> None:
        """Copy a file in, by reference where the file system can (the data is shared)."""
        with self.file(name) as partial:
            shutil.copyfile(source, partial)

    def checksums(self) -> None:
        """Write ``checksums.sha256`` over every file but itself, as ``sha256sum -c`` reads it."""
        lines = []
        for path in sorted(self.root.rglob("*")):
            name = path.relative_to(self.root).as_posix()
            if path.is_file() and name not in {STATE, "checksums.sha256"}:
                lines.append(f"{sha256(path)}  {name}\n")
        self.write("checksums.sha256", "".join(lines))


@contextmanager
def writing(where: Path) -> Iterator[None]:
    """What the system says of a full or closed disk, as an error that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise OutOfResourcesError(
                f"can't write to {where}: {os.strerror(error.errno or 0)}. Make room or give write "
                "access, then run the same export again: it goes on where it stopped"
            ) from error
        raise


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def safe(text: str | None, otherwise: str) -> str:
    """A name for a file or folder, of letters, digits, dot, dash and underscore."""
    made = _UNSAFE.sub("_", text or "").strip("._")[:64]
    return made or otherwise
