"""The words of person names in the index: kept beside the rows that have the names, and looked up.

Two tables, of the names that there are and of their words, not of those who have them: a name that
comes a second time costs one look, and a search goes from words that are alike to names, and from
those by an index to the rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from sqlalchemy import (
    Connection,
    bindparam,
    delete,
    exists,
    insert,
    or_,
    select,
)

from pacslab.archive import schema
from pacslab.archive.comparing import LAST
from pacslab.archive.statements import INSERT, Prepared
from pacslab.dicom.keywords import Level, at
from pacslab.dicom.names import alike, keys, parts, spelling

_NAMED: Final = {
    "studies": [a for a in (*at(Level.PATIENT), *at(Level.STUDY)) if a.vr == "PN"],
    "series": [a for a in at(Level.SERIES) if a.vr == "PN"],
}
_COLUMNS: Final = {
    name: tuple(attribute.keyword + schema.FOLDED for attribute in attributes)
    for name, attributes in _NAMED.items()
}
_w, _k = schema.name_words.c, schema.word_keys.c
_KNOWN: Final = Prepared(select(exists().where(_w.Name == bindparam("name")).label("known")))
_KEYED: Final = Prepared(
    insert(schema.word_keys)
    .prefix_with("OR IGNORE")
    .values({"Key": bindparam("Key"), "Word": bindparam("Word")})
)
_SHARING: Final = (
    "SELECT DISTINCT Word FROM word_keys WHERE Key IN (SELECT value FROM json_each(?))"
)
_BEGINNING: Final = "SELECT DISTINCT Word FROM word_keys WHERE Key >= ? AND Key < ?"
_WITHIN: Final = (
    "SELECT DISTINCT Word FROM word_keys WHERE Key >= '=' AND Key < '>' AND Word GLOB ?"
)


def add(connection: Connection, table: str, row: Mapping[str, Any]) -> None:
    """Enter the names that a new row of ``studies`` or ``series`` has, or its changed columns."""
    for column in _COLUMNS[table]:
        name = row.get(column)
        if not name or _KNOWN.value(connection, {"name": name}):
            continue
        entered = [
            {"Name": name, "Part": part, "Place": place, "Word": word}
            for part, words in enumerate(parts(name))
            for place, word in enumerate(words)
        ]
        INSERT["name_words"].run_many(connection, entered)
        words = {row["Word"] for row in entered}
        _KEYED.run_many(connection, [{"Key": k, "Word": w} for w in words for k in keys(w)])


def of_studies(connection: Connection, studies: Iterable[str]) -> set[str]:
    """The names that studies and their series have, folded."""
    found: set[str] = set()
    for uid in studies:
        for table in (schema.studies, schema.series):
            columns = [table.c[name] for name in _COLUMNS[table.name]]
            for row in connection.execute(select(*columns).where(table.c.StudyInstanceUID == uid)):
                found.update(name for name in row if name)
    return found


def forget(connection: Connection, names: Iterable[str]) -> None:
    """Take out those of the names that no row has any more, and words that no name has."""
    for name in names:
        having = or_(
            *(
                exists().where(schema.metadata.tables[table].c[column] == name)
                for table, columns in _COLUMNS.items()
                for column in columns
            )
        )
        if connection.scalar(select(having)):
            continue
        words = set(connection.scalars(select(_w.Word).where(_w.Name == name)))
        connection.execute(delete(schema.name_words).where(_w.Name == name))
        for word in words:
            if not connection.scalar(select(exists().where(_w.Word == word))):
                connection.execute(delete(schema.word_keys).where(_k.Word == word))


def words_like(connection: Connection, asked: str) -> str:
    """The words of the index that are like one asked for, as a JSON list.

    ``*`` at its end stands for any end, at its beginning for any beginning too.
    """
    bare = asked.strip("*")
    cursor = connection.connection.cursor()
    shared = cursor.execute(_SHARING, (json.dumps(sorted(keys(bare))),))
    found = {word for (word,) in shared if alike(bare, word)}
    if asked.endswith("*"):
        for beginning in {bare, spelling(bare)}:
            bounds = (f"={beginning}", f"={beginning}{LAST}")
            found |= {word for (word,) in cursor.execute(_BEGINNING, bounds)}
    if asked.startswith("*"):  # letters only, so that nothing else in it is a pattern
        found |= {word for (word,) in cursor.execute(_WITHIN, (asked,))}
    return json.dumps(sorted(found))
