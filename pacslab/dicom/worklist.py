"""The Modality Worklist's attributes (PS3.4 table K.6-1), and matching where no index is asked.

A scheduled procedure step is a row: attributes of the requested procedure and the patient, and,
beside them, those that stand in the Scheduled Procedure Step Sequence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

from pacslab.dicom.keywords import Attribute, Level
from pacslab.dicom.matching import Kind, Match, fold, matches_of

SEQUENCE: Final = "ScheduledProcedureStepSequence"

REQUEST: Final = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientWeight",
    "PatientSize",
    "MedicalAlerts",
    "Allergies",
    "PregnancyStatus",
    "AccessionNumber",
    "ReferringPhysicianName",
    "RequestingPhysician",
    "StudyInstanceUID",
    "RequestedProcedureID",
    "RequestedProcedureDescription",
    "RequestedProcedurePriority",
    "AdmissionID",
    "CurrentPatientLocation",
)
"""Of the patient, the visit, the imaging service request and the requested procedure."""

STEP: Final = (
    "ScheduledStationAETitle",
    "ScheduledProcedureStepStartDate",
    "ScheduledProcedureStepStartTime",
    "Modality",
    "ScheduledPerformingPhysicianName",
    "ScheduledProcedureStepDescription",
    "ScheduledStationName",
    "ScheduledProcedureStepLocation",
    "PreMedication",
    "ScheduledProcedureStepID",
    "RequestedContrastAgent",
    "ScheduledProcedureStepStatus",
)
"""Of the scheduled procedure step itself."""

COLUMNS: Final = (*REQUEST, *STEP)
DONE: Final = frozenset({"COMPLETED", "DISCONTINUED"})
"""Statuses of steps that no worklist shows any more."""


@lru_cache(maxsize=256)
def attribute(keyword: str) -> Attribute:
    """An attribute of the worklist."""
    return Attribute(keyword, Level.SERIES)


def conditions(keys: Mapping[str, str]) -> list[Match]:
    """What the keys ask for; what is no attribute of a worklist row matches everything.

    Raises QueryError for values that can't be meant.
    """
    return [
        match
        for keyword, text in keys.items()
        if keyword in COLUMNS
        for match in matches_of(attribute(keyword), text)
    ]


def fulfils(row: Mapping[str, object], matches: Iterable[Match]) -> bool:
    """Whether a row has what every match asks for (PS3.4 C.2.2.2)."""
    return all(_fulfils(row.get(m.attribute.keyword), m) for m in matches)


def _fulfils(value: object, match: Match) -> bool:
    if value is None or value == "":
        return match.kind is Kind.EMPTY
    attribute, text = match.attribute, str(value)
    if match.kind is Kind.EMPTY:
        return False
    if match.kind is Kind.RANGE:
        low, high = match.values
        # A bound given to the minute includes that minute
        return low <= text and (not high or text[: len(high)] <= high)
    held = text.split("\\") if attribute.multiple else [text]
    if attribute.vr == "PN":
        held = [part for v in held for part in (fold(v), *fold(v).split("="))]
    if match.kind is Kind.WILDCARD:
        pattern = re.compile(_pattern(match.values[0]), re.DOTALL)
        return any(pattern.fullmatch(v) for v in held)
    if attribute.vr == "TM":
        return any(v.rstrip("0.") == w.rstrip("0.") for v in held for w in match.values)
    if attribute.python_type is not str:
        return any(float(v) == float(w) for v in held for w in match.values)
    return any(v == w for v in held for w in match.values)


def _pattern(text: str) -> str:
    return "".join({"*": ".*", "?": "."}.get(c, re.escape(c)) for c in text)
