"""How a text is compared in the audit: without case, accents and width, umlauts both ways."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

_APART: Final = str.maketrans({"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d",
                               "ð": "d", "þ": "th", "ı": "i"})  # fmt: skip
_LONG: Final = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"})
_LONGEST: Final = 256  # characters of a text that is remembered
WORD: Final = re.compile(r"[^\W\d_]+")


def plain(text: str) -> str:
    """Lower case, no marks above or below letters, letters of one width."""
    if text.isascii():
        return text.lower()
    return _bare(text) if len(text) < _LONGEST else _bare.__wrapped__(text)


@lru_cache(maxsize=1 << 14)
def _bare(text: str) -> str:
    apart = unicodedata.normalize("NFKD", text.casefold().translate(_APART))
    return "".join(c for c in apart if not unicodedata.combining(c)).casefold()


def variants(word: str) -> set[str]:
    """A word as it may be written: Müller, Muller, Mueller."""
    composed = unicodedata.normalize("NFC", word).casefold()
    return {plain(word), plain(composed.translate(_LONG))}


def squeezed(text: str) -> tuple[str, list[int]]:
    """Letters and digits only, with the place of each in the text."""
    places = [i for i, c in enumerate(text) if c.isalnum()]
    if len(places) == len(text):
        return text, places
    return "".join([text[i] for i in places]), places
