"""Dates: shifted by whole days so that intervals survive; ages top-coded; birth dates made up."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Final

from pacslab.deid.keys import Keys

DUMMY: Final = {"DA": "19000101", "DT": "19000101000000", "TM": "000000"}
"""What a date that must have a value becomes when time isn't kept."""

TOP_AGE: Final = 90
"""Years from which ages say no more than that (HIPAA 164.514 b 2 i C)."""

_LONGEST: Final = 3650
_DATE: Final = re.compile(r"(\d{4})(\d{2})(\d{2})")
_OLD: Final = re.compile(r"(\d{4})\.(\d{2})\.(\d{2})")
_REST: Final = re.compile(r"[0-9]{0,6}(\.[0-9]{1,6})?([+-][0-9]{4})?")
_AGE: Final = re.compile(r"(\d{1,3})([DWMY])")


def shift_of(keys: Keys, subject: str) -> int:
    """By how many days this patient's dates move: never none, at most ten years, to the past."""
    return -1 - keys.number("shift|v1|", subject) % _LONGEST


def shifted(value: str, vr: str, days: int) -> str:
    """A DA or DT moved by days, its time, fraction and zone kept (PS3.5 6.2).

    What isn't a date, or only a part of one (a year, a month), becomes empty: it could be neither
    moved nor kept. A time (TM) stays, since whole days are moved.
    """
    text = value.split("\0", 1)[0].strip()
    if vr == "TM":
        return text if re.fullmatch(r"[0-9:.]*", text) else ""
    if vr == "DA" and "-" in text:  # a range, as in queries
        return "-".join(shifted(part, vr, days) for part in text.split("-"))
    match = _DATE.match(text) or _OLD.match(text)
    rest = text[match.end() :] if match else ""
    if match is None or not _REST.fullmatch(rest) or (vr == "DA" and rest):
        return ""
    try:
        moved = date(*map(int, match.groups())) + timedelta(days)
    except (ValueError, OverflowError):
        return ""
    return f"{moved.year:04d}{moved.month:02d}{moved.day:02d}{rest}"


def parsed(value: str | None) -> date | None:
    """The date in a DA or at the beginning of a DT; None where there is none."""
    match = _DATE.match((value or "").strip()) or _OLD.match((value or "").strip())
    try:
        return date(*map(int, match.groups())) if match else None
    except ValueError:
        return None


def top_coded(age: str) -> str:
    """An AS, ``090Y`` from 90 years on; empty where it isn't an age."""
    match = _AGE.fullmatch(age.split("\0", 1)[0].strip())
    if match is None:
        return ""
    years = int(match[1]) if match[2] == "Y" else 0
    return f"{TOP_AGE:03d}Y" if years >= TOP_AGE else f"{int(match[1]):03d}{match[2]}"


def years_between(born: date, then: date) -> int:
    """Completed years of age at a date."""
    return then.year - born.year - ((then.month, then.day) < (born.month, born.day))


def birth_date(keys: Keys, subject: str, *, at: date, age: int) -> str:
    """A birth date made up so that the patient has this age (in years, at most 90) at a date."""
    back = min(age, TOP_AGE)
    try:
        last = at.replace(year=at.year - back)
    except ValueError:  # 29 February
        last = at.replace(year=at.year - back, day=28)
    # The day after last year's anniversary up to this one: 365 days that all give this age
    born = last - timedelta(keys.number("birth|v1|", subject) % 365)
    return f"{born.year:04d}{born.month:02d}{born.day:02d}"
