"""The SQL function ``tag``: any attribute of an instance's header, by keyword or path."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import duckdb
import pyarrow as pa
from duckdb.func import FunctionNullHandling, PythonUDFType
from pydicom.datadict import tag_for_keyword

from pacslab.archive import packing
from pacslab.archive.changes import headers
from pacslab.archive.engine import Database
from pacslab.errors import SQLError

_HEX: Final = re.compile(r"\(?([0-9A-Fa-f]{4}),?([0-9A-Fa-f]{4})\)?")

# Strings, quoted names and comments are passed over; of calls only those with a single argument.
_TOKENS: Final = re.compile(
    r"""--[^\n]*|/\*.*?\*/|\$(?P<mark>\w*)\$.*?\$(?P=mark)\$|"(?:[^"]|"")*"
    |(?<![\w."])tag\s*\(\s*(?P<path>'(?:[^']|'')*'|\$\w+)\s*(?P<end>\))|'(?:[^']|'')*'""",
    re.DOTALL | re.IGNORECASE | re.VERBOSE,
)
_ARGUMENT: Final = ", SOPInstanceUID"


@dataclass(frozen=True, slots=True)
class Completed:
    """A statement in which every ``tag(path)`` says of which instance, and where that was put in.

    ``places`` are offsets in bytes of UTF-8 into the statement as it was.
    """

    text: str
    places: tuple[int, ...]

    def original(self, offset: int) -> int:
        """Where a byte of ``text`` stood in the statement as it was written."""
        for number, place in enumerate(self.places):
            if offset <= place + number * len(_ARGUMENT):
                return offset - number * len(_ARGUMENT)
        return offset - len(self.places) * len(_ARGUMENT)


def complete(statement: str) -> Completed:
    """Let ``tag('ProtocolName')`` mean the instance of the row, ``SOPInstanceUID``.

    Raises SQLError for a path that names no attribute.
    """
    parts, places, last = [], [], 0
    for match in _TOKENS.finditer(statement):
        path = match["path"]
        if path is None:
            continue
        if path.startswith("'"):
            steps(path[1:-1].replace("''", "'"))
        end = match.start("end")
        parts += [statement[last:end], _ARGUMENT]
        places.append(len(statement[:end].encode()))
        last = end
    return Completed("".join([*parts, statement[last:]]), tuple(places))


def steps(path: str) -> list[str]:
    """The tags of a path as eight hexadecimal digits: keywords or tags, apart by a dot.

    Raises SQLError for what is neither.
    """
    found = []
    for step in path.split("."):
        as_hex = _HEX.fullmatch(step.strip())
        tag = tag_for_keyword(step.strip())
        if as_hex is None and tag is None:
            raise SQLError(
                f"tag('{path}'): {step!r} is no DICOM keyword; take one of PS3.6 such as "
                "ProtocolName, a tag such as 00181030, or a path such as "
                "RequestAttributesSequence.ScheduledProcedureStepID"
            )
        found.append("".join(as_hex.groups()).upper() if as_hex else f"{tag:08X}")
    return found


def register(connection: duckdb.DuckDBPyConnection, database: Database) -> None:
    """Make ``tag(path, SOPInstanceUID)`` known to a connection and its cursors."""
    unpacking = threading.Lock()  # zstd's contexts aren't for several threads at once

    def tag(paths: Any, uids: Any) -> Any:
        wanted = [uid for uid in set(uids.to_pylist()) if uid is not None]
        texts = {}
        for uid, packed, base in headers(database, wanted):
            with unpacking:
                texts[uid] = packing.unpack(packed, base)
        pairs = zip(paths.to_pylist(), uids.to_pylist(), strict=True)
        known: dict[str, list[str]] = {}
        found: list[str | None] = []
        for path, uid in pairs:
            if path is None or uid not in texts:
                found.append(None)
                continue
            if path not in known:
                known[path] = steps(path)
            found.append(value(texts[uid], known[path]))
        return pa.array(found, pa.string())

    connection.create_function(
        "tag",
        tag,
        ["VARCHAR", "VARCHAR"],
        "VARCHAR",
        type=PythonUDFType.ARROW,
        null_handling=FunctionNullHandling.SPECIAL,
    )


def value(header: bytes, path: Sequence[str]) -> str | None:
    """The values at a path of a DICOM JSON header, joined by a backslash; None without any.

    Of a sequence in the path every item counts; a sequence at its end is given as JSON.
    """
    if any(f'"{step}":'.encode() not in header for step in path):
        return None  # without reading all of it
    texts = list(_values(json.loads(header), path))
    return "\\".join(texts) if any(texts) else None


def _values(item: dict[str, Any], path: Sequence[str]) -> Iterator[str]:
    element = item.get(path[0], {})
    values = element.get("Value", [])
    if len(path) > 1:
        for inner in values if element.get("vr") == "SQ" else ():
            yield from _values(inner, path[1:])
    elif element.get("vr") == "SQ":
        yield json.dumps(values, ensure_ascii=False)
    elif element.get("vr") == "PN":
        for person in values:
            groups = [(person or {}).get(g, "") for g in ("Alphabetic", "Ideographic", "Phonetic")]
            yield "=".join(groups).rstrip("=")
    else:
        yield from ("" if v is None else str(v) for v in values)
