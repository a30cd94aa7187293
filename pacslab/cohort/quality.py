"""The quality of a cohort: what a researcher would rather know before she computes on it."""

from __future__ import annotations

from typing import Any, Final

import pandas as pd
from tqdm.auto import tqdm

from pacslab.archive import Archive, Stored
from pacslab.cohort.checks import CHECKS, COMMON
from pacslab.cohort.mirror import Mirror
from pacslab.cohort.selection import instances_of
from pacslab.cohort.sql import query
from pacslab.dicom.pixels import open_pixels
from pacslab.errors import PacslabError

COLUMNS: Final = ("Severity", "Check", "PatientID", "StudyInstanceUID", "SeriesInstanceUID",
                  "SOPInstanceUID", "Detail")  # fmt: skip
_ORDER: Final = {"error": 0, "warning": 1, "note": 2}
_PARENTS: Final = {
    "StudyInstanceUID": "SELECT PatientID, StudyInstanceUID, NULL AS SeriesInstanceUID, "
    "NULL AS SOPInstanceUID FROM t",
    "SeriesInstanceUID": "SELECT PatientID, StudyInstanceUID, SeriesInstanceUID, "
    "NULL AS SOPInstanceUID FROM s",
    "SOPInstanceUID": "SELECT PatientID, StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID "
    "FROM i",
}


def quality(
    archive: Archive,
    mirror: Mirror,
    what: Any = None,
    *,
    pixels: bool = False,
    progress: bool = True,
) -> pd.DataFrame:
    """A row for each finding in a cohort (as ``selection`` takes it; None is all), errors first.

    Columns: Severity (error, warning, note), Check, PatientID, the UIDs as far as the finding is
    about one, and Detail. With ``pixels`` every frame is decoded as well.
    """
    chosen = _chosen(archive, mirror, what)
    found = [_ask(mirror, chosen, number) for number in range(len(CHECKS))]
    if pixels:
        found.append(_unreadable(archive, mirror, chosen, progress))
    rows = pd.concat([f for f in found if len(f)] or found[:1], ignore_index=True)
    rows = rows.sort_values(
        ["Severity", "Check", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"],
        key=lambda column: column.map(_ORDER) if column.name == "Severity" else column,
        ignore_index=True,
    )
    return rows[list(COLUMNS)]


def meanings() -> pd.DataFrame:
    """Every check: its severity and what a finding of it means."""
    rows = [(c.name, c.severity, c.meaning) for c in CHECKS]
    rows.append(("unreadable pixels", "error", "a frame can't be decoded (with pixels=True)"))
    return pd.DataFrame(rows, columns=["Check", "Severity", "Meaning"])


def _chosen(archive: Archive, mirror: Mirror, what: Any) -> pd.DataFrame:
    if what is None:
        return query(mirror, "SELECT SOPInstanceUID FROM instances")
    uids = [stored.sop_instance_uid for stored in instances_of(archive, what)]
    return pd.DataFrame({"SOPInstanceUID": pd.Series(uids, dtype="str")})


def _ask(mirror: Mirror, chosen: pd.DataFrame, number: int) -> pd.DataFrame:
    check = CHECKS[number]
    key = check.statement.split(",", 1)[0].split()[-1]
    statement = f"""WITH {COMMON}, found AS ({check.statement}), place AS ({_PARENTS[key]})
        SELECT '{check.severity}' AS Severity, $name AS "Check", place.*, found.Detail
        FROM found JOIN place USING ({key})"""
    return query(mirror, statement, {"name": check.name}, {"chosen": chosen})


def _unreadable(
    archive: Archive, mirror: Mirror, chosen: pd.DataFrame, progress: bool
) -> pd.DataFrame:
    images = query(
        mirror,
        "SELECT PatientID, SOPInstanceUID FROM instances SEMI JOIN chosen USING (SOPInstanceUID) "
        "WHERE Rows IS NOT NULL",
        frames={"chosen": chosen},
    )
    patients = dict(zip(images["SOPInstanceUID"], images["PatientID"], strict=True))
    rows = []
    if patients:
        found = instances_of(archive, images)
        for one in tqdm(found, "decoding", len(patients), unit="image", disable=not progress):
            if detail := _decodes(one):
                uids = (one.study_instance_uid, one.series_instance_uid, one.sop_instance_uid)
                patient = patients[one.sop_instance_uid]
                rows.append(("error", "unreadable pixels", patient, *uids, detail))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _decodes(stored: Stored) -> str:
    """What is wrong with an instance's frames; empty when all can be decoded."""
    try:
        with open_pixels(stored.path) as pixels:
            for frame in range(pixels.number_of_frames):
                pixels.frame(frame)
    except (PacslabError, OSError) as error:
        return str(error)
    return ""
