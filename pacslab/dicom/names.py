"""Person names that are alike: what a fuzzy search compares, and by which keys it is looked up.

PS3.4 C.2.2.2.1 leaves fuzzy semantic matching to the implementation; docs/conformance.md states
what is done here. A name is taken as the words of its component groups, folded. Words are alike

- when they are spelt the same after common variants are unified (``Mueller``, ``Müller``);
- when one letter is wrong, missing, too many or swapped with the next, in words of five or more;
- when they sound the same (Metaphone) and are nearly written so (Jaro-Winkler, see CLOSE).

Writing without upper and lower case (ideograms, kana, Hangul, Arabic, ...) is alike when equal.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from jellyfish import damerau_levenshtein_distance, jaro_winkler_similarity, metaphone

CLOSE: Final = 0.85
"""Jaro-Winkler similarity from which words of five letters or more that sound alike are alike."""

MOST_WORDS: Final = 8
"""A question of more words than that is matched literally."""

Words = tuple[str, ...]

_LONG: Final = 5  # letters, from which a typo is forgiven
_APOSTROPHES: Final = re.compile("['`´’ʼ]")
_WORD: Final = re.compile(r"[^\W_]+")
_ASKED: Final = re.compile(r"(\*?)([^\W_]+)(\*?)")
# A star between letters may stand for the end of one word and the beginning of another
_LITERAL: Final = re.compile(r"\?|[^\W_]\*+[^\W_]")
_LETTERS: Final = str.maketrans({"ø": "o", "æ": "ae", "œ": "oe", "ł": "l", "đ": "d", "þ": "th"})
_VARIANTS: Final = tuple(
    (re.compile(pattern), common)
    for pattern, common in (
        (r"(?<=[aou])e", ""),  # the umlauts, which folding makes a, o and u
        (r"(?<!^)y", "i"),
        (r"ph", "f"),
        (r"th", "t"),
        (r"ck", "k"),
        (r"ch(?=[rl])", "k"),
        (r"c(?![ehiy])", "k"),
    )
)


def parts(name: str) -> list[Words]:
    """The words of a folded name: of each of its values, by component group; none left empty."""
    groups = re.split(r"[=\\]", _APOSTROPHES.sub("", name))
    return [words for group in groups if (words := tuple(_WORD.findall(group)))]


def asked(name: str) -> tuple[Words, ...]:
    """The words that a folded key asks for, by component group; () if it is matched literally.

    A word's ``*`` at its ends stays with it: ``mul*`` is a word that begins so.
    """
    name = re.sub(r"\*+", "*", _APOSTROPHES.sub("", name))
    if _LITERAL.search(name):
        return ()
    found = (tuple("".join(w) for w in _ASKED.findall(group)) for group in name.split("="))
    groups = tuple(words for words in found if words)
    return groups if sum(map(len, groups)) <= MOST_WORDS else ()


@lru_cache(maxsize=4096)
def spelling(word: str) -> str:
    """A word with common variants of spelling unified: ``mueller`` is ``muller``."""
    word = word.translate(_LETTERS)
    if len(word) < 4:
        return word
    for pattern, common in _VARIANTS:
        word = pattern.sub(common, word)
    return word


def keys(word: str) -> set[str]:
    """What a word is found by: words that are alike have one of these in common.

    ``=`` stands before the word as it is spelt, ``~`` before how it sounds, ``-`` before what is
    left when a letter is taken out, which finds every typo.
    """
    spelt = {word, spelling(word)}
    found = {f"={one}" for one in spelt}
    if not _cased(word):
        return found
    if sound := _sound(spelling(word)):
        found.add(f"~{sound}")
    for one in spelt:
        if len(one) >= _LONG - 1:
            found.add(f"-{one}")
            found |= {f"-{one[:i]}{one[i + 1 :]}" for i in range(len(one))}
    return found


def alike(one: str, other: str) -> bool:
    """Whether two folded words could be the same name."""
    a, b = spelling(one), spelling(other)
    if a == b:
        return True
    if not (_cased(one) and _cased(other)):
        return False
    longer = max(len(a), len(b))
    distance = min(damerau_levenshtein_distance(a, b), damerau_levenshtein_distance(one, other))
    if distance == 1 and max(longer, len(one), len(other)) >= _LONG:
        return True
    sound = _sound(a)
    if not sound or sound != _sound(b):
        return False
    if longer < _LONG:  # a letter that isn't heard: jon and john, but not jan and jon
        return distance == 1 and len(a) != len(b)
    return jaro_winkler_similarity(a, b) >= CLOSE


def _sound(spelt: str) -> str:
    """How a word sounds; nothing where that would say little."""
    code = metaphone(spelt) if spelt.isascii() and spelt.isalpha() else ""
    return code if len(code) > 1 else ""


def _cased(word: str) -> bool:
    """Whether it is written in letters, of which one can be wrong; a figure isn't."""
    return all(c.upper() != c.lower() for c in word)
