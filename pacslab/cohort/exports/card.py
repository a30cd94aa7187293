"""The dataset card: what an exported dataset holds and where it comes from, for its next user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pandas as pd

from pacslab.cohort.exports.folder import Folder
from pacslab.cohort.exports.job import Job

_COUNTS: Final = """SELECT count(DISTINCT PatientID) AS patients,
    count(DISTINCT StudyInstanceUID) AS studies, count(DISTINCT SeriesInstanceUID) AS series,
    count(*) AS instances, round(sum(DataSetSize) / 1e6, 1) AS megabytes
    FROM instances SEMI JOIN chosen USING (SOPInstanceUID)"""
_MODALITIES: Final = """SELECT Modality, Manufacturer, count(DISTINCT PatientID) AS patients,
    count(DISTINCT SeriesInstanceUID) AS series, count(*) AS instances
    FROM instances SEMI JOIN chosen USING (SOPInstanceUID)
    JOIN (SELECT SeriesInstanceUID, Modality, Manufacturer FROM series) USING (SeriesInstanceUID)
    GROUP BY ALL ORDER BY instances DESC, 1, 2 LIMIT 40"""
_PEOPLE: Final = """SELECT PatientSex, count(DISTINCT PatientID) AS patients,
    min(StudyDate)::VARCHAR AS first_study, max(StudyDate)::VARCHAR AS last_study FROM studies
    WHERE StudyInstanceUID IN (SELECT StudyInstanceUID FROM instances
    SEMI JOIN chosen USING (SOPInstanceUID)) GROUP BY ALL ORDER BY ALL"""
_DEIDENTIFIED: Final = """SELECT PatientIdentityRemoved, array_to_string(DeidentificationMethod,
    ', ') AS DeidentificationMethod, count(*) AS studies FROM studies
    WHERE StudyInstanceUID IN (SELECT StudyInstanceUID FROM instances
    SEMI JOIN chosen USING (SOPInstanceUID)) GROUP BY ALL ORDER BY ALL"""


def write(job: Job, folder: Folder, about: Mapping[str, Any], findings: pd.DataFrame) -> None:
    """``README.md`` of the dataset: counts, modalities, sexes, SQL, de-identification, quality."""
    *counts, megabytes = next(job.table(_COUNTS).itertuples(index=False))
    names = ("patients", "studies", "series", "instances")
    numbers = ", ".join(f"{number:,} {name}" for number, name in zip(counts, names, strict=True))
    lines = [
        f"# {about.get('name') or 'Dataset'}",
        "",
        f"{numbers}; {megabytes:,} MB of DICOM. Format: {about['format']}.",
        f"Licence: {about.get('licence') or 'not stated; ask whoever gave you this dataset'}.",
        "",
        *_section("What it holds", job.table(_MODALITIES)),
        *_section("Whom it shows", job.table(_PEOPLE)),
        *_section("De-identification, as the headers say", job.table(_DEIDENTIFIED)),
        *_section("Quality", _summary(findings), "No finding."),
        "## How it was chosen",
        "",
        f"SHA-256 over the lines `SOPInstanceUID SHA-256`, sorted: `{about['digest']}`.",
        "",
    ]
    if about.get("sql"):
        lines += ["```sql", str(about["sql"]).strip(), "```", ""]
    if about.get("parameters"):
        lines += [f"with {about['parameters']}", ""]
    lines += [
        "`manifest.parquet` and `manifest.csv` have a row an instance: its file, UIDs and SHA-256.",
        "",
    ]
    folder.write("README.md", "\n".join(lines))


def _section(title: str, rows: pd.DataFrame, otherwise: str = "") -> list[str]:
    if rows.empty:
        return [f"## {title}", "", otherwise, ""]
    shown = rows.astype(object).where(rows.notna(), "")
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in shown.itertuples(index=False)]
    rule = "|" + " --- |" * len(rows.columns)
    return [f"## {title}", "", "| " + " | ".join(rows.columns) + " |", rule, *lines, ""]


def _summary(findings: pd.DataFrame) -> pd.DataFrame:
    if findings.empty:
        return findings
    return (
        findings.groupby(["Severity", "Check"], as_index=False)
        .size()
        .rename(columns={"size": "findings"})
    )
