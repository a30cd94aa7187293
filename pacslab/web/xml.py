"""DICOM JSON as Native DICOM Model XML (PS3.19 A.1), which PS3.18 calls application/dicom+xml."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from xml.sax.saxutils import escape, quoteattr

from pydicom.datadict import keyword_for_tag

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
    return escape(_UNWRITABLE.sub("\ufffd", text))
