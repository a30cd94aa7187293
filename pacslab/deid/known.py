"""A patient's own values, as they are found again in any text: other spellings, other orders."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, cached_property
from itertools import pairwise
from typing import Final

from pydicom._dicom_dict import DicomDictionary

from pacslab.deid import dates
from pacslab.deid.folding import fold, fold_with_places, spellings
from pacslab.deid.wordlist import any_of


class Kind(StrEnum):
    """What a value is that an instance says about somebody."""

    PATIENT = "patient"
    PERSON = "person"
    ID = "id"
    PLACE = "place"
    PHONE = "phone"
    DATE = "date"


@dataclass(frozen=True, slots=True, order=True)
class Value:
    """A value that an instance says about somebody, as it stands there."""

    kind: Kind
    text: str
    own: bool = True
    """Whether it is the patient's, not one of the many that a report may name."""


# Words of names that say nothing by themselves.
_PARTICLES: Final = frozenset({
    "dr", "prof", "md", "phd", "mr", "mrs", "ms", "miss", "jr", "sr", "ii", "iii", "von", "van",
    "de", "der", "den", "del", "della", "di", "da", "do", "dos", "du", "la", "le", "el", "al",
    "bin", "ibn", "ben", "bint", "st", "mac", "anonymous", "anonymized", "unknown", "none", "test",
    "patient", "phantom", "removed",
})  # fmt: skip
_MONTHS: Final = (
    ("january", "jan", "januar", "janvier", "enero"),
    ("february", "feb", "februar", "fevrier", "febrero"),
    ("march", "mar", "marz", "maerz", "mars", "marzo"),
    ("april", "apr", "avril", "abril"),
    ("may", "mai", "mayo"),
    ("june", "jun", "juni", "juin", "junio"),
    ("july", "jul", "juli", "juillet", "julio"),
    ("august", "aug", "aout", "agosto"),
    ("september", "sep", "sept", "septembre", "septiembre"),
    ("october", "oct", "okt", "oktober", "octobre", "octubre"),
    ("november", "nov", "novembre", "noviembre"),
    ("december", "dec", "dez", "dezember", "decembre", "diciembre"),
)
_MOST_PATTERNS: Final = 400
_LONGEST: Final = 64  # letters of a word
_APART: Final = re.compile(r"[\s,;.^_/=&-]{0,3}")
_LETTER_BEFORE, _LETTER_AFTER = r"(?<![^\W\d_])", r"(?![^\W\d_])"
_ENCODINGS: Final = ("utf-8", "latin-1", "utf-16-le", "utf-16-be", "shift_jis", "iso2022_jp",
                     "euc_kr", "gb18030", "iso8859_2", "iso8859_5", "iso8859_7", "iso8859_9",
                     "iso8859_8", "iso8859_6", "tis_620")  # fmt: skip


# Makers, after whom operators are called now and then ("Siemens^Service"); programs ask for them
_MAKERS: Final = frozenset({
    "agfa", "bruker", "canon", "carestream", "elekta", "esaote", "fuji", "fujifilm", "healthcare",
    "healthineers", "hitachi", "hologic", "kodak", "medical", "mindray", "neusoft", "philips",
    "samsung", "service", "shimadzu", "siemens", "systems", "toshiba", "varian",
})  # fmt: skip


@cache
def _vocabulary() -> frozenset[str]:
    """Words that the standard's attribute names are made of: no name by themselves (LONG AXIS)."""
    names = (entry[2].lower() for entry in DicomDictionary.values())
    return _MAKERS.union(word for name in names for word in re.findall("[a-z]+", name))


def _has_spaces(word: str) -> bool:
    """Whether the script of this word separates words."""
    return all(ord(c) < 0x1100 or 0xAC00 <= ord(c) <= 0xD7A3 for c in word)


class Known:
    """Finds what is known about the people of an instance, in text and in bytes.

    ``values`` are what its attributes say. Names are found by each of their words, folded; a word
    that is also one of the standard's, or very short, only beside another known one.
    """

    def __init__(self, values: Iterable[Value]) -> None:
        self._strong: dict[str, Kind] = {}
        self._weak: dict[str, Kind] = {}
        self._patterns: list[str] = []
        self._initials: set[str] = set()
        self._written: set[str] = set()  # as it stands, for bytes
        for value in sorted(set(values), key=lambda v: (not v.own, v)):
            self._learn(value)
        self._expression = self._compiled()

    def spans(self, text: str) -> list[tuple[int, int, Kind]]:
        """Where known values stand in a text: from, to and what they are, in ascending order."""
        if self._expression is None:
            return []
        folded, places = fold_with_places(text)
        found = list(self._expression.finditer(folded))
        if not found:
            return []
        spans = []
        for start, end, words in self._supported(folded, found):
            kinds = {self._strong.get(w) or self._weak.get(w) or Kind.ID for w in words}
            people = kinds & {Kind.PATIENT, Kind.PERSON}
            kind = Kind.PATIENT if Kind.PATIENT in kinds else min(people or kinds)
            if people:
                first, last = self._with_initials(folded, start, end)
            else:
                first, last = start, end
            spans.append((places[first], places[last - 1] + 1, kind))
        return spans

    def in_bytes(self, data: bytes) -> list[tuple[int, int]]:
        """Where known values stand in bytes, in whatever encoding."""
        pattern = self._bytes
        return [m.span() for m in pattern.finditer(data)] if pattern else []

    # --- learning ---------------------------------------------------------------------------

    def _learn(self, value: Value) -> None:
        text = value.text.strip()
        # Words cost nothing in number, patterns do: of very many the plain spellings must do
        several = len(self._patterns) < _MOST_PATTERNS
        if value.kind in (Kind.PATIENT, Kind.PERSON):
            self._learn_name(text, value.kind)
        elif not several:
            self._plain(text)
        elif value.kind is Kind.DATE:
            self._learn_date(text)
        elif value.kind is Kind.PHONE:
            digits = re.sub(r"\D", "", text)
            if len(digits) >= 6:  # the last ones, however the country is written
                inner = r"[\s()./-]{0,2}".join(digits[-7:])
                self._patterns.append(r"(?:\+|\b0)?(?:\d[\s()./-]{0,2}){0,9}" + inner + r"(?!\d)")
        elif value.kind is Kind.PLACE:
            for part in [text, *re.split(r"[\r\n\\^]|,\s", text)]:
                words = re.findall(r"[^\W_]+", fold(part))
                if len("".join(words)) >= 6:
                    self._patterns.append(r"(?<!\w)" + r"[\W_]{1,3}".join(words) + r"(?!\w)")
        else:
            self._learn_id(text)

    def _plain(self, text: str) -> None:
        if len(re.sub(r"\W", "", text)) >= 4:
            self._strong.setdefault(fold(text)[:_LONGEST], Kind.ID)

    def _learn_name(self, text: str, kind: Kind) -> None:
        for group in text.split("="):
            parts = group.split("^")
            # Prefix and suffix (PS3.5 6.2.1.2) are titles
            words = [w for part in parts[:3] for w in re.split(r"[\s,;]+", part) if w]
            plain = [w.strip(".") for w in words]
            for word in plain:
                pieces = [word, *re.split(r"[-'’]", word)] if re.search(r"[-'’]", word) else [word]
                for one in pieces:
                    for spelled in spellings(one):
                        self._word(spelled, kind)
                    if kind is Kind.PATIENT and fold(one) not in self._weak:
                        self._note(one)
                if word and word[0].isalpha():
                    self._initials.add(fold(word[0]))
            folded = [fold(w) for w in plain]
            if len(folded) > 1:
                # Written together: file names, logins, languages without spaces
                for joined in ("".join(folded), "".join(reversed(folded)),
                               folded[0] + folded[1], folded[1] + folded[0]):  # fmt: skip
                    if (2 if not joined.isascii() else 6) <= len(joined) <= _LONGEST:
                        self._strong.setdefault(joined, kind)

    def _word(self, word: str, kind: Kind) -> None:
        word = word.strip(" .")[:_LONGEST]
        if not word or word in _PARTICLES or not any(c.isalpha() for c in word):
            return
        alphabet = _has_spaces(word)
        short = len(word) < (3 if alphabet else 2)
        if (short and alphabet and len(word) < 2) or word in self._strong:
            return
        weak = short or word in _vocabulary()
        (self._weak if weak else self._strong).setdefault(word, kind)

    def _note(self, word: str) -> None:
        if all(ord(b) - ord(a) == 1 for a, b in pairwise(word)):
            return  # 12345678 stands in every lookup table that is a ramp
        if len(word) >= (4 if word.isascii() else 2) and fold(word) not in _PARTICLES:
            self._written |= {one[:_LONGEST] for one in (word, *spellings(word))}

    def _learn_id(self, text: str) -> None:
        folded = fold(text)
        core = re.sub(r"[\s./-]", "", folded)
        if len(core) < 4 or folded in _vocabulary():
            if core and any(c.isdigit() for c in core):
                self._weak.setdefault(folded, Kind.ID)
            return
        if any(c.isdigit() for c in core) and len(core) >= 6:
            inner = r"[\s./-]?".join(map(re.escape, core))
        else:
            inner = re.escape(folded)
        before = r"(?<!\d)" if core[0].isdigit() else _LETTER_BEFORE
        after = r"(?!\d)" if core[-1].isdigit() else _LETTER_AFTER
        self._patterns.append(before + inner + after)
        self._plain(folded[:_LONGEST])
        self._note(text)

    def _learn_date(self, text: str) -> None:
        day = dates.parsed(text)
        if day is None or day.year < 1800:
            return
        y, m, d = f"{day.year:04d}", f"{day.month:02d}", f"{day.day:02d}"
        months = "|".join(_MONTHS[day.month - 1])
        mm, dd = f"0?{day.month}", f"0?{day.day}"
        gap, edge = r"[\s./-]", r"(?<!\d)"
        self._patterns += [
            edge + y + r"[\s./-]?" + m + r"[\s./-]?" + d,
            edge + f"{y}{gap}{mm}{gap}{dd}(?!\\d)",
            edge + f"{dd}{gap}{{1,2}}{mm}{gap}{{1,2}}(?:{y}|{y[2:]})(?!\\d)",
            edge + f"{mm}{gap}{{1,2}}{dd}{gap}{{1,2}}(?:{y}|{y[2:]})(?!\\d)",
            edge + f"(?:{d}{m}{y}|{m}{d}{y})(?!\\d)",
            edge + rf"{dd}(?:st|nd|rd|th)?[\s.,/-]{{0,3}}(?:of\s|de\s)?(?:{months})[\s.,/-]{{0,3}}"
            rf"(?:de\s)?(?:{y}|{y[2:]})(?!\d)",
            rf"(?<![a-z])(?:{months})[\s.-]{{0,2}}{dd}(?:st|nd|rd|th)?[\s.,-]{{1,3}}{y}(?!\d)",
        ]

    # --- finding ----------------------------------------------------------------------------

    def _compiled(self) -> re.Pattern[str] | None:
        strong = [*self._patterns, *self._bounded(self._strong)]
        weak = self._bounded(self._weak)
        parts = [
            f"(?P<{name}>{'|'.join(some)})" for name, some in (("s", strong), ("w", weak)) if some
        ]
        return re.compile("|".join(parts)) if parts else None

    @staticmethod
    def _bounded(words: Iterable[str]) -> list[str]:
        words = list(words)
        spaced = [w for w in words if _has_spaces(w)]
        # Chinese and Japanese have no spaces between words
        dense = [w for w in words if not _has_spaces(w)]
        bounded = f"{_LETTER_BEFORE}(?:{any_of(spaced)}){_LETTER_AFTER}"
        return ([bounded] if spaced else []) + ([any_of(dense)] if dense else [])

    @staticmethod
    def _supported(folded: str, found: list[re.Match[str]]) -> Iterator[tuple[int, int, set[str]]]:
        """What was found, neighbours together, without the weak ones that stand alone."""
        groups: list[list[re.Match[str]]] = []
        for one in found:
            if groups and _APART.fullmatch(folded, groups[-1][-1].end(), one.start()):
                groups[-1].append(one)
            else:
                groups.append([one])
        for group in groups:
            words = {m[0] for m in group}
            alone = len(words) == 1 and all(m.lastgroup == "w" for m in group)
            end = group[-1].end()
            # A caret is a name's: LONG^ is no long axis
            if not alone or folded[end : end + 1] == "^":
                yield group[0].start(), end, words

    def _with_initials(self, folded: str, start: int, end: int) -> tuple[int, int]:
        """``H. Surname`` and ``Surname, H.``: the initial of a known name goes with it."""
        before = re.search(
            r"(?<![^\W\d_])([^\W\d_])(\.\s{0,2}|\s)$", folded[max(0, start - 5) : start]
        )
        if before and before[1] in self._initials and ("." in before[2] or start < 3):
            start -= before.end() - before.start()
        after = re.match(r"[,^]?\s{0,2}([^\W\d_])\.?(?![^\W_])", folded[end : end + 6])
        if after and after[1] in self._initials and ("." in after[0] or "," in after[0]):
            end += after.end()
        return start, end

    @cached_property
    def _bytes(self) -> re.Pattern[bytes] | None:
        needles = {n.decode("latin-1") for n in self._needles() if len(n) >= 4}
        if not needles:
            return None
        return re.compile(any_of(needles).encode("latin-1"), re.IGNORECASE)

    def _needles(self) -> Iterator[bytes]:
        for word in self._written:
            for spelled in {word, word.lower(), word.upper(), word.title()}:
                for encoding in _ENCODINGS:
                    with suppress(UnicodeEncodeError):
                        yield spelled.encode(encoding)
