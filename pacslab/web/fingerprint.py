"""Whether the viewer's build belongs to its sources; the build hook reads this file too.

Only the standard library is used here, since the hook runs before anything is installed.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "viewer"
DIST = FOLDER / "dist"
_NOTE = "sources.sha256"
_FILES = ("package.json", "package-lock.json", "tsconfig.json", "vite.config.ts", "index.html")


def of_sources(folder: Path = FOLDER) -> str | None:
    """SHA-256 over the viewer's sources; None where they aren't, as in an installed wheel."""
    if not (folder / "src").is_dir():
        return None
    digest = hashlib.sha256()
    for path in [*(folder / name for name in _FILES), *sorted((folder / "src").rglob("*"))]:
        if path.is_file():
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
            digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()


def note(folder: Path = FOLDER) -> None:
    """Write down which sources the build was made of."""
    (folder / "dist" / _NOTE).write_text(f"{of_sources(folder)}\n", "utf-8")


def state(folder: Path = FOLDER) -> str:
    """``missing``, ``stale`` or ``fresh``; a build without sources beside it is taken for fresh."""
    noted = folder / "dist" / _NOTE
    if not (noted.is_file() and (folder / "dist" / "index.html").is_file()):
        return "missing"
    sources = of_sources(folder)
    return "fresh" if sources in (None, noted.read_text("utf-8").strip()) else "stale"
