"""One key of a query against one column: the condition in SQL, and what is bound to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final, TypeAlias

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    FromClause,
    Select,
    and_,
    bindparam,
    func,
    literal_column,
    or_,
    select,
)

from pacslab.archive import schema
from pacslab.dicom.keywords import Attribute
from pacslab.dicom.matching import Kind, Match

BACKSLASH: Final[ColumnElement[str]] = literal_column("'\\'")
LAST: Final = "\U0010ffff"
"""Sorts behind every other character."""

Parameters: TypeAlias = Sequence[BindParameter[Any]]
_GROUPS: Final = 4  # parameters of a person name: the whole, and each place of a component group


@dataclass(frozen=True, slots=True)
class Among(Match):
    """A key that is one of these texts, as the index has them (:mod:`pacslab.archive.texts`)."""


def bound(match: Match) -> Sequence[str | int | float | None]:
    """What a match puts into the statement, as :func:`_compare` takes it."""
    attribute, kind, values = match.attribute, match.kind, match.values
    if isinstance(match, Among):
        return values
    if match.words:
        return [word for value in match.words for group in value for word in group]
    if attribute.vr == "PN":
        return [b for value in values for b in _names(kind, value, several(attribute))]
    if kind is Kind.RANGE:
        return _bounds(attribute, *values)
    if attribute.python_type is not str:
        return [attribute.python_type(v) for v in values]
    if several(attribute):
        patterns = map(_glob if kind is Kind.WILDCARD else _glob_literal, values)
        return [f"*\\{pattern}\\*" for pattern in patterns]
    if kind is Kind.WILDCARD:
        return [_glob(values[0])]
    if attribute.vr in {"TM", "DT"}:
        return [v.rstrip("0.") for v in values]
    return values


def compared(match: Match, column: ColumnElement[Any], values: Parameters) -> ColumnElement[bool]:
    """The condition on a column, with a parameter for each value of :func:`_bound`."""
    attribute = match.attribute
    if match.kind is Kind.EMPTY:
        return column.is_(None)
    if attribute.vr == "PN":
        folded: ColumnElement[Any] = column.table.c[attribute.keyword + schema.FOLDED]
        if isinstance(match, Among):
            return folded.in_(values)
        if match.words:
            return _fuzzy(match, folded, values)
        if several(attribute):
            folded = BACKSLASH.concat(folded).concat(BACKSLASH)
            return or_(*(folded.op("GLOB")(value) for value in values))
        exact = match.kind is not Kind.WILDCARD
        return or_(*(
            folded == value if exact and i % _GROUPS == 0 else folded.op("GLOB")(value)
            for i, value in enumerate(values)
        ))  # fmt: skip
    if isinstance(match, Among):
        return column.in_(values)
    if match.kind is Kind.RANGE:
        low, high = values
        return and_(column >= low, column <= high)
    if attribute.python_type is not str:
        return column.in_(values)
    if several(attribute):
        bounded = BACKSLASH.concat(column).concat(BACKSLASH)
        return or_(*(bounded.op("GLOB")(value) for value in values))
    if match.kind is Kind.WILDCARD:
        return column.op("GLOB")(values[0])
    if attribute.vr in {"TM", "DT"}:
        return func.rtrim(column, literal_column("'0.'")).in_(values)
    return column.in_(values)


def _fuzzy(match: Match, folded: ColumnElement[Any], values: Parameters) -> ColumnElement[bool]:
    """Names in which each word asked for has another one that is like it, in one component group.

    Each parameter is a JSON list, of the words in the index that are like one asked for.
    """
    given = iter(values)
    return or_(*(
        and_(*(folded.in_(_having([next(given) for _ in group])) for group in value))
        for value in match.words
    ))  # fmt: skip


def _having(words: Parameters) -> Select[Any]:
    first, *others = tables = [schema.name_words.alias() for _ in words]
    source: FromClause = first
    for number, table in enumerate(others, 1):
        of_one_group = and_(table.c.Name == first.c.Name, table.c.Part == first.c.Part)
        another = (table.c.Place != before.c.Place for before in tables[:number])
        source = source.join(table, and_(of_one_group, *another))
    return (
        select(first.c.Name)
        .select_from(source)
        .where(*(
            table.c.Word.in_(select(func.json_each(like).table_valued("value").c.value))
            for table, like in zip(tables, words, strict=True)
        ))
    )  # fmt: skip


def parameters(match: Match, number: int) -> Parameters:
    """The parameters for the values of a query's match with this number."""
    places = enumerate(bound(match))
    return [bindparam(f"key{number}_{place}", value) for place, value in places]


def several(attribute: Attribute) -> bool:
    """Whether its column may hold several values, joined by a backslash."""
    return attribute.multiple and not attribute.computed


def _names(kind: Kind, value: str, listed: bool) -> list[str | None]:
    """Person names match by the whole or by one of their component groups (PS3.4 C.2.2.2.1).

    What is asked with its groups matches by the whole only: NULL is equal to nothing. Where there
    are several names, each of them stands between backslashes.
    """
    pattern = _glob(value) if kind is Kind.WILDCARD else _glob_literal(value)
    whole = pattern if kind is Kind.WILDCARD or listed else value
    groups = [pattern + "=*", "*=" + pattern, "*=" + pattern + "=*"]
    found: list[str | None] = [whole, *([None] * 3 if "=" in value else groups)]
    return [f"*\\{p}\\*" if p is not None else p for p in found] if listed else found


def _bounds(attribute: Attribute, low: str, high: str) -> tuple[str, str]:
    """Text that sorts as time does: a bound given to the minute includes that minute.

    Bounds lose their trailing zeros, since 1030 and 103000 are the same time. What isn't given
    is what all others lie behind, or before.
    """
    if attribute.vr == "DA":
        return low, high or LAST
    return low and (low.rstrip("0.") or "0"), high + "~" if high else LAST


def _glob(pattern: str) -> str:
    """A DICOM pattern for SQLite's GLOB, which knows ``*`` and ``?`` too, and sets in brackets."""
    return pattern.replace("[", "[[]")


def _glob_literal(text: str) -> str:
    return reduce(lambda t, c: t.replace(c, f"[{c}]"), "*?", text.replace("[", "[[]"))
