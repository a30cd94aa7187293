"""A folder of DICOM files, PatientID/Study/Series/Instance, with a manifest and checksums."""

from __future__ import annotations

from collections.abc import Iterator

from pacslab.archive import Stored
from pacslab.cohort.exports.folder import Folder, safe, sha256
from pacslab.cohort.exports.job import Job, Outcome
from pacslab.errors import OutOfResourcesError


def write(job: Job, folder: Folder) -> Iterator[Outcome]:
    """Copy every instance; one that is there already, byte for byte, is left."""
    for stored in job.instances():
        name = _name(job, stored)
        target = folder.root / name
        there = target.exists()
        reason = ""
        digest = None
        try:
            digest = sha256(stored.path)
            there = there and sha256(target) == digest
            if not there:
                folder.copy(stored.path, name)
        except OutOfResourcesError:
            raise
        except OSError as error:
            reason = f"can't be read: {error.strerror or error}"
        status = "failed" if reason else "already there" if there else "written"
        yield Outcome(name, status, reason, stored, digest)


def _name(job: Job, stored: Stored) -> str:
    patient = safe(job.patient(stored), "no-patient-id")
    uids = (stored.study_instance_uid, stored.series_instance_uid)
    return "/".join(("dicom", patient, *uids, f"{stored.sop_instance_uid}.dcm"))
