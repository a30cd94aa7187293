"""What a rule makes of one value: kept clean, shifted, replaced by a pseudonym or a dummy."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pacslab.deid import dates, names, raw, uids
from pacslab.deid.folding import fold
from pacslab.deid.keys import Keys
from pacslab.deid.subjects import Patient, Subject
from pacslab.deid.text import MARKER, Cleaner

_NUMBERS: Final = frozenset({"AS", "DA", "DS", "DT", "IS", "TM"})
_NUMERIC: Final = re.compile(rb"[0-9+\-.:eE\\ DWMY]*")
_WORD: Final = re.compile(rb"[A-Za-z]{3}|[^\x00-\x7f]")
_TEXT: Final = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
_IDENTIFIES: Final = ("Identifier", "ID", "Number", "IDs", "ReadingID")
_SMALLEST: Final = 8  # bytes from which a binary value may hold a name
# A dummy that an enumeration allows (PS3.3)
_ENUMERATED: Final = {"ReasonForTheAttributeModification": "CORRECT"}


@dataclass(frozen=True, slots=True)
class Person:
    """The patient of an instance, and who they become."""

    patient: Patient
    subject: Subject
    name: str
    """What Patient's Name becomes."""


class Values:
    """Makes values, for one key and one kind of names."""

    def __init__(self, keys: Keys, *, fake: bool, uid: Callable[[str], str]) -> None:
        self._keys = keys
        self._fake = fake
        self._uid = uid

    def kept(
        self,
        value: bytes,
        vr: str,
        encodings: tuple[str, ...],
        cleaner: Cleaner,
        *,
        thorough: bool,
    ) -> bytes:
        """A value that stays, without what is known of people; itself where nothing was found."""
        if vr not in raw.STRINGS:
            return _blanked(value, cleaner) if len(value) >= _SMALLEST else value
        value = _before_nul(value, vr)
        if vr in _NUMBERS and _NUMERIC.fullmatch(value):
            return value
        text = raw.decoded(value, vr, encodings)
        deep = thorough and vr in _TEXT
        parts = [text] if vr in raw.SINGLE else text.split("\\")
        clean = [cleaner.clean(part, thorough=deep) for part in parts]
        if clean == parts:
            # In an encoding that isn't the declared one, words look like others
            known = not value.isascii() and cleaner.known.in_bytes(value)
            # Nor is a word a number, whatever it says
            return b"" if known or (vr in _NUMBERS and _WORD.search(value)) else value
        if vr in _NUMBERS or vr == "UI":
            return b""
        new = "\\".join(clean)
        return raw.encoded(new.upper() if vr == "CS" else new, vr, encodings)

    def aged(self, value: bytes) -> bytes:
        """Ages, top-coded."""
        return "\\".join(map(dates.top_coded, _ascii(value).split("\\"))).encode("ascii")

    def shifted(self, value: bytes, vr: str, days: int) -> bytes:
        """Dates, moved."""
        moved = [dates.shifted(one, vr, days) for one in _ascii(value).split("\\")]
        return "\\".join(moved).encode("ascii")

    def mapped(self, value: bytes) -> bytes:
        """UIDs, replaced."""
        return "\\".join(self._uid(one) for one in _uids(value)).encode("ascii")

    def kinds(self, value: bytes) -> bytes:
        """UIDs of classes and the like, which stay where they are UIDs."""
        return "\\".join(uids.kind(one, self._keys) for one in _uids(value)).encode("ascii")

    def dummy(self, keyword: str, vr: str, text: str, person: Person) -> bytes:
        """A value of the VR that says nothing; names and identifiers stay apart and equal."""
        several = 1 if vr in raw.SINGLE else text.count("\\") + 1
        if vr == "PN":
            names_ = [self._name(one, person) for one in text.split("\\")]
            return "\\".join(names_).encode("ascii", "replace")
        if vr in dates.DUMMY:
            return "\\".join([dates.DUMMY[vr]] * several).encode()
        if vr == "UI":
            return self.mapped(text.encode("latin-1", "replace"))
        if keyword == "PatientID":
            return self._patient_id(text, person).encode()
        if vr in {"LO", "SH", "UC"} and keyword.endswith(_IDENTIFIES):
            words = [self._keys.word("dummy|v1|", one.strip()) for one in text.split("\\")]
            return "\\".join(words).encode()
        fixed = {"AS": "001Y", "DS": "0", "IS": "0", "UR": "about:blank"}.get(vr, MARKER)
        return "\\".join([_ENUMERATED.get(keyword, fixed)] * several).encode()

    def _name(self, text: str, person: Person) -> str:
        told = fold(text.strip())
        if not told:
            return ""
        if told == fold(person.patient.name):
            return person.name
        if self._fake:
            return names.fake_name(self._keys, f"person\0{told}", "", frozenset(told.split("^")))
        return f"Person^{self._keys.word('person|v1|', told, 8)}"

    def _patient_id(self, text: str, person: Person) -> str:
        if not text.strip() or text.strip() == person.patient.patient_id:
            return person.subject.patient_id
        return self._keys.word("", f"pid|v1|\0{text.strip()}")


def _before_nul(value: bytes, vr: str) -> bytes:
    """The value up to its first NUL, which only padding may follow (PS3.5 6.1.3)."""
    at = value.find(b"\0")
    if at < 0:
        return value
    if vr == "UI":
        return b"\\".join(one.split(b"\0", 1)[0] for one in value.split(b"\\"))
    return value if not value[at:].strip(b"\0 ") else value[:at]


def _blanked(value: bytes, cleaner: Cleaner) -> bytes:
    found = cleaner.known.in_bytes(value)
    if not found:
        return value
    out = bytearray(value)
    for start, end in found:
        out[start:end] = bytes(end - start)
    return bytes(out)


def _ascii(value: bytes) -> str:
    return value.split(b"\0", 1)[0].decode("ascii", "replace").strip()


def _uids(value: bytes) -> list[str]:
    return [one.split(b"\0", 1)[0].decode("latin-1").strip() for one in value.split(b"\\")]
