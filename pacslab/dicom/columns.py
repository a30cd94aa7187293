"""The index's columns, taken from a header in the DICOM JSON Model."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from pacslab.dicom.header import Json
from pacslab.dicom.keywords import STORED, Attribute

Value: TypeAlias = str | int | float | None


def index_row(header: Json) -> dict[str, Value]:
    """The index's columns from a header; None where the attribute is absent or empty.

    Several values are joined with a backslash, as the data set has them. Text that isn't a number
    in a column of numbers gives None: it stays visible in the header.
    """
    return {a.keyword: _column(a, _element(header, a.json_key)) for a in STORED}


def columns_of(tag: str, element: dict[str, Any]) -> dict[str, Value]:
    """The columns that one element of a header fills, by keyword; those with a value only."""
    header = {tag: element}
    found = {a.keyword: _column(a, _element(header, a.json_key)) for a in _BY_TAG.get(tag, ())}
    return {keyword: value for keyword, value in found.items() if value is not None}


def _element(header: Mapping[str, Any], key: str) -> dict[str, Any] | None:
    """An element; of one in a sequence the first item's."""
    outer, _, inner = key.partition(".")
    element: dict[str, Any] | None = header.get(outer)
    if not inner or element is None:
        return element
    items = element.get("Value")
    return _element(items[0] or {}, inner) if items else None


def _column(attribute: Attribute, element: dict[str, Any] | None) -> Value:
    values = element.get("Value") if element else None
    if not values:
        return None
    texts = [_text(v) for v in values]
    if attribute.python_type is str:
        joined = "\\".join(texts)
        return _date(joined) if attribute.vr == "DA" else joined or None
    try:
        number: int | float = int(values[0]) if attribute.python_type is int else float(values[0])
    except (TypeError, ValueError, OverflowError):
        return None
    # SQLite's integers have 64 bits; what is longer was no number but a mistake.
    return number if abs(number) < 2**63 else None


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        groups = [value.get(g, "") for g in ("Alphabetic", "Ideographic", "Phonetic")]
        return "=".join(groups).rstrip("=")
    return str(value).strip()


def _date(text: str) -> str | None:
    """A date as PS3.5 writes it; the form of ACR-NEMA (1997.04.24) is understood too."""
    old = re.fullmatch(r"(\d{4})[.\-/](\d{2})[.\-/](\d{2})", text)
    return "".join(old.groups()) if old else text or None


def _by_tag() -> dict[str, list[Attribute]]:
    found: dict[str, list[Attribute]] = defaultdict(list)
    for attribute in STORED:
        found[attribute.json_key.partition(".")[0]].append(attribute)
    return dict(found)


_BY_TAG: Final = _by_tag()
EMPTY_ROW: Final[Mapping[str, Value]] = {a.keyword: None for a in STORED}
"""The columns of an instance that says nothing."""
