"""What was done to what, in the words of MIDI-B (arXiv 2507.23608), without any original value."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verb(StrEnum):
    """What a rule does to an attribute; the letters are those of PS3.15 Table E.1-1a."""

    REMOVE = "X"
    EMPTY = "Z"
    DUMMY = "D"
    KEEP = "K"
    CLEAN = "C"
    UID = "U"
    SHIFT = "S"
    """C of the option Retain Longitudinal Temporal Information with Modified Dates."""
    INTO = "I"
    """A sequence that stays, since taking it out would break the object; its items are done."""


class Did(StrEnum):
    """What happened to an attribute, by MIDI-B's names."""

    TAG_RETAINED = "tag_retained"
    TEXT_NOTNULL = "text_notnull"
    TEXT_RETAINED = "text_retained"
    TEXT_REMOVED = "text_removed"
    DATE_SHIFTED = "date_shifted"
    UID_CHANGED = "uid_changed"
    UID_CONSISTENT = "uid_consistent"
    PATID_CONSISTENT = "patid_consistent"
    PIXELS_HIDDEN = "pixels_hidden"
    PIXELS_RETAINED = "pixels_retained"


class Category(StrEnum):
    """Why something must go, by MIDI-B's categories."""

    HIPAA = "HIPAA"
    DICOM = "DICOM"
    TCIA = "TCIA"


@dataclass(frozen=True, slots=True)
class Rule:
    """What is done to an attribute, and where that is said: a code of the table, an option."""

    verb: Verb
    source: str
    category: Category = Category.DICOM


@dataclass(frozen=True, slots=True)
class Action:
    """One change: ``path`` is ``TAG`` or ``TAG/ITEM/TAG``, lengths are in bytes or characters.

    ``mark`` is an HMAC of the original, so that equal originals can be told without knowing them;
    empty where there was none.
    """

    path: str
    did: Did
    verb: Verb
    source: str
    category: Category
    mark: str
    before: int
    after: int

    def row(self) -> list[str | int]:
        """The action as a row of the log."""
        return [self.path, self.did, self.verb, self.source, self.category, self.mark,
                self.before, self.after]  # fmt: skip
