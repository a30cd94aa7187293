"""The index's reading side: a :class:`Query` compiled to SQL with every value bound.

To make and compile a statement takes twenty times as long as to run it. Queries that differ in
their values only have the same text, so that it is kept; :func:`_bound` says what is put into it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    bindparam,
    exists,
    false,
    func,
    literal_column,
    select,
)

from pacslab.archive import schema, texts
from pacslab.archive.comparing import BACKSLASH, Parameters, bound, compared, parameters
from pacslab.archive.names import words_like
from pacslab.archive.statements import Prepared
from pacslab.dicom.keywords import ATTRIBUTES, Attribute, Level
from pacslab.dicom.matching import Match, Query
from pacslab.dicom.names import Words

_STUDIES, _SERIES, _INSTANCES = schema.studies, schema.series, schema.instances
_TABLES: Final = {
    Level.PATIENT: _STUDIES,
    Level.STUDY: _STUDIES,
    Level.SERIES: _SERIES,
    Level.IMAGE: _INSTANCES,
}
_PATIENT_GROUP: Final[tuple[ColumnElement[Any], ...]] = (
    _STUDIES.c.PatientID,
    _STUDIES.c.IssuerOfPatientID,
    literal_column("CASE WHEN studies.PatientID IS NULL THEN studies.StudyInstanceUID END"),
)
_PATIENT_COUNTS: Final = {
    "NumberOfPatientRelatedStudies": func.count(),
    "NumberOfPatientRelatedSeries": func.sum(_STUDIES.c.NumberOfStudyRelatedSeries),
    "NumberOfPatientRelatedInstances": func.sum(_STUDIES.c.NumberOfStudyRelatedInstances),
}
_OF_STUDY: Final = "StudyInstanceUID"
_KEY_COLUMNS: Final = {
    Level.STUDY: _STUDIES.c.StudyInstanceUID,
    Level.SERIES: _SERIES.c.SeriesInstanceUID,
    Level.IMAGE: _INSTANCES.c.SOPInstanceUID,
}


def rows(
    connection: Connection, query: Query, fields: Iterable[Attribute] | None = None
) -> Generator[dict[str, Any], None, None]:
    """The matching entities in a fixed order, each a dict by keyword; None where there is nothing.

    ``fields`` are the attributes wanted, of the query's level and those above it; None means all.
    The unique keys of the level and those above are always among them. Ordered by the level's
    unique key, so that ``offset`` pages without gaps (PS3.18 8.3.4.4.1).
    """
    wanted = fields_of(query.level) if fields is None else fields
    query = texts.narrowed(connection, query)
    prepared = _prepared(_shape(query), tuple(wanted))
    with closing(prepared.mappings(connection, _values(connection, query))) as found:
        yield from found


def count(connection: Connection, query: Query) -> int:
    """How many entities match, whatever the query's limit and offset."""
    query = texts.narrowed(connection, replace(query, limit=None, offset=0))
    prepared = _prepared(_shape(query), None)
    return int(prepared.value(connection, _values(connection, query)) or 0)


def fields_of(level: Level) -> list[Attribute]:
    """Every attribute that an answer at this level can hold: its own and those of above."""
    return [
        a
        for a in ATTRIBUTES.values()
        if a.level.depth <= level.depth
        and not (level is not Level.PATIENT and a.computed and a.level is Level.PATIENT)
    ]


def _shape(query: Query) -> Query:
    """The query without its values: those that have the same one are the same statement."""
    paged = query.limit is not None or query.offset
    blank = tuple(
        replace(m, values=("0",) * len(m.values), words=_blank(m.words)) for m in query.matches
    )
    return Query(query.level, blank, -1 if paged else None)


def _blank(words: tuple[tuple[Words, ...], ...]) -> tuple[tuple[Words, ...], ...]:
    return tuple(tuple(("0",) * len(group) for group in value) for value in words)


def _values(connection: Connection, query: Query) -> dict[str, Any]:
    """What the statement of a query's shape is run with."""
    values: dict[str, Any] = {"limit": -1 if query.limit is None else query.limit}
    values["offset"] = query.offset
    for number, match in enumerate(query.matches):
        for place, value in enumerate(bound(match)):
            name = f"key{number}_{place}"
            values[name] = words_like(connection, str(value)) if match.words else value
    return values


@lru_cache(maxsize=512)
def _prepared(shape: Query, wanted: tuple[Attribute, ...] | None) -> Prepared:
    """The statement for queries of a shape; for None as ``wanted`` it counts."""
    made = _patients if shape.level is Level.PATIENT else _entities
    statement = made(shape, wanted or ())
    if wanted is None:
        statement = select(func.count()).select_from(statement.order_by(None).subquery())
    if shape.limit is not None:
        statement = statement.limit(bindparam("limit")).offset(bindparam("offset"))
    return Prepared(statement)


def _entities(query: Query, wanted: Sequence[Attribute]) -> Select[Any]:
    level = query.level
    conditions = [_condition(m, level, parameters(m, i)) for i, m in enumerate(query.matches)]
    above = frozenset(
        m.attribute.level
        for m in query.matches
        if m.attribute.level.depth < level.depth and m.attribute.keyword != _OF_STUDY
    )
    return _answering(level, tuple(wanted), above).where(*conditions)


@lru_cache(maxsize=256)
def _answering(level: Level, wanted: tuple[Attribute, ...], above: frozenset[Level]) -> Select[Any]:
    """The statement without its conditions; to make it takes longer than to run it.

    ``above`` are the levels that the conditions need besides.
    """
    keys = {
        above.unique_key: _TABLES[level].c[above.unique_key]
        for above in (Level.STUDY, Level.SERIES, Level.IMAGE)
        if above.depth <= level.depth
    }
    chosen = {a.keyword: a for a in wanted if a.level.depth <= level.depth}
    columns = keys | {k: _output(a, level) for k, a in chosen.items() if k not in keys}
    used = {a.level for k, a in chosen.items() if k not in keys} | above
    return (
        select(*(column.label(name) for name, column in columns.items()))
        .select_from(_source(level, used))
        .order_by(_KEY_COLUMNS[level])
    )


def _patients(query: Query, wanted: Sequence[Attribute]) -> Select[Any]:
    columns: dict[str, ColumnElement[Any]] = {"PatientID": _STUDIES.c.PatientID}
    for attribute in wanted:
        keyword = attribute.keyword
        if attribute.level is Level.PATIENT and keyword not in columns:
            columns[keyword] = _PATIENT_COUNTS.get(keyword, None)  # type: ignore[assignment]
            if columns[keyword] is None:
                columns[keyword] = func.min(_STUDIES.c[keyword])
    # Every study of a patient counts, so that matching must not narrow the group itself.
    matching = select(_STUDIES.c.StudyInstanceUID).where(
        *(_condition(m, Level.STUDY, parameters(m, i)) for i, m in enumerate(query.matches))
    )
    statement = select(*(c.label(name) for name, c in columns.items())).group_by(*_PATIENT_GROUP)
    if query.matches:
        hits = func.sum(_STUDIES.c.StudyInstanceUID.in_(matching))
        statement = statement.having(hits > literal_column("0"))
    return statement.order_by(*_PATIENT_GROUP)


def _source(level: Level, used: set[Level]) -> FromClause:
    """The tables that an answer needs, joined; none that it doesn't need."""
    source: FromClause = _TABLES[level]
    if level is Level.IMAGE and Level.SERIES in used:
        source = source.join(_SERIES, _SERIES.c.SeriesInstanceUID == _INSTANCES.c.SeriesInstanceUID)
    if level is not Level.STUDY and used & {Level.STUDY, Level.PATIENT}:
        here = _TABLES[level].c.StudyInstanceUID
        source = source.join(_STUDIES, _STUDIES.c.StudyInstanceUID == here)
    return source


def _output(attribute: Attribute, level: Level) -> ColumnElement[Any]:
    keyword = attribute.keyword
    if keyword == "ModalitiesInStudy":
        return _collected(_SERIES.c.Modality, _SERIES, level)
    if keyword == "SOPClassesInStudy":
        return _collected(_INSTANCES.c.SOPClassUID, _INSTANCES, level)
    if keyword == "AvailableTransferSyntaxUID":
        return _INSTANCES.c.TransferSyntaxUID
    return _TABLES[attribute.level].c[keyword]


def _collected(column: ColumnElement[Any], source: Any, level: Level) -> ColumnElement[Any]:
    """The distinct values of a level below, joined by a backslash in ascending order."""
    below = source.alias()
    value = below.c[column.name]
    study = _TABLES[level].c.StudyInstanceUID
    here = below.c.StudyInstanceUID == study
    if source is _INSTANCES:  # which has an index of its series only
        of_study = _SERIES.alias()
        here = below.c.SeriesInstanceUID.in_(
            select(of_study.c.SeriesInstanceUID)
            .where(of_study.c.StudyInstanceUID == study)
            .correlate(_TABLES[level])
        )
    distinct = (
        select(value.label("v"))
        .where(here, value.is_not(None))
        .distinct()
        .order_by(value)
        .correlate(_TABLES[level])
        .subquery()
    )
    return select(func.group_concat(distinct.c.v, BACKSLASH)).scalar_subquery()


def _condition(match: Match, level: Level, values: Parameters) -> ColumnElement[bool]:
    attribute = match.attribute
    if attribute.level is Level.PATIENT and attribute.computed:
        return false()  # counts of a patient can't be matched at all (PS3.4 C.3.4)
    if attribute.keyword in {"ModalitiesInStudy", "SOPClassesInStudy"}:
        inner = "Modality" if attribute.keyword == "ModalitiesInStudy" else "SOPClassUID"
        return _below(Match(ATTRIBUTES[inner], match.kind, match.values), level, values)
    if attribute.level.depth > level.depth:
        return _below(match, level, values)
    if attribute.keyword == _OF_STUDY and level is Level.IMAGE:
        of_study = compared(match, _SERIES.c.StudyInstanceUID, values)
        return _INSTANCES.c.SeriesInstanceUID.in_(
            select(_SERIES.c.SeriesInstanceUID).where(of_study)
        )  # an index leads from a study to its series and on to their instances
    if attribute.keyword == _OF_STUDY and level is Level.SERIES:
        return compared(match, _SERIES.c.StudyInstanceUID, values)
    return compared(match, _output(attribute, level), values)


def _below(match: Match, level: Level, values: Parameters) -> ColumnElement[bool]:
    """An attribute of a lower level: some entity there has the value."""
    source = _TABLES[match.attribute.level].alias()
    key = (
        "SeriesInstanceUID"
        if level is Level.SERIES and "SOPInstanceUID" in source.c
        else ("StudyInstanceUID")
    )
    name = match.attribute.keyword
    name = "TransferSyntaxUID" if name == "AvailableTransferSyntaxUID" else name
    outer = _TABLES[level].c[key]
    if match.words:  # words lead to the few rows that have them
        having = compared(match, source.c[name], values)
        return outer.in_(select(source.c[key]).where(having))
    here = source.c[key] == outer
    if key == _OF_STUDY and "SOPInstanceUID" in source.c:
        of_study = _SERIES.alias()
        here = source.c.SeriesInstanceUID.in_(
            select(of_study.c.SeriesInstanceUID)
            .where(of_study.c.StudyInstanceUID == outer)
            .correlate(_TABLES[level])
        )
    return exists().where(here, compared(match, source.c[name], values)).correlate(_TABLES[level])
