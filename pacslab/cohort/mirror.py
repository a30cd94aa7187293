"""A columnar copy of the index in DuckDB, brought up to date whenever it is asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final

import duckdb
import pyarrow as pa

from pacslab.archive import Archive
from pacslab.archive.changes import KEYS, TABLES, Batch, changes
from pacslab.cohort import elements, tables, tags

_ARROW: Final = {str: pa.string(), int: pa.int64(), float: pa.float64()}
_SCHEMAS: Final = {
    table: pa.schema([(name, _ARROW[kind]) for name, kind in columns.items()])
    for table, columns in TABLES.items()
}

# A query can do nothing but compute: no extensions, no files to spill to, and no variables of ours
# that happen to be called like a table.
_SETTINGS: Final[dict[str, str | bool | int | float | list[str]]] = {
    "errors_as_json": True,
    "python_enable_replacements": False,
    "temp_directory": "",
    "allow_persistent_secrets": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
}


class Mirror:
    """The index of an archive as DuckDB tables in memory; it lives as long as its process.

    Safe to use from several threads. SQLite's file is never attached: rows that changed since the
    last query are pulled through the archive, in one read transaction.
    """

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._lock = threading.RLock()
        self._revision = 0
        self._identity = ""
        # The tables stand in a database of their own, apart from what a query may create.
        self._connection = duckdb.connect(":memory:", config=_SETTINGS)
        self._connection.execute("ATTACH ':memory:' AS mirror")
        for table, schema in _SCHEMAS.items():
            self._connection.register(f"empty_{table}", schema.empty_table())
        for statement in (*tables.create(), *tables.views(str(archive.files.files))):
            self._connection.execute(statement)
        for table in _SCHEMAS:
            self._connection.unregister(f"empty_{table}")
        tags.register(self._connection, archive.database)
        elements.register(self._connection, archive.database)
        self._connection.execute(elements.VIEW)
        self._connection.execute("SET enable_external_access = false")
        self._connection.execute("SET lock_configuration = true")

    @contextmanager
    def session(
        self, frames: Mapping[str, Any] | None = None, *, writing: bool = False
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection in a transaction that sees all that was acknowledged, and Arrow ``frames``.

        The transaction is read-only, or with ``writing`` undone at its end; then nobody brings the
        tables up to date meanwhile, since the two would be in each other's way.
        """
        self._lock.acquire()
        held = True
        try:
            self._refresh()
            cursor = self._connection.cursor()
            try:
                for name, frame in (frames or {}).items():
                    cursor.register(name, frame)
                cursor.execute("BEGIN" if writing else "BEGIN TRANSACTION READ ONLY")
                if not writing:
                    self._lock.release()
                    held = False
                yield cursor
            finally:
                cursor.close()  # and with it, the transaction is undone
        finally:
            if held:
                self._lock.release()

    def parse(self, text: str) -> list[duckdb.Statement]:
        """The statements in a text; nothing of them is run. Raises duckdb.Error."""
        cursor = self._connection.cursor()
        try:
            return cursor.extract_statements(text)
        finally:
            cursor.close()

    @property
    def revision(self) -> int:
        """The index's revision at the last query."""
        return self._revision

    def columns(self) -> dict[str, list[str]]:
        """The columns of every table that a query sees."""
        found: dict[str, list[str]] = {name: [] for name in tables.NAMES}
        cursor = self._connection.cursor()
        try:
            rows = cursor.execute(
                "SELECT table_name, column_name FROM duckdb_columns() "
                "WHERE database_name = 'memory' AND schema_name = 'main' AND NOT internal"
            ).fetchall()
        finally:
            cursor.close()
        for table, column in rows:
            found.setdefault(table, []).append(column)
        return found

    def close(self) -> None:
        """Give the memory back."""
        with self._lock:
            self._connection.close()

    def _refresh(self) -> None:
        with changes(self._archive.database, self._revision) as news:
            same = news.archive == self._identity and news.revision >= self._revision
            if same and news.revision == self._revision:
                return
            if same:
                self._apply(news.removed, news.batches, anew=False)
        if not same:  # another index under the same name: made anew while we looked
            with changes(self._archive.database, 0) as news:
                self._apply({}, news.batches, anew=True)
        self._revision, self._identity = news.revision, news.archive

    def _apply(self, removed: Any, batches: Iterator[Batch], *, anew: bool) -> None:
        cursor = self._connection.cursor()
        try:
            cursor.begin()
            update = _Update(cursor, anew=anew)
            for table, uids in removed.items():
                update.remove(table, uids)
            # DuckDB takes in one batch while SQLite and Python bring the next.
            with ThreadPoolExecutor(1, "pacslab-mirror") as pool:
                last: Future[None] | None = None
                for batch in batches:
                    rows = _table(batch)
                    if last is not None:
                        last.result()
                    last = pool.submit(update.put, batch.table, rows)
                if last is not None:
                    last.result()
            update.finish()
            cursor.commit()
        finally:
            cursor.close()  # undoes what wasn't committed


class _Update:
    """One transaction that brings the tables to a later revision."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, *, anew: bool) -> None:
        self._cursor = cursor
        self._anew = anew
        self._series: list[str] = []
        self._moved: list[str] = []
        if anew:
            for table in (*TABLES, "facts"):
                cursor.execute(f"DELETE FROM mirror.{table}")

    def remove(self, table: str, uids: Sequence[str]) -> None:
        with self._listed("gone", uids):
            self._delete(table, KEYS[table], "gone")
            if table == "studies":
                self._delete("differences", "StudyInstanceUID", "gone")
            if table == "series":
                self._delete("facts", "SeriesInstanceUID", "gone")

    def put(self, table: str, rows: Any) -> None:
        """Insert rows, an Arrow table; those of the same key go first."""
        self._cursor.register("incoming", rows)
        try:
            if not self._anew and table in KEYS:
                self._replace(table)
            if table == "series":
                self._series += rows["SeriesInstanceUID"].to_pylist()
            names = ", ".join(f'"{name}"' for name in rows.column_names)
            names += ", PatientID" if table in ("series", "instances") else ""
            self._cursor.execute(
                f"INSERT INTO mirror.{table} ({names}) {tables.insert_from(table, 'incoming')}"
            )
        finally:
            self._cursor.unregister("incoming")

    def finish(self) -> None:
        """Bring to date what is derived from the rows that came."""
        if self._moved:
            with self._listed("moved", self._moved):
                for table in ("series", "instances"):
                    self._cursor.execute(
                        f"""UPDATE mirror.{table} AS t SET PatientID = s.PatientID
                        FROM mirror.studies s WHERE t.StudyInstanceUID = s.StudyInstanceUID
                        AND s.StudyInstanceUID IN (SELECT UID FROM moved)"""
                    )
        if self._anew:
            self._cursor.execute(f"INSERT INTO mirror.facts {tables.facts()}")
        elif self._series:
            with self._listed("touched", self._series):
                self._delete("facts", "SeriesInstanceUID", "touched")
                among = "SeriesInstanceUID IN (SELECT UID FROM touched)"
                self._cursor.execute(f"INSERT INTO mirror.facts {tables.facts(among)}")

    def _replace(self, table: str) -> None:
        if table == "studies":
            # An instance with a PatientID may come after others of its study that had none.
            moved = self._cursor.execute(
                """SELECT StudyInstanceUID FROM incoming n JOIN mirror.studies s
                USING (StudyInstanceUID) WHERE n.PatientID IS DISTINCT FROM s.PatientID"""
            ).fetchall()
            self._moved += [uid for (uid,) in moved]
            self._delete("differences", "StudyInstanceUID", "incoming", "StudyInstanceUID")
        self._delete(table, KEYS[table], "incoming", KEYS[table])

    def _delete(self, table: str, key: str, source: str, column: str = "UID") -> None:
        self._cursor.execute(
            f"DELETE FROM mirror.{table} WHERE {key} IN (SELECT {column} FROM {source})"
        )

    @contextmanager
    def _listed(self, name: str, uids: Sequence[str]) -> Iterator[None]:
        self._cursor.register(name, pa.table({"UID": pa.array(uids, pa.string())}))
        try:
            yield
        finally:
            self._cursor.unregister(name)


def _table(batch: Batch) -> Any:
    schema = _SCHEMAS[batch.table]
    arrays = [_array(v, f.type) for v, f in zip(batch.values, schema, strict=True)]
    return pa.table(arrays, schema=schema)


def _array(values: Sequence[Any], kind: Any) -> Any:
    try:
        return pa.array(values, kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeEncodeError):
        # SQLite keeps whatever it is given in any column; a wrong value must not end all queries.
        return pa.array([_lenient(value, kind) for value in values], kind)


def _lenient(value: Any, kind: Any) -> Any:
    try:
        if value is None:
            return None
        if kind == pa.string():
            return str(value).encode("utf-8", "replace").decode()
        return pa.scalar(float(value) if kind == pa.float64() else int(value), kind).as_py()
    except (TypeError, ValueError, OverflowError, pa.ArrowException):
        return None
