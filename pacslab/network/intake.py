"""What C-GET brings goes into an archive, as by any other door."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar

from pacslab.archive import Archive
from pacslab.archive.files import no_room


@dataclass(frozen=True, slots=True)
class Taken:
    """One retrieved instance: stored, already there, refused, or not retrieved, and why."""

    SOPClassUID: str
    SOPInstanceUID: str
    Status: str
    Reason: str = ""


class Intake:
    """Keeps retrieved instances, and what became of each."""

    COLUMNS: ClassVar = [f.name for f in fields(Taken)]

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self.rows: list[Taken] = []

    def keep(self, part10: bytes, source: str, announced: tuple[str, str]) -> int:
        """Store an instance; the status for C-STORE (PS3.4 B.2.3)."""
        try:
            receipt = self._archive.add(part10, source=source, announced=announced)
        except OSError as problem:
            error = no_room(problem, self._archive.directory)
            self.rows.append(Taken(*announced, "refused", error.message))
            return error.dimse_status
        self.rows.append(Taken(*announced, str(receipt.status), receipt.reason))
        return receipt.error.dimse_status if receipt.error is not None else 0x0000

    def missed(self, uid: str, why: str) -> None:
        """An instance that the peer couldn't send; what was refused here is told already."""
        if all(row.SOPInstanceUID != uid for row in self.rows):
            self.rows.append(Taken("", uid, "not retrieved", why))
