"""What changed in the index since a revision, for those who keep a copy of it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, select

from pacslab.archive import engine, schema
from pacslab.archive.engine import Database
from pacslab.errors import ArchiveError

BATCH_ROWS: Final = 20_000

TABLES: Final[Mapping[str, Mapping[str, type]]] = {
    table.name: {
        column.name: column.type.python_type
        for column in table.columns
        if column.name != "Changed" and not column.name.endswith(schema.FOLDED)
    }
    for table in (schema.studies, schema.series, schema.instances, schema.differences)
}
"""The tables that are copied, in the order of their batches: columns with str, int or float."""

KEYS: Final[Mapping[str, str]] = {
    "studies": "StudyInstanceUID",
    "series": "SeriesInstanceUID",
    "instances": "SOPInstanceUID",
}
"""The unique key by which a row of a table is replaced or removed."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one table, column by column: ``values`` has a sequence for each of its columns."""

    table: str
    values: Sequence[Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Changes:
    """The way from the state at one revision to that at ``revision``.

    To follow: take out the rows in ``removed`` (unique keys by table), then put each batch in,
    replacing rows of the same key. The ``differences`` of a study that is removed or comes anew
    are all replaced. ``archive`` identifies the index: with another one, or a revision before the
    last one seen, start anew from revision 0. ``batches`` can be read once.
    """

    archive: str
    revision: int
    removed: Mapping[str, Sequence[str]]
    batches: Iterator[Batch]


@contextmanager
def changes(database: Database, since: int) -> Iterator[Changes]:
    """What changed after revision ``since``, all as of one moment; 0 gives everything.

    The transaction lasts as long as the context. Raises ArchiveError for a damaged index.
    """
    with database.reading() as connection:
        state = schema.state.c
        identity = connection.scalar(select(state.Value).where(state.Name == "archive"))
        yield Changes(
            archive=str(identity),
            revision=engine.revision(connection),
            removed=_removed(connection, since) if since else {},
            batches=_batches(connection, since),
        )


def headers(
    database: Database, sop_instance_uids: Sequence[str]
) -> Iterator[tuple[str, bytes, bytes]]:
    """The packed headers of the instances that are there: UID, header and its series' base.

    For :func:`packing.unpack`; the rows come in no particular order.
    """
    with database.reading() as connection:
        yield from connection.exec_driver_sql(
            """SELECT i.SOPInstanceUID, h.Header, b.Base FROM instances i
            JOIN headers h ON h.id = i.id
            JOIN header_bases b ON b.SeriesInstanceUID = i.SeriesInstanceUID
            WHERE i.SOPInstanceUID IN (SELECT value FROM json_each(?))""",
            (json.dumps(list(sop_instance_uids)),),
        )


def _removed(connection: Connection, since: int) -> dict[str, list[str]]:
    c = schema.removals.c
    gone: dict[str, list[str]] = {}
    for table, uid in connection.execute(select(c.TableName, c.UID).where(c.Changed > since)):
        gone.setdefault(table, []).append(uid)
    return gone


def _batches(connection: Connection, since: int) -> Iterator[Batch]:
    for table, columns in TABLES.items():
        names = ", ".join(f't."{name}"' for name in columns)
        statement = f"SELECT {names} FROM {table} t"
        # Without a condition for everything: SQLite would walk the index on Changed, and jump.
        if since and table == "differences":
            statement += " JOIN studies s USING (StudyInstanceUID) WHERE s.Changed > ?"
        elif since:
            statement += " WHERE t.Changed > ?"
        result = connection.exec_driver_sql(statement, (since,) if since else ())
        # The driver's own cursor: SQLAlchemy's rows would take as long again as SQLite itself.
        cursor = result.cursor
        try:
            while rows := cursor.fetchmany(BATCH_ROWS):
                yield Batch(table, list(zip(*rows, strict=True)))
        except sqlite3.DatabaseError as error:
            raise ArchiveError(
                f"the index can't be read ({error}): run 'pacslab reindex' on the archive"
            ) from error
        finally:
            result.close()
