"""The filters of a dashboard: what they amount to in SQL, and what there is to filter by.

A filter never stands in the text of a statement: values are parameters, so that the statement that
is shown can be copied into a cell and run there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Final, cast

import pandas as pd

from pacslab.cohort.mirror import Mirror
from pacslab.cohort.sql import query
from pacslab.dicom.keywords import Level
from pacslab.errors import UsageError

AGE: Final = """coalesce(
    try_cast(left(PatientAge, 3) AS INTEGER) // CASE right(PatientAge, 1)
      WHEN 'Y' THEN 1 WHEN 'M' THEN 12 WHEN 'W' THEN 52 WHEN 'D' THEN 365 END,
    date_diff('year', PatientBirthDate, StudyDate))"""
"""Years, by Patient's Age (0010,1010) or else the two dates."""

_CHOICES: Final = {
    "modalities": "Modality",
    "sexes": "PatientSex",
    "manufacturers": "Manufacturer",
    "body_parts": "BodyPartExamined",
}
_SEARCHED: Final = (
    "PatientID", "PatientName", "AccessionNumber", "StudyDescription", "SeriesDescription",
    "ProtocolName", "StudyInstanceUID", "SeriesInstanceUID",
)  # fmt: skip
_DESCRIBED: Final = ("StudyDescription", "SeriesDescription")
_KEYWORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*(\[\d+\])?(\.[A-Za-z][A-Za-z0-9]*(\[\d+\])?)*")
_ENTITIES: Final = "series JOIN studies USING (StudyInstanceUID)"
_STUDIES: Final = "count(DISTINCT StudyInstanceUID)"
_SHOWN: Final[Mapping[Level, tuple[str, ...]]] = {
    Level.STUDY: (
        "PatientID", "PatientName", "PatientSex", "StudyDate", "StudyDescription",
        "ModalitiesInStudy", "NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances",
        "StudyInstanceUID",
    ),
    Level.SERIES: (
        "studies.PatientID", "StudyDate", "Modality", "SeriesNumber", "SeriesDescription",
        "BodyPartExamined", "Manufacturer", "NumberOfSeriesRelatedInstances",
        "SeriesInstanceUID", "StudyInstanceUID",
    ),
    Level.IMAGE: (
        "PatientID", "InstanceNumber", "Rows", "Columns", "NumberOfFrames", "SliceThickness",
        "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID",
    ),
}  # fmt: skip
_ORDER: Final[Mapping[Level, str]] = {
    Level.STUDY: "StudyDate DESC NULLS LAST, StudyInstanceUID",
    Level.SERIES: "StudyDate DESC NULLS LAST, StudyInstanceUID, SeriesNumber, SeriesInstanceUID",
    Level.IMAGE: "StudyInstanceUID, SeriesInstanceUID, InstanceNumber, SOPInstanceUID",
}


@dataclass(frozen=True, slots=True)
class Filters:
    """What series have to be like; what isn't given doesn't matter.

    Of several values of one filter any will do; of ``description`` and ``text`` every word must
    occur, whatever its case. ``since`` and ``until`` are study dates and belong to the span, ages
    are years. ``attribute`` is any attribute of the header by keyword or path
    (``ReferencedSeriesSequence[0].SeriesInstanceUID``), its ``value`` may have ``*`` and ``?``.
    """

    modalities: tuple[str, ...] = ()
    sexes: tuple[str, ...] = ()
    manufacturers: tuple[str, ...] = ()
    body_parts: tuple[str, ...] = ()
    since: date | None = None
    until: date | None = None
    youngest: int | None = None
    oldest: int | None = None
    description: str = ""
    text: str = ""
    attribute: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL and its parameters."""

    text: str
    parameters: dict[str, Any] = field(default_factory=dict)

    def cell(self) -> str:
        """The Python that asks it in a cell."""
        given = "".join(f",\n    {name}={value!r}" for name, value in self.parameters.items())
        return f'lab.sql("""\n{self.text}\n"""{given})'


def statement(
    filters: Filters, level: Level = Level.SERIES, having: list[str] | None = None
) -> Statement:
    """What the filters amount to: the entities of a level, from the table's columns.

    ``having`` are the series whose headers have the attribute, where that is known already.
    Raises UsageError for an attribute whose name can't be one.
    """
    where, parameters = _where(filters, having)
    columns = ", ".join(_SHOWN[level])
    if level is Level.STUDY:
        source = (
            f"studies WHERE StudyInstanceUID IN (SELECT StudyInstanceUID FROM {_ENTITIES}{where})"
        )
    elif level is Level.SERIES:
        source = f"{_ENTITIES}{where}"
    else:
        chosen = f"SELECT SeriesInstanceUID FROM {_ENTITIES}{where}"
        source = f"instances WHERE SeriesInstanceUID IN ({chosen})"
    return Statement(f"SELECT {columns}\nFROM {source}\nORDER BY {_ORDER[level]}", parameters)


class Facets:
    """The answers that a dashboard shows for some filters."""

    def __init__(self, mirror: Mirror, filters: Filters) -> None:
        self._mirror = mirror
        self.filters = filters
        self._having: list[str] | None = None  # the series, where headers were to be read for it
        if filters.attribute:
            only = Filters(attribute=filters.attribute, value=filters.value)
            self._having = self._ask("SELECT SeriesInstanceUID", "", only)[
                "SeriesInstanceUID"
            ].to_list()

    def counts(self) -> dict[str, int]:
        """How many patients, studies, series and instances there are."""
        found = self._ask(
            "SELECT count(DISTINCT coalesce(studies.PatientID, StudyInstanceUID)) AS patients, "
            "count(DISTINCT StudyInstanceUID) AS studies, count(*) AS series, "
            "coalesce(sum(NumberOfSeriesRelatedInstances), 0) AS instances"
        )
        return {str(name): int(number) for name, number in found.iloc[0].items()}

    def choices(self, name: str) -> list[tuple[str, int]]:
        """The values of a filter such as ``modalities`` and how many series have each.

        The filter itself doesn't count, so that others can be chosen beside what is.
        """
        column = _CHOICES[name]
        found = self._ask(
            f"SELECT {column} AS value, count(*) AS number",
            f"GROUP BY {column} HAVING {column} IS NOT NULL ORDER BY number DESC, value LIMIT 200",
            replace(self.filters, **cast(Any, {name: ()})),
        )
        return [(str(v), int(n)) for v, n in zip(found["value"], found["number"], strict=True)]

    def by_modality(self) -> pd.DataFrame:
        """Series by modality: columns Modality, series."""
        return self._grouped("Modality", "coalesce(Modality, '(none)')", "series", "count(*)", 12)

    def by_year(self) -> pd.DataFrame:
        """Studies by year: columns year, studies."""
        return self._grouped("year", "year(StudyDate)", "studies", _STUDIES)

    def by_age(self) -> pd.DataFrame:
        """Studies by decade of age: columns age (its first year), studies."""
        return self._grouped("age", f"{AGE} // 10 * 10", "studies", _STUDIES)

    def page(self, level: Level, number: int, size: int) -> pd.DataFrame:
        """So many rows of the table, the first page being 0; nothing else is read from it."""
        asked = statement(self.filters, level, self._having)
        text = f"{asked.text}\nLIMIT $page_size OFFSET $page_start"
        page = {"page_size": size, "page_start": number * size}
        return query(self._mirror, text, asked.parameters | page, {})

    def _grouped(
        self, name: str, value: str, counted: str, number: str, most: int = 200
    ) -> pd.DataFrame:
        """So many of the most frequent values, in their own order, NULL left out."""
        found = self._ask(
            f'SELECT {value} AS "{name}", {number} AS {counted}',
            f"GROUP BY {value} HAVING {value} IS NOT NULL ORDER BY 2 DESC, 1 LIMIT {most}",
        )
        return found.sort_values(name, ignore_index=True)

    def _ask(self, select: str, behind: str = "", filters: Filters | None = None) -> pd.DataFrame:
        where, parameters = _where(self.filters if filters is None else filters, self._having)
        return query(self._mirror, f"{select} FROM {_ENTITIES}{where} {behind}", parameters, {})


def _where(filters: Filters, having: list[str] | None) -> tuple[str, dict[str, Any]]:
    parameters: dict[str, Any] = {}
    conditions = list(_conditions(filters, parameters))
    if filters.attribute and having is not None:
        parameters["having"] = having
        conditions.append("list_contains($having, SeriesInstanceUID)")
    elif filters.attribute:
        conditions.append(_attribute(filters.attribute, filters.value.strip(), parameters))
    return ("\nWHERE " + "\n  AND ".join(conditions) if conditions else ""), parameters


def _conditions(filters: Filters, parameters: dict[str, Any]) -> Iterator[str]:
    for name, column in _CHOICES.items():
        if chosen := getattr(filters, name):
            parameters[name] = list(chosen)
            yield f"list_contains(${name}, {column})"
    for name, condition in (
        ("since", "StudyDate >= $since"),
        ("until", "StudyDate <= $until"),
        ("youngest", f"{AGE} >= $youngest"),
        ("oldest", f"{AGE} <= $oldest"),
    ):
        if (value := getattr(filters, name)) is not None:
            parameters[name] = value.isoformat() if isinstance(value, date) else value
            yield condition
    for name, columns in (("description", _DESCRIBED), ("text", _SEARCHED)):
        for number, word in enumerate(getattr(filters, name).split()):
            parameters[f"{name}{number}"] = word.lower()
            joined = ", ".join(_qualified(c) for c in columns)
            yield f"contains(lower(concat_ws(' ', {joined})), ${name}{number})"


def _attribute(name: str, value: str, parameters: dict[str, Any]) -> str:
    if not _KEYWORD.fullmatch(name):
        raise UsageError(
            f"{name!r} is no attribute: take a keyword such as ProtocolName, or a path such as "
            "RequestAttributesSequence[0].ScheduledProcedureStepID"
        )
    fits = f"tag('{name}') IS NOT NULL"
    if value:
        parameters["value"] = value.lower()
        fits = f"lower(tag('{name}')) GLOB $value"
    return f"SeriesInstanceUID IN (SELECT SeriesInstanceUID FROM instances WHERE {fits})"


def _qualified(column: str) -> str:
    return f"studies.{column}" if column == "PatientID" else column
