"""Text as it is compared: without case, accents, width and kana, each character's place known."""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import Final

_LETTERS: Final = {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "ł": "l",
                   "þ": "th", "ı": "i"}  # fmt: skip
_GERMAN: Final = {"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"}


def fold(text: str) -> str:
    """The text as it is compared."""
    return text.lower() if text.isascii() else "".join(map(_folded, text))


def fold_with_places(text: str) -> tuple[str, list[int]]:
    """The folded text, and for each of its characters the place of the one it came from.

    One more place stands at the end: the length of the text.
    """
    if text.isascii():
        return text.lower(), list(range(len(text) + 1))
    folded, places = [], []
    for place, character in enumerate(text):
        for one in _folded(character):
            folded.append(one)
            places.append(place)
    places.append(len(text))
    return "".join(folded), places


def spellings(word: str) -> set[str]:
    """A word folded, and as it is written where there are no umlauts (Müller, Muller, Mueller)."""
    lower = unicodedata.normalize("NFC", word).lower()
    return {fold(word), fold("".join(_GERMAN.get(c, c) for c in lower))}


@cache
def _folded(character: str) -> str:
    found = ""
    for one in unicodedata.normalize("NFKD", character).lower():
        if unicodedata.combining(one):
            continue
        hiragana = chr(ord(one) - 0x60) if "ァ" <= one <= "ヶ" else one
        found += _LETTERS.get(hiragana, hiragana)
    return found
