"""What DuckDB says of a mistake, said so that a person finds it: the word, and the nearest one."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import duckdb

from pacslab.cohort.tags import Completed
from pacslab.errors import SQLError

_WIDTH: Final = 100
_HINTS: Final = (
    (
        re.compile(r"file system operations|external extensions|configuration has been locked"),
        "SQL here reads the archive and the DataFrames handed to it, no files: read the file with "
        "pandas and name the DataFrame in the query",
    ),
    (
        re.compile(r"~~\*?\((DATE|TIME)|(DATE|TIMESTAMP), (STRING_LITERAL|VARCHAR)\)"),
        "dates are dates here: compare with StudyDate >= '2020-01-01' or year(StudyDate) = 2020",
    ),
    (
        re.compile(r"\[\]"),
        "attributes of several values are lists here: list_contains(ImageType, 'AXIAL'), "
        "PixelSpacing[1], array_to_string(ImageType, '\\')",
    ),
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a word stands in a text: offset and length, in bytes of UTF-8."""

    offset: int
    length: int


@dataclass(frozen=True)
class Complaint:
    """Turns DuckDB's errors about one text into SQLErrors; ``columns`` asks for the tables'."""

    statement: str
    completed: Completed
    columns: Callable[[], Mapping[str, Iterable[str]]]
    frames: Mapping[str, Any]

    @contextmanager
    def about(self, offset: int) -> Iterator[None]:
        """Around what DuckDB does with the part of the text that begins at byte ``offset``."""
        try:
            yield
        except (duckdb.Error, RuntimeError) as error:
            raise self._explained(error, offset) from error

    def error(self, message: str, place: Place | None = None) -> SQLError:
        """The message, with the line and a caret under the place in the completed text."""
        if place is None:
            return SQLError(message)
        start = self.completed.original(place.offset)
        end = max(self.completed.original(place.offset + place.length), start + 1)
        return SQLError(f"{message}\n{_pointed(self.statement, start, end)}")

    def word(self, word: str) -> Place | None:
        """Where a word first stands in the completed text."""
        text = self.completed.text
        found = re.search(re.escape(word) + r"\b", text)
        if found is None:
            return None
        return Place(len(text[: found.start()].encode()), len(word.encode()))

    def _explained(self, error: Exception, offset: int) -> SQLError:
        told = _told(error)
        message = str(told["exception_message"])
        place = None
        if "position" in told:
            position = int(told["position"])
            length = int(json.loads(told.get("location", "[0,1]"))[1])
            place = Place(offset + position, max(length, len(str(told.get("name", "")).encode())))
        return self.error(self._readable(message, told), place)

    def _readable(self, message: str, told: Mapping[str, Any]) -> str:
        name, subtype = str(told.get("name", "")), told.get("error_subtype")
        if subtype == "COLUMN_NOT_FOUND" or message.startswith("Referenced column"):
            if name == "SOPInstanceUID" and self.completed.places:
                return (
                    "tag() reads the header of an instance, and there are none here: use it in a "
                    "query on instances, or name one: tag('ProtocolName', SOPInstanceUID)"
                )
            return f"no column {name} here; {self._nearest_column(name)}"
        if subtype == "MISSING_ENTRY" and told.get("type") == "Table":
            return f"no table {name}; {self._nearest_table(name)}"
        first = message.split("\n\t", maxsplit=1)[0].split("\nCandidate", maxsplit=1)[0].strip()
        for pattern, hint in _HINTS:
            if pattern.search(message):
                return f"{first}\n{hint}"
        return first

    def _nearest_column(self, name: str) -> str:
        where: dict[str, list[str]] = {}
        for table, columns in self.columns().items():
            for column in columns:
                where.setdefault(column, []).append(table)
        for table, frame in self.frames.items():
            for column in map(str, getattr(frame, "columns", ())):
                where.setdefault(column, []).append(table)
        exact = [c for c in where if c.casefold() == name.casefold()]
        if exact:
            return f"{exact[0]} stands in {_listed(where[exact[0]])}"
        near = _near(name, where)
        if near:
            return "the nearest: " + "; ".join(f"{c} (in {_listed(where[c])})" for c in near)
        return f"any attribute of the header is tag('{name}'); the columns: DESCRIBE instances"

    def _nearest_table(self, name: str) -> str:
        known = [*self.columns(), *self.frames]
        near = _near(name, known)
        if near:
            return f"the nearest: {_listed(near)}"
        return f"there are {_listed(self.columns())}, and the DataFrames that you name"


def _told(error: Exception) -> dict[str, Any]:
    text = str(error)
    try:
        told = json.loads(text[text.index("{") :])
    except ValueError:
        told = None
    if isinstance(told, dict) and "exception_message" in told:
        return told
    return {"exception_message": text}


def _near(name: str, known: Iterable[str]) -> list[str]:
    folded = {k.casefold(): k for k in known}
    found = difflib.get_close_matches(name.casefold(), folded, n=3, cutoff=0.6)
    return [folded[f] for f in found]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def _pointed(statement: str, start: int, end: int) -> str:
    """The line around a place given in bytes, and carets under it."""
    text = statement.encode()
    line_start = text.rfind(b"\n", 0, start) + 1
    line_end = text.find(b"\n", start)
    line_end = len(text) if line_end < 0 else line_end
    line = text[line_start:line_end].decode()
    column = len(text[line_start:start].decode(errors="ignore"))
    width = len(text[start : min(max(end, start + 1), line_end)].decode(errors="ignore"))
    cut = max(0, column - _WIDTH // 2)
    shown = line[cut : cut + _WIDTH].replace("\t", " ")
    number = text[:start].count(b"\n") + 1
    margin = f"line {number}: " if b"\n" in text.strip() else "  "
    carets = "^" * max(1, min(width, _WIDTH - (column - cut)))
    return f"{margin}{shown}\n{' ' * (len(margin) + column - cut)}{carets}"
