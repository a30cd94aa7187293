"""Statements that are compiled once, and those of the write path.

SQLAlchemy takes about 0.1 ms to run a statement, SQLite 0.01 ms. What runs for every instance is
declared with SQLAlchemy like everything else, but compiled to text only once, and run by the
driver within SQLAlchemy's transaction.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from typing import Any, Final

from sqlalchemy import Connection, Table, bindparam, func, insert, select, update
from sqlalchemy.dialects import sqlite

from pacslab.archive import schema

_AT_ONCE: Final = 1000  # rows


class Prepared:
    """A statement as text, with the names of its values in the order in which it takes them."""

    def __init__(self, statement: Any) -> None:
        compiled = statement.compile(dialect=sqlite.dialect(paramstyle="qmark"))
        self._text = str(compiled)
        self._names: tuple[str, ...] = tuple(compiled.positiontup or ())
        found = getattr(statement, "selected_columns", ())
        self._columns: tuple[str, ...] = tuple(column.name for column in found)

    def run(self, connection: Connection, values: Mapping[str, Any]) -> None:
        """Run it with these values."""
        self._cursor(connection).execute(self._text, tuple(values[n] for n in self._names))

    def row(self, connection: Connection, values: Mapping[str, Any]) -> Any:
        """The first row that it gives, as a tuple; None when there is none."""
        cursor = self._cursor(connection)
        cursor.execute(self._text, tuple(values[n] for n in self._names))
        return cursor.fetchone()

    def mapping(self, connection: Connection, values: Mapping[str, Any]) -> dict[str, Any] | None:
        """The first row that it gives, by the names of its columns; None when there is none."""
        row = self.row(connection, values)
        return None if row is None else dict(zip(self._columns, row, strict=True))

    def mappings(
        self, connection: Connection, values: Mapping[str, Any]
    ) -> Generator[dict[str, Any], None, None]:
        """Every row that it gives, by the names of its columns, read as they are asked for."""
        names = self._columns
        with closing(self._cursor(connection)) as cursor:
            cursor.execute(self._text, tuple(values[n] for n in self._names))
            while rows := cursor.fetchmany(_AT_ONCE):
                for row in rows:
                    yield dict(zip(names, row, strict=True))

    def value(self, connection: Connection, values: Mapping[str, Any]) -> Any:
        """The first value that it gives; None when there is none."""
        row = self.row(connection, values)
        return None if row is None else row[0]

    def run_many(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run it once for each of these rows, of which there may be none."""
        if rows:
            names = self._names
            cursor = self._cursor(connection)
            cursor.executemany(self._text, [tuple(r[n] for n in names) for r in rows])

    def _cursor(self, connection: Connection) -> Any:
        return connection.connection.cursor()


def _inserting(table: Table) -> Prepared:
    return Prepared(insert(table).values({c.name: bindparam(c.name) for c in table.columns}))


def _row_of(table: Table, key: str) -> Prepared:
    return Prepared(select(table).where(table.c[key] == bindparam("uid")))


def _counting(table: Table, key: str, **more: str) -> Prepared:
    changes: dict[str, Any] = {c: table.c[c] + bindparam(name) for c, name in more.items()}
    changes["Changed"] = bindparam("revision")
    return Prepared(update(table).where(table.c[key] == bindparam("uid")).values(changes))


_i: Final = schema.instances.c

KNOWN: Final = Prepared(
    select(_i.id, _i.StudyInstanceUID, _i.SeriesInstanceUID, _i.TransferSyntaxUID, _i.SHA256).where(
        _i.SOPInstanceUID == bindparam("uid")
    )
)
STATE: Final = Prepared(
    select(schema.state.c.Value).where(schema.state.c.Name == bindparam("name"))
)
SET_STATE: Final = Prepared(
    update(schema.state)
    .where(schema.state.c.Name == bindparam("name"))
    .values(Value=bindparam("value"))
)
LAST_ID: Final = Prepared(select(func.max(_i.id)))
BASE: Final = Prepared(
    select(schema.header_bases.c.Base).where(
        schema.header_bases.c.SeriesInstanceUID == bindparam("uid")
    )
)
INSERT: Final = {
    name: _inserting(schema.metadata.tables[name])
    for name in (
        "studies",
        "series",
        "instances",
        "headers",
        "header_bases",
        "differences",
        "name_words",
    )
}
PARENT: Final = {
    "studies": _row_of(schema.studies, "StudyInstanceUID"),
    "series": _row_of(schema.series, "SeriesInstanceUID"),
}
COUNT: Final = {
    "studies": _counting(
        schema.studies,
        "StudyInstanceUID",
        NumberOfStudyRelatedInstances="more",
        NumberOfStudyRelatedSeries="new",
    ),
    "series": _counting(schema.series, "SeriesInstanceUID", NumberOfSeriesRelatedInstances="more"),
}
