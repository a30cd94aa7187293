"""What is exported: the instances of a cohort, and what became of each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd
from tqdm.auto import tqdm

from pacslab.archive import Archive, Stored
from pacslab.cohort.mirror import Mirror
from pacslab.cohort.selection import instances_of
from pacslab.cohort.sql import query
from pacslab.errors import UsageError

STATUSES: Final = ("written", "already there", "left out", "failed")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an instance: its file or folder in the dataset, status, reason, SHA-256.

    ``left out`` is what the format has no place for, ``failed`` what should have been there.
    """

    path: str
    status: str
    reason: str
    stored: Stored
    sha256: str | None = None


@dataclass(frozen=True)
class Job:
    """A cohort to be exported, as it is at this moment."""

    archive: Archive
    mirror: Mirror
    found: tuple[Stored, ...]
    patients: Mapping[str, str | None]
    images: frozenset[str]
    options: Mapping[str, Any]
    progress: bool

    @classmethod
    def of(
        cls,
        archive: Archive,
        mirror: Mirror,
        what: Any,
        *,
        options: Mapping[str, Any],
        progress: bool,
    ) -> Job:
        """The job for a cohort as ``selection`` takes it. Raises UsageError for an empty one."""
        found = tuple(instances_of(archive, what))
        if not found:
            raise UsageError("nothing is in that cohort: there is nothing to export")
        rows = query(mirror, "SELECT StudyInstanceUID, PatientID FROM studies")
        patients = {s: p if isinstance(p, str) else None for s, p in rows.itertuples(index=False)}
        images = query(mirror, "SELECT SOPInstanceUID FROM instances WHERE Rows IS NOT NULL")
        return cls(
            archive, mirror, found, patients, frozenset(images["SOPInstanceUID"]), options, progress
        )

    @property
    def digest(self) -> str:
        """The SHA-256 over the instances and their data sets, which names this very cohort."""
        lines = sorted(f"{s.sop_instance_uid} {s.sha256}\n" for s in self.found)
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def patient(self, stored: Stored) -> str | None:
        """The PatientID of an instance."""
        return self.patients.get(stored.study_instance_uid)

    def instances(self) -> Iterator[Stored]:
        """The instances, with a progress bar."""
        yield from tqdm(self.found, "exporting", unit="instance", disable=not self.progress)

    def series(self) -> Iterator[tuple[str, list[Stored]]]:
        """The instances series by series, with a progress bar."""
        grouped: dict[str, list[Stored]] = {}
        for stored in self.found:
            grouped.setdefault(stored.series_instance_uid, []).append(stored)
        bar = tqdm(grouped.items(), "exporting", unit="series", disable=not self.progress)
        yield from bar

    def is_image(self, stored: Stored) -> bool:
        """Whether an instance says that it has pixels."""
        return stored.sop_instance_uid in self.images

    def table(self, statement: str) -> pd.DataFrame:
        """The answer to SQL that names the cohort's instances ``chosen``."""
        uids = [stored.sop_instance_uid for stored in self.found]
        chosen = pd.DataFrame({"SOPInstanceUID": pd.Series(uids, dtype="str")})
        return query(self.mirror, statement, frames={"chosen": chosen})
