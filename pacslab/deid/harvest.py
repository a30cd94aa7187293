"""What an instance says about people, at any depth: what its texts are searched for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from pacslab.deid import raw
from pacslab.deid.actions import Verb
from pacslab.deid.known import Kind, Value
from pacslab.deid.rules import Rules
from pacslab.deid.subjects import Patient

_KINDS: Final = {
    0x00080050: Kind.ID, 0x00100020: Kind.ID, 0x00101000: Kind.ID, 0x00101090: Kind.ID,
    0x00101050: Kind.ID, 0x00200010: Kind.ID, 0x00380010: Kind.ID, 0x00380060: Kind.ID,
    0x00401001: Kind.ID, 0x00400009: Kind.ID, 0x00400253: Kind.ID, 0x00402016: Kind.ID,
    0x00402017: Kind.ID, 0x00120040: Kind.ID, 0x00120042: Kind.ID, 0x00181000: Kind.ID,
    0x00400512: Kind.ID, 0x00400551: Kind.ID,
    0x00100030: Kind.DATE, 0x00101040: Kind.PLACE, 0x00102154: Kind.PHONE,
    0x00080094: Kind.PHONE, 0x00401103: Kind.PHONE, 0x00080080: Kind.PLACE,
    0x00080081: Kind.PLACE, 0x00080092: Kind.PLACE, 0x00401102: Kind.PLACE,
    0x00102299: Kind.PLACE, 0x00102155: Kind.PHONE,
}  # fmt: skip
_WHEN: Final = frozenset({0x00080020, 0x00080021, 0x00080022, 0x00080023, 0x00080012, 0x0008002A})
_LONGEST: Final = 1024


def values(dataset: Dataset, rules: Rules, encodings: tuple[str, ...]) -> Iterator[Value]:
    """Names, IDs, dates, places and telephone numbers in a data set and its sequences.

    Whatever the profile keeps isn't among them, but names and IDs of the patient always are.
    """
    encodings = raw.encodings_of(dataset, encodings)
    for tag, element in list(dataset.items()):
        number = int(tag)
        if number >> 16 & 1:
            continue
        vr = element.VR if element.VR and element.VR != "UN" else raw.vr_of(number, element)
        if vr == "SQ":
            for item in items(dataset, number):
                yield from values(item, rules, encodings)
            continue
        kind = _KINDS.get(number)
        if vr == "PN":
            kind = Kind.PATIENT if number >> 16 == 0x0010 else Kind.PERSON
        elif number in _WHEN:
            kind = Kind.DATE
        if kind is None:
            continue
        personal = kind in (Kind.PATIENT, Kind.PERSON) or number == 0x00100020
        if not personal and rules.of(number, vr).verb is Verb.KEEP:
            continue
        told = raw.decoded(raw.value_of(element, dataset), vr, encodings)
        for one in [told] if vr in raw.SINGLE else told.split("\\"):
            if one.strip() and len(one) <= _LONGEST:
                yield Value(kind, one.strip(), own=number >> 16 == 0x0010)


def items(dataset: Dataset, tag: int) -> list[Dataset]:
    """The items of a sequence; none where it can't be read."""
    element = dataset.get_item(tag)
    if isinstance(element, RawDataElement):
        try:
            element = dataset[tag]
        except Exception:  # pydicom raises whatever the bytes provoke
            return []
    value = getattr(element, "value", None)
    return [item for item in value if isinstance(item, Dataset)] if value else []


def patient(dataset: Dataset) -> Patient:
    """What an instance says of its patient."""
    encodings = raw.encodings_of(dataset, ("iso8859",))

    def told(tag: int) -> str:
        return raw.text(dataset, tag, encodings)

    when = (told(0x00080020), told(0x00080021), told(0x00080022), told(0x00080023))
    return Patient(
        patient_id=told(0x00100020),
        issuer=told(0x00100021),
        name=told(0x00100010),
        sex=told(0x00100040),
        birth_date=told(0x00100030),
        age=told(0x00101010),
        study_instance_uid=told(0x0020000D),
        study_date=next((d for d in when if d), ""),
    )
