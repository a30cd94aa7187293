"""What an instance says of its own de-identification, and what may therefore stand in it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from pacslab.deid import table
from pacslab.deid.audit.originals import listed
from pacslab.deid.audit.reading import Parts

_COLUMN: Final = {
    "113103": "CleanGraph", "113104": "CleanStructCont", "113105": "CleanDesc",
    "113106": "RtnLongFullDates", "113107": "RtnLongModifDates", "113108": "RtnPatChars",
    "113109": "RtnDevId", "113110": "RtnUIDs", "113112": "RtnInstId",
}  # fmt: skip
_METHOD_CODES: Final = "00120064/"


@dataclass(frozen=True, slots=True)
class Claims:
    """The codes of CID 7050 in (0012,0064), and Patient Identity Removed."""

    codes: frozenset[str] = frozenset()
    removed: bool = False
    time: str = ""

    @classmethod
    def of(cls, parts: Parts) -> Claims:
        """What a file claims."""
        codes = {
            element.values[0]
            for element in parts.elements
            if element.tag == 0x00080100 and element.path.startswith(_METHOD_CODES)
        }
        return cls(frozenset(codes), parts.text(0x00120062) == "YES", parts.text(0x00280303))

    @property
    def basic(self) -> bool:
        """Whether the Basic Profile is claimed, without which no option counts."""
        return "113100" in self.codes

    @property
    def pixels(self) -> bool:
        """Whether Clean Pixel Data is claimed."""
        return "113101" in self.codes

    @property
    def keeps_uids(self) -> bool:
        """Whether Retain UIDs is claimed."""
        return self.basic and "113110" in self.codes

    @property
    def keeps_dates(self) -> bool:
        """Whether dates are claimed to be as they were."""
        return self.basic and "113106" in self.codes

    @property
    def keeps_institutions(self) -> bool:
        """Whether Retain Institution Identity is claimed."""
        return self.basic and "113112" in self.codes

    @property
    def keeps_devices(self) -> bool:
        """Whether Retain Device Identity is claimed."""
        return self.basic and "113109" in self.codes

    @property
    def keeps_private(self) -> bool:
        """Whether Retain Safe Private is claimed."""
        return self.basic and "113111" in self.codes

    def allows(self, tag: int) -> str:
        """What an option lets an attribute be: ``K`` as it was, ``C`` cleaned, empty: neither."""
        return _allowed(tag, self.codes) if self.basic else ""


@lru_cache(maxsize=1 << 13)
def _allowed(tag: int, codes: frozenset[str]) -> str:
    row: table.Row | None = listed().get(tag)
    if row is None:
        return ""
    given = {row.options.get(_COLUMN[code], "") for code in codes if code in _COLUMN}
    if "K" in given:
        return "K"
    return "C" if "C" in given else ""
