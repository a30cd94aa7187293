"""What a file says by itself: whatever looks like an identifier, in every place there is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from pacslab.deid import table
from pacslab.deid.audit import codestream, pixels
from pacslab.deid.audit.claims import Claims
from pacslab.deid.audit.finding import Finding, Kind, Severity, masked
from pacslab.deid.audit.looks import is_sentence, looks
from pacslab.deid.audit.originals import STANDARD, listed
from pacslab.deid.audit.reading import TEXT, Element, Parts

_DUMMY: Final = re.compile(
    r"(REMOVED|ANONYM\w*|PERSON\^[A-Z2-7]+|[A-Z2-7]{8,16}|NONE|UNKNOWN|0|001Y|CORRECT|ABOUT:BLANK|"
    r"(1900|0001)0101(0+)?(\.0+)?|0+(\.0+)?)?", re.IGNORECASE)  # fmt: skip
_PSEUDONYM: Final = re.compile(r"(Person\^[A-Z2-7]{6,}|[A-Z2-7]{10,16}|REMOVED|ANON\w*)?")
_OWN_CLAIM: Final = re.compile(r"1131\d\d|(Clean|Retain) [A-Z][A-Za-z ]* Option")
_META: Final = {0x00020016: "AE title", 0x00020017: "AE title", 0x00020018: "AE title",
                0x00020026: "address", 0x00020027: "address", 0x00020028: "address",
                0x00020100: "private creator", 0x00020102: "private data"}  # fmt: skip
_ROOTS: Final = {"1.2.840.113619": "GE", "1.3.12.2.1107": "Siemens", "1.3.46.670589": "Philips",
                 "1.2.392.200036": "a maker in Japan", "1.2.840.113704": "Philips",
                 "1.3.6.1.4.1": "an enterprise", "1.2.826.0.1.3680043": "Medical Connections",
                 "1.2.276.0": "an organisation in Germany", "1.2.752": "an organisation in Sweden",
                 "1.2.124": "an organisation in Canada", "1.2.410": "an organisation in Korea",
                 "1.2.156": "an organisation in China"}  # fmt: skip
_KINDS: Final = ("ClassUID", "ClassesUID", "SyntaxUID", "SchemeUID", "ContextUID", "ResourceUID",
                 "ClassUIDList", "SOPClassesInStudy", "SOPClassesSupported", "CreatorUID",
                 "TransferSyntaxUIDsSupported", "ImplementationClassUID")  # fmt: skip
_BY_VR: Final = {"PN": Kind.NAME, "DA": Kind.DATE, "DT": Kind.DATE, "TM": Kind.DATE,
                 "UI": Kind.UID}  # fmt: skip
_PLACES: Final = ("Address", "InstitutionName", "Location", "DepartmentName", "StationName")
_LETTERS: Final = re.compile(rb"[A-Za-z]{5,}")
_SAFE_CREATORS: Final = frozenset(creator for creator, _, _ in table.safe_private())


def beside(parts: Parts) -> Iterator[Finding]:
    """Findings in places that are no element of the data set."""
    if parts.fault:
        yield Finding(
            "file", Kind.UNREADABLE, Severity.HIGH, f"pydicom can't read it: {parts.fault}"
        )
    for place, data in parts.beside.items():
        if place != "file" and data.strip(b"\0"):
            yield Finding(place, Kind.HIDDEN, Severity.HIGH, f"{len(data)} bytes that aren't zero")


def claims(parts: Parts, told: Claims) -> Iterator[Finding]:
    """What the instance says of itself that a person must know."""
    if not told.removed:
        yield Finding("00120062", Kind.CLAIM, Severity.HIGH,
                      "Patient Identity Removed isn't YES")  # fmt: skip
    modality = parts.text(0x00080060)
    burned = parts.text(0x00280301)
    shown = any(element.tag in pixels.DATA for element in parts.elements)
    if burned == "YES":
        yield Finding("00280301", Kind.PIXELS, Severity.HIGH, "says that text is burned in")
    elif shown and burned != "NO" and not told.pixels and modality in pixels.RISKY:
        yield Finding("7FE00010", Kind.PIXELS, Severity.MEDIUM,
                      f"{modality} often has text burned in, and nobody has looked")  # fmt: skip
    if parts.text(0x00280302) == "YES":
        yield Finding("00280302", Kind.FACE, Severity.HIGH, "says that it is recognizable")
    elif shown and modality in {"CT", "MR", "PT"} and parts.text(0x00280302) != "NO":
        part = parts.text(0x00180015).upper()
        if any(word in part for word in ("HEAD", "BRAIN", "FACE", "SKULL", "NECK")):
            yield Finding("7FE00010", Kind.FACE, Severity.LOW,
                          "a face can be made of an image of the head")  # fmt: skip


def element(one: Element, told: Claims) -> Iterator[Finding]:
    """Findings in one element."""
    group, value = one.tag >> 16, one.value
    if not value.strip(b"\0 "):
        return
    if group == 2:
        if one.tag in _META:
            yield Finding(one.path, Kind.HIDDEN, Severity.HIGH,
                          f"file meta information: {_META[one.tag]}")  # fmt: skip
        if one.tag == 0x00020003 and not told.keeps_uids:
            yield from _uids(one)
        return
    if one.tag == 0xFFFCFFFC:
        yield Finding(one.path, Kind.HIDDEN, Severity.HIGH, "padding that isn't zero")
    elif one.private:
        yield from _private(one, told)
    elif group & 0xFF01 == 0x6000 and not told.allows(0x60003000):
        if one.tag & 0xFFFF in (0x0022, 0x1500, 0x3000, 0x4000):
            yield Finding(one.path, Kind.OVERLAY, Severity.HIGH, f"overlay, {len(value)} bytes")
    elif group & 0xFF01 == 0x5000:
        yield Finding(one.path, Kind.OVERLAY, Severity.HIGH, f"curve, {len(value)} bytes")
    elif "00880200/" in one.path and one.tag in pixels.DATA:
        yield Finding(one.path, Kind.ICON, Severity.HIGH, "an icon: a picture of the picture")
    elif one.tag == 0x00420011:
        if b"removed" not in value and value.strip(b"\0"):
            yield Finding(one.path, Kind.DOCUMENT, Severity.HIGH,
                          f"encapsulated document, {len(value)} bytes")  # fmt: skip
    elif not one.keyword and one.tag & 0xFFFF:
        yield Finding(one.path, Kind.UNKNOWN, Severity.HIGH, "PS3.6 doesn't know this attribute")
    elif one.vr == "UI":
        if not one.keyword.endswith(_KINDS) and not told.keeps_uids:
            yield from _uids(one)
    else:
        yield from _by_table(one, told)
        yield from _by_value(one, told)


def picture(one: Element, parts: Parts) -> Iterator[Finding]:
    """Findings in pixel data beside the picture."""
    if parts.syntax in pixels.NATIVE:
        for place, size in pixels.beyond(one, parts):
            yield Finding(one.path, Kind.HIDDEN, Severity.HIGH, f"{place}, {size}")
        return
    for number, fragment in enumerate(codestream.fragments(one.value)):
        for place, data in codestream.beside(fragment):
            worst = Severity.HIGH if place.startswith(("APP", "behind", "box")) or (
                _LETTERS.search(data) and not _encoder(data)) else Severity.MEDIUM  # fmt: skip
            yield Finding(f"{one.path}/fragment {number}", Kind.HIDDEN, worst,
                          f"codestream, {place}: {len(data)} bytes")  # fmt: skip


def _encoder(comment: bytes) -> bool:
    return comment.lower().startswith((b"created by openjpeg", b"kakadu", b"lavc", b"openjph"))


def _private(one: Element, told: Claims) -> Iterator[Finding]:
    low = one.tag & 0xFFFF
    if 0x10 <= low <= 0xFF:
        if one.values[0] not in _SAFE_CREATORS or not told.keeps_private:
            yield Finding(one.path, Kind.PRIVATE, Severity.MEDIUM, "private creator")
        return
    key = (one.creator, one.tag >> 16, low & 0xFF)
    safe = table.safe_private().get(key)
    if safe is None or not told.keeps_private:
        why = "without a creator" if not one.creator else "not on the safe list"
        if safe is not None:
            why = "safe, but Retain Safe Private isn't claimed"
        yield Finding(one.path, Kind.PRIVATE, Severity.HIGH if safe is None else Severity.MEDIUM,
                      f"private attribute {why}, {len(one.value)} bytes")  # fmt: skip
    elif one.vr not in {safe, "UN"}:
        yield Finding(one.path, Kind.PRIVATE, Severity.HIGH,
                      f"private attribute with VR {one.vr}; the safe one has {safe}")  # fmt: skip
    elif one.vr in TEXT:
        for kind, severity in looks(one.text):
            yield Finding(one.path, kind, severity, masked(one.text))


def _uids(one: Element) -> Iterator[Finding]:
    for value in one.values:
        if value and not value.startswith((STANDARD, "2.25.")):
            root = next((who for root, who in _ROOTS.items() if value.startswith(root + ".")), "")
            yield Finding(one.path, Kind.UID, Severity.MEDIUM,
                          f"UID under a root of {root or 'an organisation'}")  # fmt: skip
            return


def _by_table(one: Element, told: Claims) -> Iterator[Finding]:
    row = listed().get(one.tag)
    if row is None or told.allows(one.tag) or one.vr == "SQ" or row.basic in {"K", "C"}:
        return
    values = one.values if one.vr in TEXT else []
    if one.vr in TEXT and all(_DUMMY.fullmatch(value) for value in values):
        return
    kind = _BY_VR.get(one.vr, Kind.ATTRIBUTE)
    if kind is Kind.ATTRIBUTE and one.keyword.endswith(_PLACES):
        kind = Kind.PLACE
    detail = f"{masked(one.text)}, {row.basic} in Table E.1-1" if one.vr in TEXT else (
        f"{len(one.value)} bytes, {row.basic} in Table E.1-1")  # fmt: skip
    may = "D" in row.basic
    yield Finding(one.path, kind, Severity.MEDIUM if may else Severity.HIGH, detail)


def _by_value(one: Element, told: Claims) -> Iterator[Finding]:
    value = one.value
    if one.vr not in TEXT:
        opaque = one.vr in {"UN", "OB", "OW"} and one.tag not in pixels.DATA
        if opaque and not _binary(one) and _LETTERS.search(value[:4096]):
            yield Finding(one.path, Kind.UNKNOWN, Severity.MEDIUM,
                          f"{one.vr} that reads as text, {len(value)} bytes")  # fmt: skip
        return
    cut = value.find(b"\0")
    if cut >= 0 and value[cut:].strip(b"\0 "):
        yield Finding(one.path, Kind.HIDDEN, Severity.HIGH, "text behind a NUL")
    text = one.text
    if one.vr == "PN":
        if listed().get(one.tag) is None:
            for name in one.values:
                if not _PSEUDONYM.fullmatch(name):
                    yield Finding(one.path, Kind.NAME, Severity.HIGH, masked(name))
                    return
    elif one.vr == "AS":
        if any(v[:3].isdigit() and v.endswith("Y") and int(v[:3]) > 90 for v in one.values):
            yield Finding(one.path, Kind.AGE, Severity.MEDIUM, "age over 90")
    elif one.vr in {"DA", "DT", "TM"}:
        # What isn't listed and holds a day
        unlisted = listed().get(one.tag) is None and one.vr != "TM"
        if (unlisted and not told.allows(0x00080020)
                and not all(_DUMMY.fullmatch(v) for v in one.values)):  # fmt: skip
            yield Finding(one.path, Kind.DATE, Severity.MEDIUM, masked(text))
    elif one.vr in {"DS", "IS"}:
        if re.search(r"[A-DF-Za-df-z]{2}", text):
            yield Finding(one.path, Kind.UNKNOWN, Severity.HIGH, "words in a number")
    else:
        found = [] if _OWN_CLAIM.fullmatch(text.strip(" \0")) else list(looks(text))
        if one.keyword in {"CodeValue", "LongCodeValue"}:  # codes of SNOMED CT are numbers
            found = [(kind, severity) for kind, severity in found if kind is not Kind.ID]
        for kind, severity in found:
            yield Finding(one.path, kind, severity, masked(text))
        long = one.vr in {"LT", "ST", "UT"} and "removed" not in text.lower()
        if long and not found and is_sentence(text):
            yield Finding(one.path, Kind.FREE_TEXT, Severity.LOW,
                          f"{len(text)} characters to be read")  # fmt: skip


def _binary(one: Element) -> bool:
    return "LUT" in one.keyword or one.keyword in {"ICCProfile", "RedPaletteColorLookupTableData"}
