"""Originals in large binary data: two table look-ups a byte tell where to look more closely."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from pacslab.deid.audit.finding import Kind
from pacslab.deid.audit.wanted import Wanted

FROM: Final = 1 << 15
"""Bytes from which data is large."""

_BEFORE, _AFTER = 8, 80  # bytes around a place that are looked at
_PRINTABLE: Final = bytes(b if 0x20 <= b < 0x7F else 0x0A for b in range(256))


def search(data: bytes, wanted: Sequence[Wanted]) -> set[Kind]:
    """The kinds of originals that stand in data: in ASCII, UTF-16, and names in any encoding.

    An original counts whose first four characters stand together.
    """
    found: set[Kind] = set()
    starts = frozenset().union(*(one.starts for one in wanted))
    lower = data.lower()
    if starts:
        first, second = _tables(starts)
        for view in (lower, lower[::2], lower[1::2]):  # every other byte: UTF-16
            for place in _places(view, first, second):
                if view[place : place + 4] in starts:
                    around = view[max(0, place - _BEFORE) : place + _AFTER].translate(_PRINTABLE)
                    text = around.decode("ascii")
                    for one in wanted:
                        found |= one.in_text(text, deep=False, binary=True)
    if any(needle in data for one in wanted for needle in one.raw):
        found.add(Kind.NAME)
    return found


def _tables(starts: Iterable[bytes]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    first, second = np.zeros(1 << 16, bool), np.zeros(1 << 16, bool)
    for start in starts:
        first[start[0] | start[1] << 8] = True
        second[start[2] | start[3] << 8] = True
    return first, second


def _places(view: bytes, first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> list[int]:
    found: list[int] = []
    for odd in (0, 1):
        pairs = np.frombuffer(view, "<u2", (len(view) - odd) // 2, odd)
        begin = np.flatnonzero(first[pairs[:-1]])
        hits = begin[second[pairs[begin + 1]]]
        found.extend((hits * 2 + odd).tolist())
    return found
