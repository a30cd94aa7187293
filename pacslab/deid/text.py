"""Free text: what is known about the people of an instance, and what looks like an identifier."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from pacslab.deid.dates import TOP_AGE, shifted
from pacslab.deid.known import Kind, Known

MARKER: Final = "REMOVED"
"""What stands where something was taken out of a text."""

Span = tuple[int, int, str]

_MONTH: Final = (
    r"(?:jan|feb|mar|mär|apr|may|mai|jun|jul|aug|sep|oct|okt|nov|dec|dez)[a-zäéû]{0,7}\.?"
)
_WORD: Final = r"[A-ZÀ-ÖØ-Þ][\w'’-]*"
_NAME: Final = rf"(?:[A-Z]\.\s?){{0,2}}{_WORD}(?:[ \t]+(?:[A-Z]\.|{_WORD})){{0,2}}"
_UID: Final = re.compile(r"(?<![\w.])[0-2](?:\.\d{1,39}){5,31}(?![\w.]?\d)")
_ISO: Final = re.compile(r"(\d{4})[-/.]?(\d{2})[-/.]?(\d{2})")
_CERTAIN: Final = re.compile(
    r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5}"  # e-mail
    r"|(?<!\w)(?:https?://|ftp://|www\.)[^\s<>\"]{1,2048}"
    r"|(?<!\d)\d{3}-\d{2}-\d{4}(?!\d)",  # social security number
    re.IGNORECASE,
)
_DATES: Final = re.compile(
    r"(?<!\d)(?:19|20)\d\d[-/.](?:0?[1-9]|1[0-2])[-/.](?:0?[1-9]|[12]\d|3[01])(?!\d)"
    r"|(?<![\d.])(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:\d{4,6})?(?![\d.]?\d)"
    r"|(?<![\d.])\d{1,2}[-/.]\d{1,2}[-/.](?:\d{4}|\d{2})(?![\d.]?\d)"
    rf"|(?<!\d)\d{{1,2}}(?:st|nd|rd|th)?[\s.-]{{0,2}}(?:of\s)?{_MONTH}[\s,-]{{0,3}}\d{{2,4}}(?!\d)"
    rf"|(?<![^\W_]){_MONTH}\s{{0,2}}\d{{1,2}}(?:st|nd|rd|th)?,?\s{{1,2}}\d{{4}}(?!\d)",
    re.IGNORECASE,
)
_AGES: Final = re.compile(
    r"(?<![\d.])(9\d|1[0-4]\d)(?=\s{0,2}-?\s{0,2}(?:years?|yrs?|y[./]?o|y|j[./]?|jahre|ans)\b)",
    re.IGNORECASE,
)
_LIKELY: Final = re.compile(
    r"(?<![\d.])\+?\d{1,3}[\s.-]?\(?\d{2,4}\)?[\s.-]\d{3,4}[\s.-]?\d{3,4}(?![\d.])"  # phone
    r"|(?<![\d.])\(?\d{3}\)?[\s.-]\d{3}[\s.-]\d{4}(?![\d.])"
    r"|(?<![\d.])\+?\d{7,}(?:x\d{1,6})?(?![\d.])"
    # Title and name; DR and MS without a stop are modalities and diseases
    rf"|(?<!\w)(?:Dr|Prof|Mr|Mrs|Ms|Miss|Herr|Frau|Mme|Sra?)\.?[ \t]+{_NAME}"
    rf"|(?<!\w)(?:DR|PROF|MR|MRS|MS)\.[ \t]*{_NAME}"
    r"|(?<!\w)(?:[Pp]erformed|[Rr]ead|[Dd]ictated|[Ss]igned|[Rr]eported|[Rr]eferred|[Vv]erified|"
    rf"[Aa]pproved|[Rr]eviewed|[Cc]alled|[Ee]xamined)[ \t]+(?:by|to)[ \t]+{_NAME}"
    # Addresses
    r"|(?<![\w.])\d{1,5}[a-z]?[ \t]+(?:[A-Z][\w'.-]{0,40}[ \t]+){1,4}"
    r"(?:Street|St\.|Avenue|Ave|Road|Rd|"
    r"Boulevard|Blvd|Lane|Ln|Drive|Court|Place|Square|Way|Terrace|Highway|Hwy|Parkway|Circle)\b"
    r"\.?(?:,?[ \t]*(?:Apt|Suite|Unit|Ste)\.?[ \t]*\w{1,8})?(?:,[ \t]*[A-Z][\w .]{1,40})?"
    r"(?:,?[ \t]*[A-Z]{2}[ \t]*\d{5}(?:-\d{4})?)?"
    r"|(?<![\w-])[A-ZÄÖÜ][\w-]{0,40}(?:stra(?:ß|ss)e|str\.|weg|platz|allee|gasse)[ \t]*\d{1,4}\w?"
    r"(?:,?[ \t]*\d{5}[ \t]+[A-ZÄÖÜ][\w-]{1,40})?"
    r"|(?<![\w-])(?:P\.?O\.? Box \d{1,8}|[A-Z]{2}[ \t]\d{5}(?:-\d{4})?(?!\d))"
)
_PLACES: Final = re.compile(
    r"(?<![\w'.-])(?:[A-Z][\w'.-]{0,40}[ \t]+){1,4}"
    r"(?:Hospital|Clinic|Medical Cent(?:er|re)|Klinikum|"
    r"University|Infirmary|Healthcare)\b(?:[ \t]of[ \t](?:[A-Z]\w{0,40}[ \t]?){1,3})?"
)
_LABELLED: Final = re.compile(
    r"(?<!\w)(?:(?:patient|name|physician|operator|technologist|radiologist|referrer|tech|nurse|"
    r"contact|attn|doctor|surgeon|mother|father|spouse|sonographer)(?:'s)?(?:[ \t]+name)?|c/o)"
    r"[ \t]*[:=][ \t]*((?-i:[\w.'’^-]{1,40}(?:[ \t,]{1,2}[A-Z][\w.'’^-]{0,40}){0,2}))"
    r"|(?<!\w)(?:mrn|pid|patient[ \t]id|acc(?:ession)?|case|ssn|nhs|record|reg|chart|visit|order|"
    r"id)[ \t]*(?:no\.?|number|num|nr\.?|id)?[ \t]*[:#=]?[ \t]*((?=[\w/-]{0,20}\d)[\w/-]{3,40})",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Habits:
    """What a text's identifiers become.

    ``names`` by kind of person or thing, :data:`MARKER` for the rest; ``shift`` in days, None where
    dates are taken out, 0 where they stay; ``uid`` gives the UID that stands for one, None where
    UIDs stay; ``places`` says whether institutions stay.
    """

    patient: str
    shift: int | None
    uid: Callable[[str], str] | None
    places: bool


class Cleaner:
    """Cleans texts of instances that say the same of their people; remembers what it saw."""

    _REMEMBERED: Final = 4096

    def __init__(self, known: Known, habits: Habits) -> None:
        self.known = known
        self._habits = habits
        self._seen: dict[tuple[str, bool], str] = {}

    def clean(self, text: str, *, thorough: bool) -> str:
        """The text without what is known and without UIDs that were changed.

        ``thorough`` takes out whatever looks like an identifier as well. Linear in the length.
        """
        found = self._seen.get((text, thorough))
        if found is None:
            found = _replaced(text, sorted(self._spans(text, thorough)))
            if len(self._seen) >= self._REMEMBERED:
                self._seen.clear()
            self._seen[text, thorough] = found
        return found

    def _spans(self, text: str, thorough: bool) -> Iterator[Span]:
        habits = self._habits
        for start, end, kind in self.known.spans(text):
            if kind is Kind.DATE and habits.shift == 0:
                continue
            yield start, end, habits.patient if kind is Kind.PATIENT else MARKER
        if habits.uid and "." in text:
            for match in _UID.finditer(text):
                yield *match.span(), habits.uid(match[0])
        if thorough:
            yield from self._suspicious(text)

    def _suspicious(self, text: str) -> Iterator[Span]:
        habits = self._habits
        patterns = [_CERTAIN, _LIKELY] + ([] if habits.places else [_PLACES])
        for pattern in patterns:
            for match in pattern.finditer(text):
                date = _DATES.match(text, match.start())
                stays = habits.shift == 0 and date and date.end() >= match.end()
                if not stays and not _UID.match(text, match.start()):
                    yield *match.span(), MARKER
        for match in _LABELLED.finditer(text):
            group = 1 if match[1] else 2
            yield *match.span(group), MARKER
        if habits.shift != 0:
            for match in _DATES.finditer(text):
                yield *match.span(), self._date(match[0])
        for match in _AGES.finditer(text):
            yield *match.span(1), f"{TOP_AGE}+" if int(match[1]) > TOP_AGE else match[1]

    def _date(self, text: str) -> str:
        match = _ISO.fullmatch(text)
        if self._habits.shift is None or match is None:
            return MARKER
        return shifted("".join(match.groups()), "DA", self._habits.shift) or MARKER


def _replaced(text: str, spans: list[Span]) -> str:
    """The text with the spans replaced; of two that overlap the earlier one, made longer."""
    merged: list[Span] = []
    for start, end, new in spans:
        if merged and start < merged[-1][1]:
            if end > merged[-1][1]:
                merged[-1] = (merged[-1][0], end, MARKER)
        elif start < end:
            merged.append((start, end, new))
    if not merged:
        return text
    out, at = [], 0
    for first, last, new in merged:
        out += [text[at:first], new]
        at = last
    return "".join([*out, text[at:]])
