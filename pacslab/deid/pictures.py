"""Pixel data as the engine hands it on: the picture to the bit, and nothing that isn't picture."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.uid import UID

from pacslab.deid import fragments, raw
from pacslab.deid.samples import Samples, without_hidden_bits, without_rest
from pacslab.errors import DeidentificationError, PixelError

PIXELS = {0x7FE00008: 32, 0x7FE00009: 64, 0x7FE00010: None}
"""Tags of pixel data, with the bits of a sample where the tag says them."""
_TABLE, _LENGTHS = 0x7FE00001, 0x7FE00002
_TOTAL = 0x7FE00003


@dataclass(slots=True)
class Pixels:
    """What became of pixel data: the elements that hold it, what was found, what is in doubt."""

    elements: dict[int, RawDataElement] = field(default_factory=dict)
    found: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)


def cleaned(dataset: Dataset, syntax: UID, *, refuse_uninspected: bool) -> Pixels:
    """The pixel data of a data set; see :mod:`samples` and :mod:`fragments` for what is done.

    Raises DeidentificationError where that can't be done and the profile doesn't let it by.
    """
    done = Pixels()
    for tag, bits in PIXELS.items():
        element = dataset.get_item(tag)
        if not isinstance(element, RawDataElement) or not element.value:
            continue
        if element.length == 0xFFFFFFFF:
            _encapsulated(dataset, element, syntax, refuse_uninspected, done)
            continue
        samples = _samples(dataset, bits, len(element.value))
        if samples is None:
            if refuse_uninspected:
                raise DeidentificationError(
                    "the pixel data's length can't be checked, since the header doesn't describe "
                    "it: correct Rows, Columns and Bits Allocated"
                )
            done.doubts.append("pixel data whose length the header doesn't say")
            done.elements[tag] = element
            continue
        value = without_rest(element.value, samples)
        if value is not element.value and len(value) != len(element.value):
            done.found.append("bytes after the last frame")
        plain = without_hidden_bits(value, samples, overlay=_overlay_in_pixels(dataset))
        if plain is not value:
            done.found.append("unused bits")
        if plain is not element.value:
            element = element._replace(value=plain, length=len(plain))
        done.elements[tag] = element
    return done


def _encapsulated(
    dataset: Dataset, element: RawDataElement, syntax: UID, refuse: bool, done: Pixels
) -> None:
    value = element.value or b""
    extended = dataset.get_item(_TABLE) is not None
    for tag in (_TABLE, _LENGTHS, _TOTAL):
        table = dataset.get_item(tag)
        if isinstance(table, RawDataElement):
            done.elements[tag] = table
    try:
        if not fragments.can_be_read(syntax):
            raise PixelError(f"nothing here looks into codestreams of {syntax.name}")
        frames = raw.number(dataset, 0x00280008) or 1
        samples = _samples(dataset, None, 0)
        length = samples.bits // 8 // frames if samples else 0
        new, changed = fragments.cleaned(value, syntax, frames, length, extended=extended)
    except PixelError as error:
        if refuse:
            raise DeidentificationError(
                f"its compressed pixel data can't be freed of comments: {error}. Decompress it, "
                "or set 'uninspected: keep' in a profile of your own"
            ) from None
        done.doubts.append("compressed pixel data that wasn't looked into")
        new, changed = value, False
    if changed:
        done.found.append("comments or bytes beside the picture in a codestream")
        element = element._replace(value=new)
        done.elements.pop(_TOTAL, None)
        if extended:
            for tag, told in zip((_TABLE, _LENGTHS), fragments.offsets(new), strict=True):
                done.elements[tag] = raw.made(tag, "OV", told, dataset)
    done.elements[0x7FE00010] = element


def _samples(dataset: Dataset, bits: int | None, length: int) -> Samples | None:
    rows, columns = raw.number(dataset, 0x00280010), raw.number(dataset, 0x00280011)
    allocated = bits or raw.number(dataset, 0x00280100)
    if not rows or not columns or not allocated:
        return None
    samples = raw.number(dataset, 0x00280002) or 1
    frames = raw.number(dataset, 0x00280008) or 1
    if frames == 1 and raw.text(dataset, 0x00280008).strip("\0 ") not in ("", "0", "1", "01"):
        return None  # a number of frames that is none
    pixels = rows * columns * frames * allocated
    total = pixels * samples
    if raw.text(dataset, 0x00280004) == "YBR_FULL_422" and samples == 3 and length * 8 < total:
        total = pixels * 2
    stored = raw.number(dataset, 0x00280101) or allocated
    high = raw.number(dataset, 0x00280102)
    return Samples(
        bits=total,
        allocated=allocated,
        stored=min(stored, allocated),
        high=min(stored, allocated) - 1 if high is None else high,
        signed=bool(raw.number(dataset, 0x00280103)),
        little_endian=dataset.original_encoding[1] is not False,
        padding=raw.number(dataset, 0x00280120),
    )


def _overlay_in_pixels(dataset: Dataset) -> bool:
    """Whether an overlay says that it lies in the pixels' unused bits (PS3.5 8.1.2, retired)."""
    for group in range(0x6000, 0x6020, 2):
        position = raw.number(dataset, group << 16 | 0x0102)
        if position and dataset.get_item(group << 16 | 0x3000) is None:
            return True
    return False
