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
_MOST_TRIED: Final = 2000
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
    """The fewest steps that reach k, a step making one quasi-identifier coarser or leaving it out.

    Of several ways with as many steps the one that keeps most classes stands first.
    """
    ladders = [_ladder(name) for name in names]
    told = _told(mirror, chosen, list(dict.fromkeys(one for each in ladders for one in each)))
    level: dict[tuple[int, ...], None] = {(0,) * len(names): None}
    tried = 0
    rows: list[dict[str, Any]] = []
    while level and not rows and tried < _MOST_TRIED:
        further: dict[tuple[int, ...], None] = {}
        for steps in level:
            for place, ladder in enumerate(ladders):
                if steps[place] < len(ladder):
                    further[(*steps[:place], steps[place] + 1, *steps[place + 1 :])] = None
        level = further
        for steps in level:
            kept = [ladder[n] for ladder, n in zip(ladders, steps, strict=True) if n < len(ladder)]
            tried += 1
            sizes = told.groupby(kept, dropna=False).size() if kept else pd.Series([len(told)])
            if len(sizes) and sizes.min() >= k:
                done = [
                    f"{ladder[0]} as {ladder[n]}" if n < len(ladder) else f"leave out {ladder[0]}"
                    for ladder, n in zip(ladders, steps, strict=True)
                    if n
                ]
                rows.append({"step": "; ".join(done), "k": int(sizes.min()),
                             "classes": len(sizes), "quasi": ", ".join(kept)})  # fmt: skip
    found = pd.DataFrame(rows, columns=["step", "k", "classes", "quasi"])
    return found.sort_values("classes", ascending=False, ignore_index=True).head(5)


def _ladder(name: str) -> list[str]:
    steps = [name]
    while steps[-1] in _COARSER:
        steps.append(_COARSER[steps[-1]])
    return steps


def _chosen(archive: Archive, mirror: Mirror, what: Any) -> pd.DataFrame:
    if what is None:
        return query(mirror, "SELECT SOPInstanceUID FROM instances")
    uids = [stored.sop_instance_uid for stored in instances_of(archive, what)]
    return pd.DataFrame({"SOPInstanceUID": pd.Series(uids, dtype="str")})


def _classes(
    mirror: Mirror, chosen: pd.DataFrame, names: tuple[str, ...], sensitive: str | None
) -> pd.DataFrame:
    every = [*names, *([sensitive] if sensitive else [])]
    groups = ", ".join(f'"q{number}"' for number in range(len(names)))
    shown = ", ".join(f'"q{number}" AS "{name}"' for number, name in enumerate(names))
    diverse = f', count(DISTINCT "q{len(names)}") AS diversity' if sensitive else ""
    statement = f"""WITH told AS ({_per_patient(mirror, every)})
        SELECT {shown}, count(*) AS patients{diverse} FROM told GROUP BY {groups}
        ORDER BY patients, {groups}"""
    return query(mirror, statement, frames={"chosen": chosen})


def _told(mirror: Mirror, chosen: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """A row a patient with each quasi-identifier."""
    rows = query(mirror, _per_patient(mirror, names), frames={"chosen": chosen})
    return rows.rename(columns={f"q{number}": name for number, name in enumerate(names)})


def _per_patient(mirror: Mirror, names: list[str]) -> str:
    where = _columns(mirror)
    columns = ", ".join(
        f"array_to_string(list_sort(list(DISTINCT ({_expression(name, where)})::VARCHAR)), ', ') "
        f'AS "q{number}"'
        for number, name in enumerate(names)
    )
    return f"""
        SELECT coalesce(t.PatientID || chr(0) || coalesce(t.IssuerOfPatientID, ''),
                        t.StudyInstanceUID) AS who, {columns}
        FROM instances i SEMI JOIN chosen USING (SOPInstanceUID)
        JOIN series s ON s.SeriesInstanceUID = i.SeriesInstanceUID
        JOIN studies t ON t.StudyInstanceUID = i.StudyInstanceUID
        GROUP BY who"""


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
