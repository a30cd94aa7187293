"""One instance before and after: what became of each attribute, told from the bytes of both."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from pacslab.deid.actions import Did
from pacslab.deid.audit import pixels
from pacslab.deid.audit.finding import attribute_of
from pacslab.deid.audit.originals import STANDARD
from pacslab.deid.audit.reading import Element, Parts

_DAY: Final = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})")
_BORN: Final = "PatientBirthDate"
ADDED: Final = "added"
"""What became of an attribute that the source didn't have; MIDI-B has no name for it."""


@dataclass(slots=True)
class Comparison:
    """What became of the attributes of one instance; of several when added up.

    ``did`` counts attributes by name and MIDI-B's action; ``shifts`` holds by how many days dates
    moved, by subject; ``uids`` the new UID of each old one.
    """

    did: Counter[tuple[str, str]] = field(default_factory=Counter)
    shifts: dict[str, set[int]] = field(default_factory=dict)
    uids: dict[str, str] = field(default_factory=dict)
    pixels: Counter[str] = field(default_factory=Counter)


def compare(before: Parts, after: Parts, subject: str, held: Comparison) -> None:
    """Add what became of one instance to ``held``."""
    old = {one.path: one for one in before.elements}
    new = {one.path: one for one in after.elements}
    for path, one in old.items():
        if one.tag >> 16 == 2:
            continue
        other = new.get(path)
        if one.tag in pixels.DATA and "/" not in path:
            _pixels(one, other, before, after, held)
            continue
        if not one.value.strip(b" \0"):
            if other is not None:
                held.did[attribute_of(path), str(Did.TAG_RETAINED)] += 1
            continue
        held.did[attribute_of(path), _did(one, other, subject, held)] += 1
    for path, one in new.items():
        if path not in old and one.tag >> 16 != 2:
            held.did[attribute_of(path), ADDED] += 1


def _did(one: Element, other: Element | None, subject: str, held: Comparison) -> str:
    if other is None or not other.value.strip(b" \0"):
        return str(Did.TEXT_REMOVED)
    if one.vr == "UI" or other.vr == "UI":
        return _uid(one, other, held)
    same = one.value.strip(b" \0") == other.value.strip(b" \0") and one.little == other.little
    if one.vr in {"DA", "DT"}:
        days = _shift(one, other)
        if days is not None and one.keyword != _BORN and other.value[:4] != b"1900":
            held.shifts.setdefault(subject, set()).add(days)
        if same:
            return str(Did.TEXT_RETAINED)
        return str(Did.DATE_SHIFTED) if days is not None else str(Did.TEXT_NOTNULL)
    if same or one.text.strip(" \0") == other.text.strip(" \0"):
        return str(Did.TEXT_RETAINED)
    if one.keyword == "PatientID" and "/" not in one.path:
        return str(Did.PATID_CONSISTENT)
    return str(Did.TEXT_NOTNULL)


def _uid(one: Element, other: Element, held: Comparison) -> str:
    old, new = one.values, other.values
    changed = False
    for a, b in zip(old, new, strict=False):
        if not a or a.startswith(STANDARD):
            continue
        held.uids.setdefault(a, b)
        changed |= a != b
        if held.uids[a] != b:
            return "uid_inconsistent"
    if not changed:
        return str(Did.TEXT_RETAINED)
    return str(Did.UID_CONSISTENT)


def _shift(one: Element, other: Element) -> int | None:
    a, b = _DAY.match(one.values[0]), _DAY.match(other.values[0])
    if a is None or b is None:
        return None
    try:
        then, now = date(*map(int, a.groups())), date(*map(int, b.groups()))
    except ValueError:
        return None
    return (now - then).days


def _pixels(
    one: Element, other: Element | None, before: Parts, after: Parts, held: Comparison
) -> None:
    if other is None:
        held.pixels["removed"] += 1
        held.did[attribute_of(one.path), str(Did.PIXELS_HIDDEN)] += 1
        return
    if pixels.digest(one, before) == pixels.digest(other, after):
        held.pixels["equal to the bit"] += 1
        did = Did.PIXELS_RETAINED
    elif pixels.same_picture(one, other, before, after):
        held.pixels["equal, hidden data taken out"] += 1
        did = Did.PIXELS_RETAINED
    else:
        held.pixels["changed"] += 1
        did = Did.PIXELS_HIDDEN
    held.did[attribute_of(one.path), str(did)] += 1
