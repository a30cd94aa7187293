"""Colour: palettes (PS3.3 C.7.6.3.1.5, C.7.9.2) and YCbCr, brought to RGB."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from pydicom.dataset import Dataset

from pacslab.dicom.part10 import Array
from pacslab.errors import PixelError


def ybr_to_rgb(ybr: Array, bits: int) -> Array:
    """YBR_FULL to RGB (PS3.3 C.7.6.3.1.2), for unsigned samples of any depth."""
    top, middle = (1 << bits) - 1, 1 << (bits - 1)
    exact: Any = np.float32 if bits <= 16 else np.float64
    y, b, r = (cast(Array, ybr[..., k].astype(exact) - exact(k and middle)) for k in range(3))
    rgb: Array = np.empty(ybr.shape, ybr.dtype)
    for k, channel in enumerate(
        (
            y + exact(1.402) * r,
            y - exact(0.344136) * b - exact(0.714136) * r,
            y + exact(1.772) * b,
        )
    ):
        rgb[..., k] = np.clip(np.floor(channel + exact(0.5)), 0, top)
    return rgb


@dataclass(frozen=True)
class Palette:
    """The colours of a PALETTE COLOR image (PS3.3 C.7.9): table is (entries, 3)."""

    first: int
    table: Array

    def apply(self, indexes: Array) -> Array:
        # Outside of the table its first and last entries hold (PS3.3 C.7.6.3.1.5)
        place = indexes.astype(np.int64) - self.first
        return self.table[np.clip(place, 0, len(self.table) - 1)]

    @classmethod
    def read(cls, header: Dataset, order: str) -> Palette:
        channels, first = [], 0
        for colour in ("Red", "Green", "Blue"):
            try:
                entries, first, bits = header[f"{colour}PaletteColorLookupTableDescriptor"].value
                plain = header.get(f"{colour}PaletteColorLookupTableData")
                found = plain or header[f"Segmented{colour}PaletteColorLookupTableData"].value
            except (KeyError, TypeError, ValueError) as error:
                raise PixelError(
                    f"PhotometricInterpretation is PALETTE COLOR, but the {colour.lower()} lookup "
                    "table is missing, so no colours can be shown. Ask for the stored frame."
                ) from error
            entries = entries or 1 << 16
            raw = found if isinstance(found, bytes) else np.asarray(found, order + "u2").tobytes()
            # Little endian words: then a table of bytes is in order too
            raw = np.frombuffer(raw + b"\0" * (len(raw) % 2), order + "u2").astype("<u2").tobytes()
            if not plain:
                words = np.frombuffer(raw, "<u2" if bits > 8 else "u1").tolist()
                values = np.array(_expand(words, 2 if bits > 8 else 1), np.uint16)
            else:
                values = np.frombuffer(raw, "<u2" if len(raw) >= 2 * entries else "u1")
            if len(values) < entries:
                raise PixelError(
                    f"The {colour.lower()} lookup table has {len(values)} of {entries} entries."
                )
            values = values[:entries]
            deep = bits > 8 and (not plain or len(raw) >= 2 * entries)
            channels.append(values.astype(np.uint16 if deep else np.uint8))
        if len({len(channel) for channel in channels}) > 1:
            raise PixelError("The red, green and blue lookup tables aren't equally long.")
        table = np.stack(channels, axis=-1)
        # Many writers announce 16 bits and write 8
        return cls(int(first), table.astype(np.uint8) if table.max() < 256 else table)


def _expand(words: list[int], width: int) -> list[int]:
    """A segmented lookup table's entries of 1 or 2 bytes' width (PS3.3 C.7.9.2)."""
    found: list[int] = []

    def segment(at: int, inside: bool) -> int:
        code, count = words[at], words[at + 1]
        if code == 0:  # discrete
            found.extend(words[at + 2 : at + 2 + count])
            return at + 2 + count
        if code == 1:  # linear
            end, y0 = words[at + 2], found[-1]
            found.extend(round(y0 + (end - y0) * k / count) for k in range(1, count + 1))
            return at + 3
        if code == 2 and not inside:  # indirect: an offset in bytes, of 32 bits
            after = at + 2 + 4 // width
            offset = sum(word << 8 * width * k for k, word in enumerate(words[at + 2 : after]))
            place = offset // width
            for _ in range(count):
                place = segment(place, True)
            return after
        raise PixelError(f"The segmented lookup table has an unknown segment of type {code}.")

    at = 0
    try:
        while at + 1 < len(words):
            at = segment(at, False)
    except (IndexError, ZeroDivisionError) as error:
        raise PixelError("The segmented lookup table is damaged.") from error
    return found
