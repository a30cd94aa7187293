"""Names and descriptions found by a part in their midst, where an index of columns is of no use.

Each distinct text stands once in ``texts``, and its groups of three letters in ``text_parts``
(SQLite's FTS5 with trigrams). A pattern that would have to be compared with every row is compared
with the texts that have its letters; where these are few, the rows are found by them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection

from pacslab.archive import schema
from pacslab.archive.comparing import LAST, Among, bound, several
from pacslab.dicom.keywords import Level, at
from pacslab.dicom.matching import Kind, Match, Query

_DESCRIBED: Final = frozenset({"StudyDescription", "SeriesDescription"})
_COLUMNS: Final = {
    table: tuple(
        a.keyword + schema.FOLDED if a.vr == "PN" else a.keyword
        for level in levels
        for a in at(level)
        if (a.vr == "PN" and not several(a)) or a.keyword in _DESCRIBED
    )
    for table, levels in (("studies", (Level.PATIENT, Level.STUDY)), ("series", (Level.SERIES,)))
}
_SIZES: Final = (1, 4, 16, 64, 256)  # so many statements are kept instead of one for each number
_MANY: Final = _SIZES[-1]
_NOTHING: Final = LAST * 2  # a text that no row has
_SPECIAL: Final = re.compile(r"\[[^\]]*\]|[*?]")
_LETTERS: Final = 3  # of a trigram

_ADD: Final = "INSERT OR IGNORE INTO texts (Text) VALUES (?)"
_ADD_PARTS: Final = "INSERT INTO text_parts (rowid, Text) VALUES (?, ?)"
_FIND: Final = "SELECT id FROM texts WHERE Text = ?"
_REMOVE: Final = "DELETE FROM texts WHERE id = ?"
_REMOVE_PARTS: Final = "INSERT INTO text_parts (text_parts, rowid, Text) VALUES ('delete', ?, ?)"
_CLEAR: Final = ("INSERT INTO text_parts (text_parts) VALUES ('delete-all')", "DELETE FROM texts")
_SAME: Final = "SELECT Text FROM texts WHERE Text = ?"
_BEGINNING: Final = f"SELECT Text FROM texts WHERE Text GLOB ? LIMIT {_MANY + 1}"
_WITHIN: Final = f"SELECT Text FROM text_parts WHERE Text GLOB ? LIMIT {_MANY + 1}"


def add(connection: Connection, table: str, row: Mapping[str, Any]) -> None:
    """Enter the texts that a new row of ``studies`` or ``series`` has, or its changed columns."""
    cursor = connection.connection.cursor()
    for column in _COLUMNS[table]:
        if (value := row.get(column)) and cursor.execute(_ADD, (value,)).rowcount:
            cursor.execute(_ADD_PARTS, (cursor.lastrowid, value))


def of_studies(connection: Connection, studies: Iterable[str]) -> set[str]:
    """The texts that studies and their series have."""
    cursor = connection.connection.cursor()
    return {
        text
        for uid in studies
        for table, columns in _COLUMNS.items()
        for row in cursor.execute(
            f"SELECT {', '.join(columns)} FROM {table} WHERE StudyInstanceUID = ?", (uid,)
        )
        for text in row
        if text
    }


def forget(connection: Connection, gone: Iterable[str]) -> None:
    """Take out those of the texts that no row has any more."""
    cursor = connection.connection.cursor()
    having = " UNION ALL ".join(
        f"SELECT 1 FROM {table} WHERE {column} = :text"
        for table, columns in _COLUMNS.items()
        for column in columns
    )
    for text in gone:
        if cursor.execute(f"{having} LIMIT 1", {"text": text}).fetchone():
            continue
        if found := cursor.execute(_FIND, (text,)).fetchone():
            cursor.execute(_REMOVE_PARTS, (found[0], text))
            cursor.execute(_REMOVE, found)


def clear(connection: Connection) -> None:
    """Take out all."""
    cursor = connection.connection.cursor()
    for statement in _CLEAR:
        cursor.execute(statement)


def narrowed(connection: Connection, query: Query) -> Query:
    """The same question, where it can be with the texts that fit in the place of a pattern."""
    if not any(map(_scans, query.matches)):
        return query
    matches = (_narrowed(connection, m) if _scans(m) else m for m in query.matches)
    return replace(query, matches=tuple(matches))


def _scans(match: Match) -> bool:
    """Whether it would be compared with every row: it may begin with anything."""
    attribute = match.attribute
    if attribute.vr == "PN":
        kinds = (Kind.SINGLE, Kind.LIST, Kind.WILDCARD)
        return match.kind in kinds and not match.words and not several(attribute)
    return (
        attribute.keyword in _DESCRIBED
        and match.kind is Kind.WILDCARD
        and match.values[0][0] in "*?"
    )


def _narrowed(connection: Connection, match: Match) -> Match:
    cursor = connection.connection.cursor()
    literal = match.attribute.vr == "PN" and match.kind is not Kind.WILDCARD
    found: set[str] = set()
    for place, pattern in enumerate(bound(match)):
        if pattern is None:
            continue
        text = str(pattern)
        if literal and place % 4 == 0:  # the whole name, which isn't a pattern
            statement = _SAME
        elif text[0] not in "*?":
            statement = _BEGINNING
        elif max(map(len, _SPECIAL.split(text))) >= _LETTERS:
            statement = _WITHIN
        else:
            return match
        found.update(text for (text,) in cursor.execute(statement, (text,)))
        if len(found) > _MANY:
            return match
    values = sorted(found) or [_NOTHING]
    size = next(size for size in _SIZES if size >= len(values))
    return Among(match.attribute, Kind.LIST, (*values, *values[-1:] * (size - len(values))))
