"""A Part 10 file taken apart into all its places; nothing of the engine is used for it."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from pydicom import dcmread
from pydicom.charset import convert_encodings, decode_bytes
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_sequence

TEXT: Final = frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST",
                         "TM", "UC", "UI", "UR", "UT"})  # fmt: skip
WORDS: Final = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
"""VRs that the character set is for (PS3.5 6.1.2.2)."""
SINGLE: Final = frozenset({"LT", "ST", "UR", "UT"})
_DELIMITERS: Final = {0x0D, 0x0A, 0x09, 0x0C}  # reset the character set (PS3.5 6.1.2.5.3)
_DEFLATED: Final = b"1.2.840.10008.1.2.1.99"
_ITEM: Final = {b"\xfe\xff\x00\xe0": True, b"\xff\xfe\xe0\x00": False}
_DEEPEST: Final = 60


@dataclass(frozen=True, slots=True)
class Element:
    """One element as its bytes stand in the file; ``creator`` of a private one, "" if none."""

    path: str
    tag: int
    vr: str
    value: bytes
    encodings: tuple[str, ...] = ()
    creator: str = ""
    little: bool = True

    @property
    def keyword(self) -> str:
        """The keyword in PS3.6, empty where it isn't known."""
        return keyword_for_tag(self.tag)

    @property
    def private(self) -> bool:
        """Whether its group is odd."""
        return bool(self.tag >> 16 & 1)

    @property
    def text(self) -> str:
        """The value as text, by its character set; padding and what follows a NUL kept."""
        if self.value.isascii() and b"\x1b" not in self.value:
            return self.value.decode("ascii")
        if self.vr in WORDS and self.encodings:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with suppress(LookupError, UnicodeError, ValueError):
                    return decode_bytes(self.value, self.encodings, _DELIMITERS)
        return self.value.decode("latin-1")

    @property
    def values(self) -> list[str]:
        """The values, without padding."""
        parts = [self.text] if self.vr in SINGLE else self.text.split("\\")
        return [part.strip(" \0") for part in parts]


@dataclass(slots=True)
class Parts:
    """A file: its elements at every depth, and what stands beside the data set.

    ``beside`` holds bytes by the name of their place. ``fault`` says why it can't be read to its
    end, empty where it can.
    """

    elements: list[Element] = field(default_factory=list)
    beside: dict[str, bytes] = field(default_factory=dict)
    dataset: Dataset = field(default_factory=Dataset)
    syntax: str = ""
    fault: str = ""

    def text(self, tag: int) -> str:
        """The first value of a root attribute as text, empty where there is none."""
        for element in self.elements:
            if element.tag == tag and "/" not in element.path:
                return element.values[0]
        return ""


def read(data: bytes, *, pixels: bool = True) -> Parts:
    """Take a file apart; what can't be read is told in ``fault``, never raised.

    Without ``pixels`` it is read up to the pixel data only.
    """
    parts = Parts()
    if data[128:132] == b"DICM":
        parts.beside["preamble"] = data[:128]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = dcmread(io.BytesIO(data), force=True, stop_before_pixels=not pixels)
        except Exception as error:  # a fault in a file may raise anything in pydicom
            parts.fault = type(error).__name__
            parts.beside["file"] = data
            return parts
        parts.dataset = dataset
        meta = getattr(dataset, "file_meta", None) or Dataset()
        parts.syntax = str(meta.get("TransferSyntaxUID", "")).strip("\0 ")
        end = 0
        try:
            parts.elements.extend(_walk(meta, "", (), 0))
            for element, until in _top(dataset):
                parts.elements.append(element)
                end = max(end, until)
            # Sequences last: a fault in one of them must not hide what is beside it
            parts.elements.extend(_deeper(dataset))
        except Exception as error:
            parts.fault = type(error).__name__
            parts.beside["file"] = data
        if pixels:
            _behind(data, end, parts)
    return parts


def _top(dataset: Dataset) -> Iterator[tuple[Element, int]]:
    encodings = _encodings(dataset, ())
    for tag, one in list(dataset._dict.items()):
        if isinstance(one, RawDataElement) and _vr(one) != "SQ":
            value = one.value or b""
            known = one.length if one.length != 0xFFFFFFFF else len(value) + 8
            yield _element(one, "", int(tag), encodings, dataset), one.value_tell + known


def _deeper(dataset: Dataset) -> Iterator[Element]:
    encodings = _encodings(dataset, ())
    for tag in list(dataset._dict):
        yield from _items(dataset, int(tag), "", encodings, 0)


def _walk(dataset: Dataset, path: str, outer: tuple[str, ...], depth: int) -> Iterator[Element]:
    encodings = _encodings(dataset, outer)
    for tag, one in list(dataset._dict.items()):
        if isinstance(one, RawDataElement) and _vr(one) != "SQ":
            yield _element(one, path, int(tag), encodings, dataset)
        elif not isinstance(one, RawDataElement) and one.VR != "SQ":  # file meta is read at once
            yield _converted(one, path, int(tag))
        yield from _items(dataset, int(tag), path, encodings, depth)


def _items(
    dataset: Dataset, tag: int, path: str, encodings: tuple[str, ...], depth: int
) -> Iterator[Element]:
    one: Any = dataset._dict[tag]  # type: ignore[index]
    if depth > _DEEPEST:
        raise ValueError("too deep")
    if isinstance(one, RawDataElement):
        vr = _vr(one)
        if vr == "SQ":
            items: Any = dataset[tag].value
        elif vr in {"UN", "OB"} and (one.value or b"")[:4] in _ITEM and tag != 0x7FE00010:
            items = _hidden_items(one)
        else:
            return
    elif one.VR == "SQ":
        items = one.value
    else:
        return
    for number, item in enumerate(items or ()):
        yield from _walk(item, f"{path}{tag:08X}/{number}/", encodings, depth + 1)


def _hidden_items(one: RawDataElement) -> Any:
    """A sequence whose VR isn't told: implicit VR (PS3.5 6.2.2), or what the file uses."""
    value = one.value or b""
    for implicit in (True, False):
        with suppress(Exception):
            little = _ITEM[value[:4]]
            return read_sequence(io.BytesIO(value), implicit, little, len(value), ["iso8859"])
    return ()


def _vr(one: RawDataElement) -> str:
    if one.VR and one.VR != "UN":
        return one.VR
    if one.tag.is_private:
        return "LO" if 0x10 <= one.tag.element <= 0xFF else "UN"
    try:
        vr = dictionary_VR(one.tag)
    except KeyError:
        return "UN"
    return vr.split(" or ", maxsplit=1)[0]


def _element(
    one: RawDataElement, path: str, tag: int, encodings: tuple[str, ...], dataset: Dataset
) -> Element:
    creator = ""
    if tag >> 16 & 1 and tag & 0xFFFF > 0xFF:
        block: Any = dataset._dict.get((tag & 0xFFFF0000) | (tag >> 8 & 0xFF))  # type: ignore[call-overload]
        if block is not None:
            held = block.value or b""
            creator = (held.decode("latin-1") if isinstance(held, bytes) else str(held)).strip(
                " \0"
            )
    return Element(f"{path}{tag:08X}", tag, _vr(one), bytes(one.value or b""), encodings, creator,
                   one.is_little_endian)  # fmt: skip


def _converted(one: Any, path: str, tag: int) -> Element:
    value = one.value
    if value is None:
        value = b""
    elif not isinstance(value, bytes):
        several = value if isinstance(value, (list, tuple)) else [value]
        value = "\\".join(map(str, several)).encode("utf-8", "surrogateescape")
    return Element(f"{path}{tag:08X}", tag, one.VR, value)


def _encodings(dataset: Dataset, outer: tuple[str, ...]) -> tuple[str, ...]:
    told: Any = dataset._dict.get(0x00080005)  # type: ignore[call-overload]
    if told is None:
        return outer
    value = told.value
    if isinstance(value, bytes):
        value = [one.split("\0")[0].strip() for one in value.decode("latin-1").split("\\")]
    try:
        return tuple(convert_encodings(value or None) or ())
    except (LookupError, ValueError):
        return outer


def _behind(data: bytes, end: int, parts: Parts) -> None:
    """What follows the data set, deflated or not."""
    if parts.syntax.encode() == _DEFLATED:
        start = 144 + struct.unpack("<I", data[140:144])[0]
        inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        with suppress(zlib.error):
            inflate.decompress(data[start:])
            end = len(data) - len(inflate.unused_data)
    elif parts.dataset._dict:
        last: Any = parts.dataset._dict[max(parts.dataset._dict)]
        if not isinstance(last, RawDataElement) or _vr(last) == "SQ":
            return  # ended by a sequence, whose reader went to its end
    if 0 < end < len(data):
        parts.beside["behind the data set"] = data[end:]
