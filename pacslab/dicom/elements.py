"""Where the elements of a data set lie in its bytes (PS3.5 7), little endian, nothing decoded."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from pacslab.dicom.buffers import Buffer
from pacslab.dicom.filemeta import LONG_VR

_EXPLICIT: Final = struct.Struct("<HH2sH")
IMPLICIT: Final = struct.Struct("<HHI")
_LENGTH: Final = struct.Struct("<I")
_SHORT_VR: Final = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split()
)
UNDEFINED: Final = 0xFFFFFFFF
ITEM, ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
DEEPEST: Final = 16
_NO_GROUPS: Final = frozenset({0x0000, 0x0002, 0xFFFE})


class UnusualError(Exception):
    """Something that is better left to pydicom."""


class Walker:
    """Goes from element to element, with explicit or with implicit VR.

    Raises UnusualError, struct.error or IndexError for bytes that aren't plain and well-formed.
    """

    def __init__(self, *, implicit: bool) -> None:
        self._implicit = implicit

    def elements(self, data: Buffer, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
        """Tag, start, start of the value and end of each element; ascending, or it is unusual."""
        last = 0
        while at < end:
            tag, value, stop = self.element(data, at, end)
            if tag <= last:
                raise UnusualError
            last = tag
            yield tag, at, value, stop
            at = stop

    def element(self, data: Buffer, at: int, end: int) -> tuple[int, int, int]:
        """Tag, start of the value and end of the element at ``at``."""
        if self._implicit:
            group, element, length = IMPLICIT.unpack_from(data, at)
            value = at + 8
        else:
            group, element, vr, length = _EXPLICIT.unpack_from(data, at)
            value = at + 8
            if vr not in _SHORT_VR:
                if vr not in LONG_VR:
                    raise UnusualError
                value = at + 12
                (length,) = _LENGTH.unpack_from(data, at + 8)
        if group in _NO_GROUPS:
            raise UnusualError
        stop = value + length
        if length == UNDEFINED:
            stop = self.end_of_items(data, value, end, 0)
        if stop > end:
            raise UnusualError
        return group << 16 | element, value, stop

    def end_of_items(self, data: Buffer, at: int, end: int, depth: int) -> int:
        """Where the items from ``at`` on end, behind their delimiter (PS3.5 7.5)."""
        if depth > DEEPEST:
            raise UnusualError
        first = at
        while at + 8 <= end:
            group, element, length = IMPLICIT.unpack_from(data, at)
            tag = group << 16 | element
            at += 8
            if tag == _SEQUENCE_END:
                if length or at - first == 8:
                    raise UnusualError
                return at
            if tag != ITEM:
                raise UnusualError
            at = self.end_of_item(data, at, end, depth) if length == UNDEFINED else at + length
        raise UnusualError

    def end_of_item(self, data: Buffer, at: int, end: int, depth: int) -> int:
        while at + 8 <= end:
            group, element, vr, length = _EXPLICIT.unpack_from(data, at)
            if group << 16 | element == ITEM_END:
                return at + 8
            value = at + 8
            if self._implicit:
                (length,) = _LENGTH.unpack_from(data, at + 4)
            elif vr in LONG_VR:
                value = at + 12
                (length,) = _LENGTH.unpack_from(data, at + 8)
            elif vr not in _SHORT_VR:
                raise UnusualError
            if length == UNDEFINED:
                at = self.end_of_items(data, value, end, depth + 1)
            else:
                at = value + length
        raise UnusualError
