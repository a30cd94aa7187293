"""What an audit finds, without the value that it found."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pydicom.datadict import keyword_for_tag


class Severity(StrEnum):
    """How bad a finding is, worst first."""

    HIGH = "high"
    """Identifies somebody, or was to be removed by what the instance claims of itself."""

    MEDIUM = "medium"
    """May identify somebody: look before release."""

    LOW = "low"
    """A place that a person should have looked at."""


class Kind(StrEnum):
    """What a finding looks like."""

    NAME = "name"
    ID = "id"
    DATE = "date"
    PLACE = "place"
    PHONE = "phone"
    EMAIL = "e-mail"
    ADDRESS = "address"
    UID = "uid"
    AGE = "age"
    LINK = "link"
    ATTRIBUTE = "attribute"
    """Should be removed or empty by Table E.1-1 and what the instance claims."""
    PRIVATE = "private"
    UNKNOWN = "unknown"
    """An attribute that PS3.6 doesn't know, or a VR that hides what it holds."""
    FREE_TEXT = "free text"
    HIDDEN = "hidden"
    """Bytes in a place that no viewer shows."""
    OVERLAY = "overlay"
    ICON = "icon"
    DOCUMENT = "document"
    PIXELS = "pixels"
    """Burned-in text that is declared, likely, or was found."""
    FACE = "face"
    CLAIM = "claim"
    """What the instance says of its own de-identification."""
    UNREADABLE = "unreadable"
    UNPAIRED = "unpaired"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing in one instance: ``path`` is ``TAG`` or ``TAG/ITEM/TAG``, or the name of a place.

    ``detail`` says what was found in words or as a mask; never the value.
    """

    path: str
    kind: Kind
    severity: Severity
    detail: str
    check: str = "alone"
    """``alone``: it looks like it; ``against``: it is in the source."""


_GENERIC: Final = re.compile(r"/\d+/")
_LONGEST: Final = 24


def attribute_of(path: str) -> str:
    """A path without item numbers, tags as keywords: what is the same in every instance."""
    parts = _GENERIC.sub("/", path).split("/")
    return ".".join(_named(part) for part in parts)


def masked(text: str) -> str:
    """The shape of a text: letters as x, digits as 9, the rest a dot or a space."""
    shape = "".join(map(_mask, text[:_LONGEST]))
    return f"{shape}... ({len(text)} characters)" if len(text) > _LONGEST else shape


def _mask(character: str) -> str:
    if character.isdigit():
        return "9"
    if character.isalpha():
        return "X" if character.isupper() else "x"
    return character if character in " ^.,-/:@+()" else "."


def _named(part: str) -> str:
    if len(part) != 8:
        return part
    try:
        tag = int(part, 16)
    except ValueError:
        return part
    return keyword_for_tag(tag) or f"({part[:4]},{part[4:]})"
