"""Who a patient is, and who they become: one answer for each, wherever it is asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from pacslab.deid import dates, names
from pacslab.deid.keys import Keys


@dataclass(frozen=True, slots=True)
class Patient:
    """What an instance says of its patient; texts as they stand, empty where they are missing."""

    patient_id: str
    issuer: str
    name: str
    sex: str
    birth_date: str
    age: str
    study_instance_uid: str
    study_date: str

    @property
    def identity(self) -> str:
        """What makes two patients the same: ID and issuer, to the letter; else the study.

        Empty IDs don't merge patients, "0012" isn't "12", and equal IDs of two issuers differ.
        """
        if self.patient_id:
            return f"pid|v1|{self.issuer}\0{self.patient_id}"
        return f"study|v1|{self.study_instance_uid}"


@dataclass(frozen=True, slots=True)
class Subject:
    """Who a patient becomes: ID and name, made-up birth date, and the shift of dates in days."""

    patient_id: str
    fake_name: str
    birth_date: str
    shift: int


Resolve: TypeAlias = Callable[[Patient], Subject]
"""Whoever knows subjects: the key alone (:func:`by_key`), or a crosswalk that remembers."""


def by_key(keys: Keys, *, length: int = 12) -> Resolve:
    """Subjects that follow from the key and the patient alone, the same in every process."""

    def resolve(patient: Patient) -> Subject:
        identity = patient.identity
        real = frozenset(w for w in patient.name.lower().replace("=", "^").split("^") if w)
        return Subject(
            patient_id=keys.word("", identity, length),
            fake_name=names.fake_name(keys, identity, patient.sex, real),
            birth_date=_birth_date(keys, patient),
            shift=dates.shift_of(keys, identity),
        )

    return resolve


def _birth_date(keys: Keys, patient: Patient) -> str:
    then = dates.parsed(patient.study_date)
    born = dates.parsed(patient.birth_date)
    if then is None:
        return ""
    if born is not None and born <= then:
        age = dates.years_between(born, then)
    elif patient.age[:3].isdigit() and patient.age[3:4] == "Y":
        age = int(patient.age[:3])
    else:
        return ""
    return dates.birth_date(keys, patient.identity, at=then, age=age)
