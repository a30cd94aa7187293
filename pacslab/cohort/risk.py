"""Who could be recognised: k-anonymity, l-diversity and uniqueness over quasi-identifiers, in SQL.

A patient counts once: of several values (two studies in different years) the class is their list.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any, Final

import pandas as pd

from pacslab.archive import Archive
from pacslab.cohort.mirror import Mirror
from pacslab.cohort.selection import instances_of
from pacslab.cohort.sql import query
from pacslab.errors import UsageError

_AGE: Final = (
    "CASE WHEN PatientAge SIMILAR TO '[0-9]{3}Y' THEN substr(PatientAge, 1, 3)::INTEGER "
    "WHEN PatientAge SIMILAR TO '[0-9]{3}[DWM]' THEN 0 END"
)
QUASI: Final[Mapping[str, str]] = {
    "age": _AGE,
    "age group": f"(({_AGE}) // 10 * 10)::VARCHAR",
    "age group of 20": f"(({_AGE}) // 20 * 20)::VARCHAR",
    "study date": "StudyDate::VARCHAR",
    "study month": "strftime(StudyDate, '%Y-%m')",
    "study year": "year(StudyDate)::VARCHAR",
    "study decade": "(year(StudyDate) // 10 * 10)::VARCHAR",
    "birth year": "year(PatientBirthDate)::VARCHAR",
    "birth decade": "(year(PatientBirthDate) // 10 * 10)::VARCHAR",
    "size": "round(PatientSize * 100)::VARCHAR",
    "size group": "(round(PatientSize * 10) * 10)::VARCHAR",
    "weight": "round(PatientWeight)::VARCHAR",
    "weight group": "(PatientWeight // 20 * 20)::VARCHAR",
}
"""What quasi-identifiers can be besides columns, as SQL over studies, series and instances."""

_COARSER: Final[Mapping[str, str]] = {
    "age": "age group", "PatientAge": "age group", "age group": "age group of 20",
    "study date": "study month", "StudyDate": "study year", "study month": "study year",
    "study year": "study decade", "PatientBirthDate": "birth year", "birth year": "birth decade",
    "size": "size group", "PatientSize": "size group", "weight": "weight group",
    "PatientWeight": "weight group",
}  # fmt: skip
DEFAULT: Final = ("PatientSex", "age group", "study year", "Modality")
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*")


@dataclass(frozen=True)
class Risk:
    """How well patients hide among others.

    ``classes`` has a row a group of patients who are alike: the quasi-identifiers, ``patients``
    and with a sensitive attribute ``diversity``, the smallest first. ``k`` is the size of the
    smallest, ``unique`` how many patients are alone, ``l`` the least diversity (None without).
    """

    quasi: tuple[str, ...]
    sensitive: str | None
    wanted: int
    patients: int
    k: int
    unique: int
    below: int
    """Patients in classes smaller than ``wanted``."""
    l: int | None  # noqa: E741 - the name that it has everywhere
    classes: pd.DataFrame
    suggestions: pd.DataFrame = field(repr=False)

    def _repr_html_(self) -> str:
        told = [("patients", self.patients), ("k", self.k), ("unique", self.unique),
                (f"below k = {self.wanted}", self.below)]  # fmt: skip
        if self.l is not None:
            told.append((f"l of {self.sensitive}", self.l))
        numbers = "".join(
            f"<span style='margin-right:28px'><b style='font-size:20px'>{n:,}</b> "
            f"{escape(what)}</span>" for what, n in told
        )  # fmt: skip
        tables = self.classes.head(10).to_html(index=False)
        if len(self.suggestions):
            tables += f"<p>To reach k:</p>{self.suggestions.to_html(index=False)}"
        return f"<div><p>{numbers}</p>{tables}</div>"


def risk(
    archive: Archive,
    mirror: Mirror,
    what: Any = None,
    quasi: Iterable[str] | None = None,
    sensitive: str | None = None,
    *,
    k: int = 5,
) -> Risk:
    """The risk in a cohort (as ``selection`` takes it; None is all).

    Raises UsageError for a quasi-identifier that is neither a column nor one of :data:`QUASI`.
    """
    names = tuple(quasi) if quasi is not None else DEFAULT
    if not names or k < 1:
        raise UsageError("give at least one quasi-identifier, and k of 1 or more")
    chosen = _chosen(archive, mirror, what)
    classes = _classes(mirror, chosen, names, sensitive)
    sizes = classes["patients"]
    found = Risk(
        quasi=names,
        sensitive=sensitive,
        wanted=k,
        patients=int(sizes.sum()),
        k=int(sizes.min()) if len(sizes) else 0,
        unique=int((sizes == 1).sum()),
        below=int(sizes[sizes < k].sum()),
        l=int(classes["diversity"].min()) if sensitive and len(classes) else None,
        classes=classes,
        suggestions=pd.DataFrame(),
    )
    held = _suggestions(mirror, chosen, names, k) if found.below else pd.DataFrame()
    return Risk(**{**found.__dict__, "suggestions": held})


def _suggestions(
    mirror: Mirror, chosen: pd.DataFrame, names: tuple[str, ...], k: int
) -> pd.DataFrame:
    """Steps to reach k: one quasi-identifier coarser or left out at a time, the best first."""
    rows = []
    current = names
    while current:
        tried = []
        for place, name in enumerate(current):
            coarser = _COARSER.get(name)
            after = (*current[:place], *((coarser,) if coarser else ()), *current[place + 1 :])
            step = f"{name} as {coarser}" if coarser else f"leave out {name}"
            sizes = _classes(mirror, chosen, after, None)["patients"] if after else None
            below = 0 if sizes is None else int(sizes[sizes < k].sum())
            least = 0 if sizes is None or not len(sizes) else int(sizes.min())
            # A coarser value costs less than one that is left out
            tried.append((below, coarser is None, step, after, least))
        below, _, step, current, least = min(tried)
        rows.append({"step": step, "k": least, "patients below k": below,
                     "quasi": ", ".join(current)})  # fmt: skip
        if not below:
            break
    return pd.DataFrame(rows)


def _chosen(archive: Archive, mirror: Mirror, what: Any) -> pd.DataFrame:
    if what is None:
        return query(mirror, "SELECT SOPInstanceUID FROM instances")
    uids = [stored.sop_instance_uid for stored in instances_of(archive, what)]
    return pd.DataFrame({"SOPInstanceUID": pd.Series(uids, dtype="str")})


def _classes(
    mirror: Mirror, chosen: pd.DataFrame, names: tuple[str, ...], sensitive: str | None
) -> pd.DataFrame:
    every = [*names, *([sensitive] if sensitive else [])]
    where = _columns(mirror)
    columns = ", ".join(
        f"array_to_string(list_sort(list(DISTINCT ({_expression(name, where)})::VARCHAR)), ', ') "
        f'AS "q{number}"'
        for number, name in enumerate(every)
    )
    groups = ", ".join(f'"q{number}"' for number in range(len(names)))
    shown = ", ".join(f'coalesce("q{n}", \'\') AS "{name}"' for n, name in enumerate(names))
    diverse = f', count(DISTINCT "q{len(names)}") AS diversity' if sensitive else ""
    statement = f"""
        WITH told AS (
            SELECT coalesce(t.PatientID || chr(0) || coalesce(t.IssuerOfPatientID, ''),
                            t.StudyInstanceUID) AS who, {columns}
            FROM instances i SEMI JOIN chosen USING (SOPInstanceUID)
            JOIN series s ON s.SeriesInstanceUID = i.SeriesInstanceUID
            JOIN studies t ON t.StudyInstanceUID = i.StudyInstanceUID
            GROUP BY who)
        SELECT {shown}, count(*) AS patients{diverse} FROM told GROUP BY {groups}
        ORDER BY patients, ALL"""
    statement = statement.replace("ORDER BY patients, ALL", f"ORDER BY patients, {groups}")
    return query(mirror, statement, frames={"chosen": chosen})


def _columns(mirror: Mirror) -> dict[str, str]:
    """The alias of the table of each column, studies first."""
    found: dict[str, str] = {}
    held = mirror.columns()
    for table, alias in (("studies", "t"), ("series", "s"), ("instances", "i")):
        for column in held[table]:
            found.setdefault(column, alias)
    return found


def _expression(name: str, where: Mapping[str, str]) -> str:
    if name not in QUASI and name not in where:
        raise UsageError(
            f"{name!r} is no quasi-identifier: take a column of studies, series or instances, or "
            f"one of {', '.join(QUASI)}"
        )
    text = QUASI.get(name, name)
    return _NAME.sub(lambda m: f"{where[m[0]]}.{m[0]}" if m[0] in where else m[0], text)
