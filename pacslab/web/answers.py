"""Rows of the index and stored headers as DICOM JSON (PS3.18 Annex F), for answers of a search."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pacslab.archive.archive import Stored
from pacslab.dicom.keywords import Attribute
from pacslab.web.routing import instance_url

DataSet = dict[str, dict[str, Any]]
"""DICOM JSON of one data set: elements by tag (PS3.18 F.2.2)."""

_REAL = frozenset({"DS", "FD", "FL"})
_WHOLE = frozenset({"IS", "SL", "SS", "SV", "UL", "US", "UV"})


def data_set(row: Mapping[str, Any], attributes: Iterable[Attribute]) -> DataSet:
    """The attributes of a row as DICOM JSON; empty ones without a value (F.2.5).

    Those in a sequence stand in an item of it, and only where they have a value.
    """
    found: DataSet = {}
    for attribute in attributes:
        value = row.get(attribute.keyword)
        if not attribute.sequence:
            found[attribute.json_key] = element(attribute, value)
        elif value is not None:
            outer, inner = attribute.json_key.split(".")
            sequence = found.setdefault(outer, {"vr": "SQ", "Value": [{}]})
            sequence["Value"][0][inner] = element(attribute, value)
    return found


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


def absolute(stored: Stored, text: bytes, root: str) -> DataSet:
    """A stored header, its bulk data by absolute addresses."""
    at = instance_url(
        root, stored.study_instance_uid, stored.series_instance_uid, stored.sop_instance_uid
    )
    relative, whole = b'"BulkDataURI":"', f'"BulkDataURI":{json.dumps(at + "/")[:-1]}'.encode()
    header: DataSet = json.loads(text.replace(relative, whole))
    return header


def including(header: DataSet, paths: Iterable[Sequence[str]], found: DataSet) -> DataSet:
    """``found`` with the elements at these paths of a header, each private one with its creator."""
    made = dict(found)
    for tag, *inside in paths:
        if tag not in header:
            continue
        made[tag] = _narrow(header[tag], inside, made.get(tag)) if inside else header[tag]
        creator = creator_of(tag)
        if creator in header:
            made[creator] = header[creator]
    return made


def creator_of(tag: str) -> str:
    """The tag of a private element's Private Creator (PS3.5 7.8.1); empty for any other."""
    private = int(tag[3], 16) % 2 == 1 and tag[4:6] != "00"
    return f"{tag[:4]}00{tag[4:6]}" if private else ""


def _narrow(
    element: dict[str, Any], path: Sequence[str], before: dict[str, Any] | None
) -> dict[str, Any]:
    """A sequence with only the elements at ``path`` in its items, joined to what was there."""
    if element["vr"] != "SQ":
        return element
    held = (before or {}).get("Value", [])
    items = [
        including(item or {}, [path], held[i] if i < len(held) else {})
        for i, item in enumerate(element.get("Value", []))
    ]
    return {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}
