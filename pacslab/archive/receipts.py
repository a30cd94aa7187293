"""What the archive answers to whoever hands it something."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from pacslab.dicom.instance import Buffer, Instance
from pacslab.errors import PacslabError


class Status(StrEnum):
    """What became of something that was handed to the archive."""

    STORED = "stored"
    PRESENT = "already there"
    REFUSED = "refused"


class OnConflict(StrEnum):
    """What happens to a SOP Instance UID that comes again with other content."""

    KEEP = "keep"
    """The stored one stays, the newcomer goes to quarantine."""
    REPLACE = "replace"
    """The newcomer is stored, the old one goes to quarantine."""
    REFUSE = "refuse"
    """The stored one stays, the newcomer is not kept at all."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer to :meth:`Archive.add`.

    STORED means: synced to disk under its final name, and the index row is committed. The UIDs
    are empty where none could be read; ``error`` says why something was refused.
    """

    status: Status
    study_instance_uid: str = ""
    series_instance_uid: str = ""
    sop_instance_uid: str = ""
    sop_class_uid: str = ""
    error: PacslabError | None = None

    @property
    def reason(self) -> str:
        """Why it was refused, in one line; empty when it wasn't."""
        return self.error.message if self.error else ""

    @classmethod
    def of(cls, status: Status, instance: Instance, error: PacslabError | None = None) -> Self:
        """The receipt for an instance that could be read."""
        return cls(
            status,
            instance.study_instance_uid,
            instance.series_instance_uid,
            instance.sop_instance_uid,
            instance.sop_class_uid,
            error,
        )


@dataclass(frozen=True, slots=True)
class Arrival:
    """What happens to instances before any of their bytes reaches disk, index, log or file name.

    ``change`` gives the instance that is stored instead; what it raises refuses the instance.
    ``seal`` gives a name and the encrypted form in which what was refused is kept.
    """

    change: Callable[[Instance], Instance]
    seal: Callable[[Buffer], tuple[str, bytes]]
