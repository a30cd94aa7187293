"""Native DICOM Model XML (PS3.19 A.1), which PS3.18 calls application/dicom+xml: written and read.

Between it and everything else stands DICOM JSON, which says the same in other words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from xml.etree.ElementTree import Element, ParseError
from xml.sax.saxutils import escape, quoteattr

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring
from pydicom.datadict import keyword_for_tag

from pacslab.errors import UsageError
from pacslab.web.answers import creator_of

MEDIA_TYPE: Final = "application/dicom+xml"
_HEAD: Final = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<NativeDicomModel xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM">'
)
_NAME_PARTS: Final = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
# Control characters that XML 1.0 has no way to write.
_UNWRITABLE: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def document(header: Mapping[str, Mapping[str, Any]]) -> bytes:
    """One data set in DICOM JSON (PS3.18 F.2) as an XML document in UTF-8."""
    return f"{_HEAD}{_attributes(header)}</NativeDicomModel>".encode()


def _attributes(header: Mapping[str, Mapping[str, Any]]) -> str:
    return "".join(
        _attribute(tag, element, header.get(creator_of(tag))) for tag, element in header.items()
    )


def _attribute(tag: str, element: Mapping[str, Any], creator: Mapping[str, Any] | None) -> str:
    keyword = keyword_for_tag(int(tag, 16))
    named = f" keyword={quoteattr(keyword)}" if keyword else ""
    if creator is not None:
        # The block is whatever was free in this file: the creator says whose it is (A.1.6).
        named = f" privateCreator={quoteattr(_text(str((creator.get('Value') or [''])[0])))}"
        tag = f"{tag[:4]}00{tag[6:]}"
    start = f'<DicomAttribute tag="{tag}" vr={quoteattr(element["vr"])}{named}'
    inside = _content(element)
    return f"{start}>{inside}</DicomAttribute>" if inside else f"{start}/>"


def _content(element: Mapping[str, Any]) -> str:
    if "BulkDataURI" in element:
        return f"<BulkData uri={quoteattr(element['BulkDataURI'])}/>"
    if "InlineBinary" in element:
        return f"<InlineBinary>{element['InlineBinary']}</InlineBinary>"
    write = _WRITERS.get(element["vr"], _value)
    return "".join(write(i, value) for i, value in enumerate(element.get("Value", []), 1))


def _value(number: int, value: Any) -> str:
    return f'<Value number="{number}">{"" if value is None else _text(str(value))}</Value>'


def _item(number: int, value: Mapping[str, Mapping[str, Any]] | None) -> str:
    return f'<Item number="{number}">{_attributes(value or {})}</Item>'


def _person(number: int, value: Mapping[str, str] | None) -> str:
    groups = "".join(
        f"<{group}>{_components(text)}</{group}>" for group, text in (value or {}).items()
    )
    return f'<PersonName number="{number}">{groups}</PersonName>'


def _components(text: str) -> str:
    parts = zip(_NAME_PARTS, text.split("^"), strict=False)
    return "".join(f"<{name}>{_text(part)}</{name}>" for name, part in parts if part)


_WRITERS: Final[dict[str, Callable[[int, Any], str]]] = {"SQ": _item, "PN": _person}


def _text(text: str) -> str:
    # A parser would make a line feed of a bare carriage return (XML 1.0 2.11)
    return escape(_UNWRITABLE.sub("\ufffd", text), {"\r": "&#13;"})


# --- reading --------------------------------------------------------------------------------

_LARGEST: Final = 64 << 20  # bytes of a document; bulk data has its own parts
_DEEPEST: Final = 32  # sequences in sequences
_TAG: Final = re.compile(r"[0-9A-Fa-f]{8}")
_REAL: Final = frozenset({"FL", "FD", "DS"})
_WHOLE: Final = frozenset({"IS", "SL", "SS", "SV", "UL", "US", "UV"})


def read(document: bytes) -> dict[str, dict[str, Any]]:
    """One document as a data set in DICOM JSON (PS3.18 F.2).

    At most 64 MiB and 32 sequences deep, without a document type, and so without entities.
    Raises UsageError for what isn't one.
    """
    if len(document) > _LARGEST:
        raise UsageError(
            f"a DICOM XML of {len(document)} bytes: at most {_LARGEST}, so send its bulk data in "
            "parts of their own"
        )
    try:
        root = fromstring(document, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise UsageError(f"the DICOM XML can't be parsed ({error}); DTDs aren't taken") from error
    if _name(root) != "NativeDicomModel":
        raise UsageError("the DICOM XML has no NativeDicomModel as its root (PS3.19 A.1)")
    return _data_set(root, 0)


def _name(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def _data_set(parent: Element, depth: int) -> dict[str, dict[str, Any]]:
    if depth > _DEEPEST:
        raise UsageError(f"the DICOM XML has sequences more than {_DEEPEST} deep")
    found: dict[str, dict[str, Any]] = {}
    private: list[tuple[str, str, dict[str, Any]]] = []
    for one in parent:
        tag, vr = one.get("tag", ""), one.get("vr", "")
        if _name(one) != "DicomAttribute" or not _TAG.fullmatch(tag) or not vr:
            raise UsageError("the DICOM XML has something else than a DicomAttribute with tag, vr")
        element = _element(one, vr, depth)
        if creator := one.get("privateCreator"):
            private.append((tag.upper(), creator, element))
        else:
            found[tag.upper()] = element
    for tag, creator, element in private:
        found[f"{tag[:4]}{_block(found, tag[:4], creator):02X}{tag[6:]}"] = element
    return found


def _block(found: dict[str, dict[str, Any]], group: str, creator: str) -> int:
    """The block that a creator has reserved in this data set, or does now (PS3.5 7.8.1)."""
    for block in range(0x10, 0x100):
        held = found.setdefault(f"{group}00{block:02X}", {"vr": "LO", "Value": [creator]})
        if held.get("Value") == [creator]:
            return block
    raise UsageError(f"the DICOM XML has too many private creators in group {group}")


def _element(one: Element, vr: str, depth: int) -> dict[str, Any]:
    values: dict[int, Any] = {}
    for child in one:
        name = _name(child)
        if name == "BulkData":
            return {"vr": vr, "BulkDataURI": child.get("uri") or child.get("uuid") or ""}
        if name == "InlineBinary":
            return {"vr": vr, "InlineBinary": "".join((child.text or "").split())}
        number = child.get("number", "")
        if not re.fullmatch(r"[1-9][0-9]{0,6}", number):
            raise UsageError(f"the DICOM XML has a {name[:40]} without its number, from 1")
        values[int(number)] = _read_value(child, name, vr, depth)
    if not values:
        return {"vr": vr}
    # Numbers may leave out empty values (PS3.19 A.1.5), but not more of them than there are
    last = max(values)
    if last > 2 * len(values) + 100:
        raise UsageError(f"the DICOM XML has {len(values)} values, but one with number {last}")
    return {"vr": vr, "Value": [values.get(number) for number in range(1, last + 1)]}


def _read_value(child: Element, name: str, vr: str, depth: int) -> Any:
    if name == "Item":
        return _data_set(child, depth + 1)
    if name == "PersonName":
        return {_name(group): _joined(group) for group in child}
    text = child.text or ""
    if name != "Value":
        raise UsageError(f"the DICOM XML has a {name[:40]} where a Value is expected")
    if not text:
        return None
    try:
        if vr in _WHOLE:
            return int(text)
        return float(text) if vr in _REAL and vr != "DS" else text
    except ValueError:
        raise UsageError(f"the DICOM XML has a value that is no number, of VR {vr[:2]}") from None


def _joined(group: Iterable[Element]) -> str:
    parts = {_name(part): part.text or "" for part in group}
    return "^".join(parts.get(name, "") for name in _NAME_PARTS).rstrip("^")
