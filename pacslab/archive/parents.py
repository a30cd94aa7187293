"""The rows of studies and series: what their instances say, and where those disagree."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Final, Protocol

from sqlalchemy import Connection, Table, select, update

from pacslab.archive import names, packing, schema, statements, texts
from pacslab.dicom.instance import Value, index_row
from pacslab.dicom.keywords import Attribute, Level, at
from pacslab.dicom.matching import fold_all
from pacslab.errors import MismatchError

_KEYS: Final = {
    "studies": (
        "StudyInstanceUID",
        tuple(a for a in (*at(Level.PATIENT), *at(Level.STUDY)) if a.keyword != "StudyInstanceUID"),
        "NumberOfStudyRelatedInstances",
    ),
    "series": (
        "SeriesInstanceUID",
        tuple(a for a in at(Level.SERIES) if a.keyword != "SeriesInstanceUID"),
        "NumberOfSeriesRelatedInstances",
    ),
}
_SAYING: Final = {
    name: itemgetter(*(a.keyword for a in attributes)) for name, (_, attributes, _) in _KEYS.items()
}
_MOST: Final = 5000


@dataclass
class Memory:
    """What one transaction knew of the index, for the next one, if nobody wrote between them."""

    revision: int = -1
    last_id: int | None = None
    rows: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    agreeing: dict[tuple[str, str], tuple[Value, ...]] = field(default_factory=dict)
    bases: dict[str, bytes] = field(default_factory=dict)

    def begin(self, revision: int) -> None:
        """Forget everything unless the last change to the index was our own."""
        if self.revision != revision - 1 or len(self.rows) + len(self.bases) > _MOST:
            self.clear()
        self.revision = revision

    def clear(self) -> None:
        """Forget everything."""
        self.revision = -1
        self.last_id = None
        self.rows.clear()
        self.agreeing.clear()
        self.bases.clear()


class Named(Protocol):
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


class Parents:
    """Study and series rows within one transaction."""

    def __init__(self, connection: Connection, revision: int, memory: Memory) -> None:
        self._connection = connection
        self._revision = revision
        self._rows = memory.rows
        self._agreeing = memory.agreeing
        self._claims: dict[str, str] = {}

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

    def series_is_new(self, series: str) -> bool:
        """Whether the series has no row yet."""
        return self._parent(schema.series, series) is None

    def merge(self, instance: Named) -> list[dict[str, Any]]:
        """Bring an instance's values into the rows above it; the differences from those rows.

        The first value that came stands; empty columns are filled by whoever has a value.
        """
        study, series = instance.study_instance_uid, instance.series_instance_uid
        found = self._merge(schema.studies, study, instance, {"NumberOfStudyRelatedSeries": 0})
        return found + self._merge(schema.series, series, instance, {"StudyInstanceUID": study})

    def remake(self, study: str) -> None:
        """Make the rows of a study and its series anew from the headers of its instances."""
        connection, i, h, b = (
            self._connection,
            schema.instances.c,
            schema.headers.c,
            schema.header_bases.c,
        )
        rows = connection.execute(
            select(i.SOPInstanceUID, i.SeriesInstanceUID, h.Header, b.Base)
            .join(schema.headers, h.id == i.id)
            .join(schema.header_bases, b.SeriesInstanceUID == i.SeriesInstanceUID)
            .where(i.StudyInstanceUID == study)
            .order_by(i.id)
        ).all()
        for table in (schema.studies, schema.series):
            attributes = _KEYS[table.name][1]
            nothing: dict[str, Value] = dict.fromkeys((a.keyword for a in attributes), None)
            empty = {**_with_folded(nothing, attributes), "Changed": self._revision}
            where = table.c.StudyInstanceUID == study
            connection.execute(update(table).where(where).values(empty))
        self._rows.clear()
        self._agreeing.clear()
        differences: list[dict[str, Any]] = []
        for uid, series, packed, base in rows:
            row = index_row(json.loads(packing.unpack(packed, base)))
            differences += self.merge(_Seen(uid, study, series, row))
        statements.INSERT["differences"].run_many(connection, differences)
        self._recount(study, Counter(series for _, series, _, _ in rows))

    def _recount(self, study: str, sizes: Counter[str]) -> None:
        e, s = schema.series, schema.studies
        for uid, number in sizes.items():
            statement = update(e).where(e.c.SeriesInstanceUID == uid)
            self._connection.execute(statement.values(NumberOfSeriesRelatedInstances=number))
        self._connection.execute(
            update(s)
            .where(s.c.StudyInstanceUID == study)
            .values(
                NumberOfStudyRelatedSeries=len(sizes),
                NumberOfStudyRelatedInstances=sizes.total(),
            )
        )

    def _parent(self, table: Table, uid: str) -> dict[str, Any] | None:
        """The study's or series' row as it stands in this transaction, but for its counts."""
        known = self._rows.get((table.name, uid))
        if known is None:
            known = statements.PARENT[table.name].mapping(self._connection, {"uid": uid})
            if known is None:
                return None
            self._rows[table.name, uid] = known
        return known

    def _merge(
        self, table: Table, uid: str, instance: Named, extra: Mapping[str, Value]
    ) -> list[dict[str, Any]]:
        key, attributes, count = _KEYS[table.name]
        said = _SAYING[table.name](instance.row)
        if self._agreeing.get((table.name, uid)) == said:
            return []  # as an instance before it, which differed in nothing
        row = self._parent(table, uid)
        mine = {a.keyword: instance.row[a.keyword] for a in attributes}
        if row is None:
            new = {key: uid, **extra, **_with_folded(mine, attributes), count: 0}
            new["Changed"] = self._revision
            statements.INSERT[table.name].run(self._connection, new)
            names.add(self._connection, table.name, new)
            texts.add(self._connection, table.name, new)
            self._rows[table.name, uid] = new
            self._agreeing[table.name, uid] = said
            return []
        fill = {k: v for k, v in mine.items() if v is not None and row[k] is None}
        if fill:
            changes = _with_folded(fill, attributes)
            self._connection.execute(update(table).where(table.c[key] == uid).values(changes))
            names.add(self._connection, table.name, changes)
            texts.add(self._connection, table.name, changes)
            row.update(changes)
        differences = [
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
            if mine[a.keyword] is not None and mine[a.keyword] != row[a.keyword]
        ]
        if not differences:
            self._agreeing[table.name, uid] = said
        return differences


def _with_folded(values: Mapping[str, Value], attributes: Iterable[Attribute]) -> dict[str, Value]:
    """The values and, for person names, the form in which they are compared."""
    result = dict(values)
    for attribute in attributes:
        if attribute.vr == "PN" and attribute.keyword in values:
            name = values[attribute.keyword]
            result[attribute.keyword + schema.FOLDED] = (
                None if name is None else fold_all(str(name))
            )
    return result
