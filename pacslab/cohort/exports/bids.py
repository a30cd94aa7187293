"""A BIDS dataset of a cohort's MR series: converted by dcm2niix, named, described, validated."""

from __future__ import annotations

import json
import shutil
import subprocess
import sysconfig
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import pandas as pd

from pacslab.archive import Stored
from pacslab.cohort.exports import bids_names as names
from pacslab.cohort.exports import nifti
from pacslab.cohort.exports.folder import STATE, Folder, writing
from pacslab.cohort.exports.job import Job, Outcome
from pacslab.errors import PacslabError

_STAGING: Final = ".pacslab"
_PLAN: Final = "sourcedata/pacslab-series.json"
_SERIES: Final = """SELECT s.SeriesInstanceUID, s.StudyInstanceUID, s.PatientID, s.Modality,
    s.SeriesNumber, s.SeriesDescription, s.ProtocolName, t.StudyDate, t.StudyTime, t.PatientSex,
    t.PatientAge FROM series s JOIN studies t USING (StudyInstanceUID) WHERE s.SeriesInstanceUID IN
    (SELECT SeriesInstanceUID FROM instances SEMI JOIN chosen USING (SOPInstanceUID))
    ORDER BY t.StudyDate, t.StudyTime, t.StudyInstanceUID, s.SeriesNumber, s.SeriesInstanceUID"""
_ENDINGS: Final = (".nii.gz", ".json", ".bvec", ".bval")


@dataclass(frozen=True, slots=True)
class _Volume:
    """One volume that dcm2niix made: where it stands, its sidecar, and what it is."""

    row: Any
    file: Path
    sidecar: dict[str, Any]
    kind: names.Kind


def write(job: Job, folder: Folder) -> Iterator[Outcome]:
    """``sub-*/[ses-*/]anat|func|dwi``, ``participants.tsv``, ``dataset_description.json``.

    Series are MR; what has no place or name in BIDS is left out, with the reason. Raises
    PacslabError when the BIDS validator is installed and finds an error.
    """
    rows: dict[str, Any] = {
        str(row.SeriesInstanceUID): row for row in job.table(_SERIES).itertuples(index=False)
    }
    plan = _known(folder)
    done = plan is not None
    if plan is None:
        plan = _made(job, folder, rows)
    for series, found in _by_series(job).items():
        told = plan[series]
        for stored in found:
            status = "already there" if done and told["status"] == "written" else told["status"]
            yield Outcome(told["path"], status, told["reason"], stored)


def validate(root: Path) -> list[str]:
    """The errors that the BIDS validator finds; none as well where it isn't installed."""
    # A program of this environment, which needn't be activated, or another one
    name = "bids-validator-deno"
    program = shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)
    if program is None:
        return []
    command = [program, "--ignoreWarnings", "--format", "json", str(root)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    try:
        issues = json.loads(ended.stdout)["issues"]["issues"]
    except (ValueError, KeyError) as error:
        raise PacslabError(f"the BIDS validator failed: {ended.stderr[-500:]}") from error
    return [
        f"{issue.get('code')} {issue.get('subCode', '')}: {issue.get('location', '')}".strip()
        for issue in issues
        if issue.get("severity") == "error"
    ]


def _known(folder: Folder) -> dict[str, dict[str, str]] | None:
    """What an earlier run made, when all of it is still there."""
    try:
        plan: dict[str, dict[str, str]] = json.loads((folder.root / _PLAN).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    written = [told["path"] for told in plan.values() if told["status"] == "written"]
    whole = all((folder.root / f"{path}.nii.gz").exists() for path in written)
    return plan if whole else None


def _made(job: Job, folder: Folder, rows: dict[str, Any]) -> dict[str, dict[str, str]]:
    plan, volumes = {}, []
    program = nifti.executable()
    for series, found in job.series():
        row = rows[series]
        if row.Modality != "MR":
            plan[series] = _told("left out", f"BIDS has no place for {row.Modality} here")
            continue
        made = _converted(folder, program, series, found)
        if isinstance(made, str):
            plan[series] = _told("failed", made)
            continue
        kinds = [_volume(row, file) for file in made]
        volumes += [kind for kind in kinds if isinstance(kind, _Volume)]
        why = next((kind for kind in kinds if isinstance(kind, str)), "")
        plan[series] = _told("left out", why)
    for volume, path in _named(volumes, rows):
        _place(folder, volume, path)
        plan[volume.row.SeriesInstanceUID] = _told("written", "", path.as_posix())
    _describe(folder, job, [volume.row for volume in volumes])
    folder.write(_PLAN, json.dumps(plan, indent=1, ensure_ascii=False) + "\n")
    if errors := validate(folder.root):
        raise PacslabError(f"{folder.root} isn't valid BIDS: {'; '.join(errors[:5])}")
    shutil.rmtree(folder.root / _STAGING, ignore_errors=True)
    return plan


def _told(status: str, reason: str, path: str = "") -> dict[str, str]:
    return {"status": status, "reason": reason, "path": path}


def _by_series(job: Job) -> dict[str, list[Stored]]:
    grouped: dict[str, list[Stored]] = defaultdict(list)
    for stored in job.found:
        grouped[stored.series_instance_uid].append(stored)
    return grouped


def _converted(folder: Folder, program: str, series: str, found: list[Stored]) -> list[Path] | str:
    """The volumes of a series, which an earlier run may have made; or why there are none."""
    done = folder.root / _STAGING / series
    if not done.is_dir():
        partial = done.with_name(f"{series}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        with writing(folder.root):
            partial.mkdir(parents=True)
            if reason := nifti.convert(program, [stored.path for stored in found], partial):
                shutil.rmtree(partial)
                return reason
            partial.replace(done)
    return sorted(done.glob("*.nii.gz"))


def _volume(row: Any, file: Path) -> _Volume | str:
    beside = file.with_name(file.name.removesuffix(".nii.gz") + ".json")
    try:
        # dcm2niix writes control characters of descriptions as they are.
        sidecar = json.loads(beside.read_text("utf-8", "replace"), strict=False)
    except (OSError, ValueError):
        sidecar = {}
    texts = [t for t in (row.SeriesDescription, row.ProtocolName) if isinstance(t, str)]
    kind = names.kind_of(texts, sidecar)
    if isinstance(kind, str):
        return kind
    if kind.suffix == "dwi" and not file.with_name(beside.stem + ".bvec").exists():
        return "no gradient directions in it, so that it can't be dwi"
    if kind.suffix == "bold" and "RepetitionTime" not in sidecar:
        return "no RepetitionTime in it, so that it can't be bold"
    return _Volume(row, file, sidecar, kind)


def _patient(row: Any) -> str:
    return row.PatientID if isinstance(row.PatientID, str) else f"study {row.StudyInstanceUID}"


def _named(volumes: list[_Volume], rows: dict[str, Any]) -> Iterator[tuple[_Volume, Path]]:
    subjects = names.subjects(_patient(v.row) for v in volumes)
    studies: dict[str, list[str]] = defaultdict(list)
    held = {v.row.StudyInstanceUID for v in volumes}
    for row in rows.values():
        if row.StudyInstanceUID in held and row.StudyInstanceUID not in studies[_patient(row)]:
            studies[_patient(row)].append(row.StudyInstanceUID)
    sessions = names.sessions(studies)
    groups: dict[tuple[str, str, names.Kind], list[_Volume]] = defaultdict(list)
    order = {series: number for number, series in enumerate(rows)}
    for volume in sorted(volumes, key=lambda v: (order[v.row.SeriesInstanceUID], v.file.name)):
        where = (subjects[_patient(volume.row)], sessions[volume.row.StudyInstanceUID])
        groups[(*where, volume.kind)].append(volume)
    for (subject, session, kind), several in groups.items():
        for number, volume in enumerate(several, start=1):
            run = number if len(several) > 1 else None
            yield volume, names.stem(subject, session, kind, run)


def _place(folder: Folder, volume: _Volume, path: Path) -> None:
    sidecar = {**volume.sidecar, **({"TaskName": volume.kind.task} if volume.kind.task else {})}
    sidecar.pop("BidsGuess", None)
    folder.write(f"{path}.json", json.dumps(sidecar, indent=1, ensure_ascii=False) + "\n")
    base = volume.file.name.removesuffix(".nii.gz")
    for ending in _ENDINGS:
        source = volume.file.with_name(base + ending)
        if ending != ".json" and source.exists():
            folder.copy(source, f"{path}{ending}")


def _describe(folder: Folder, job: Job, rows: list[Any]) -> None:
    about = {
        "Name": str(job.options.get("name") or "pacslab export"),
        "BIDSVersion": names.VERSION,
        "DatasetType": "raw",
        "License": str(job.options.get("licence") or "not stated"),
        "GeneratedBy": [
            {"Name": "pacslab", "Version": version("pacslab")},
            {"Name": "dcm2niix", "Version": version("dcm2niix")},
        ],
    }
    folder.write("dataset_description.json", json.dumps(about, indent=1) + "\n")
    subjects = names.subjects(map(_patient, rows))
    people: dict[str, tuple[str, str, str]] = {}
    for row in rows:
        subject = f"sub-{subjects[_patient(row)]}"
        sex = row.PatientSex if row.PatientSex in {"M", "F", "O"} else "n/a"
        people.setdefault(subject, (subject, _years(row.PatientAge), sex))
    table = pd.DataFrame(list(people.values()), columns=["participant_id", "age", "sex"])
    if len(table):
        text = table.sort_values("participant_id").to_csv(
            sep="\t", index=False, lineterminator="\n"
        )
        folder.write("participants.tsv", text)
        columns = {
            "age": {"Description": "Age at the first study", "Units": "year"},
            "sex": {"Description": "Patient's Sex (0010,0040)",
                    "Levels": {"M": "male", "F": "female", "O": "other"}},
        }  # fmt: skip
        folder.write("participants.json", json.dumps(columns, indent=1) + "\n")
    ignored = ["manifest.csv", "manifest.parquet", "checksums.sha256", STATE, _STAGING]
    folder.write(".bidsignore", "".join(f"{name}\n" for name in ignored))


def _years(age: Any) -> str:
    """PatientAge in whole years; BIDS tops ages at 89."""
    if not isinstance(age, str) or len(age) != 4 or not age[:3].isdigit():
        return "n/a"
    years = int(age[:3]) if age[3] == "Y" else 0
    return str(min(years, 89))
