"""NIfTI volumes by dcm2niix, which knows what each manufacturer does."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pacslab.archive import Stored
from pacslab.cohort.exports.folder import Folder, safe, writing
from pacslab.cohort.exports.job import Job, Outcome
from pacslab.errors import UsageError

_SECONDS = 1800


def write(job: Job, folder: Folder) -> Iterator[Outcome]:
    """A folder a series with ``.nii.gz`` and its ``.json``; what dcm2niix refuses is told.

    The sidecars leave out what dcm2niix takes for identifying (``-ba y``). Series without images
    (reports, structure sets) are left out.
    """
    program = executable()
    for series, found in job.series():
        patient = safe(job.patient(found[0]), "no-patient-id")
        name = f"nifti/{patient}/{found[0].study_instance_uid}/{series}"
        if (folder.root / name).is_dir():
            yield from (Outcome(name, "already there", "", s) for s in found)
            continue
        if not any(job.is_image(stored) for stored in found):
            yield from (Outcome(name, "left out", "no images", s) for s in found)
            continue
        reason = _convert(program, folder, name, found)
        status = "failed" if reason else "written"
        yield from (Outcome(name, status, reason, s) for s in found)


def executable() -> str:
    """Where dcm2niix is. Raises UsageError that says how to get it."""
    found = shutil.which("dcm2niix")
    if found:
        return found
    try:
        import dcm2niix
    except ImportError:
        raise UsageError(
            "NIfTI is made by dcm2niix, which isn't here: pip install dcm2niix"
        ) from None
    return str(dcm2niix.bin)


def convert(program: str, files: list[Path], out: Path) -> str:
    """Run dcm2niix over these files into ``out``; the reason when nothing came of it."""
    with tempfile.TemporaryDirectory(prefix="pacslab-") as scratch:
        for number, file in enumerate(files):
            (Path(scratch) / f"{number:06}.dcm").symlink_to(file)
        options = ["-b", "y", "-ba", "y", "-z", "y", "-f", "%s_%d"]
        command = [program, *options, "-o", str(out), scratch]
        try:
            ended = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=_SECONDS
            )
        except subprocess.TimeoutExpired:
            return f"dcm2niix didn't end within {_SECONDS} s"
    if any(out.glob("*.nii.gz")) and ended.returncode == 0:
        return ""
    said = [line.replace(scratch, "") for line in (ended.stdout + ended.stderr).splitlines()]
    told = [line.strip() for line in said if line.startswith(("Error", "Warning"))]
    told = told or [line.strip() for line in said if "no valid" in line.lower()] or said[-1:]
    return "dcm2niix: " + "; ".join(told[:3] or [f"ended with {ended.returncode}"])


def _convert(program: str, folder: Folder, name: str, found: list[Stored]) -> str:
    partial = folder.root / f"{name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with writing(folder.root):
            partial.mkdir(parents=True)
            reason = convert(program, [stored.path for stored in found], partial)
            if not reason:
                partial.rename(folder.root / name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return reason
