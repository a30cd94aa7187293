"""The journal of the network: associations, messages and PDUs, written behind everyone's back.

Whoever has something to note puts it in a queue and goes on. One thread writes what has come, in
one transaction, which changes no revision: nothing of the archive has changed. What isn't written
yet when the process is killed is lost; nobody was promised it.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Self

from sqlalchemy import Connection, Table, bindparam, func, insert, select, update

from pacslab.archive import schema
from pacslab.archive.engine import Database
from pacslab.archive.statements import Prepared
from pacslab.errors import PacslabError

log = logging.getLogger(__name__)

_GATHER: Final = 0.05  # seconds in which more may come before it is written
_AT_ONCE: Final = 2000  # rows a transaction
_MOST: Final = 200_000  # rows that wait; a disk that is slower than the network loses the rest

RUNNING: Final = "running"
"""How an association ends that hasn't ended."""


class Entry:
    """An association that is noted: its messages and PDUs are noted with it."""

    def __init__(self) -> None:
        self.id: int | None = None  # given by the journal's thread


@dataclass(frozen=True, slots=True)
class _Note:
    table: Table
    entry: Entry
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Marker:
    reached: threading.Event = field(default_factory=threading.Event)


class Journal:
    """Takes notes from any thread and writes them in its own. Close it, or notes are lost."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._notes: queue.Queue[_Note | _Marker | None] = queue.Queue()
        self._left_out = 0
        self._thread = threading.Thread(target=self._write_all, name="journal", daemon=True)
        with database.noting() as connection:
            # A server that was killed had no time to say how its associations ended
            a = schema.associations
            lost = {"Ending": "lost", "Reason": "the server ended without a word"}
            connection.execute(update(a).where(a.c.Ending == RUNNING).values(lost))
        self._thread.start()

    def association(self, **values: Any) -> Entry:
        """Note that an association has begun; columns of ``associations`` by name."""
        entry = Entry()
        self._put(_Note(schema.associations, entry, {"Ending": RUNNING, **values}))
        return entry

    def ended(self, entry: Entry, **values: Any) -> None:
        """Note all of an association that has ended; columns of ``associations`` by name."""
        self._put(_Note(schema.associations, entry, values))

    def message(self, entry: Entry, **values: Any) -> None:
        """Note a DIMSE message; columns of ``messages`` by name."""
        self._note(schema.messages, entry, values)

    def pdu(self, entry: Entry, **values: Any) -> None:
        """Note a PDU; columns of ``pdus`` by name."""
        self._note(schema.pdus, entry, values)

    def flush(self, timeout: float = 60) -> bool:
        """Wait until everything noted so far is written; whether it is."""
        marker = _Marker()
        self._notes.put(marker)
        return marker.reached.wait(timeout)

    def close(self) -> None:
        """Write what is left and end."""
        self._notes.put(None)
        self._thread.join(30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _note(self, table: Table, entry: Entry, values: Mapping[str, Any]) -> None:
        if self._notes.qsize() > _MOST:
            self._left_out += 1
        else:
            self._put(_Note(table, entry, values))

    def _put(self, note: _Note) -> None:
        self._notes.put(note)

    # --- the thread -------------------------------------------------------------------------

    def _write_all(self) -> None:
        closing = False
        while not closing:
            waiting = [self._notes.get()]
            pause = threading.Event()
            if isinstance(waiting[0], _Note):
                pause.wait(_GATHER)
            while len(waiting) < _AT_ONCE and not self._notes.empty():
                waiting.append(self._notes.get())
            closing = None in waiting
            self._write([n for n in waiting if isinstance(n, _Note)])
            for note in waiting:
                if isinstance(note, _Marker):
                    note.reached.set()

    def _write(self, notes: Sequence[_Note]) -> None:
        if self._left_out:
            log.warning("%d PDUs and messages weren't noted: too many came", self._left_out)
            self._left_out = 0
        if not notes:
            return
        try:
            with self._database.noting() as connection:
                for note in notes:
                    _write_one(connection, note)
        except PacslabError as error:
            log.warning("the network's journal could not be written: %s", error.message)
        except Exception:
            log.exception("the network's journal could not be written")


_INSERT: Final = {
    table.name: Prepared(
        insert(table).values({c.name: bindparam(c.name) for c in table.columns if c.name != "id"})
    )
    for table in (schema.messages, schema.pdus)
}
_NOTHING: Final = {
    table.name: dict.fromkeys(c.name for c in table.columns if c.name != "id")
    for table in (schema.messages, schema.pdus)
}


def _write_one(connection: Connection, note: _Note) -> None:
    table, entry, values = note.table, note.entry, note.values
    if table is not schema.associations:
        row = {**_NOTHING[table.name], **values, "AssociationID": entry.id}
        _INSERT[table.name].run(connection, row)
    elif entry.id is None:
        last = connection.scalar(select(func.max(table.c.id))) or 0
        connection.execute(insert(table).values(id=last + 1, **values))
        entry.id = last + 1
    else:
        connection.execute(update(table).where(table.c.id == entry.id).values(values))


def now() -> str:
    """This moment as the journal writes it: UTC, ISO 8601, with microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def entries(
    database: Database, table: Table, association: int | None = None, *, last: int | None = None
) -> Iterator[dict[str, Any]]:
    """The rows of ``associations``, ``messages`` or ``pdus``, of one association or of all.

    With ``last`` only so many, the latest first.
    """
    statement = select(table).order_by(table.c.id if last is None else table.c.id.desc())
    statement = statement.limit(last)
    if association is not None:
        key = table.c.id if table is schema.associations else table.c.AssociationID
        statement = statement.where(key == association)
    with database.reading() as connection:
        for row in connection.execution_options(yield_per=1000).execute(statement).mappings():
            yield dict(row)
