"""What looks like an identifier in a text, whoever it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from pacslab.deid.audit.finding import Kind, Severity

_CAPITAL: Final = r"[A-ZÀ-ÖØ-Þ][^\W\d_]+"
_MONTH: Final = (
    r"(?:jan(?:uary?|uar)?|feb(?:ruary?|ruar)?|mar(?:ch)?|märz|apr(?:il)?|may|mai|june?|juni|"
    r"july?|juli|aug(?:ust)?|sep(?:t|tember)?|o[ck]t(?:ober)?|nov(?:ember)?|de[cz](?:ember)?)"
)
_PATTERNS: Final = (
    (Kind.EMAIL, Severity.HIGH, re.compile(r"[\w.+-]+@[\w-]+\.[\w.]{2,}")),
    (Kind.LINK, Severity.MEDIUM, re.compile(r"(?:https?|ftp|file)://\w|\\\\\w+\\|\b[A-Z]:\\\w",
                                            re.IGNORECASE)),
    (Kind.PHONE, Severity.HIGH, re.compile(
        r"(?<![\w.])(?:\+\d{1,3}[\s./-]?|\(?0\d{1,4}\)?[\s./-])(?:\d[\s./()-]{0,2}){5,}\d(?![\w.]\d)"
        r"|(?<![\w.])\(?\d{3}\)?[\s.-]\d{3}[\s.-]\d{4}(?!\d)")),
    (Kind.DATE, Severity.HIGH, re.compile(
        rf"(?<!\d)\d{{1,2}}(?:st|nd|rd|th)?[\s.,/-]{{1,3}}(?:of\s)?{_MONTH}[\s.,/-]{{1,3}}\d{{2,4}}(?!\d)"
        rf"|\b{_MONTH}[\s.]{{1,2}}\d{{1,2}}(?:st|nd|rd|th)?,?\s\d{{4}}(?!\d)"
        r"|(?<![\d.])\d{1,2}([./-])\d{1,2}\1(?:19|20)\d{2}(?![\d.])"
        r"|(?<![\d.])(?:19|20)\d{2}([./-])(?:0?[1-9]|1[0-2])\2(?:0?[1-9]|[12]\d|3[01])(?![\d.])"
        r"|(?<![\d.])(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?![\d.])",
        re.IGNORECASE)),
    (Kind.NAME, Severity.HIGH, re.compile(
        rf"\b(?:Dr|Prof|Mrs?|Ms|Miss|Herrn?|Frau|Mme|Dott|Sr|Sra)\b\.?\s(?:\w\.\s?)?{_CAPITAL}")),
    (Kind.NAME, Severity.HIGH, re.compile(rf"\b[A-Z]\.\s?{_CAPITAL}")),
    (Kind.NAME, Severity.MEDIUM, re.compile(r"[^\W\d_]{2,}\^[^\W\d_]{2,}")),
    (Kind.NAME, Severity.MEDIUM, re.compile(
        rf"(?i:\b(?:of|by|for|patient|seen|reported|read|name|signed)\b:?)\s{_CAPITAL}[ ,]\s?"
        rf"{_CAPITAL}")),
    (Kind.ADDRESS, Severity.HIGH, re.compile(
        rf"\b\d{{1,5}}\w?\s{_CAPITAL}(?:\s{_CAPITAL})?|{_CAPITAL}(?:straße|strasse|str\.|weg|platz|"
        r"gasse|allee)\s?\d{1,4}|\b(?:rue|via|calle)\s(?:de\s|la\s)*[A-Z]\w+")),
    (Kind.UID, Severity.MEDIUM, re.compile(
        r"(?<![\d.])(?!1\.2\.840\.10008\.|2\.25\.)[0-2](?:\.(?:0|[1-9]\d*)){4,}(?![\d.])")),
    (Kind.ID, Severity.HIGH, re.compile(r"(?<![\w.])(?=[A-Z]*-?\d)[A-Z]{0,4}-?(?:\d-?){6,}\d?\b"
                                        r"|(?<![\w.])[A-Z]{1,4}-?\d{3}-\d{3,}\b")),
    (Kind.AGE, Severity.MEDIUM, re.compile(
        r"\b(?:9[1-9]|1[0-2]\d)[\s-]?(?:years?|yrs?|y/?o|jahre)\b", re.IGNORECASE)),
)  # fmt: skip
_STREET: Final = re.compile(
    r"\b(?:st(?:reet)?|road|rd|lane|ln|ave(?:nue)?|drive|dr|square|sq|court|ct|way|place|boulevard|"
    r"blvd|straße|strasse|str|weg|platz)\b", re.IGNORECASE)  # fmt: skip
_UIDS: Final = re.compile(r"(?<![\d.])[0-2](?:\.(?:0|[1-9]\d*)){3,}(?![\d.])")
_SENTENCE: Final = re.compile(r"[^\W\d_]{2,}")


def looks(text: str) -> Iterator[tuple[Kind, Severity]]:
    """What a text looks like; each kind once, of each the worst."""
    if len(text) < 5:
        return
    without = _UIDS.sub(" ", text)
    seen: set[Kind] = set()
    for kind, severity, pattern in _PATTERNS:
        if kind in seen:
            continue
        match = pattern.search(text if kind is Kind.UID else without)
        if match is None:
            continue
        if kind is Kind.ADDRESS and match[0][0].isdigit():
            around = without[match.start() : match.end() + 16]
            if not _STREET.search(around):
                continue
        seen.add(kind)
        yield kind, severity


def is_sentence(text: str) -> bool:
    """Whether a text says more than a label does."""
    return len(_SENTENCE.findall(text)) >= 4
