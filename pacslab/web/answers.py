"""Rows of the index as DICOM JSON (PS3.18 Annex F), for the answers of a search."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pacslab.dicom.keywords import Attribute

_REAL = frozenset({"DS", "FD", "FL"})
_WHOLE = frozenset({"IS", "SL", "SS", "SV", "UL", "US", "UV"})


def data_set(row: Mapping[str, Any], attributes: Iterable[Attribute]) -> dict[str, dict[str, Any]]:
    """The attributes of a row as DICOM JSON; empty ones without a value (F.2.5)."""
    return {a.json_key: element(a, row.get(a.keyword)) for a in attributes}


def element(attribute: Attribute, value: Any) -> dict[str, Any]:
    """One element from a column's value; several values stand there with backslashes between."""
    vr = attribute.vr
    if value is None or value == "":
        return {"vr": vr}
    values = value.split("\\") if attribute.multiple and isinstance(value, str) else [value]
    if vr == "PN":
        return {"vr": vr, "Value": [_person(v) for v in values]}
    if vr in _REAL or vr in _WHOLE:
        return {"vr": vr, "Value": [_number(v) for v in values]}
    return {"vr": vr, "Value": [v if v != "" else None for v in values]}


def _person(name: str) -> dict[str, str] | None:
    groups = zip(("Alphabetic", "Ideographic", "Phonetic"), name.split("="), strict=False)
    return {group: text for group, text in groups if text} or None


def _number(value: Any) -> int | float | None:
    if value == "":
        return None
    number = float(value)
    return int(number) if number.is_integer() else number
