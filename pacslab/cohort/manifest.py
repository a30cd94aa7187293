"""A cohort as a text file: small, readable, and enough for another archive to check itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from pacslab.archive.cohorts import Frozen, Part
from pacslab.dicom.uids import is_uid
from pacslab.errors import OutOfResourcesError, UsageError

_FIRST: Final = "# pacslab cohort 1"
_SHA256: Final = 64


def write(frozen: Frozen, path: Path) -> Path:
    """Write a cohort; the file appears whole or not at all. Raises OutOfResourcesError."""
    about = {
        "name": frozen.name,
        "version": frozen.version,
        "created": frozen.created_at,
        "sql": frozen.statement,
        "parameters": dict(frozen.parameters),
        "note": frozen.note,
        "archive": frozen.archive,
        "revision": frozen.revision,
    }
    lines = [
        _FIRST,
        "# study series instances digest; below a part of a series, its instances",
    ]
    lines += [f"# {name}: {json.dumps(value, ensure_ascii=False)}" for name, value in about.items()]
    for part in frozen.parts:
        kind = "series" if part.whole else "part"
        uids = f"{part.study_instance_uid} {part.series_instance_uid}"
        lines.append(f"{kind} {uids} {part.number} {part.digest}")
        if not part.whole:
            lines += [f"  {uid} {part.instances[uid]}" for uid in sorted(part.instances)]
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_text("\n".join(lines) + "\n", "utf-8")
        partial.replace(path)
    except OSError as error:
        raise OutOfResourcesError(f"can't write {path}: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return path


def read(path: Path) -> Frozen:
    """The cohort in a file. Raises UsageError that names the line that can't be meant."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"can't read {path}: {error}") from error
    if not lines or lines[0] != _FIRST:
        raise UsageError(f"{path} isn't a cohort: such a file begins with '{_FIRST}'")
    about: dict[str, Any] = {}
    parts: list[tuple[list[str], dict[str, str]]] = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            _take(line, about, parts)
        except (ValueError, IndexError):
            raise UsageError(f"{path}, line {number} can't be read: {line[:80]!r}") from None
    made = tuple(_part(path, words, instances) for words, instances in parts)
    return Frozen(
        str(about.get("name", path.stem)),
        int(about.get("version", 1)),
        str(about.get("created", "")),
        about.get("sql"),
        about.get("parameters") or {},
        str(about.get("note", "")),
        str(about.get("archive", "")),
        int(about.get("revision", 0)),
        made,
    )


def _take(line: str, about: dict[str, Any], parts: list[tuple[list[str], dict[str, str]]]) -> None:
    if line.startswith("# "):
        name, colon, value = line[2:].partition(": ")
        if colon:
            about[name] = json.loads(value)
        return
    words = line.split()
    if line.startswith("  "):
        uid, sha256 = words
        if not is_uid(uid) or len(sha256) != _SHA256:
            raise ValueError(line)
        parts[-1][1][uid] = sha256
        return
    kind, study, series, number, digest = words
    if kind not in {"series", "part"} or not (is_uid(study) and is_uid(series)):
        raise ValueError(line)
    if int(number) < 1 or len(digest) != _SHA256:
        raise ValueError(line)
    parts.append((words, {}))


def _part(path: Path, words: list[str], instances: dict[str, str]) -> Part:
    kind, study, series, number, digest = words
    if kind == "part":
        made = Part.of(study, series, None, False, instances)
        if made.digest != digest or made.number != int(number):
            raise UsageError(f"{path}: the instances of series {series} aren't those of its digest")
        return made
    return Part(study, series, None, int(number), True, digest, {})
