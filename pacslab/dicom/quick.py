"""Headers read in a tenth of the time, since a scanner says nearly the same thing again and again.

Of the hundred elements of a slice a few differ from the slice before. Each element's bytes are
looked up among those that were seen last; what was seen has its JSON and its columns already. The
rest is taken from its bytes (:func:`header.quick`). Where that isn't enough, because other elements
decide what it means (character set, private creator, pixel representation), it is looked up
together with these. What isn't found there either, or anything unusual, is left to pydicom, and
remembered: so that both ways give the same, to the character.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

from pydicom.datadict import dictionary_VR

from pacslab.dicom import header as headers
from pacslab.dicom.buffers import Buffer
from pacslab.dicom.columns import EMPTY_ROW, Value, columns_of
from pacslab.dicom.filemeta import LONG_VR

_EXPLICIT: Final = struct.Struct("<HH2sH")
_IMPLICIT: Final = struct.Struct("<HHI")
_LENGTH: Final = struct.Struct("<I")
_SHORT_VR: Final = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split()
)
_UNDEFINED: Final = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_PIXELS: Final = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
_CHARACTER_SET: Final = 0x00080005
_DECIDING: Final = frozenset({_CHARACTER_SET, 0x00280100, 0x00280103})
_LONGEST_KEPT: Final = 32 << 10  # bytes
_MOST: Final = 8 << 20  # bytes of a generation
_DEEPEST: Final = 16

_Entry = tuple[str, dict[str, Value]]


class _UnusualError(Exception):
    """Something that pydicom has to read."""


class Memo:
    """The elements seen last, of data sets with explicit or with implicit VR, little endian.

    Used from several threads at once; the worst that can come of it is an element read twice.
    """

    def __init__(self, *, implicit: bool) -> None:
        self._implicit = implicit
        self._young: dict[Any, _Entry] = {}
        self._old: dict[Any, _Entry] = {}
        self._size = 0

    def read(self, data: Buffer, start: int) -> tuple[dict[str, Value], str] | None:
        """Index row and header (DICOM JSON text) of the data set from ``start`` on.

        None when pydicom has to read it: then :meth:`learn` from what it found.
        """
        row = dict(EMPTY_ROW)
        texts: list[str] = []
        young, old = self._young, self._old
        later: list[tuple[int, bytes]] = []
        deciding: list[bytes] = []
        try:
            for tag, at, value, stop in self._elements(data, start, len(data)):
                if tag & 0xFFFF == 0:
                    continue  # a group length (PS3.18 F.2.2)
                if stop - value > _LONGEST_KEPT or (tag in _PIXELS and stop > value):
                    entry = self._large(data, tag, at, value, stop)
                else:
                    raw = data[at:stop]
                    found = young.get(raw)
                    if found is None:
                        found = old.get(raw) or self._new(tag, raw, value - at)
                        if found is not None:
                            self._keep(raw, found)
                    if tag in _DECIDING or (tag & 0x10000 and 0x10 <= tag & 0xFFFF <= 0xFF):
                        deciding.append(raw)
                    if found is None:
                        later.append((len(texts), raw))
                        texts.append("")
                        continue
                    entry = found
                texts.append(entry[0])
                if entry[1]:
                    row.update(entry[1])
            if later:
                context = b"".join(deciding)
                for place, raw in later:
                    entry = self._found((context, raw))
                    texts[place] = entry[0]
                    row.update(entry[1])
        except (_UnusualError, struct.error, IndexError):
            return None
        if row["SOPClassUID"] is None or row["SOPInstanceUID"] is None:
            return None
        return row, "{" + ",".join(texts) + "}"

    def learn(self, data: Buffer, start: int, header: headers.Json) -> None:
        """Remember what pydicom made of the elements that can't be read from their bytes alone."""
        deciding: list[bytes] = []
        hard: list[tuple[str, bytes]] = []
        try:
            for tag, at, value, stop in self._elements(data, start, len(data)):
                if stop - value > _LONGEST_KEPT or tag in _PIXELS or tag & 0xFFFF == 0:
                    continue
                raw = data[at:stop]
                if tag in _DECIDING or (tag & 0x10000 and 0x10 <= tag & 0xFFFF <= 0xFF):
                    deciding.append(raw)
                if raw not in self._young and self._new(tag, raw, value - at) is None:
                    hard.append((f"{tag:08X}", raw))
        except (_UnusualError, struct.error, IndexError):
            return
        context = b"".join(deciding)
        for key, raw in hard:
            if key in header:
                self._keep((context, raw), _entry(key, header[key]))

    def _elements(self, data: Buffer, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
        """Tag, start, start of the value and end of each element; ascending, or it is unusual."""
        unpack, implicit, last = _EXPLICIT.unpack_from, self._implicit, 0
        while at < end:
            if implicit:
                group, element, length = _IMPLICIT.unpack_from(data, at)
                value = at + 8
            else:
                group, element, vr, length = unpack(data, at)
                value = at + 8
                if vr not in _SHORT_VR:
                    if vr not in LONG_VR:
                        raise _UnusualError
                    value = at + 12
                    (length,) = _LENGTH.unpack_from(data, at + 8)
            tag = group << 16 | element
            if tag <= last or group in (0xFFFE, 0x0002, 0x0000):
                raise _UnusualError
            last = tag
            stop = value + length
            if length == _UNDEFINED:
                stop = self._end_of_items(data, value, end, 0)
            if stop > end:
                raise _UnusualError
            yield tag, at, value, stop
            at = stop

    def _end_of_items(self, data: Buffer, at: int, end: int, depth: int) -> int:
        """Where the items from ``at`` on end, behind their delimiter (PS3.5 7.5)."""
        if depth > _DEEPEST:
            raise _UnusualError
        first = at
        while at + 8 <= end:
            group, element, length = _IMPLICIT.unpack_from(data, at)
            tag = group << 16 | element
            at += 8
            if tag == _SEQUENCE_END:
                if length or at - first == 8:
                    raise _UnusualError
                return at
            if tag != _ITEM:
                raise _UnusualError
            at = self._end_of_item(data, at, end, depth) if length == _UNDEFINED else at + length
        raise _UnusualError

    def _end_of_item(self, data: Buffer, at: int, end: int, depth: int) -> int:
        while at + 8 <= end:
            group, element, vr, length = _EXPLICIT.unpack_from(data, at)
            if group << 16 | element == _ITEM_END:
                return at + 8
            value = at + 8
            if self._implicit:
                (length,) = _LENGTH.unpack_from(data, at + 4)
            elif vr in LONG_VR:
                value = at + 12
                (length,) = _LENGTH.unpack_from(data, at + 8)
            elif vr not in _SHORT_VR:
                raise _UnusualError
            if length == _UNDEFINED:
                at = self._end_of_items(data, value, end, depth + 1)
            else:
                at = value + length
        raise _UnusualError

    def _new(self, tag: int, raw: bytes, head: int) -> _Entry | None:
        """What an element says by its bytes alone; None when others decide."""
        element = self._json(tag, raw, head, headers.BULK_PREFIX, 0)
        return None if element is None else _entry(f"{tag:08X}", element)

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
        if depth > _DEEPEST:
            return None
        items: list[dict[str, Any]] = []
        at, end = head, len(raw) - (8 if undefined else 0)
        while at < end:
            group, element, length = _IMPLICIT.unpack_from(raw, at)
            if group << 16 | element != _ITEM:
                raise _UnusualError
            at += 8
            stop = at + length
            if length == _UNDEFINED:
                stop = self._end_of_item(raw, at, end, depth)
            if stop > end:
                raise _UnusualError
            item: dict[str, Any] = {}
            inner = stop - 8 if length == _UNDEFINED else stop
            for tag, start, value, last in self._elements(raw, at, inner):
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
            raise _UnusualError
        return _reference(tag, vr)

    def _found(self, key: tuple[bytes, bytes]) -> _Entry:
        entry = self._young.get(key)
        if entry is None:
            entry = self._old.get(key)
            if entry is None:
                raise _UnusualError
            self._keep(key, entry)
        return entry

    def _keep(self, key: bytes | tuple[bytes, bytes], entry: _Entry) -> None:
        size = len(key) if isinstance(key, bytes) else len(key[0]) + len(key[1])
        self._size += size + len(entry[0]) + 200
        if self._size > _MOST:
            # Two generations: what is still in use is looked up in the old one and moves over
            self._old, self._young, self._size = self._young, {}, 0
        self._young[key] = entry


@lru_cache(maxsize=256)
def _reference(tag: int, vr: str) -> _Entry:
    return _entry(f"{tag:08X}", {"vr": vr, "BulkDataURI": f"{headers.BULK_PREFIX}{tag:08X}"})


def _entry(tag: str, element: dict[str, Any]) -> _Entry:
    return headers.dumps({tag: element})[1:-1], columns_of(tag, element)
