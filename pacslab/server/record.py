"""``server.json``: where the running server of an archive is, and the lock that makes it one."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Final

from pacslab.errors import ServerRunningError

NAME: Final = "server.json"
_LOCK: Final = ".server.lock"


@dataclass(frozen=True)
class Record:
    """The ready line: the process, and where each service answers."""

    pid: int
    ae_title: str
    dicom: str
    dicomweb: str
    viewer: str
    token: str

    @property
    def base(self) -> str:
        """The address of the HTTP server."""
        return self.dicomweb.removesuffix("/dicom-web")

    def line(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self))


def read(directory: Path) -> Record | None:
    """The record of the running server; None when none runs, whatever a dead one left behind."""
    if not _is_locked(directory):
        return None
    try:
        told = json.loads((directory / NAME).read_text("utf-8"))
        return Record(**told)
    except (OSError, ValueError, TypeError):
        return None


def write(directory: Path, record: Record) -> None:
    """Leave the record for others of the same user (mode 0600, since it holds the token)."""
    temporary = directory / f".{NAME}.{os.getpid()}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(record.line() + "\n")
    temporary.replace(directory / NAME)


@contextmanager
def sole(directory: Path) -> Iterator[None]:
    """Be the only server of this archive; the operating system ends it with the process.

    Raises ServerRunningError with the pid of the one that runs.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / _LOCK).open("a+") as lock:
        # Whoever looks for a server holds the lock for a moment; a server holds it for good.
        if not _try_for_long(lock):
            running = read(directory)
            pid = running.pid if running else (_holder(directory) or "unknown")
            raise ServerRunningError(
                f"a server runs on {directory} already (pid {pid}): use it, or stop it first "
                f"(kill {pid})"
            )
        lock.seek(0)
        lock.truncate()
        lock.write(str(os.getpid()))
        lock.flush()
        try:
            yield
        finally:
            (directory / NAME).unlink(missing_ok=True)


def _holder(directory: Path) -> str:
    return (directory / _LOCK).read_text().strip()


def _is_locked(directory: Path) -> bool:
    try:
        with (directory / _LOCK).open("r") as lock:
            return not _try_lock(lock, shared=True)
    except OSError:
        return False


def _try_for_long(lock: IO[str]) -> bool:
    for _ in range(25):
        if _try_lock(lock):
            return True
        time.sleep(0.02)
    return False


def _try_lock(lock: IO[str], *, shared: bool = False) -> bool:
    # A shared attempt asks without excluding others who ask at the same moment.
    try:
        fcntl.flock(lock, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
