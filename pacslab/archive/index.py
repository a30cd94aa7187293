"""The index's writing side: every row goes in and out here, so that the counts stay right."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final, Protocol

from sqlalchemy import Connection, Table, bindparam, delete, func, insert, select, update

from pacslab.archive import packing, schema
from pacslab.dicom.instance import Instance, Value, index_row
from pacslab.dicom.keywords import Attribute, Level, at
from pacslab.dicom.matching import fold
from pacslab.errors import MismatchError

_STUDY_LEVELS: Final = (*at(Level.PATIENT), *at(Level.STUDY))
_KEYS: Final = {
    "studies": ("StudyInstanceUID", _STUDY_LEVELS, "NumberOfStudyRelatedInstances"),
    "series": ("SeriesInstanceUID", at(Level.SERIES), "NumberOfSeriesRelatedInstances"),
}


@dataclass(frozen=True, slots=True)
class Known:
    """What the index holds for a SOP Instance UID."""

    id: int
    study_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    sha256: str


class _Named(Protocol):
    """As much of an instance as the rows above it are made of."""

    @property
    def sop_instance_uid(self) -> str: ...
    @property
    def study_instance_uid(self) -> str: ...
    @property
    def series_instance_uid(self) -> str: ...
    @property
    def row(self) -> Mapping[str, Value]: ...


@dataclass(frozen=True, slots=True)
class _Seen:
    """An instance that is in the index already."""

    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    row: Mapping[str, Value]


class Writer:
    """One transaction's writing; every change of the index goes through one of its methods."""

    def __init__(self, connection: Connection, revision: int) -> None:
        self._connection = connection
        self._revision = revision
        self._parents: dict[tuple[str, str], dict[str, Any]] = {}
        self._bases: dict[str, bytes] = {}
        self._claims: dict[str, str] = {}

    def known(self, sop_instance_uids: Iterable[str]) -> dict[str, Known]:
        """What is in the index already, by SOP Instance UID."""
        found: dict[str, Known] = {}
        uids = list(sop_instance_uids)
        for start in range(0, len(uids), 500):
            chunk = uids[start : start + 500]
            for uid, *rest in self._connection.execute(_known_statement(), {"uids": chunk}):
                found[uid] = Known(*rest)
        return found

    def insert(self, arrivals: Sequence[tuple[Instance, str, datetime | None]]) -> None:
        """Add instances that aren't in the index, each with the door it came by.

        Raises MismatchError when a series belongs to another study already.
        """
        rows: list[dict[str, Any]] = []
        packed: list[tuple[str, str]] = []
        differences: list[dict[str, Any]] = []
        new_series: Counter[str] = Counter()
        sizes: dict[str, Counter[str]] = {"studies": Counter(), "series": Counter()}
        for instance, source, received in arrivals:
            study, one_series = instance.study_instance_uid, instance.series_instance_uid
            self.check_series(study, one_series)
            differences += self._merge(schema.studies, study, instance, {})
            if self._parent(schema.series, one_series) is None:
                new_series[study] += 1
            parent = {"StudyInstanceUID": study}
            differences += self._merge(schema.series, one_series, instance, parent)
            sizes["studies"][study] += 1
            sizes["series"][one_series] += 1
            rows.append(self._instance_row(instance, source, received))
            packed.append((one_series, instance.header))
        ids = self._connection.execute(
            insert(schema.instances).returning(schema.instances.c.id, sort_by_parameter_order=True),
            rows,
        ).scalars()
        self._connection.execute(
            insert(schema.headers),
            [
                {"id": i, "Header": packing.pack(header, self._base(uid, header))}
                for i, (uid, header) in zip(ids, packed, strict=True)
            ],
        )
        if differences:
            self._connection.execute(insert(schema.differences), differences)
        self._count(sizes, new_series)

    def check_series(self, study: str, one_series: str) -> None:
        """Raise MismatchError when the series is another study's, here or in this transaction."""
        known = self._parent(schema.series, one_series)
        owner = known["StudyInstanceUID"] if known else self._claims.setdefault(one_series, study)
        if owner != study:
            raise MismatchError(
                f"series {one_series} belongs to study {owner} here, but this "
                f"instance says study {study}: a series has one study (PS3.3 A.1.2), so give it "
                "its own Series Instance UID"
            )

    def remove(self, sop_instance_uids: Sequence[str]) -> None:
        """Take instances out; a series and a study go with their last instance.

        The rows of series and studies that stay are made anew from the instances that stay.
        """
        known = self.known(sop_instance_uids)
        self._parents.clear()
        self._delete(schema.headers, schema.headers.c.id, [k.id for k in known.values()])
        self._delete(schema.instances, schema.instances.c.id, [k.id for k in known.values()])
        gone = [("instances", uid) for uid in known]
        c = schema.instances.c
        for one_series in {k.series_instance_uid for k in known.values()}:
            if not self._left(c.SeriesInstanceUID == one_series):
                for table in (schema.header_bases, schema.series):
                    self._delete(table, table.c.SeriesInstanceUID, [one_series])
                self._bases.pop(one_series, None)
                gone.append(("series", one_series))
        for study in {k.study_instance_uid for k in known.values()}:
            self._delete(schema.differences, schema.differences.c.StudyInstanceUID, [study])
            if self._left(c.StudyInstanceUID == study):
                self._remake(study)
            else:
                self._delete(schema.studies, schema.studies.c.StudyInstanceUID, [study])
                gone.append(("studies", study))
        if gone:
            self._connection.execute(
                insert(schema.removals),
                [{"TableName": t, "UID": uid, "Changed": self._revision} for t, uid in gone],
            )

    def clear(self) -> None:
        """Empty every table that the files can fill again."""
        for table in (schema.headers, schema.header_bases, schema.differences):
            self._connection.execute(delete(table))
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
        self._parents.clear()
        self._bases.clear()

    def _instance_row(
        self, instance: Instance, source: str, received: datetime | None
    ) -> dict[str, Any]:
        moment = received or datetime.now(UTC)
        return {a.keyword: instance.row[a.keyword] for a in at(Level.IMAGE)} | {
            "SeriesInstanceUID": instance.series_instance_uid,
            "StudyInstanceUID": instance.study_instance_uid,
            "TransferSyntaxUID": instance.transfer_syntax_uid,
            "SHA256": instance.sha256,
            "DataSetSize": instance.size,
            "Source": source,
            "ReceivedAt": moment.isoformat(timespec="milliseconds"),
            "Changed": self._revision,
        }

    def _parent(self, table: Table, uid: str) -> dict[str, Any] | None:
        """The study's or series' row as it stands in this transaction."""
        if (table.name, uid) not in self._parents:
            row = self._connection.execute(_parent_statement(table), {"uid": uid}).mappings()
            found = row.one_or_none()
            if found is None:
                return None
            self._parents[table.name, uid] = dict(found)
        return self._parents[table.name, uid]

    def _merge(
        self, table: Table, uid: str, instance: _Named, extra: Mapping[str, Value]
    ) -> list[dict[str, Any]]:
        """Bring an instance's values into the row above it; the differences from that row.

        The first value that came stands; empty columns are filled by whoever has a value.
        """
        key, attributes, count = _KEYS[table.name]
        row = self._parent(table, uid)
        mine = {a.keyword: instance.row[a.keyword] for a in attributes if a.keyword != key}
        if row is None:
            new = {key: uid, **extra, **_with_folded(mine, attributes), count: 0}
            if table is schema.studies:
                new["NumberOfStudyRelatedSeries"] = 0
            new["Changed"] = self._revision
            self._connection.execute(insert(table), new)
            self._parents[table.name, uid] = new
            return []
        fill = {k: v for k, v in mine.items() if v is not None and row[k] is None}
        if fill:
            changes = _with_folded(fill, attributes)
            self._connection.execute(update(table).where(table.c[key] == uid).values(changes))
            row.update(changes)
        return [
            {
                "SOPInstanceUID": instance.sop_instance_uid,
                "Keyword": a.keyword,
                "Level": str(a.level),
                "StudyInstanceUID": instance.study_instance_uid,
                "SeriesInstanceUID": instance.series_instance_uid,
                "Value": str(mine[a.keyword]),
                "IndexedValue": str(row[a.keyword]),
            }
            for a in attributes
            if a.keyword != key
            and mine[a.keyword] is not None
            and mine[a.keyword] != row[a.keyword]
        ]

    def _base(self, one_series: str, header: str) -> bytes:
        if one_series not in self._bases:
            table = schema.header_bases
            base = self._connection.scalar(
                select(table.c.Base).where(table.c.SeriesInstanceUID == one_series)
            )
            if base is None:
                base = packing.pack_base(header)
                self._connection.execute(
                    insert(table), {"SeriesInstanceUID": one_series, "Base": base}
                )
            self._bases[one_series] = base
        return self._bases[one_series]

    def _count(self, sizes: Mapping[str, Counter[str]], new_series: Counter[str]) -> None:
        for name, counter in sizes.items():
            rows = [
                {"uid": uid, "more": n, "new": new_series[uid], "revision": self._revision}
                for uid, n in counter.items()
            ]
            if rows:
                self._connection.execute(_count_statement(name), rows)

    def _delete(self, table: Table, key: Any, values: Sequence[Any]) -> None:
        if values:
            statement = delete(table).where(key == bindparam("value"))
            self._connection.execute(statement, [{"value": value} for value in values])

    def _left(self, condition: Any) -> int:
        statement = select(func.count()).select_from(schema.instances).where(condition)
        return self._connection.scalar(statement) or 0

    def _remake(self, study: str) -> None:
        """Make the rows of a study and its series anew from the headers of its instances."""
        connection, c = self._connection, schema.instances.c
        rows = connection.execute(
            select(
                c.SOPInstanceUID,
                c.SeriesInstanceUID,
                schema.headers.c.Header,
                schema.header_bases.c.Base,
            )
            .join(schema.headers, schema.headers.c.id == c.id)
            .join(
                schema.header_bases, schema.header_bases.c.SeriesInstanceUID == c.SeriesInstanceUID
            )
            .where(c.StudyInstanceUID == study)
            .order_by(c.id)
        ).all()
        for table in (schema.studies, schema.series):
            attributes = _KEYS[table.name][1]
            empty = dict.fromkeys((a.keyword for a in attributes), None)
            empty.pop(_KEYS[table.name][0])
            connection.execute(
                update(table)
                .where(table.c.StudyInstanceUID == study)
                .values({**_with_folded(empty, attributes), "Changed": self._revision})
            )
        differences: list[dict[str, Any]] = []
        for uid, one_series, packed, base in rows:
            row = index_row(json.loads(packing.unpack(packed, base)))
            seen = _Seen(uid, study, one_series, row)
            differences += self._merge(schema.studies, study, seen, {})
            differences += self._merge(schema.series, one_series, seen, {})
        if differences:
            connection.execute(insert(schema.differences), differences)
        per_series = Counter(one_series for _, one_series, _, _ in rows)
        for one_series, number in per_series.items():
            connection.execute(
                update(schema.series)
                .where(schema.series.c.SeriesInstanceUID == one_series)
                .values(NumberOfSeriesRelatedInstances=number)
            )
        connection.execute(
            update(schema.studies)
            .where(schema.studies.c.StudyInstanceUID == study)
            .values(
                NumberOfStudyRelatedSeries=len(per_series),
                NumberOfStudyRelatedInstances=len(rows),
            )
        )


def _with_folded(values: Mapping[str, Value], attributes: Iterable[Attribute]) -> dict[str, Value]:
    """The values and, for person names, the form in which they are compared."""
    result = dict(values)
    for attribute in attributes:
        if attribute.vr == "PN" and attribute.keyword in values:
            name = values[attribute.keyword]
            result[attribute.keyword + schema.FOLDED] = None if name is None else fold(str(name))
    return result


@cache
def _known_statement() -> Any:
    c = schema.instances.c
    return select(
        c.SOPInstanceUID,
        c.id,
        c.StudyInstanceUID,
        c.SeriesInstanceUID,
        c.TransferSyntaxUID,
        c.SHA256,
    ).where(c.SOPInstanceUID.in_(bindparam("uids", expanding=True)))


@cache
def _parent_statement(table: Table) -> Any:
    return select(table).where(table.c[_KEYS[table.name][0]] == bindparam("uid"))


@cache
def _count_statement(name: str) -> Any:
    table = schema.metadata.tables[name]
    key, _, count = _KEYS[name]
    changes: dict[str, Any] = {
        count: table.c[count] + bindparam("more"),
        "Changed": bindparam("revision"),
    }
    if name == "studies":
        changes["NumberOfStudyRelatedSeries"] = table.c.NumberOfStudyRelatedSeries + bindparam(
            "new"
        )
    return update(table).where(table.c[key] == bindparam("uid")).values(changes)
