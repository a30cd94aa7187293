"""Native pixel data: bytes after the last frame, and what hides in bits that hold no sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Samples:
    """How samples lie in native pixel data (PS3.3 C.7.6.3); ``bits`` is that of all frames."""

    bits: int
    allocated: int
    stored: int
    high: int
    signed: bool
    little_endian: bool
    padding: int | None


def without_rest(value: bytes, samples: Samples) -> bytes:
    """Pixel data without bytes behind the last frame, but for the one that makes it even."""
    length = (samples.bits + 7) // 8
    if len(value) <= length:
        return value
    rest = value[length:]
    if len(rest) == 1 and length & 1:
        return value
    return value[:length] + bytes(length & 1)


def without_hidden_bits(value: bytes, samples: Samples, *, overlay: bool) -> bytes:
    """Pixel data whose unused bits say nothing (PS3.5 8.1.1).

    They may be zero or repeat the sign; a sample of the padding value stays. With ``overlay``, an
    overlay lies in them and they become zero, or the sign.
    """
    if samples.allocated not in (8, 16) or samples.stored >= samples.allocated:
        return value
    order = "<" if samples.little_endian else ">"
    kind = np.dtype(f"{order}u{samples.allocated // 8}")
    usable = len(value) // kind.itemsize * kind.itemsize
    words = np.frombuffer(value, kind, usable // kind.itemsize)
    low = samples.high + 1 - samples.stored
    if low < 0 or not words.size:
        return value
    mask = ((1 << samples.stored) - 1) << low
    unused = ~mask & ((1 << samples.allocated) - 1)
    if not int(np.bitwise_or.reduce(words)) & unused:
        return value
    plain = words & kind.type(mask)
    if samples.signed and low == 0:
        # Repeating the sign: the container holds the number that the stored bits mean
        wide = samples.allocated - samples.stored
        signed = np.dtype(f"i{samples.allocated // 8}")
        plain = ((plain.astype(signed) << wide) >> wide).astype(kind)
    wrong = (words != plain) & ((words & kind.type(unused)) != 0)
    if samples.padding is not None and not overlay:
        wrong &= words != kind.type(samples.padding & ((1 << samples.allocated) - 1))
    if not wrong.any():
        return value
    made = np.where(wrong, plain, words).astype(kind)
    return made.tobytes() + value[usable:]
