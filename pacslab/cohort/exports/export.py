"""One way out for every format: claim the folder, write, manifest, card, done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pandas as pd

from pacslab.archive import Archive
from pacslab.cohort import gate
from pacslab.cohort.cohort import Cohort
from pacslab.cohort.exports import bids, card, dicom, nifti, parquet
from pacslab.cohort.exports.folder import Folder
from pacslab.cohort.exports.job import Job, Outcome
from pacslab.cohort.mirror import Mirror
from pacslab.cohort.quality import quality
from pacslab.errors import UsageError

_WRITERS: Final[Mapping[str, Callable[[Job, Folder], Iterator[Outcome]]]] = {
    "bids": bids.write,
    "dicom": dicom.write,
    "nifti": nifti.write,
    "parquet": parquet.write,
}
_OPTIONS: Final = {"bids": frozenset[str](), "dicom": frozenset[str](), "nifti": frozenset[str](),
                   "parquet": frozenset({"pixels"})}  # fmt: skip
FORMATS: Final = tuple(_WRITERS)
COLUMNS: Final = ("path", "Status", "Reason", "PatientID", "StudyInstanceUID", "SeriesInstanceUID",
                  "SOPInstanceUID", "SOPClassUID", "SHA256")  # fmt: skip


def export(
    archive: Archive,
    mirror: Mirror,
    what: Any,
    out: Path,
    *,
    format: str = "dicom",
    licence: str = "",
    sql: str | None = None,
    override: str | None = None,
    progress: bool = True,
    **options: Any,
) -> pd.DataFrame:
    """Write a dataset to the folder ``out``; a row an instance with its file, status and reason.

    The folder is new or holds an earlier run of the same export, which is finished. It gets a
    manifest (Parquet and CSV), checksums for ``sha256sum -c``, a dataset card, and
    ``pacslab-export.json``. An instance that can't be written is told and the rest goes on. Raises
    UsageError for a format or folder that can't be meant, GateError where the archive's gate is
    closed to it and no ``override`` says why it is passed, OutOfResourcesError when the disk is
    full.
    """
    if format not in _WRITERS:
        raise UsageError(f"format is {format!r}: take one of {', '.join(FORMATS)}")
    if unknown := options.keys() - _OPTIONS[format]:
        raise UsageError(f"{format} takes no option {unknown.pop()!r}")
    gate.check(archive, mirror, what, out, format=format, override=override)
    of_cohort = _of_cohort(what)
    told = {"licence": licence, "name": of_cohort.get("name")}
    job = Job.of(archive, mirror, what, options={**options, **told}, progress=progress)
    same = {"format": format, "digest": job.digest, "options": options}
    folder = Folder.claimed(out.expanduser().absolute(), same)
    outcomes = list(_WRITERS[format](job, folder))
    rows = pd.DataFrame([_row(job, one) for one in outcomes], columns=list(COLUMNS))
    done = rows[rows["Status"].isin(["written", "already there"])].drop(
        columns=["Status", "Reason"]
    )
    with folder.file("manifest.parquet") as partial:
        done.to_parquet(partial, index=False)
    folder.write("manifest.csv", done.to_csv(index=False, lineterminator="\n"))
    about = {**same, "licence": licence, "sql": sql, **of_cohort}
    chosen = pd.DataFrame({"SOPInstanceUID": [s.sop_instance_uid for s in job.found]})
    card.write(job, folder, about, quality(archive, mirror, chosen))
    folder.checksums()
    folder.finish({"instances": len(done), "failed": int((rows["Status"] == "failed").sum())})
    return rows


def _of_cohort(what: Any) -> dict[str, Any]:
    if not isinstance(what, Cohort):
        return {}
    frozen = what.frozen
    name = f"{frozen.name}, version {frozen.version}"
    return {"name": name, "sql": frozen.statement, "parameters": dict(frozen.parameters)}


def _row(job: Job, one: Outcome) -> tuple[Any, ...]:
    stored = one.stored
    uids = (stored.study_instance_uid, stored.series_instance_uid, stored.sop_instance_uid)
    return (one.path, one.status, one.reason, job.patient(stored), *uids, stored.sop_class_uid,
            one.sha256)  # fmt: skip
