"""A data set's header in the DICOM JSON Model (PS3.18 Annex F), bulk data by reference.

Why not :meth:`pydicom.Dataset.to_json_dict`: it converts every element (0.5 ms an instance), stops
at the first value that breaks its VR, and tells its bulk data handler not where an element stands.
Here plain ASCII values, nearly all there are, are taken from the raw bytes; what is harder
(character sets, unknown and ambiguous VRs) goes through pydicom, so that both read the same.
"""

from __future__ import annotations

import base64
import json
import math
import re
import struct
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag
from pydicom.valuerep import PersonName

Json: TypeAlias = dict[str, dict[str, Any]]

BULK_THRESHOLD: Final = 4096
"""Binary values longer than this many bytes are referenced, shorter ones stand in the header."""

BULK_PREFIX: Final = "bulkdata/"
"""How a BulkDataURI starts while it is relative to its instance."""

DEFER_SIZE: Final = 65536
"""Values longer than this many bytes are not read at all; every one of them is referenced."""

_ASCII: Final = frozenset({"AE", "AS", "CS", "DA", "DT", "TM", "UI", "UR"})
_TEXT: Final = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
_SINGLE: Final = frozenset({"LT", "ST", "UT", "UR"})
BINARY: Final = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
_NUMBERS: Final = {
    "US": "H", "SS": "h", "UL": "I", "SL": "i", "UV": "Q", "SV": "q", "FL": "f", "FD": "d"
}  # fmt: skip
_DECIMAL: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_INTEGER: Final = re.compile(r"[+-]?\d{1,18}")


def to_json(dataset: Dataset, *, path: str = BULK_PREFIX) -> Json:
    """The data set as PS3.18 Annex F JSON, as a dict keyed by tag in ascending order.

    Binary values of more than :data:`BULK_THRESHOLD` bytes, pixel data and whatever was deferred
    in reading become ``{"vr", "BulkDataURI"}`` with ``bulkdata/TAG`` or, inside sequences,
    ``bulkdata/TAG/ITEM/TAG`` (items from 0), relative to the instance. File meta information
    (group 2) and group lengths are left out (F.2.2). Values that break their VR stay as strings.
    """
    result: Json = {}
    for tag, element in sorted(dataset.items()):
        if tag.element == 0 or tag.group == 2:
            continue
        result[f"{tag:08X}"] = _element(dataset, tag, element, path)
    return result


def dumps(header: Json) -> str:
    """The header as compact JSON text; never NaN or Infinity, which JSON doesn't know."""
    return json.dumps(header, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def bulk_value(dataset: Dataset, path: str) -> bytes:
    """The bytes of the element at ``TAG`` or ``TAG/ITEM/TAG``, as the data set carries them.

    Raises LookupError when there is no such element, or it is a sequence.
    """
    parts = path.strip("/").split("/")
    if len(parts) % 2 == 0 or not all(
        re.fullmatch(r"[0-9A-Fa-f]{8}" if i % 2 == 0 else r"\d{1,6}", p)
        for i, p in enumerate(parts)
    ):
        raise LookupError(f"no bulk data at {path}")
    try:
        for tag, item in zip(parts[:-1:2], parts[1::2], strict=True):
            dataset = dataset[int(tag, 16)].value[int(item)]
        element = dataset[int(parts[-1], 16)]
    except (KeyError, IndexError, TypeError) as error:
        raise LookupError(f"no bulk data at {path}") from error
    if element.VR == "SQ":
        raise LookupError(f"{path} is a sequence")
    value = element.value
    if value is None:
        return b""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    values = list(value) if isinstance(value, MultiValue | list) else [value]
    if element.VR in _NUMBERS:
        return struct.pack(f"<{len(values)}{_NUMBERS[element.VR]}", *values)
    return "\\".join(map(str, values)).encode()  # text over the web is UTF-8 (PS3.18 8.8.2)


def _element(
    dataset: Dataset, tag: BaseTag, element: DataElement | RawDataElement, path: str
) -> dict[str, Any]:
    here = f"{path}{tag:08X}"
    if isinstance(element, RawDataElement):
        vr = element.VR
        if vr is None and not tag.is_private:
            vr = _dictionary_vr(tag)
        if element.value is None and element.length and vr != "SQ":
            return {"vr": _vr_of_deferred(dataset, tag, vr), "BulkDataURI": here}
        if vr is not None and vr != "UN" and " " not in vr:
            told = quick(vr, element.value or b"", element.is_little_endian, here)
            if told is not None:
                return told
    raw = element.value if isinstance(element, RawDataElement) else None
    try:
        full = dataset[tag]
    except Exception:  # pydicom raises what the value provokes: ValueError, struct.error, ...
        return _unreadable(element, raw)
    return _converted(full, raw, here)


def _dictionary_vr(tag: BaseTag) -> str | None:
    try:
        return dictionary_VR(tag)
    except KeyError:
        return None


def _vr_of_deferred(dataset: Dataset, tag: BaseTag, vr: str | None) -> str:
    if vr is None:
        return "UN"
    if vr == "OB or OW" or (tag == 0x7FE00010 and vr not in {"OB", "OW"}):
        return "OW"  # implicit VR has no encapsulated pixels, and 8.A.1 makes the rest OW
    if vr == "US or SS":
        return "SS" if dataset.get("PixelRepresentation") else "US"
    return vr.split(" or ")[-1]


def quick(vr: str, value: bytes, little_endian: bool, here: str) -> dict[str, Any] | None:
    """The JSON of a raw value that needs no more than its bytes; None when it needs pydicom."""
    if vr in BINARY:
        if not little_endian and vr not in {"OB", "UN"}:
            return None if value else {"vr": vr}
        return _binary(vr, value, here)
    if not value:
        return {"vr": vr}
    if vr in _NUMBERS:
        code = _NUMBERS[vr]
        size = struct.calcsize(code)
        if len(value) % size:
            return None
        order = "<" if little_endian else ">"
        numbers = struct.unpack(f"{order}{len(value) // size}{code}", value)
        return {"vr": vr, "Value": [_finite(n) for n in numbers]}
    if not value.isascii() or b"\x1b" in value:
        return None
    text = value.decode("ascii")
    if vr in {"DS", "IS"}:
        return _numbers(vr, text.split("\\"))
    if vr in _SINGLE:
        return _strings(vr, [text.rstrip("\0 ")])
    if vr == "PN":
        return _strings(vr, [_person(v.rstrip("\0 ")) for v in text.split("\\")])
    if vr in _TEXT:
        return _strings(vr, [v.rstrip("\0 ") for v in text.split("\\")])
    if vr in _ASCII:
        return _strings(vr, text.rstrip("\0 ").split("\\"))
    return None


def _converted(element: DataElement, raw: bytes | None, here: str) -> dict[str, Any]:
    """The JSON of an element that pydicom has converted."""
    vr, value = element.VR, element.value
    if vr == "SQ":
        items = value if isinstance(value, Sequence) else []
        found = [to_json(item, path=f"{here}/{i}/") for i, item in enumerate(items)]
        return {"vr": vr, "Value": found} if found else {"vr": vr}
    if " " in vr:  # pydicom leaves a VR ambiguous when what decides it is missing
        vr = "OW" if "OW" in vr else vr.split(" or ")[0]
    if isinstance(value, bytes | bytearray):
        return _binary(vr if vr in BINARY else "UN", bytes(value), here)
    if value is None or value == "":
        return {"vr": vr}
    values = list(value) if isinstance(value, MultiValue | list | tuple) else [value]
    if vr == "AT":
        return {"vr": vr, "Value": [f"{int(v):08X}" for v in values]}
    if vr in _NUMBERS:
        return {"vr": vr, "Value": [_finite(v) for v in values]}
    if vr in {"DS", "IS"}:
        return _numbers(vr, [getattr(v, "original_string", str(v)) for v in values])
    if vr == "PN":
        return _strings(vr, [_person(v) for v in values])
    return _strings(vr, [str(v) for v in values])


def _unreadable(element: DataElement | RawDataElement, raw: bytes | None) -> dict[str, Any]:
    """The JSON of a value that its VR can't hold: its bytes as UN, since it must not be lost."""
    if element.VR in {"DS", "IS"} and raw is not None:
        return _numbers(element.VR, raw.decode("latin-1").split("\\"))
    return _binary("UN", raw, "") if raw and len(raw) <= BULK_THRESHOLD else {"vr": "UN"}


def _binary(vr: str, value: bytes, here: str) -> dict[str, Any]:
    if not value:
        return {"vr": vr}
    if len(value) > BULK_THRESHOLD or here.endswith(("7FE00010", "7FE00008", "7FE00009")):
        return {"vr": vr, "BulkDataURI": here}
    return {"vr": vr, "InlineBinary": base64.b64encode(value).decode("ascii")}


def _strings(vr: str, values: list[Any]) -> dict[str, Any]:
    if all(v is None or v in ("", {}) for v in values):
        return {"vr": vr}
    # An empty value among others is null (F.2.5).
    return {"vr": vr, "Value": [None if v in ("", {}) else v for v in values]}


def _numbers(vr: str, texts: list[str]) -> dict[str, Any]:
    """DS and IS as numbers (PS3.18 table F.2.3-1).

    With text among them that is no number, the whole text as UT: as DS, IS or UN it would stop a
    client that converts it (pydicom does) from reading the whole instance.
    """
    values: list[Any] = []
    for text in (t.strip("\0 ") for t in texts):
        if _INTEGER.fullmatch(text):
            values.append(int(text))
        elif _DECIMAL.fullmatch(text) and math.isfinite(float(text)):
            values.append(float(text) if vr == "DS" or float(text) % 1 else int(float(text)))
        elif text:
            return {"vr": "UT", "Value": ["\\".join(texts).rstrip("\0 ")]}
        else:
            values.append(None)
    return _strings(vr, values)


def _finite(number: float) -> int | float | None:
    return number if not isinstance(number, float) or math.isfinite(number) else None


def _person(name: str | PersonName) -> dict[str, str] | None:
    text = str(name)
    groups = dict(zip(("Alphabetic", "Ideographic", "Phonetic"), text.split("="), strict=False))
    return {key: group for key, group in groups.items() if group} or None


def walk(header: Json, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every element of a header at any depth, with its path ``TAG`` or ``TAG/ITEM/TAG``."""
    for tag, element in header.items():
        here = path + tag
        yield here, element
        if element["vr"] == "SQ":
            for index, item in enumerate(element.get("Value", [])):
                yield from walk(item, f"{here}/{index}/")
