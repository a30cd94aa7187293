"""The files: where an instance lies, and how it gets there so that no crash leaves half of it."""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, Final, cast

from pacslab.dicom import buffers
from pacslab.dicom.instance import Buffer, Instance
from pacslab.errors import OutOfResourcesError, PacslabError

_NO_ROOM: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}
_MAP_FROM: Final = 1 << 20  # bytes from which a file is mapped instead of read


@dataclass(frozen=True, slots=True)
class Quarantined:
    """Something refused: where its bytes are, when and whence it came, and why it was refused."""

    path: Path
    reason: str
    code: str
    source: str
    at: str


@dataclass(slots=True)
class Staged:
    """A file that is written under a temporary name, and may not be on disk yet."""

    path: Path
    descriptor: int
    settled: bool = False
    placed: bool = False

    def settle(self) -> None:
        """Wait until its bytes have been written, so that it may have its final name.

        No crash leaves half a file under that name then: a journal that has the name has the
        length and the blocks too. Where the system can't do so, all of it is synced here. The one
        sync after that covers both the file and its name, which otherwise are two commits of the
        file system's journal. Raises OSError.
        """
        if not self.settled and not _written(self.descriptor):
            self.sync()
        self.settled = True

    def sync(self) -> None:
        """Make it durable, once. Raises OSError."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def discard(self) -> None:
        """Remove it, unless it has its final name."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
        if not self.placed:
            self.path.unlink(missing_ok=True)


class Files:
    """The directories of an archive: ``files``, ``incoming`` (unfinished) and ``quarantine``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = root / "files"
        self._files = str(self.files)  # a path is asked for each instance of each answer
        self.incoming = root / "incoming"
        self.quarantine = root / "quarantine"
        for directory in (self.files, self.incoming, self.quarantine):
            directory.mkdir(parents=True, exist_ok=True)

    def path(self, study: str, series: str, instance: str) -> Path:
        """Where an instance lies; the UIDs have been checked to be UIDs."""
        return Path(f"{self._files}/{study}/{series}/{instance}.dcm")

    def stage(self, instance: Instance) -> Staged:
        """Write the instance's file under a temporary name; its way to disk has begun then.

        Raises OutOfResourcesError when the disk is full or not writable.
        """
        body = buffers.pieces(instance.data, instance.offset)
        return self._write_new(chain((instance.prefix,), body))

    def place(self, staged: Staged, target: Path) -> set[Path]:
        """Give a settled file its final name; the directories that must be synced for it.

        The file must be synced too, then.
        """
        series = target.parent
        changed = {series}
        try:
            os.replace(staged.path, target)  # noqa: PTH105 - a third of the time of Path.replace
        except FileNotFoundError:
            series.mkdir(parents=True, exist_ok=True)
            staged.path.replace(target)
            # A new name in a directory is durable only when that directory is synced too.
            changed |= {series.parent, self.files}
        staged.placed = True
        return changed

    def set_aside(self, path: Path, *, reason: str, code: str, source: str) -> Path:
        """Move a stored file into quarantine: what is replaced or removed isn't lost."""
        kept = self._quarantine_name(path.stem)
        path.rename(kept)
        self._explain(kept, reason, code, source)
        return kept

    def put_back(self, kept: Path, path: Path) -> None:
        """Undo :meth:`set_aside`."""
        kept.replace(path)
        kept.with_suffix(".json").unlink(missing_ok=True)

    def refuse(
        self, data: Buffer, *, reason: str, code: str, source: str, name: str | None = None
    ) -> Path | None:
        """Keep what was refused, with its reason beside it; None when there is no room for it.

        The same bytes are kept once, however often they come. ``name`` is the file's, where the
        bytes' hash must not be.
        """
        name = name or f"{buffers.sha256(data)[:32]}-refused.dcm"
        kept = self.quarantine / name
        try:
            staged = self._write_new(buffers.pieces(data))
            try:
                staged.sync()
                staged.path.rename(kept)
                staged.placed = True
            finally:
                staged.discard()
            self._explain(kept, reason, code, source)
        except (OutOfResourcesError, OSError):
            return None
        return kept

    def quarantined(self) -> Iterator[Quarantined]:
        """Everything in quarantine, oldest first."""
        for note in sorted(self.quarantine.glob("*.json")):
            told: dict[str, Any] = json.loads(note.read_text("utf-8"))
            sealed = note.with_suffix(".sealed")
            yield Quarantined(sealed if sealed.exists() else note.with_suffix(".dcm"), **told)

    def stored(self) -> Iterator[Path]:
        """Every file under its final name, the earliest received first."""
        found = [(p.stat().st_mtime_ns, p) for p in self.files.glob("*/*/*.dcm")]
        yield from (p for _, p in sorted(found))

    def clear_incoming(self, older_than: float) -> int:
        """Remove what a crash left unfinished (never acknowledged); how many files that were."""
        gone = 0
        for path in self.incoming.iterdir():
            if path.stat().st_mtime < older_than:
                path.unlink(missing_ok=True)
                gone += 1
        return gone

    def _write_new(self, parts: Iterable[bytes | memoryview]) -> Staged:
        path = Path(f"{self.incoming}/{secrets.token_hex(12)}")
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            try:
                for part in parts:
                    _write_all(descriptor, part)
                _start_writing(descriptor)
            except BaseException:
                os.close(descriptor)
                raise
        except OSError as error:
            path.unlink(missing_ok=True)
            raise no_room(error, self.root) from error
        return Staged(path, descriptor)

    def _quarantine_name(self, name: str) -> Path:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        return self.quarantine / f"{stamp}-{secrets.token_hex(3)}-{name}.dcm"

    def _explain(self, kept: Path, reason: str, code: str, source: str) -> None:
        told = {"reason": reason, "code": code, "source": source}
        told["at"] = datetime.now(UTC).isoformat(timespec="milliseconds")
        kept.with_suffix(".json").write_text(json.dumps(told, ensure_ascii=False), "utf-8")


def load(path: Path) -> Buffer:
    """A file's bytes: read when small, mapped when large, so that its size costs no memory."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size < _MAP_FROM:
            return file.read()
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def sync_directories(directories: Iterable[Path]) -> None:
    """Make the names in these directories durable."""
    for directory in directories:
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def no_room(error: OSError, where: Path) -> PacslabError:
    """What an OSError in writing means for the sender, with the remedy."""
    if error.errno in _NO_ROOM:
        return OutOfResourcesError(
            f"can't write to {where}: {error.strerror}. Make room or give write access, then send "
            "again; what was acknowledged is stored"
        )
    return PacslabError(f"can't write to {where}: {error.strerror or error}")


def _start_writing(descriptor: int) -> None:
    """Have the system begin to write what a file holds, as a hint: nothing is synced by it.

    It writes while the header is parsed, or the next file of a batch is written; of a batch whose
    files are all on their way, the first sync covers most of what the others would wait for.
    """
    if _SYNC_FILE_RANGE is not None:
        _SYNC_FILE_RANGE(descriptor, 0, 0, _WRITE)


def _written(descriptor: int) -> bool:
    """Wait until what a file holds has been written; False where the system can't tell."""
    if _SYNC_FILE_RANGE is None:
        return False
    if _SYNC_FILE_RANGE(descriptor, 0, 0, _WRITE_AND_WAIT) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.ESPIPE):
        return False
    raise OSError(code, os.strerror(code))


def _sync_file_range() -> Callable[[int, int, int, int], int] | None:
    function = getattr(ctypes.CDLL(None, use_errno=True), "sync_file_range", None)  # Linux only
    if function is not None:
        function.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    return cast("Callable[[int, int, int, int], int] | None", function)


_SYNC_FILE_RANGE: Final = _sync_file_range()
_WRITE: Final = 2  # SYNC_FILE_RANGE_WRITE
_WRITE_AND_WAIT: Final = 7  # with WAIT_BEFORE and WAIT_AFTER


def _write_all(descriptor: int, part: bytes | memoryview) -> None:
    written = 0
    with memoryview(part) as view:
        while written < len(view):
            with view[written:] as rest:
                written += os.write(descriptor, rest)
