"""Identifiers of C-FIND, C-MOVE and C-GET: keys out of a data set, rows into one (PS3.4 C.2.2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from pydicom import config
from pydicom.charset import python_encoding
from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.valuerep import DSfloat

from pacslab.dicom.keywords import Attribute

UTF_8: Final = "ISO_IR 192"
_DECIMAL: Final = 16  # characters of a DS, at most


def keys_of(data_set: Dataset, within: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """The keys of an identifier: paths of tags with dots between, each with its text.

    Keys in an item of a sequence stand by their path; a sequence without items, or with an empty
    one, by its own, without a value. Several values are joined by a backslash.
    """
    for element in data_set:
        path = (*within, f"{int(element.tag):08X}")
        if element.VR == "SQ":
            items = list(element.value or [])
            inside = [pair for item in items[:1] for pair in keys_of(item, path)]
            yield from inside or [(".".join(path), "")]
        else:
            yield ".".join(path), _text(element)


def _text(element: DataElement) -> str:
    value = element.value
    if value is None:
        return ""
    if isinstance(value, MultiValue | list | tuple):
        return "\\".join(str(v) for v in value)
    return value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)


def put(into: Dataset, attribute: Attribute, value: Any) -> None:
    """Put a column's value into an answer, in the item of its sequence if it has one."""
    if attribute.sequence:
        outer = attribute.path.partition(".")[0]
        if outer not in into:
            setattr(into, outer, Sequence([Dataset()]))
        into = into[outer].value[0]
    add(into, attribute.tag, attribute.vr, _values(attribute, value))


def add(into: Dataset, tag: int, vr: str, value: Any) -> None:
    """Add an element as it is: what the archive holds is told, also where it breaks a rule."""
    into.add(DataElement(tag, vr, value, validation_mode=config.IGNORE))


def _values(attribute: Attribute, value: Any) -> Any:
    if value is None or value == "":
        return None
    if attribute.vr == "DS" and isinstance(value, float):
        short = repr(value)
        return short if len(short) <= _DECIMAL else DSfloat(value, auto_format=True)
    if attribute.multiple and isinstance(value, str):
        parts = value.split("\\")
        if attribute.vr in {"US", "SS", "UL", "SL"}:
            return [int(p) for p in parts if p]
        if attribute.vr in {"FD", "FL"}:
            return [float(p) for p in parts if p]
        return parts if len(parts) > 1 else value
    return value


def with_character_set(answer: Dataset, asked: Iterable[str]) -> Dataset:
    """The answer with the Specific Character Set that its texts need (PS3.4 C.4.1.1.3.2).

    The default repertoire where that is enough; else the one of the request if that is a single
    one that can write all of it; else UTF-8.
    """
    texts = "".join(_texts(answer))
    if not texts.isascii():
        given = [a for a in asked if a]
        answer.SpecificCharacterSet = (
            given[0] if len(given) == 1 and _writes(given[0], texts) else UTF_8
        )
    return answer


def _texts(data_set: Dataset) -> Iterator[str]:
    for element in data_set:
        if element.VR == "SQ":
            for item in element.value or []:
                yield from _texts(item)
        elif element.VR in {"PN", "LO", "LT", "SH", "ST", "UC", "UT"}:
            yield _text(element)


def _writes(character_set: str, text: str) -> bool:
    encoding = python_encoding.get(character_set, "")
    if not encoding or encoding.startswith("iso2022") or character_set.startswith("ISO 2022"):
        return False
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def failed_list(uids: Iterable[str]) -> Dataset:
    """The identifier of a retrieval's final response (PS3.4 C.4.2.1.4.2)."""
    told = Dataset()
    told.FailedSOPInstanceUIDList = list(uids)
    return told


def narrowed(header: Mapping[str, Any], paths: Iterable[str]) -> Dataset:
    """The elements of a header in DICOM JSON that stand at these paths; empty where it has none."""
    made = Dataset()
    for path in paths:
        tag, _, inside = path.partition(".")
        element = header.get(tag)
        if element is None or "BulkDataURI" in element or "InlineBinary" in element:
            continue
        if inside and element["vr"] == "SQ":
            items = [narrowed(item or {}, [inside]) for item in element.get("Value", [])]
            _join(made, tag, items)
            continue
        whole = Dataset.from_json({tag: element})
        made.update(whole)
    return made


def _join(made: Dataset, tag: str, items: list[Dataset]) -> None:
    number = int(tag, 16)
    there = list(made[number].value) if number in made else []
    for position, item in enumerate(items):
        if position < len(there):
            there[position].update(item)
        else:
            there.append(item)
    add(made, number, "SQ", Sequence(there))


def keyword(tag: str) -> str:
    """The keyword of a tag in hexadecimal digits; the digits where it has none."""
    return keyword_for_tag(int(tag, 16)) or tag
