"""What is asked: a query at a level, checked and normalised by the rules of PS3.4 C.2.2.2.

QIDO-RS, C-FIND and ``Lab.search`` build the same :class:`Query`; the archive compiles it to SQL.
Here is what a key means, there how it is looked up.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from pydicom.datadict import keyword_for_tag, tag_for_keyword

from pacslab.dicom import names
from pacslab.dicom.keywords import ATTRIBUTES, BY_PATH, BY_TAG, Attribute, Level
from pacslab.dicom.uids import is_uid
from pacslab.errors import QueryError

_WILD: Final = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
_RANGE: Final = frozenset({"DA", "TM", "DT"})
_DATE: Final = re.compile(r"\d{4}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])")
_TIME: Final = re.compile(r"([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?|60(\.\d{1,6})?)?)?")
_DATETIME: Final = re.compile(r"\d{4}(\d{2}(\d{2}(\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?)?)?)?")
_FORMS: Final = {
    "DA": (_DATE, "YYYYMMDD, e.g. 20240131"),
    "TM": (_TIME, "HHMMSS or a beginning of it, e.g. 0930"),
    "DT": (_DATETIME, "YYYYMMDDHHMMSS or a beginning of it"),
}
_LEVEL_NAMES: Final = {"INSTANCE": Level.IMAGE}
_SEVERAL: Final = frozenset({"AE", "AS", "AT", "CS", "LO", "PN", "SH", "UC"})
_VOICING: Final = "\u3099\u309a"  # marks of kana, which make another letter of it


class Kind(StrEnum):
    """How a key is matched (PS3.4 C.2.2.2.1 to C.2.2.2.6)."""

    SINGLE = "single value"
    LIST = "list of values"
    WILDCARD = "wildcard"
    RANGE = "range"
    EMPTY = "empty value"


@dataclass(frozen=True, slots=True)
class Match:
    """One key: an attribute, how it is matched, and the values in normal form.

    SINGLE has one value, LIST several; WILDCARD one pattern with ``*`` and ``?``; RANGE exactly
    two, lower and upper bound, either of them possibly empty; EMPTY none. Person names are folded.

    ``words`` are those of a person name that is matched fuzzily instead: for each value and each of
    its component groups the words of :func:`pacslab.dicom.names.asked`. Any value has to match,
    with every group.
    """

    attribute: Attribute
    kind: Kind
    values: tuple[str, ...] = ()
    words: tuple[tuple[names.Words, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Query:
    """A question to the index: which entities of ``level`` fulfil every one of ``matches``.

    ``limit`` and ``offset`` count entities of the level. ``fuzzy`` says that person names are
    matched beyond the literal (PS3.4 C.2.2.2.1.1); the matches have their words then.
    """

    level: Level
    matches: tuple[Match, ...] = ()
    limit: int | None = None
    offset: int = 0
    fuzzy: bool = field(default=False)

    @classmethod
    def build(
        cls,
        level: Level | str,
        keys: Mapping[str, object] | Iterable[tuple[str, object]] = (),
        *,
        limit: int | None = None,
        offset: int = 0,
        fuzzy: bool = False,
        empty_value_matching: bool = True,
        multiple_value_matching: bool = False,
    ) -> Query:
        """Check and normalise keys by keyword (``PatientID``) or tag (``00100020``).

        Values are text as a DICOM identifier or a URL has it, numbers, or lists. Universal
        matching (PS3.4 C.2.2.2.3: empty, or ``*`` alone) leaves a key out.

        Three kinds of matching are agreed upon in DIMSE and DICOMweb: ``fuzzy``;
        ``empty_value_matching`` (C.2.2.2.7), without which ``""`` is a text as any other; and
        ``multiple_value_matching`` (C.2.2.2.8), with which an attribute of several values has to
        have every one of those asked for, without which any.

        Raises QueryError for a level, key or value that can't be meant, with what could be.
        """
        pairs = keys.items() if isinstance(keys, Mapping) else keys
        matches = [
            match
            for key, value in pairs
            for match in _matches(
                attribute_of(key), value, empty_value_matching, multiple_value_matching
            )
        ]
        if fuzzy:
            matches = [_fuzzy(match) for match in matches]
        if limit is not None and limit < 0:
            raise QueryError(f"limit is {limit}: give 0 or more")
        if offset < 0:
            raise QueryError(f"offset is {offset}: give 0 or more")
        return cls(level_of(level), tuple(matches), limit, offset, fuzzy)


def level_of(name: Level | str) -> Level:
    """The level of a name in any case; ``INSTANCE`` is ``IMAGE``. Raises QueryError."""
    upper = str(name).upper()
    if upper in _LEVEL_NAMES:
        return _LEVEL_NAMES[upper]
    try:
        return Level(upper)
    except ValueError:
        known = ", ".join([*Level, *_LEVEL_NAMES])
        raise QueryError(f"there is no level {name!r}: take one of {known}") from None


def attribute_of(key: str) -> Attribute:
    """The indexed attribute of a keyword or tag (``00100020``, ``0010,0020``).

    Of one in a sequence, both with a dot between (PS3.18 8.3.4.1). Raises QueryError for what is
    no attribute, or one that isn't indexed, with the remedy.
    """
    if key in ATTRIBUTES:
        return ATTRIBUTES[key]
    if "." in key:
        return _nested(key)
    hexadecimal = re.fullmatch(r"\(?([0-9A-Fa-f]{4}),?([0-9A-Fa-f]{4})\)?", key)
    if hexadecimal:
        tag = int(hexadecimal[1] + hexadecimal[2], 16)
        if tag in BY_TAG:
            return BY_TAG[tag]
        name = keyword_for_tag(tag) or key
        raise QueryError(f"{name} isn't indexed: ask for it in SQL, or as a field to be returned")
    if key and tag_for_keyword(key) is not None:
        raise QueryError(f"{key} isn't indexed: ask for it in SQL, or as a field to be returned")
    near = difflib.get_close_matches(key, ATTRIBUTES, 1, 0.75)
    hint = f": did you mean {near[0]}?" if near else ": use the keyword or tag of an attribute"
    raise QueryError(f"{key!r} is no DICOM attribute{hint}")


def path_of(key: str) -> tuple[str, ...]:
    """The tags of an attribute and of the sequences that it lies in, outermost first.

    By keywords or tags with dots between (PS3.18 8.3.4.1). Raises QueryError.
    """
    return tuple(_tag(part, key) for part in key.split("."))


def _tag(part: str, key: str) -> str:
    if re.fullmatch(r"[0-9A-Fa-f]{8}", part):
        return part.upper()
    tag = tag_for_keyword(part)
    if tag is None:
        raise QueryError(f"{key}: {part!r} is no DICOM keyword and no tag")
    return f"{tag:08X}"


def _nested(key: str) -> Attribute:
    found = BY_PATH.get(".".join(path_of(key)))
    if found is None:
        known = ", ".join(a.path for a in BY_PATH.values())
        raise QueryError(
            f"{key} isn't indexed, as few elements of sequences are ({known}): includefield "
            "returns it"
        )
    return found


def fold_all(text: str) -> str:
    """Person names that stand behind each other, joined by backslashes, each folded."""
    return "\\".join(map(fold, text.split("\\")))


def fold(text: str) -> str:
    """A person name as it is compared: without case, accents and empty ends (PS3.4 C.2.2.2.1.1).

    Component groups stay apart by ``=``; ``*`` and ``?`` are kept.
    """
    decomposed = unicodedata.normalize("NFKD", text)
    kept = (c for c in decomposed if c in _VOICING or not unicodedata.combining(c))
    plain = "".join(kept).casefold()
    groups = (re.sub(r"\s+", " ", g) for g in plain.split("="))
    groups = ("^".join(c.strip() for c in g.split("^")).rstrip("^") for g in groups)
    return unicodedata.normalize("NFC", "=".join(groups).rstrip("="))


def _matches(attribute: Attribute, value: object, empty: bool, multiple: bool) -> Iterator[Match]:
    """What a key asks for: mostly one thing, nothing if it is universal."""
    vr = attribute.vr
    values = _values(vr, value)
    if not values or values == ["*"]:
        return
    if values == ['""'] and empty:
        yield Match(attribute, Kind.EMPTY)
    elif len(values) == 1 or (multiple and attribute.multiple and vr in _SEVERAL):
        yield from (_match(attribute, text) for text in values if text != "*")
    else:
        yield Match(attribute, Kind.LIST, tuple(_checked(attribute, v) for v in values))


def _match(attribute: Attribute, text: str) -> Match:
    vr = attribute.vr
    if vr in _RANGE and "-" in text:
        return Match(attribute, Kind.RANGE, _bounds(attribute, text))
    if vr in _WILD and re.search(r"[*?]", text):
        return Match(attribute, Kind.WILDCARD, (fold(text) if vr == "PN" else text,))
    return Match(attribute, Kind.SINGLE, (_checked(attribute, text),))


def _fuzzy(match: Match) -> Match:
    """The same with words, if it is about a person whose name has words to go by."""
    if match.attribute.vr != "PN" or match.kind is Kind.EMPTY:
        return match
    words = tuple(names.asked(value) for value in match.values)
    return replace(match, words=words) if all(words) else match


def _values(vr: str, value: object) -> list[str]:
    """The key's values: lists come as lists, joined by a backslash, or in URLs by a comma."""
    if value is None:
        return []
    if isinstance(value, str):
        separator = r"[\\,]" if vr in {"UI", "CS"} else r"\\"
        parts = re.split(separator, value)
    elif isinstance(value, Iterable):
        parts = [str(v) for v in value]
    else:
        parts = [str(value)]
    return [p for p in (part.strip("\0 ") for part in parts) if p]


def _checked(attribute: Attribute, text: str) -> str:
    vr = attribute.vr
    if vr == "UI" and not is_uid(text):
        raise QueryError(f"{attribute.keyword}: {text!r} isn't a UID")
    if vr in _FORMS and not _FORMS[vr][0].fullmatch(text):
        hint = ", and emptyvaluematching wasn't asked for" if text == '""' else ""
        raise QueryError(f"{attribute.keyword}: {text!r} isn't {_FORMS[vr][1]}{hint}")
    if attribute.python_type is not str:
        try:
            attribute.python_type(text)
        except ValueError:
            raise QueryError(f"{attribute.keyword}: {text!r} isn't a number") from None
    return fold(text) if vr == "PN" else text


def _bounds(attribute: Attribute, text: str) -> tuple[str, str]:
    """Lower and upper bound of a range (PS3.4 C.2.2.2.5), either of them possibly empty.

    A zone of a DT (``+0100``, ``-0500``) is cut off: the index compares local times.
    """
    form, example = _FORMS[attribute.vr]
    bound = f"(?:{form.pattern})"
    zone = r"(?:[+-]\d{4})?" if attribute.vr == "DT" else ""
    found = re.fullmatch(f"(?P<low>{bound})?{zone} ?- ?(?P<high>{bound})?{zone}", text)
    if not found or not (found["low"] or found["high"]):
        raise QueryError(f"{attribute.keyword}: {text!r} isn't a range of {example}")
    return found["low"] or "", found["high"] or ""
