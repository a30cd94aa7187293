"""What a source file says about people, read for the audit by Table E.1-1 and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Final, NamedTuple

from pacslab.deid import table
from pacslab.deid.audit.finding import Kind
from pacslab.deid.audit.reading import Element, Parts

STANDARD: Final = "1.2.840.10008."
_PHONE: Final = ("TelephoneNumbers", "TelephoneNumber", "TelecomInformation", "PhoneNumbers")
_PLACE: Final = ("Address", "InstitutionName", "Location", "DepartmentName", "StationName",
                 "Residence", "Organization", "IssuerOfPatientID", "FacilityName",
                 "RegionOfResidence", "CountryOfResidence", "SourceOfPreviousValues",
                 "InstitutionalDepartmentName")  # fmt: skip
_ID: Final = ("ID", "IDs", "Number", "Numbers", "Identifier", "Title", "PatientName")
_UNDATED: Final = frozenset({"00010101", "19000101", "00000000", "99991231"})
_DAY: Final = re.compile(r"(\d{4})[.-]?(\d{2})[.-]?(\d{2})")


class Original(NamedTuple):
    """A value of the source that must be nowhere in what comes out."""

    kind: Kind
    text: str
    patient: bool = False
    """Whether it is the patient's own."""


@cache
def listed() -> dict[int, table.Row]:
    """The rows of Table E.1-1 with one tag."""
    return {int(row.tag, 16): row for row in table.rows() if re.fullmatch("[0-9A-F]{8}", row.tag)}


def originals(parts: Parts) -> set[Original]:
    """Every identifying value of a file, at any depth."""
    found: set[Original] = set()
    for element in parts.elements:
        if element.tag >> 16 != 2 and not element.private:
            found.update(_of(element))
    return found


def _of(element: Element) -> Iterator[Original]:
    row = listed().get(element.tag)
    keyword, vr = element.keyword, element.vr
    if vr == "PN":
        own = keyword in {"PatientName", "OtherPatientNames", "PatientBirthName",
                          "PatientMotherBirthName"}  # fmt: skip
        for value in element.values:
            if value.strip("^= "):
                yield Original(Kind.NAME, value, own)
    elif vr == "UI":
        if row is not None or keyword == "UID":
            for value in element.values:
                if value and not value.startswith(STANDARD) and value.count(".") > 1:
                    yield Original(Kind.UID, value)
    elif row is None or not element.value or "K" in row.basic:
        return
    elif vr in {"DA", "DT"}:
        for value in element.values:
            day = _DAY.match(value)
            if day and "".join(day.groups()) not in _UNDATED:
                yield Original(Kind.DATE, "".join(day.groups()), keyword == "PatientBirthDate")
    elif vr in {"AE", "LO", "SH", "ST", "LT", "UT", "UC", "UR"}:
        kind = _kind(keyword)
        if kind is not None:
            for value in element.values:
                if value:
                    yield Original(kind, value, keyword.startswith(("Patient", "OtherPatient")))


@cache
def _kind(keyword: str) -> Kind | None:
    if keyword.endswith(_PHONE):
        return Kind.PHONE
    if keyword.endswith(_PLACE):
        return Kind.PLACE
    return Kind.ID if keyword.endswith(_ID) else None
