"""What a radiologist would have written: Basic Text SR (PS3.3 A.35.1)."""

from __future__ import annotations

from typing import Any

from pydicom.uid import BasicTextSRStorage

from pacslab.demo.iods import code
from pacslab.demo.protocols import Protocol


def findings(protocol: Protocol, lesion: float, before: float | None) -> tuple[str, str]:
    """Findings and impression in words; diameters in mm, ``before`` that of the study before."""
    if lesion <= 0:
        return f"{protocol.description}: no focal abnormality.", "Normal examination."
    size = f"{2 * lesion:.0f} mm"
    text = f"{protocol.description}: {protocol.lesion} of {size}."
    if before is None:
        return text, f"{protocol.lesion.capitalize()}, {size}. Follow-up advised."
    if lesion > before * 1.1:
        change = "Progression"
    elif lesion < before * 0.9:
        change = "Regression"
    else:
        change = "Stable disease"
    return f"{text} Previously {2 * before:.0f} mm.", f"{change}."


def report(text: str, impression: str) -> dict[str, Any]:
    """The attributes that make a series of a study its report."""

    def section(value: str, meaning: str, said: str) -> dict[str, Any]:
        return {
            "RelationshipType": "CONTAINS",
            "ValueType": "TEXT",
            "ConceptNameCodeSequence": code(value, "DCM", meaning),
            "TextValue": said,
        }

    return {
        "SOPClassUID": BasicTextSRStorage,
        "Modality": "SR",
        "SeriesDescription": "Report",
        "ReferencedPerformedProcedureStepSequence": [],
        "PerformedProcedureCodeSequence": [],
        "ValueType": "CONTAINER",
        "ContinuityOfContent": "SEPARATE",
        "ConceptNameCodeSequence": code("18748-4", "LN", "Diagnostic imaging report"),
        "CompletionFlag": "COMPLETE",
        "VerificationFlag": "UNVERIFIED",
        "ContentSequence": [
            section("121071", "Finding", text),
            section("121077", "Conclusion", impression),
            section("121106", "Comment", "SYNTHETIC: no such patient, no such examination."),
        ],
    }
