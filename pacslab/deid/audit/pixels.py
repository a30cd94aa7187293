"""Pixel data: what is picture in it, what stands beyond it, and whether two are the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final

import numpy as np

from pacslab.deid.audit import codestream
from pacslab.deid.audit.reading import Element, Parts

DATA: Final = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
"""Float, Double Float and Pixel Data."""

NATIVE: Final = frozenset({"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2",
                           "1.2.840.10008.1.2.1.99", ""})  # fmt: skip
RISKY: Final = frozenset({"US", "IVUS", "SC", "OT", "XC", "ES", "GM", "SM", "ECG", "HC", "RF", "XA",
                          "MG", "DX", "CR", "OP", "OPT", "BI", "TG", "VF"})  # fmt: skip
"""Modalities whose pictures often have text in them (RIDI and MIDI-B looked at these)."""


def _number(parts: Parts, tag: int, otherwise: int) -> int:
    text = next((e for e in parts.elements if e.tag == tag and "/" not in e.path and e.value), None)
    if text is None:
        return otherwise
    if text.vr in {"US", "SS", "UL"}:
        return int.from_bytes(text.value[:2], "little" if text.little else "big")
    try:
        return int(text.values[0])
    except ValueError:
        return otherwise


def length(parts: Parts) -> int:
    """The bytes that the frames of native pixel data have; 0 where that can't be told."""
    rows, columns = _number(parts, 0x00280010, 0), _number(parts, 0x00280011, 0)
    samples, bits = _number(parts, 0x00280002, 1), _number(parts, 0x00280100, 0)
    frames = max(_number(parts, 0x00280008, 1), 1)
    if parts.text(0x00280004) == "YBR_FULL_422":
        samples = 2
    return (rows * columns * samples * frames * bits + 7) // 8


def beyond(one: Element, parts: Parts) -> Iterator[tuple[str, str]]:
    """What native pixel data holds that isn't picture: the place, and how much."""
    if one.tag != 0x7FE00010 or "/" in one.path:
        return
    held, value = length(parts), one.value
    if held and value[held:].strip(b"\0"):
        yield "behind the last frame", f"{len(value) - held} bytes"
    allocated, stored = _number(parts, 0x00280100, 0), _number(parts, 0x00280101, 0)
    if allocated != 16 or not 0 < stored < 16:
        return
    high = _number(parts, 0x00280102, stored - 1)
    signed = _number(parts, 0x00280103, 0) == 1
    samples = np.frombuffer(value, "<u2" if one.little else ">u2", len(value[: held or None]) // 2)
    used = ((1 << stored) - 1) << (high + 1 - stored) & 0xFFFF
    unused = np.uint16(~used & 0xFFFF)
    # One pass tells nearly always; sign extension of negative values isn't hidden data
    if np.bitwise_or.reduce(samples, initial=np.uint16(0)) & unused:
        extra = samples & unused
        if signed and high == stored - 1:
            sign = (samples >> np.uint16(high)) & np.uint16(1)
            extra = np.where((sign == 1) & (extra == unused), np.uint16(0), extra)
        number = int(np.count_nonzero(extra))
        if number:
            yield "bits that no sample uses", f"in {number} samples"


def digest(one: Element, parts: Parts) -> str:
    """SHA-256 of the picture: native frames, or the fragments as they are."""
    value: bytes | memoryview = one.value
    if parts.syntax in NATIVE and one.tag == 0x7FE00010:
        value = memoryview(one.value)[: length(parts) or None]
    return hashlib.sha256(value).hexdigest()


def same_picture(one: Element, other: Element, before: Parts, after: Parts) -> bool:
    """Whether two pixel data differ only in what is no picture: unused bits, comments and padding.

    Native samples are compared by the bits that they use, codestreams as they decode.
    """
    if (before.syntax in NATIVE) != (after.syntax in NATIVE):
        return False
    if before.syntax in NATIVE:
        stored, high = _number(before, 0x00280101, 0), _number(before, 0x00280102, 0)
        if _number(before, 0x00280100, 0) != 16 or not 0 < stored < 16:
            return False
        mask = np.uint16(((1 << stored) - 1) << max(high + 1 - stored, 0) & 0xFFFF)
        kept = [
            np.frombuffer(e.value, "<u2" if e.little else ">u2", length(p) // 2) & mask
            for e, p in ((one, before), (other, after))
            if len(e.value) >= length(p)
        ]
        return len(kept) == 2 and bool(np.array_equal(kept[0], kept[1]))
    old, new = list(codestream.fragments(one.value)), list(codestream.fragments(other.value))
    return len(old) == len(new) and all(
        codestream.picture(a) == codestream.picture(b) for a, b in zip(old, new, strict=True)
    )
