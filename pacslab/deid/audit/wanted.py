"""Searches texts and bytes for originals: one lookup a character, however many there are."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache, cached_property
from itertools import pairwise
from typing import Final
from urllib.parse import unquote

from pydicom._dicom_dict import DicomDictionary

from pacslab.deid.audit.finding import Kind
from pacslab.deid.audit.originals import Original
from pacslab.deid.audit.spelling import WORD, plain, squeezed, variants

_TITLES: Final = frozenset({
    "dr", "prof", "md", "phd", "mr", "mrs", "ms", "miss", "jr", "sr", "von", "van", "de", "der",
    "den", "del", "della", "da", "do", "dos", "du", "la", "le", "el", "al", "bin", "ibn", "ben",
    "anonymous", "anonymized", "anonymised", "unknown", "none", "test", "patient", "phantom",
    "removed", "person", "name", "hospital", "clinic", "service", "siemens", "philips", "toshiba",
    "canon", "fujifilm", "hitachi", "healthcare", "medical", "systems", "the", "and", "for",
})  # fmt: skip
_MONTHS: Final = (
    ("january", "januar", "janvier"), ("february", "februar", "fevrier"), ("march", "marz", "mars"),
    ("april", "avril"), ("may", "mai"), ("june", "juni", "juin"), ("july", "juli", "juillet"),
    ("august", "aout"), ("september", "septembre"), ("october", "oktober", "octobre"),
    ("november", "novembre"), ("december", "dezember", "decembre"),
)  # fmt: skip
_GRAM: Final = 4
_SHORTEST_ID: Final = 5
_IN_NOISE: Final = 5  # letters of a word that counts in binary data
_PACKED: Final = re.compile(r"[A-Za-z0-9+/]{8,}={0,2}")
_HEX: Final = re.compile(r"(?:[0-9a-fA-F]{2}){6,}")
_ENCODINGS: Final = ("shift_jis", "euc_kr", "gb18030", "iso8859_5", "iso8859_7", "iso8859_2",
                     "iso8859_9", "iso8859_8", "iso8859_6", "tis_620")  # fmt: skip
_UNDER: Final = 2.5  # how far apart the characters of an ID may stand


@cache
def _vocabulary() -> frozenset[str]:
    names = (entry[2].casefold() for entry in DicomDictionary.values())
    return frozenset(word for name in names for word in re.findall("[a-z]+", name))


def common(word: str) -> bool:
    """Whether a word of a name is a word of other things too: of the standard's, a title."""
    dense = word[:1] >= "\u1100"
    return word in _TITLES or word in _vocabulary() or len(word) < (2 if dense else 3)


class Wanted:
    """The originals of one person, or of a whole source, ready to be looked for.

    A person's own names, numbers and dates are found wherever they stand; with ``sure`` only what
    can be nobody else's: numbers, places, UIDs, and names by two of their words.
    """

    def __init__(self, values: Iterable[Original], *, sure: bool = False) -> None:
        self._words: dict[str, set[int]] = {}
        self._forms: dict[str, Kind] = {}
        self._starts: dict[str, set[int]] = {}
        self._written: set[str] = set()
        self._dense: dict[str, Kind] = {}
        self.uids: set[str] = set()
        self._sure = sure
        for number, value in enumerate(sorted(set(values))):
            self._learn(number, value)
        self._known = frozenset(self._words)

    def __bool__(self) -> bool:
        return bool(self._words or self._forms or self.uids)

    def in_text(self, text: str, *, deep: bool = True, binary: bool = False) -> set[Kind]:
        """The kinds of originals that stand in a text, in any spelling, also packed.

        Of ``binary`` data short words don't count: they stand in any noise.
        """
        found: set[Kind] = set()
        folded = plain(text)
        words = WORD.findall(folded)
        if binary:
            words = [word for word in words if len(word) >= _IN_NOISE or not word.isascii()]
        hits = self._known.intersection(words)
        if hits and self._named(hits, words):
            found.add(Kind.NAME)
        if self._dense and not folded.isascii():
            least = 3 if binary else 2
            found |= {k for word, k in self._dense.items() if len(word) >= least and word in folded}
        if self._starts and len(folded) >= _GRAM:
            found |= self._grams(folded, binary)
        if self.uids and "." in text:
            found |= {Kind.UID for one in re.findall(r"\d+(?:\.\d+){3,}", text)
                      if one in self.uids}  # fmt: skip
        if deep:
            for inner in _unpacked(text):
                found |= self.in_text(inner, deep=False, binary=True)
        return found

    def in_bytes(self, data: bytes) -> set[Kind]:
        """The kinds of originals that stand in bytes, in any of the usual encodings."""
        found: set[Kind] = set()
        for text in dict.fromkeys(views(data)):
            found |= self.in_text(text, binary=True)
        return found

    @cached_property
    def starts(self) -> frozenset[bytes]:
        """How originals begin: four characters of ASCII each."""
        words = {word[:_GRAM] for word in self._words if len(word) >= _IN_NOISE}
        return frozenset(one.encode() for one in words.union(self._starts) if one.isascii())

    @cached_property
    def raw(self) -> tuple[bytes, ...]:
        """Words that aren't ASCII, in their usual encodings, for data too large to decode."""
        needles: set[bytes] = set()
        for word in self._written:
            for spelled in (word, word.lower(), word.upper(), word.title()):
                for encoding in ("utf-8", "latin-1", "utf-16-le", "utf-16-be", *_ENCODINGS):
                    with suppress(UnicodeEncodeError):
                        needles.add(spelled.encode(encoding))
        return tuple(sorted(n for n in needles if len(n) >= _IN_NOISE))

    # --- learning ---------------------------------------------------------------------------

    def _learn(self, number: int, value: Original) -> None:
        text = value.text
        if value.kind is Kind.NAME:
            self._learn_name(number, text)
        elif value.kind is Kind.UID:
            self.uids.add(text)
        elif value.kind is Kind.DATE:
            if not self._sure:
                for form in _dates(text):
                    self._form(form, Kind.DATE)
        elif value.kind is Kind.PHONE:
            digits = re.sub(r"\D", "", text)
            if len(digits) >= 6:
                self._form(digits[-7:], Kind.PHONE)
            if "@" in text:
                self._form(text, Kind.EMAIL)
        elif value.kind is Kind.PLACE:
            for part in [text, *re.split(r"[\r\n\\^]|,\s", text)]:
                core = squeezed(plain(part))[0]
                if len(core) >= 6 and not all(common(w) for w in WORD.findall(plain(part))):
                    self._form(core, Kind.PLACE)
        else:
            self._learn_id(text)

    def _learn_name(self, number: int, text: str) -> None:
        for group in text.split("="):
            words: list[str] = []
            for part in group.split("^")[:3]:
                words += re.findall(r"[^\W\d_]+", part)
            for word in words:
                if not word.isascii() and not self._sure:
                    self._written.add(word)
                for spelled in variants(word):
                    self._words.setdefault(spelled, set()).add(number)
                    if len(spelled) >= 6 and not common(spelled) and not self._sure:
                        self._form(spelled, Kind.NAME)
                        self._form(spelled[::-1], Kind.NAME)
            folded = [plain(w) for w in words[:2]]
            if folded and folded[0] >= "\u2e80":  # scripts without spaces between words
                self._dense["".join(folded)] = Kind.NAME
                if not self._sure:
                    self._dense |= dict.fromkeys((w for w in folded if len(w) > 1), Kind.NAME)
            if len(folded) == 2 and len("".join(folded)) >= 6:
                self._form("".join(folded), Kind.NAME)
                self._form("".join(reversed(folded)), Kind.NAME)
            if (
                len(words) == 1
                and len(squeezed(plain(group))[0]) >= 4
                and any(c.isdigit() for c in group)
            ):  # an ID in the place of a name
                self._learn_id(group)

    def _learn_id(self, text: str) -> None:
        folded = plain(text)
        core = squeezed(folded)[0]
        telling = any(c.isdigit() for c in core) or not all(map(common, WORD.findall(folded)))
        if len(core) >= _SHORTEST_ID and telling:
            self._form(core, Kind.ID)

    def _form(self, text: str, kind: Kind) -> None:
        core = squeezed(plain(text))[0]
        if len(core) >= _GRAM:
            self._forms.setdefault(core, kind)
            self._starts.setdefault(core[:_GRAM], set()).add(len(core))

    # --- finding ----------------------------------------------------------------------------

    def _named(self, hits: frozenset[str] | set[str], words: list[str]) -> bool:
        strong = {h for h in hits if not common(h)}
        if not self._sure and strong:
            return True
        # Of common words, and of others' names, two of one person side by side
        return any(
            one != after
            and one in hits
            and after in hits
            and (one in strong or after in strong)
            and self._words[one] & self._words[after]
            for one, after in pairwise(words)
        )

    def _grams(self, folded: str, binary: bool) -> set[Kind]:
        found: set[Kind] = set()
        core, places = squeezed(folded)
        grams = {core[i : i + _GRAM] for i in range(len(core) - _GRAM + 1)}
        for gram in grams.intersection(self._starts):
            at = core.find(gram)
            while at >= 0:
                for length in self._starts[gram]:
                    form = core[at : at + length]
                    kind = self._forms.get(form) if len(form) == length else None
                    if kind is None or kind in found:
                        continue
                    if binary and _ramp(form):
                        continue
                    if _whole(folded, places[at], places[at + length - 1], length, kind):
                        found.add(kind)
                at = core.find(gram, at + 1)
        return found


def _whole(text: str, first: int, last: int, length: int, kind: Kind) -> bool:
    """Whether a form stands for itself: no digit is a part of a longer number, and so on."""
    if last - first + 1 > max(length * _UNDER, length + 3):
        return False
    before, after = text[first - 1 : first], text[last + 1 : last + 2]
    if text[first].isdigit() and before.isdigit():
        return kind is Kind.PHONE
    if text[last].isdigit() and after.isdigit():
        return False
    if kind is Kind.ID and text[first].isalpha() and before.isalpha():
        return False
    apart = last - first + 1 - length
    if kind is Kind.DATE:
        digits = length < 8 and not any(c.isalpha() for c in text[first : last + 1])
        if apart > 6 or (digits and apart < 2):
            return False
    return not (kind is Kind.ID and text[last].isalpha() and after.isalpha())


def _ramp(form: str) -> bool:
    """Whether a form is 1234567 or the like, which stands in every lookup table that rises."""
    return all(ord(b) - ord(a) in (0, 1) for a, b in pairwise(form))


def _dates(day: str) -> Iterator[str]:
    year, month, date = day[:4], day[4:6], day[6:8]
    if not "01" <= month <= "12":
        return
    yield from (day, date + month + year, month + date + year)
    short, brief = str(int(date)), str(int(month))
    # Of fewer than eight digits they count only where something stands between them
    yield from {short + brief + year, short + month + year, date + brief + year,
                brief + short + year, month + short + year, brief + date + year,
                year + brief + short, year + month + short, year + brief + date}  # fmt: skip
    for name in _MONTHS[int(month) - 1]:
        for written in {name, name[:3]}:
            for number in {date, short}:
                yield from (number + written + year, written + number + year)
                for suffix in ("th", "st", "nd", "rd"):
                    yield from (f"{number}{suffix}{written}{year}",
                                f"{number}{suffix}of{written}{year}",
                                f"{written}{number}{suffix}{year}")  # fmt: skip
                yield f"{number}of{written}{year}"


def _unpacked(text: str) -> Iterator[str]:
    """What stands in a text as base64, hexadecimal digits or percent signs."""
    if "%" in text:
        yield unquote(text)
    for match in _PACKED.finditer(text):
        packed = match[0].rstrip("=")
        with suppress(binascii.Error, ValueError):
            held = base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True)
            if _readable(held):
                yield held.decode("utf-8", "replace")
                yield held.decode("latin-1")
    for match in _HEX.finditer(text):
        held = bytes.fromhex(match[0])
        if _readable(held):
            yield held.decode("utf-8", "replace")


def _readable(data: bytes) -> bool:
    letters = sum(1 for b in data if b >= 0x20 and b != 0x7F)
    return letters >= 0.9 * len(data)


def views(data: bytes) -> Iterator[str]:
    """Bytes as the texts that they may be."""
    yield data.decode("latin-1")
    if not data.isascii():
        yield data.decode("utf-8", "ignore")
        for encoding in _ENCODINGS:
            yield data.decode(encoding, "ignore")
    if b"\x1b" in data:
        for encoding in ("iso2022_jp", "iso2022_jp_2", "iso2022_kr"):
            yield data.decode(encoding, "ignore")
    if b"\0" in data.strip(b"\0"):
        for odd in (0, 1):
            yield data[odd:].decode("utf-16-le", "ignore")
            yield data[odd:].decode("utf-16-be", "ignore")
