"""Headers read in a tenth of the time, since a scanner says nearly the same thing again and again.

Of the hundred elements of a slice a few differ from the slice before. Each element's bytes are
looked up among those that were seen last; what was seen has its JSON and its columns already, and
what was seen in a row is compared as a whole. The
rest is taken from its bytes (:func:`header.quick`). Where that isn't enough, because other elements
decide what it means (character set, private creator, pixel representation), it is looked up
together with these. What isn't found there either, or anything unusual, is left to pydicom, and
remembered: so that both ways give the same, to the character.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple

from pydicom.datadict import dictionary_VR

from pacslab.dicom import header as headers
from pacslab.dicom.buffers import Buffer
from pacslab.dicom.columns import EMPTY_ROW, Value, columns_of
from pacslab.dicom.elements import DEEPEST, IMPLICIT, ITEM, UNDEFINED, UnusualError, Walker
from pacslab.dicom.filemeta import LONG_VR

_PIXELS: Final = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
_CHARACTER_SET: Final = 0x00080005
_DECIDING: Final = frozenset({_CHARACTER_SET, 0x00280100, 0x00280103})
_LONGEST_KEPT: Final = 32 << 10  # bytes
_MOST: Final = 8 << 20  # bytes of a generation


class _Entry(NamedTuple):
    """What an element says: its JSON with its tag, its columns; its bytes where it decides."""

    text: str
    columns: dict[str, Value]
    deciding: tuple[bytes, ...] = ()


class _Run(NamedTuple):
    """Elements that stood in a row, all known, with the tag of the last: the same bytes again."""

    data: bytes
    last: int
    entry: _Entry


class _Reading:
    """A header as far as it has been read, and the known elements that just stood in a row."""

    def __init__(self, data: Buffer) -> None:
        self.row = dict(EMPTY_ROW)
        self.texts: list[str] = []
        self._data = data
        self._deciding: list[bytes] = []
        self._later: list[tuple[int, bytes]] = []
        self._gathered: list[_Entry] = []
        self._first = b""
        self._start = self._last = 0

    def take(self, entry: _Entry) -> None:
        """Add what an element, or a run of them, says."""
        text, columns, deciding = entry
        self.texts.append(text)
        if columns:
            self.row.update(columns)
        if deciding:
            self._deciding += deciding

    def postpone(self, raw: bytes, *, decides: bool) -> None:
        """Leave an element until those that decide about it have been read."""
        if decides:
            self._deciding.append(raw)
        self._later.append((len(self.texts), raw))
        self.texts.append("")

    def take_later(self, found: Callable[[tuple[bytes, bytes]], _Entry]) -> None:
        """Add what was postponed."""
        context = b"".join(self._deciding) if self._later else b""
        for place, raw in self._later:
            entry = found((context, raw))
            self.texts[place] = entry.text
            self.row.update(entry.columns)

    def gather(self, raw: bytes, at: int, last: int, entry: _Entry) -> None:
        """Add a known element, or a run of them, which ends with the tag ``last``."""
        if not self._gathered:
            self._first, self._start = raw, at
        self._gathered.append(entry)
        self._last = last
        self.take(entry)

    def run(self, at: int) -> tuple[bytes, _Run] | None:
        """What was gathered as one run, by the bytes of the first; None where it is nothing new."""
        parts, self._gathered = self._gathered, []
        if len(parts) < 2:
            return None
        columns: dict[str, Value] = {}
        for part in parts:
            columns.update(part.columns)
        whole = _Entry(
            ",".join(part.text for part in parts),
            columns,
            tuple(raw for part in parts for raw in part.deciding),
        )
        return self._first, _Run(self._data[self._start : at], self._last, whole)


class Memo:
    """The elements seen last, of data sets with explicit or with implicit VR, little endian.

    Used from several threads at once; the worst that can come of it is an element read twice.
    """

    def __init__(self, *, implicit: bool) -> None:
        self._implicit = implicit
        self._walker = Walker(implicit=implicit)
        self._young: dict[Any, _Entry] = {}
        self._old: dict[Any, _Entry] = {}
        self._runs: dict[bytes, _Run] = {}
        self._size = 0

    def read(self, data: Buffer, start: int) -> tuple[dict[str, Value], str] | None:
        """Index row and header (DICOM JSON text) of the data set from ``start`` on.

        None when pydicom has to read it: then :meth:`learn` from what it found.
        """
        reading = _Reading(data)
        at, end, last = start, len(data), 0
        known: _Entry | None
        try:
            while at < end:
                tag, value, stop = self._walker.element(data, at, end)
                if tag <= last:
                    raise UnusualError
                last = tag
                if stop - value > _LONGEST_KEPT or (tag in _PIXELS and stop > value):
                    self._remember(reading, at)
                    reading.take(self._large(data, tag, at, value, stop))
                elif tag & 0xFFFF == 0:  # a group length (PS3.18 F.2.2)
                    self._remember(reading, at)
                else:
                    raw = data[at:stop]
                    run = self._runs.get(raw)
                    if run is not None and data[at : at + len(run.data)] == run.data:
                        stop, last, known = at + len(run.data), run.last, run.entry
                    else:
                        known = self._known(raw)
                    if known is not None:
                        reading.gather(raw, at, last, known)
                    else:
                        self._remember(reading, at)
                        self._first_time(reading, tag, raw, value - at)
                at = stop
            self._remember(reading, at)
            reading.take_later(self._found)
        except (UnusualError, struct.error, IndexError):
            return None
        if reading.row["SOPClassUID"] is None or reading.row["SOPInstanceUID"] is None:
            return None
        return reading.row, "{" + ",".join(reading.texts) + "}"

    def _first_time(self, reading: _Reading, tag: int, raw: bytes, head: int) -> None:
        """Take an element that wasn't seen before, or that others decide about."""
        new = self._new(tag, raw, head)
        if new is not None:
            self._keep(raw, new)
            reading.take(new)
        else:
            reading.postpone(raw, decides=_decides(tag))

    def learn(self, data: Buffer, start: int, header: headers.Json) -> None:
        """Remember what pydicom made of the elements that can't be read from their bytes alone."""
        deciding: list[bytes] = []
        hard: list[tuple[str, bytes]] = []
        try:
            for tag, at, value, stop in self._walker.elements(data, start, len(data)):
                if stop - value > _LONGEST_KEPT or tag in _PIXELS or tag & 0xFFFF == 0:
                    continue
                raw = data[at:stop]
                if _decides(tag):
                    deciding.append(raw)
                if raw not in self._young and self._new(tag, raw, value - at) is None:
                    hard.append((f"{tag:08X}", raw))
        except (UnusualError, struct.error, IndexError):
            return
        context = b"".join(deciding)
        for key, raw in hard:
            if key in header:
                self._keep((context, raw), _entry(key, header[key]))

    def _new(self, tag: int, raw: bytes, head: int) -> _Entry | None:
        """What an element says by its bytes alone; None when others decide."""
        element = self._json(tag, raw, head, headers.BULK_PREFIX, 0)
        if element is None:
            return None
        return _entry(f"{tag:08X}", element, (raw,) if _decides(tag) else ())

    def _json(
        self, tag: int, raw: bytes, head: int, path: str, depth: int
    ) -> dict[str, Any] | None:
        vr = self._vr(tag, raw)
        if vr is None or tag == _CHARACTER_SET:
            return None
        here = f"{path}{tag:08X}"
        undefined = raw[head - 4 : head] == b"\xff\xff\xff\xff" and (
            self._implicit or raw[4:6] in LONG_VR
        )
        if vr == "SQ":
            return self._sequence(raw, head, undefined, here, depth)
        if undefined:
            return {"vr": vr, "BulkDataURI": here} if tag in _PIXELS else None
        if len(raw) - head > headers.DEFER_SIZE:
            return None
        return headers.quick(vr, raw[head:], True, here)

    def _vr(self, tag: int, raw: bytes) -> str | None:
        """The VR of an element, None when it depends on others."""
        if not self._implicit:
            vr = raw[4:6].decode("ascii")
        elif tag in _PIXELS:
            return {0x7FE00008: "OF", 0x7FE00009: "OD"}.get(tag, "OW")  # PS3.5 A.1
        elif tag & 0x10000:
            return None
        else:
            try:
                vr = dictionary_VR(tag)
            except KeyError:
                return None
        if vr == "UN" or " " in vr or (tag in _PIXELS and vr[0] != "O"):
            return None
        return vr

    def _sequence(
        self, raw: bytes, head: int, undefined: bool, here: str, depth: int
    ) -> dict[str, Any] | None:
        if depth > DEEPEST:
            return None
        items: list[dict[str, Any]] = []
        at, end = head, len(raw) - (8 if undefined else 0)
        while at < end:
            group, element, length = IMPLICIT.unpack_from(raw, at)
            if group << 16 | element != ITEM:
                raise UnusualError
            at += 8
            stop = at + length
            if length == UNDEFINED:
                stop = self._walker.end_of_item(raw, at, end, depth)
            if stop > end:
                raise UnusualError
            item: dict[str, Any] = {}
            inner = stop - 8 if length == UNDEFINED else stop
            for tag, start, value, last in self._walker.elements(raw, at, inner):
                if tag & 0xFFFF == 0:
                    continue
                path = f"{here}/{len(items)}/"
                told = self._json(tag, raw[start:last], value - start, path, depth + 1)
                if told is None:
                    return None
                item[f"{tag:08X}"] = told
            items.append(item)
            at = stop
        return {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}

    def _large(self, data: Buffer, tag: int, at: int, value: int, stop: int) -> _Entry:
        """A value that is referenced whatever it holds."""
        vr = self._vr(tag, data[at:value])
        undefined = data[value - 4 : value] == b"\xff\xff\xff\xff"
        deferred = stop - value > headers.DEFER_SIZE or vr in headers.BINARY
        if vr is None or vr == "SQ" or not deferred or (undefined and tag not in _PIXELS):
            raise UnusualError
        return _reference(tag, vr)

    def _known(self, key: bytes | tuple[bytes, bytes]) -> _Entry | None:
        entry = self._young.get(key)
        if entry is None:
            entry = self._old.get(key)
            if entry is not None:
                self._keep(key, entry)
        return entry

    def _found(self, key: tuple[bytes, bytes]) -> _Entry:
        entry = self._known(key)
        if entry is None:
            raise UnusualError
        return entry

    def _remember(self, reading: _Reading, at: int) -> None:
        """Keep what has been gathered, so that next time it is compared as a whole."""
        found = reading.run(at)
        if found is not None:
            first, run = found
            self._count(len(run.data) + len(run.entry.text))
            self._runs[first] = run

    def _keep(self, key: bytes | tuple[bytes, bytes], entry: _Entry) -> None:
        size = len(key) if isinstance(key, bytes) else len(key[0]) + len(key[1])
        self._count(size + len(entry.text))
        self._young[key] = entry

    def _count(self, size: int) -> None:
        self._size += size + 200
        if self._size > _MOST:
            # Two generations: what is still in use is looked up in the old one and moves over
            self._old, self._young, self._runs, self._size = self._young, {}, {}, 0


def _decides(tag: int) -> bool:
    """Whether other elements can't be read without this one."""
    return tag in _DECIDING or bool(tag & 0x10000 and 0x10 <= tag & 0xFFFF <= 0xFF)


@lru_cache(maxsize=256)
def _reference(tag: int, vr: str) -> _Entry:
    return _entry(f"{tag:08X}", {"vr": vr, "BulkDataURI": f"{headers.BULK_PREFIX}{tag:08X}"})


def _entry(tag: str, element: dict[str, Any], deciding: tuple[bytes, ...] = ()) -> _Entry:
    return _Entry(headers.dumps({tag: element})[1:-1], columns_of(tag, element), deciding)
