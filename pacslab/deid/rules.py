"""A profile turned into one rule for each attribute, listed in Table E.1-1 or not."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pydicom.datadict import dictionary_has_tag, dictionary_keyword, dictionary_VR

from pacslab.deid import uids
from pacslab.deid.actions import Category, Rule, Verb
from pacslab.deid.profiles import COLUMNS, Option, Profile
from pacslab.deid.table import Row, rows

TEXT: Final = frozenset({"LO", "LT", "SH", "ST", "UC", "UT"})
_FREE: Final = frozenset({"LT", "ST", "UC", "UT"})
_BASIC: Final[Mapping[str, Verb]] = MappingProxyType({
    "X": Verb.REMOVE, "Z": Verb.EMPTY, "D": Verb.DUMMY, "U": Verb.UID, "X/Z": Verb.EMPTY,
    "X/D": Verb.DUMMY, "Z/D": Verb.DUMMY, "X/Z/D": Verb.DUMMY, "X/Z/U*": Verb.INTO,
})  # fmt: skip
# Where the table leaves a choice (X unless Type 2), the value that breaks no IOD is taken.
_OVERRIDES: Final = {
    "keep": Verb.KEEP, "remove": Verb.REMOVE, "empty": Verb.EMPTY, "dummy": Verb.DUMMY,
    "clean": Verb.CLEAN,
}  # fmt: skip
# Values of content items: the table lists Content Sequence (D, or C) and means what is in it. Where
# they stand at the root of a document, it is not said.
_CONTENT: Final = (0x0040A160, 0x0040A167, 0x00700006)
_NO_DATA_SET: Final = frozenset({0x0000, 0x0002, 0x0004, 0xFFFC})
_UNKNOWN: Final = Rule(Verb.REMOVE, "not in PS3.6", Category.TCIA)
_GROUP: Final = Rule(Verb.REMOVE, "no part of a data set")
_PRIVATE: Final = Rule(Verb.REMOVE, "private", Category.TCIA)


class Rules:
    """The rules of a profile, by tag; found once for each tag and kept."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._exact: dict[int, Rule] = {}
        self._masked: list[tuple[int, int, Rule]] = []
        self._seen: dict[tuple[int, str], Rule] = {}
        for row in rows():
            rule = self._of_row(row)
            if "x" in row.tag:
                mask = int("".join("0" if c == "x" else "F" for c in row.tag), 16)
                self._masked.append((int(row.tag.replace("x", "0"), 16), mask, rule))
            else:
                self._exact[int(row.tag, 16)] = rule
        structured = profile.has(Option.CLEAN_STRUCTURED_CONTENT)
        for tag in _CONTENT:
            if tag not in self._exact or structured:
                self._exact[tag] = Rule(
                    Verb.CLEAN if structured else Verb.DUMMY, "E.1-1 Content Sequence"
                )
        if profile.has(Option.CLEAN_GRAPHICS):
            self._exact[0x00700006] = Rule(Verb.CLEAN, "CleanGraph C")
        for override in profile.overrides:
            verb = _OVERRIDES[override.action]
            self._exact[override.tag] = Rule(verb, f"profile: {override.why}", Category.TCIA)

    def of(self, tag: int, vr: str) -> Rule:
        """The rule for an attribute; ``vr`` is that of the data set, or the dictionary's.

        Private attributes are removed; whoever keeps safe ones asks before.
        """
        found = self._seen.get((tag, vr))
        if found is None:
            found = self._seen[tag, vr] = self._find(tag, vr)
        return found

    def basic_is_done(self) -> bool:
        """Whether the profile takes nothing back of the Basic Profile, so that it may be claimed.

        An override that keeps or merely cleans what the table removes takes something back.
        """
        return not any(
            o.action in {"keep", "clean"} and self._listed(o.tag) for o in self.profile.overrides
        )

    @staticmethod
    def _listed(tag: int) -> bool:
        return bool(tag >> 16 & 1) or any(
            row.tag == f"{tag:08X}" or ("x" in row.tag and f"{tag:08X}"[:2] == row.tag[:2])
            for row in rows()
        )

    def _of_row(self, row: Row) -> Rule:
        codes = {}
        for option in self.profile.options:
            column = COLUMNS.get(option)
            if column and column in row.options:
                codes[row.options[column]] = (option, column)
        if row.keyword == "PatientBirthDate" and self.profile.birth_date == "from-age":
            return Rule(Verb.DUMMY, "E.1-1 Z, birth date from the age", Category.HIPAA)
        category = _category(row)
        if "K" in codes:
            return Rule(Verb.KEEP, f"{codes['K'][1]} K", category)
        if "C" in codes:
            option, column = codes["C"]
            modified = option is Option.RETAIN_MODIFIED_DATES
            return Rule(Verb.SHIFT if modified else Verb.CLEAN, f"{column} C", category)
        if "X" in codes:
            return Rule(Verb.REMOVE, f"{codes['X'][1]} X", category)
        if row.keyword == "PatientName" and self.profile.patient_name != "empty":
            return Rule(Verb.DUMMY, "E.1-1 Z", Category.HIPAA)
        return Rule(_BASIC[row.basic], f"E.1-1 {row.basic}", category)

    def _find(self, tag: int, vr: str) -> Rule:
        exact = self._exact.get(tag)
        if exact is not None:
            return exact
        group = tag >> 16
        if group in _NO_DATA_SET or tag & 0xFFFF == 0:
            return _GROUP
        if group & 1:
            return _PRIVATE
        for value, mask, rule in self._masked:
            if tag & mask == value:
                return rule
        if not dictionary_has_tag(tag):
            return _UNKNOWN
        return self._unlisted(dictionary_keyword(tag), vr or dictionary_VR(tag))

    def _unlisted(self, keyword: str, vr: str) -> Rule:
        """The Basic Profile keeps what it doesn't list; here no name, date or UID gets by so."""
        where = "not in E.1-1"
        if vr == "SQ":
            return Rule(Verb.INTO, where)
        if vr == "UI":
            if uids.names_a_kind(keyword) or self.profile.has(Option.RETAIN_UIDS):
                return Rule(Verb.KEEP, where)
            return Rule(Verb.UID, where)
        if vr == "PN":
            return Rule(Verb.DUMMY, where, Category.HIPAA)
        if vr in {"DA", "DT"}:
            if self.profile.has(Option.RETAIN_FULL_DATES):
                return Rule(Verb.KEEP, where, Category.HIPAA)
            modified = self.profile.has(Option.RETAIN_MODIFIED_DATES)
            return Rule(Verb.SHIFT if modified else Verb.DUMMY, where, Category.HIPAA)
        if vr == "UR" and not self.profile.has(Option.RETAIN_INSTITUTION_IDENTITY):
            return Rule(Verb.REMOVE, where, Category.TCIA)  # the addresses of somebody's servers
        if vr in _FREE and self.profile.unlisted_text == "remove":
            return Rule(Verb.EMPTY, where, Category.TCIA)
        return Rule(Verb.KEEP, where)


def _category(row: Row) -> Category:
    personal = row.vr in {"PN", "DA", "DT", "TM", "AS"} or row.tag.startswith("0010")
    return Category.HIPAA if personal else Category.DICOM
