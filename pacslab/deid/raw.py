"""Elements as bytes: texts decoded and encoded, without pydicom's conversion of every value."""

from __future__ import annotations

import re
import warnings
from functools import lru_cache
from struct import Struct
from typing import Final, cast

from pydicom.charset import convert_encodings, decode_bytes, encode_string
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element, write_dataset
from pydicom.tag import BaseTag
from pydicom.valuerep import PN_DELIMS, TEXT_VR_DELIMS

from pacslab.errors import DeidentificationError

SINGLE: Final = frozenset({"LT", "ST", "UR", "UT"})
"""VRs whose values may hold a backslash (PS3.5 6.2)."""
STRINGS: Final = frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST",
                            "TM", "UC", "UI", "UR", "UT"})  # fmt: skip
_CODED: Final = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
_LONGEST: Final = {"AE": 16, "CS": 16, "LO": 64, "SH": 16, "ST": 1024, "LT": 10240}
_LONG_LENGTH: Final = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR",
                                 "UT", "UV"})  # fmt: skip
_DEFINED: Final = re.compile(rb"(?:ISO[ _-]?(?:2022 )?(?:IR|8859)[ _-]?\d{1,3}|GB18030|GBK)?", re.I)
_UNDEFINED: Final = 0xFFFFFFFF
_HEAD, _SHORT, _LONG = Struct("<HHI"), Struct("<HH2sH"), Struct("<HH2sHI")

Element = DataElement | RawDataElement


def vr_of(tag: int, element: Element) -> str:
    """The VR that an element has by the data set, or by the dictionary where that doesn't say."""
    vr = element.VR
    if vr is None or vr == "UN":
        try:
            vr = dictionary_VR(tag)
        except KeyError:
            return vr or "UN"
    return str(vr)


def value_of(element: Element, dataset: Dataset) -> bytes:
    """An element's value as it is written, without the padding of nothing."""
    if isinstance(element, RawDataElement):
        return element.value or b""
    implicit, little = dataset.original_encoding
    out = DicomBytesIO()
    out.is_implicit_VR, out.is_little_endian = bool(implicit), little is not False
    write_data_element(out, element, dataset.original_character_set or "iso8859")  # type: ignore[arg-type]
    written = out.getvalue()
    return written[12 if not implicit and element.VR in _LONG_LENGTH else 8 :]


def changed(element: Element, vr: str, value: bytes, like: Dataset) -> RawDataElement:
    """An element with another value of a VR, encoded as its data set is; UN stays UN."""
    return made(int(element.tag), vr, value, like, written_as=element.VR)


def made(
    tag: int, vr: str, value: bytes, like: Dataset, *, written_as: str | None = None
) -> RawDataElement:
    """A new element, encoded as a data set is and padded as its VR wants it (PS3.5 6.2)."""
    implicit, little = like.original_encoding
    padding = b" " if vr in STRINGS and vr != "UI" else b"\0"
    value += padding * (len(value) % 2)
    return RawDataElement(BaseTag(tag), None if implicit else written_as or vr, len(value), value,
                          0, bool(implicit), little is not False, True)  # fmt: skip


def encode_as(dataset: Dataset, like: Dataset) -> None:
    """Have a new data set written as another one is encoded."""
    implicit, little = like.original_encoding
    charset = like.original_character_set
    dataset.set_original_encoding(implicit, little, charset)


def number(dataset: Dataset, tag: int) -> int | None:
    """The first value of a US, SS or IS; None where there is none."""
    element = dataset.get_item(tag)
    if element is None or isinstance(element, Dataset):
        return None
    value = value_of(element, dataset)
    vr = vr_of(tag, element)
    if vr in {"IS", "DS"}:
        try:
            return int(float(value.split(b"\\")[0].strip(b"\0 ")))
        except (ValueError, OverflowError):
            return None
    little = dataset.original_encoding[1] is not False
    return int.from_bytes(value[:2], "little" if little else "big") if len(value) >= 2 else None


def text(dataset: Dataset, tag: int, encodings: tuple[str, ...] = ("iso8859",)) -> str:
    """A text value, stripped; empty where there is none."""
    element = dataset.get_item(tag)
    if element is None or isinstance(element, Dataset):
        return ""
    return decoded(value_of(element, dataset), vr_of(tag, element), encodings).strip()


def decoded(value: bytes, vr: str, encodings: tuple[str, ...]) -> str:
    """A text value up to its first NUL (PS3.5 6.1)."""
    value = value.split(b"\0", 1)[0] if b"\0" in value else value
    if value.isascii() and b"\x1b" not in value:
        return value.decode("ascii")
    if vr not in _CODED:
        return value.decode("latin-1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        delimiters = PN_DELIMS if vr == "PN" else TEXT_VR_DELIMS
        try:
            return decode_bytes(value, encodings, set(delimiters))
        except Exception:  # a codec that can't be meant
            return value.decode("latin-1")


def encoded(value: str, vr: str, encodings: tuple[str, ...]) -> bytes:
    """A text as its VR allows it, each value cut to the VR's length, in the data set's encoding."""
    longest = _LONGEST.get(vr)
    if longest:
        parts = [value] if vr in SINGLE else value.split("\\")
        value = "\\".join(part[:longest] for part in parts)
    if value.isascii():
        return value.encode("ascii")
    if vr not in _CODED:
        return value.encode("ascii", "replace")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return encode_string(value, encodings)
        except (UnicodeError, LookupError):
            return value.encode("ascii", "replace")


def encodings_of(dataset: Dataset, inherited: tuple[str, ...]) -> tuple[str, ...]:
    """Python's encodings for a data set or an item; an item may have its own (PS3.5 7.5.3)."""
    element = dataset.get_item(0x00080005)
    if element is None or isinstance(element, Dataset):
        return inherited
    value = value_of(element, dataset).strip(b"\0 ")
    return _encodings(value) if value else inherited


def defined_terms(value: bytes) -> bytes:
    """A Specific Character Set without what is none (PS3.3 C.12.1.1.2)."""
    terms = [term.strip(b"\0 ") for term in value.split(b"\\")]
    known = [term for term in terms if _DEFINED.fullmatch(term)]
    return value if len(known) == len(terms) else b"\\".join(known)


@lru_cache(maxsize=256)
def _encodings(value: bytes) -> tuple[str, ...]:
    terms = [term.strip() for term in value.decode("latin-1").split("\\")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return tuple(convert_encodings(terms))
        except LookupError:
            return ("iso8859",)


def written(dataset: Dataset, implicit: bool, little: bool) -> bytes:
    """A data set's bytes. Raises DeidentificationError where it can't be encoded."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if dataset.original_encoding == (implicit, little) and little:
                parts: list[bytes] = []
                _write(dataset, implicit, parts)
                return b"".join(parts)
            out = DicomBytesIO()
            out.is_implicit_VR, out.is_little_endian = implicit, little
            write_dataset(out, dataset)
            return out.getvalue()
    except Exception as error:  # what pydicom can't write again; its text may quote a value
        raise DeidentificationError(
            f"the object can't be written again ({type(error).__name__}): correct it and try anew"
        ) from None


def _write(dataset: Dataset, implicit: bool, parts: list[bytes]) -> None:
    """Raw elements as they are, which is nearly all there are; the rest through pydicom."""
    for tag in sorted(dataset.keys()):
        element = dataset.get_item(tag)
        if isinstance(element, RawDataElement) and element.length != _UNDEFINED:
            _write_raw(element, implicit, parts)
        elif isinstance(element, DataElement) and element.VR == "SQ":
            _write_sequence(element, implicit, parts)
        else:
            out = DicomBytesIO()
            out.is_implicit_VR, out.is_little_endian = implicit, True
            encodings = dataset.original_character_set or "iso8859"
            write_data_element(out, cast(Element, element), encodings)  # type: ignore[arg-type]
            parts.append(out.getvalue())


def _write_raw(element: RawDataElement, implicit: bool, parts: list[bytes]) -> None:
    value, tag = element.value or b"", element.tag
    if implicit:
        parts += [_HEAD.pack(tag.group, tag.element, len(value)), value]
        return
    vr = cast(str, element.VR)
    if vr in _LONG_LENGTH or len(value) > 0xFFFF:
        vr = vr if vr in _LONG_LENGTH else "UN"
        parts += [_LONG.pack(tag.group, tag.element, vr.encode("ascii"), 0, len(value)), value]
    else:
        parts += [_SHORT.pack(tag.group, tag.element, vr.encode("ascii"), len(value)), value]


def _write_sequence(element: DataElement, implicit: bool, parts: list[bytes]) -> None:
    """A sequence with its items (PS3.5 7.5), lengths given or not as they came."""
    inside: list[bytes] = []
    for item in element.value:
        body = [written(item, implicit, True)]
        open_ = getattr(item, "is_undefined_length_sequence_item", False)
        inside.append(_HEAD.pack(0xFFFE, 0xE000, _UNDEFINED if open_ else len(body[0])))
        inside += body
        if open_:
            inside.append(_HEAD.pack(0xFFFE, 0xE00D, 0))
    length = _UNDEFINED if element.is_undefined_length else sum(map(len, inside))
    tag = element.tag
    if implicit:
        parts.append(_HEAD.pack(tag.group, tag.element, length))
    else:
        parts.append(_LONG.pack(tag.group, tag.element, b"SQ", 0, length))
    parts += inside
    if element.is_undefined_length:
        parts.append(_HEAD.pack(0xFFFE, 0xE0DD, 0))
