"""Splits for machine learning: by patient, so that nobody is on both sides."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import pandas as pd

from pacslab.cohort.mirror import Mirror
from pacslab.cohort.sql import query
from pacslab.errors import UsageError


def split(
    series: pd.DataFrame,
    shares: Mapping[str, float],
    seed: int,
    labels: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """``series`` with a column Split; patients are shared out, within each label of theirs.

    A study without PatientID counts as a patient of its own. The order of patients is that of a
    SHA-256 over seed and patient, so that it depends on nothing else; each goes where most is
    missing, so that every side has its share to within one patient, in each stratum as well.
    Raises UsageError for shares that don't add up to 1.
    """
    if any(share <= 0 for share in shares.values()) or abs(sum(shares.values()) - 1) > 1e-9:
        given = ", ".join(f"{name}={share}" for name, share in shares.items())
        raise UsageError(f"{given}: give parts of a whole, such as train=0.8, test=0.2")
    who = _patients(series)
    drawn = {
        patient: (
            labels.get(patient, "") if labels else "",
            hashlib.sha256(f"{seed}\0{patient}".encode()).hexdigest(),
        )
        for patient in set(who)
    }
    sides: dict[str, str] = {}
    counts = dict.fromkeys(shares, 0)
    for number, patient in enumerate(sorted(drawn, key=lambda p: drawn[p]), start=1):
        side = max(shares, key=lambda name: shares[name] * number - counts[name])
        counts[side] += 1
        sides[patient] = side
    columns = ["PatientID", "StudyInstanceUID", "SeriesInstanceUID", "NumberOfInstances"]
    return series[columns].assign(Split=[sides[p] for p in who])


def labels(mirror: Mirror, series: pd.DataFrame, columns: Sequence[str]) -> dict[str, str]:
    """What stratifies each patient: the most frequent value of each column among the series.

    Raises SQLError for a column that ``index`` hasn't.
    """
    quoted = ", ".join(f'"{name.replace(chr(34), chr(34) * 2)}"' for name in columns)
    rows = query(
        mirror,
        f"SELECT SeriesInstanceUID, {quoted} FROM index JOIN chosen USING (SeriesInstanceUID)",
        frames={"chosen": series[["SeriesInstanceUID"]]},
    )
    texts = [" | ".join(map(str, row)) for row in rows[list(columns)].itertuples(index=False)]
    values = pd.Series(texts, index=rows["SeriesInstanceUID"])
    by_patient = pd.DataFrame(
        {"patient": _patients(series), "label": series["SeriesInstanceUID"].map(values)}
    )
    found = by_patient.dropna().groupby("patient")["label"].agg(lambda v: v.mode().iloc[0])
    return {str(patient): str(label) for patient, label in found.items()}


def _patients(series: pd.DataFrame) -> list[str]:
    ids = series["PatientID"].where(series["PatientID"].notna(), series["StudyInstanceUID"])
    return [str(patient) for patient in ids]
