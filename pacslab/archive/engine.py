"""The database behind the index: opened, versioned, with readers that never wait for the writer."""

from __future__ import annotations

import logging
import sqlite3
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy
from sqlalchemy import Connection, Engine, NullPool, QueuePool, create_engine, event, insert, select
from sqlalchemy.exc import DatabaseError

from pacslab.archive import schema, statements
from pacslab.errors import (
    DamagedError,
    OldSchemaError,
    OutOfResourcesError,
    PacslabError,
    SchemaError,
)

log = logging.getLogger(__name__)

_BUSY_SECONDS: Final = 60
_CONNECTIONS: Final = 64
_KEPT_OPEN: Final = 4
_PRAGMAS: Final = (
    "PRAGMA journal_mode=WAL",
    # FULL: a commit that was answered survives a power cut, not only a crash of the process.
    "PRAGMA synchronous=FULL",
    # 16 MB of log: pages that change again and again are copied to the database less often
    "PRAGMA wal_autocheckpoint=4000",
    "PRAGMA foreign_keys=ON",
    "PRAGMA cache_size=-65536",
    "PRAGMA mmap_size=1073741824",
    "PRAGMA temp_store=MEMORY",
)


class Database:
    """The SQLite file of one archive, for one process: any number of readers, one writer a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._reader = _engine(path, "BEGIN")
        self._writer = _engine(path, "BEGIN IMMEDIATE")
        self._kept: Connection | None = None
        self._glancers: list[Connection] = []
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees one state of the index, whatever is written meanwhile."""
        with _translated(self.path), self._reader.begin() as connection:
            yield connection

    @contextmanager
    def asking(self) -> Iterator[Connection]:
        """A connection for prepared statements, each of which sees one state: it is quicker.

        No transaction is begun, and none has to be ended.
        """
        with _translated(self.path), self._reader.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[tuple[Connection, int]]:
        """One transaction and its revision; committed at the end, undone on any error.

        Only one runs at a time, over all processes, so that what is read in it stays true.
        """
        with self.noting() as connection:
            revision = _revision(connection) + 1
            yield connection, revision
            statements.SET_STATE.run(connection, {"name": "revision", "value": str(revision)})

    @contextmanager
    def noting(self) -> Iterator[Connection]:
        """A transaction like :meth:`writing`, for logs, which are no change of the archive."""
        with _translated(self.path), self._lock:
            if self._kept is None:  # to take one from the pool for each transaction takes 0.1 ms
                self._kept = self._writer.connect()
            connection = self._kept
            driver: Any = connection.connection.driver_connection
            try:
                # By the driver: SQLAlchemy takes 0.1 ms to begin and to commit
                driver.execute("BEGIN IMMEDIATE")
                yield connection
                if connection.in_transaction():
                    connection.commit()
                else:
                    driver.commit()
            except BaseException:
                self._kept = None  # whatever state it is in
                connection.close()
                raise

    @contextmanager
    def glancing(self) -> Iterator[Connection]:
        """Like :meth:`asking`, with a connection that stays open: for a look before each write."""
        with _translated(self.path):
            try:
                connection = self._glancers.pop()
            except IndexError:
                connection = self._reader.connect()
            try:
                yield connection
            except BaseException:
                connection.close()
                raise
            if len(self._glancers) < _KEPT_OPEN:
                self._glancers.append(connection)
            else:
                connection.close()

    @property
    def idle(self) -> bool:
        """Whether a reader's connection can be had without waiting for one to be given back."""
        pool = self._reader.pool
        return not isinstance(pool, QueuePool) or pool.checkedout() < _CONNECTIONS // 2

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            if self._kept is not None:
                self._kept.close()
                self._kept = None
        while self._glancers:
            self._glancers.pop().close()
        self._reader.dispose()
        self._writer.dispose()

    def _prepare(self) -> None:
        with _translated(self.path), self._lock, self._writer.begin() as connection:
            known = sqlalchemy.inspect(connection).get_table_names()
            if "state" not in known:
                if known:
                    raise SchemaError(f"{self.path} is a database of another program: leave it")
                schema.metadata.create_all(connection)
                connection.execute(schema.patients_view)
                connection.execute(schema.text_parts)
                first = {"schema": schema.VERSION, "revision": 0, "archive": uuid.uuid4().hex}
                rows = [{"Name": name, "Value": str(value)} for name, value in first.items()]
                connection.execute(insert(schema.state), rows)
                return
            version = int(_state(connection, "schema"))
            if version == schema.VERSION:
                missing = [table for table in schema.kept() if table.name not in known]
                schema.metadata.create_all(connection, missing)
        if version > schema.VERSION:
            raise SchemaError(
                f"{self.path} was written by a newer pacslab (schema {version}, this one knows "
                f"{schema.VERSION}): upgrade pacslab; nothing was changed"
            )
        if version < schema.VERSION:
            raise OldSchemaError(
                f"{self.path} was written by an older pacslab (schema {version}): run "
                f"'pacslab reindex {self.path.parent}'"
            )


def bring_over(old: Path, new: Database) -> None:
    """Copy what only the index knows from an index that was set aside, as far as it can be read."""
    source = create_engine(f"sqlite:///file:{old}?mode=ro&uri=true", poolclass=NullPool)
    try:
        with source.connect() as reader, new.writing() as (connection, _):
            there = sqlalchemy.inspect(reader)
            for table in schema.kept():
                if not there.has_table(table.name):
                    continue
                columns = {c["name"] for c in there.get_columns(table.name)} & set(table.c.keys())
                rows = reader.execute(select(*(table.c[name] for name in sorted(columns))))
                for part in rows.mappings().partitions(1000):
                    connection.execute(insert(table), [dict(row) for row in part])
    except (DatabaseError, DamagedError):  # the latter is what writing() makes of the former
        log.warning("%s: its logs and cohorts can't be read, so they stay there", old)
    finally:
        source.dispose()


def revision(connection: Connection) -> int:
    """The number of the last change to the index."""
    return _revision(connection)


def identity(connection: Connection) -> str:
    """What tells this index from every other one."""
    return _state(connection, "archive")


def _revision(connection: Connection) -> int:
    return int(_state(connection, "revision"))


def _state(connection: Connection, name: str) -> str:
    return str(statements.STATE.value(connection, {"name": name}))


def _engine(path: Path, begin: str) -> Engine:
    engine = create_engine(
        f"sqlite:///{path}",
        connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False},
        pool_size=4,
        max_overflow=_CONNECTIONS - 4,
    )

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        for pragma in _PRAGMAS:
            connection.execute(pragma)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        driver: Any = connection.connection.driver_connection
        if not driver.in_transaction:
            connection.exec_driver_sql(begin)

    return engine


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """What SQLite says, as an error that says what to do."""
    try:
        yield
    except (DatabaseError, sqlite3.DatabaseError) as error:
        said = str(error.orig if isinstance(error, DatabaseError) else error)
        if "full" in said or "readonly" in said or "unable to open" in said or "disk I/O" in said:
            raise OutOfResourcesError(
                f"can't write to {path}: {said}. Make room or give write access and try again"
            ) from error
        if "is locked" in said:
            raise PacslabError(
                f"{path} is locked by another program for more than {_BUSY_SECONDS} s: end that "
                "program's transaction, then try again"
            ) from error
        if "no such module" in said:
            raise PacslabError(
                f"this Python's SQLite {sqlite3.sqlite_version} was built without FTS5, which the "
                "index needs: take the Python of your system, python.org or conda"
            ) from error
        if "malformed" in said or "not a database" in said:
            raise DamagedError(
                f"{path} is damaged ({said}): run 'pacslab reindex {path.parent}'; the damaged "
                "file is kept beside the new one"
            ) from error
        raise
