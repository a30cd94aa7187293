"""The index's writing side: every row goes in and out here, so that the counts stay right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Table, bindparam, delete, func, insert, select

from pacslab.archive import names, packing, schema, statements, texts
from pacslab.archive.parents import Memory, Parents
from pacslab.dicom.instance import Instance


@dataclass(frozen=True, slots=True)
class Known:
    """What the index holds for a SOP Instance UID."""

    id: int
    study_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    sha256: str


def known(connection: Connection, sop_instance_uids: Iterable[str]) -> dict[str, Known]:
    """What is in the index already, by SOP Instance UID."""
    found: dict[str, Known] = {}
    for uid in sop_instance_uids:
        row = statements.KNOWN.row(connection, {"uid": uid})
        if row is not None:
            found[uid] = Known(*row)
    return found


class Writer:
    """One transaction's writing; every change of the index goes through one of its methods.

    ``memory`` is what the last transaction of this process knew; it is only used if that one was
    the last change to the index.
    """

    def __init__(self, connection: Connection, revision: int, memory: Memory | None = None) -> None:
        self._connection = connection
        self._revision = revision
        self._memory = memory or Memory()
        self._memory.begin(revision)
        self.parents = Parents(connection, revision, self._memory)

    def insert(self, arrivals: Sequence[tuple[Instance, str, datetime | None]]) -> None:
        """Add instances that aren't in the index, each with its door and time of arrival.

        Raises MismatchError when a series belongs to another study already.
        """
        rows: list[dict[str, Any]] = []
        headers: list[dict[str, Any]] = []
        differences: list[dict[str, Any]] = []
        new_series: Counter[str] = Counter()
        studies: Counter[str] = Counter()
        series: Counter[str] = Counter()
        for number, (instance, source, received) in enumerate(arrivals, self._next_id()):
            study, one_series = instance.study_instance_uid, instance.series_instance_uid
            self.parents.check_series(study, one_series)
            new_series[study] += self.parents.series_is_new(one_series)
            differences += self.parents.merge(instance)
            studies[study] += 1
            series[one_series] += 1
            rows.append(self._instance_row(number, instance, source, received))
            base = self._base(one_series, instance.header)
            headers.append({"id": number, "Header": packing.pack(instance.header, base)})
        for table, values in (
            ("instances", rows),
            ("headers", headers),
            ("differences", differences),
        ):
            statements.INSERT[table].run_many(self._connection, values)
        self._memory.last_id = rows[-1]["id"] if rows else self._memory.last_id
        for table, counter in (("studies", studies), ("series", series)):
            more = [
                {"uid": uid, "more": n, "new": new_series[uid], "revision": self._revision}
                for uid, n in counter.items()
            ]
            statements.COUNT[table].run_many(self._connection, more)

    def remove(self, sop_instance_uids: Sequence[str]) -> None:
        """Take instances out; a series and a study go with their last instance.

        The rows of series and studies that stay are made anew from the instances that stay.
        """
        found = known(self._connection, sop_instance_uids)
        self._memory.clear()
        touched = {k.study_instance_uid for k in found.values()}
        named = names.of_studies(self._connection, touched)
        said = texts.of_studies(self._connection, touched)
        for table in (schema.headers, schema.instances):
            self._delete(table, table.c.id, [k.id for k in found.values()])
        gone = [("instances", uid) for uid in found]
        c = schema.instances.c
        for one_series in {k.series_instance_uid for k in found.values()}:
            if not self._left(c.SeriesInstanceUID == one_series):
                for table in (schema.header_bases, schema.series):
                    self._delete(table, table.c.SeriesInstanceUID, [one_series])
                gone.append(("series", one_series))
        for study in touched:
            self._delete(schema.differences, schema.differences.c.StudyInstanceUID, [study])
            if self._left(c.StudyInstanceUID == study):
                self.parents.remake(study)
            else:
                self._delete(schema.studies, schema.studies.c.StudyInstanceUID, [study])
                gone.append(("studies", study))
        names.forget(self._connection, named)
        texts.forget(self._connection, said)
        if gone:
            self._connection.execute(
                insert(schema.removals),
                [{"TableName": t, "UID": uid, "Changed": self._revision} for t, uid in gone],
            )

    def clear(self) -> None:
        """Empty every table that the files can fill again."""
        for table in (
            schema.headers,
            schema.header_bases,
            schema.differences,
            schema.name_words,
            schema.word_keys,
        ):
            self._connection.execute(delete(table))
        texts.clear(self._connection)
        for name, key in (
            ("instances", "SOPInstanceUID"),
            ("series", "SeriesInstanceUID"),
            ("studies", "StudyInstanceUID"),
        ):
            source = schema.metadata.tables[name]
            rows = [
                {"TableName": name, "UID": uid, "Changed": self._revision}
                for uid in self._connection.scalars(select(source.c[key]))
            ]
            if rows:
                self._connection.execute(insert(schema.removals), rows)
            self._connection.execute(delete(source))
        self._memory.clear()

    def _instance_row(
        self, number: int, instance: Instance, source: str, received: datetime | None
    ) -> dict[str, Any]:
        moment = received or datetime.now(UTC)
        return {
            **instance.row,
            "id": number,
            "SeriesInstanceUID": instance.series_instance_uid,
            "StudyInstanceUID": instance.study_instance_uid,
            "TransferSyntaxUID": instance.transfer_syntax_uid,
            "SHA256": instance.sha256,
            "DataSetSize": instance.size,
            "Source": source,
            "ReceivedAt": moment.isoformat(timespec="milliseconds"),
            "Changed": self._revision,
        }

    def _next_id(self) -> int:
        if self._memory.last_id is None:
            self._memory.last_id = statements.LAST_ID.value(self._connection, {}) or 0
        return self._memory.last_id + 1

    def _base(self, series: str, header: str) -> bytes:
        bases = self._memory.bases
        if series not in bases:
            base = statements.BASE.value(self._connection, {"uid": series})
            if base is None:
                base = packing.pack_base(header)
                row = {"SeriesInstanceUID": series, "Base": base}
                statements.INSERT["header_bases"].run(self._connection, row)
            bases[series] = base
        return bases[series]

    def _delete(self, table: Table, key: Any, values: Sequence[Any]) -> None:
        if values:
            statement = delete(table).where(key == bindparam("value"))
            self._connection.execute(statement, [{"value": value} for value in values])

    def _left(self, condition: Any) -> int:
        statement = select(func.count()).select_from(schema.instances).where(condition)
        return self._connection.scalar(statement) or 0
