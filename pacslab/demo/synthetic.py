"""Made-up patients with made-up images, as many as are wanted, and marked as such.

``PatientID LIKE 'SYN-%'`` finds them in the index; Patient Comments, Image Comments, Institution
Name, Synthetic Data (0008,001C) and the pixels say it too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Final

from pacslab.demo import names
from pacslab.demo.chance import Chance, uid
from pacslab.demo.encoding import Template
from pacslab.demo.imaging import images
from pacslab.demo.protocols import EQUIPMENT, PROTOCOLS, Protocol
from pacslab.demo.reports import findings, report

_FIRST: Final = date(2018, 1, 1)
_LAST: Final = date(2024, 12, 31)


@dataclass(frozen=True, slots=True)
class _Visit:
    """A study: what is examined when, and how big the lesion is (half its diameter, in mm)."""

    key: tuple[object, ...]
    protocol: Protocol
    at: datetime
    lesion: float
    before: float | None


def synthesize(patients: int = 200, seed: int = 7) -> Iterator[bytes]:
    """Part 10 files of ``patients`` made-up patients, one after the other, about 20 for each.

    The same seed gives the same bytes on any day and any machine, as long as Faker's version, which
    the names are of, is the same; fewer patients are the first ones of more.
    """
    for number in range(1, patients + 1):
        yield from _patient(seed, number)


def _patient(seed: int, number: int) -> Iterator[bytes]:
    chance = Chance(seed, number)
    protocol = chance.one_of(PROTOCOLS, [p.weight for p in PROTOCOLS])
    sex = chance.one_of(protocol.sexes)
    years = chance.peaked(*protocol.ages)
    visits = list(_visits(chance, (seed, number), protocol, sex))
    born = visits[0].at.date() - timedelta(days=int(years * 365.25) + chance.whole(0, 364))
    who = names.person(Chance(seed, number, "name"), sex)
    height = (1.62 if sex == "F" else 1.76) * min(1.0, 0.42 + years / 30)
    patient = {
        "SpecificCharacterSet": who.character_set,
        "PatientName": who.name,
        "PatientID": f"SYN-{seed:04d}-{number:05d}",
        "IssuerOfPatientID": "PACSLAB SYNTHETIC",
        "PatientBirthDate": f"{born:%Y%m%d}",
        "PatientSex": sex,
        "PatientSize": f"{height:.2f}",
        "PatientWeight": f"{chance.peaked(19, 24, 38) * height * height:.1f}",
        "PatientComments": f"SYNTHETIC: made by pacslab with seed {seed}, no such person",
        "ReferringPhysicianName": who.physician,
    }
    if not who.character_set:
        del patient["SpecificCharacterSet"]
    for visit in visits:
        age = visit.at.year - born.year - ((visit.at.month, visit.at.day) < (born.month, born.day))
        yield from _study(visit, patient | {"PatientAge": f"{age:03d}Y"})


def _visits(chance: Chance, key: tuple[int, int], protocol: Protocol, sex: str) -> Iterator[_Visit]:
    """Half of the patients come once, the others are followed up, mostly in the same way."""
    count = chance.one_of((1, 2, 3, 4), (50, 26, 15, 9))
    day = _FIRST + timedelta(days=chance.whole(0, (_LAST - _FIRST).days))
    lesion = chance.peaked(4, 9, 18) if chance.happens(protocol.lesions) else 0.0
    before = None
    for number in range(1, count + 1):
        minutes = int(chance.peaked(7 * 60, 11 * 60, 19 * 60)) + 480 * chance.happens(0.08)
        at = datetime.combine(day, time()) + timedelta(minutes=minutes, seconds=chance.whole(0, 59))
        yield _Visit((*key, number), protocol, at, lesion, before)
        day += timedelta(days=chance.one_of((chance.whole(28, 120), chance.whole(150, 420))))
        if day > _LAST:
            return
        before, lesion = lesion or None, min(lesion * chance.between(0.65, 1.45), 26.0)
        if chance.happens(0.2):
            others = [p for p in PROTOCOLS if sex in p.sexes and p.ages[0] <= protocol.ages[0]]
            protocol = chance.one_of(others, [p.weight for p in others])
            before, lesion = None, lesion if chance.happens(protocol.lesions) else 0.0


def _study(visit: _Visit, patient: dict[str, Any]) -> Iterator[bytes]:
    chance, protocol = Chance(*visit.key, "study"), visit.protocol
    manufacturer, model = chance.one_of(EQUIPMENT[protocol.modality])
    room = chance.whole(1, 3)
    study = patient | {
        "SyntheticData": "YES",
        "StudyInstanceUID": uid(*visit.key),
        "StudyID": str(visit.key[-1]),
        "StudyDate": f"{visit.at:%Y%m%d}",
        "StudyTime": f"{visit.at:%H%M%S}",
        "StudyDescription": protocol.description,
        "AccessionNumber": f"SYN{chance.integer() % 10**10:010d}",
        "PerformedProcedureStepStartDate": f"{visit.at:%Y%m%d}",
        "PerformedProcedureStepStartTime": f"{visit.at:%H%M%S}",
        "PerformedProcedureStepID": f"{protocol.modality}{visit.key[-1]}",
        "InstitutionName": f"SYNTHETIC Hospital {chance.one_of(('North', 'South', 'West'))}",
        "InstitutionalDepartmentName": "Radiology",
    }
    machine = {
        "Manufacturer": manufacturer,
        "ManufacturerModelName": model,
        "StationName": f"{protocol.modality}{room}",
        "DeviceSerialNumber": f"SYN{model[:2].upper()}{room:03d}",
        "SoftwareVersions": f"{room}.{chance.whole(0, 9)}",
        "BodyPartExamined": protocol.body_part,
    }
    if protocol.modality == "MR":
        machine["MagneticFieldStrength"] = chance.one_of(("1.5", "3"), (3, 2))
    at = visit.at
    if protocol.body_part == "KNEE":
        machine["Laterality"] = chance.one_of("RL")
    for number, scan in enumerate(protocol.scans, 1):
        at += timedelta(seconds=chance.whole(40, 260))
        series = {
            **_started(at),
            "SeriesInstanceUID": uid(*visit.key, number),
            "SeriesNumber": str(number),
            "SeriesDescription": scan.description,
            "ProtocolName": protocol.description,
        }
        yield from images(visit.key, number, scan, visit.lesion, study | machine | series)
    if chance.happens(0.6):
        at += timedelta(minutes=chance.whole(20, 600))
        said = report(*findings(protocol, visit.lesion, visit.before))
        own = {
            **_started(at),
            "SeriesInstanceUID": uid(*visit.key, "report"),
            "SeriesNumber": "900",
            "InstanceNumber": "1",
            "Manufacturer": "pacslab",
        }
        del own["AcquisitionDate"], own["AcquisitionTime"]
        yield Template(study | own | said).file(SOPInstanceUID=uid(*visit.key, "report", 1))


def _started(at: datetime) -> dict[str, str]:
    return {
        f"{what}{part}": f"{at:{form}}"
        for what in ("Series", "Acquisition", "Content")
        for part, form in (("Date", "%Y%m%d"), ("Time", "%H%M%S"))
    }
