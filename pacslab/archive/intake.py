"""The only write path: files first, then one transaction, then the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from pacslab.archive.engine import Database
from pacslab.archive.files import Files, no_room, sync_directories
from pacslab.archive.index import Known, Writer
from pacslab.archive.index import known as known_in
from pacslab.archive.parents import Memory
from pacslab.dicom.instance import Buffer, Instance, read
from pacslab.errors import (
    ConflictError,
    DeidentificationError,
    MismatchError,
    PacslabError,
    RefusedError,
)


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


@dataclass(frozen=True, slots=True)
class Arrival:
    """What happens to instances before any of their bytes reaches disk, index, log or file name.

    ``change`` gives the instance that is stored instead; what it raises refuses the instance.
    ``seal`` gives a name and the encrypted form in which what was refused is kept.
    """

    change: Callable[[Instance], Instance]
    seal: Callable[[Buffer], tuple[str, bytes]]


class Intake:
    """What turns bytes into stored instances; every door of the archive leads here."""

    def __init__(
        self,
        files: Files,
        database: Database,
        on_conflict: OnConflict,
        on_receive: Callable[[Instance], Instance] | Arrival | None,
    ) -> None:
        self._files = files
        self._database = database
        self._on_conflict = on_conflict
        self._arrival = on_receive if isinstance(on_receive, Arrival) else None
        self._on_receive = on_receive.change if isinstance(on_receive, Arrival) else on_receive
        self._memory = Memory()  # guarded by the lock that writing() holds

    @property
    def confidential(self) -> bool:
        """Whether what arrives must not be written anywhere as it arrives."""
        return self._arrival is not None

    def read(
        self,
        data: Buffer,
        source: str,
        announced: tuple[str, str] | None = None,
        study: str | None = None,
    ) -> Instance | Receipt:
        """The instance in these bytes, as it may be stored; a receipt when it is refused."""
        try:
            instance = read(data, announced=announced)
            if study is not None and instance.study_instance_uid != study:
                raise MismatchError(
                    f"sent to study {study}, but it says {instance.study_instance_uid}: send it "
                    "to the study that stands in it, or to none"
                )
            return self._on_receive(instance) if self._on_receive else instance
        except RefusedError as error:
            if self._arrival is not None:
                return self._refuse_sealed(data, error, source, self._arrival)
            self._files.refuse(data, reason=error.message, code=error.code, source=source)
            return Receipt(Status.REFUSED, error=error)

    def _refuse_sealed(
        self, data: Buffer, error: RefusedError, source: str, arrival: Arrival
    ) -> Receipt:
        """Refuse what must not be kept in clear; a reason that may quote it is told by its kind."""
        if not isinstance(error, DeidentificationError):
            error = type(error)(
                f"it can't be stored as it arrived ({error.code}): look at it where it comes from"
            )
        name, sealed = arrival.seal(data)
        self._files.refuse(
            sealed, reason=error.message, code=error.code, source=source, name=f"{name}.sealed"
        )
        return Receipt(Status.REFUSED, error=error)

    def store(self, items: Iterable[Instance | Receipt], *, source: str) -> list[Receipt]:
        """Store instances that were read already (receipts among them pass through)."""
        receipts = list(items)
        arrivals = {i: x for i, x in enumerate(receipts) if isinstance(x, Instance)}
        staged: dict[int, Path] = {}
        try:
            with self._database.reading() as connection:
                known = known_in(connection, (x.sop_instance_uid for x in arrivals.values()))
            for i, instance in arrivals.items():
                if not _same(instance, known.get(instance.sop_instance_uid)):
                    staged[i] = self._files.stage(instance)
            self._commit(receipts, arrivals, staged, source)
        except (OSError, PacslabError) as error:
            failure = no_room(error, self._files.root) if isinstance(error, OSError) else error
            for i, instance in arrivals.items():
                receipts[i] = _receipt(Status.REFUSED, instance, failure)
        finally:
            for path in staged.values():
                path.unlink(missing_ok=True)
        return receipts  # type: ignore[return-value]

    def _commit(
        self,
        receipts: list[Instance | Receipt],
        arrivals: Mapping[int, Instance],
        staged: dict[int, Path],
        source: str,
    ) -> None:
        """Give staged files their names and rows, in one transaction; fill in the receipts.

        Names are given inside the transaction: whoever else brings the same UID waits outside.
        """
        accepted: list[tuple[Instance, str, datetime | None]] = []
        done: dict[int, Receipt] = {}
        placed: list[Path] = []
        replaced: list[tuple[Path, Path]] = []
        aside: list[tuple[Instance, RefusedError]] = []
        try:
            with self._database.writing() as (connection, revision):
                writer = Writer(connection, revision, self._memory)
                known = known_in(connection, (x.sop_instance_uid for x in arrivals.values()))
                dirty: set[Path] = set()
                for i, instance in arrivals.items():
                    uid = instance.sop_instance_uid
                    try:
                        if _same(instance, known.get(uid)):
                            done[i] = _receipt(Status.PRESENT, instance)
                            continue
                        if uid in known:
                            replaced += self._make_way(writer, known[uid], instance)
                        writer.parents.check_series(
                            instance.study_instance_uid, instance.series_instance_uid
                        )
                    except RefusedError as error:
                        done[i] = _receipt(Status.REFUSED, instance, error)
                        aside.append((instance, error))
                        continue
                    target = self._files.path(
                        instance.study_instance_uid, instance.series_instance_uid, uid
                    )
                    if i not in staged:  # it was there a moment ago and has been removed since
                        staged[i] = self._files.stage(instance)
                    dirty |= self._files.place(staged[i], target)
                    placed.append(target)
                    accepted.append((instance, source, None))
                    known[uid] = Known(
                        0,
                        instance.study_instance_uid,
                        instance.series_instance_uid,
                        instance.transfer_syntax_uid,
                        instance.sha256,
                    )
                    done[i] = _receipt(Status.STORED, instance)
                sync_directories(dirty)
                if accepted:
                    writer.insert(accepted)
        except BaseException:
            # Not acknowledged and without a row: no file may look as if it were stored.
            for path in placed:
                path.unlink(missing_ok=True)
            for kept, path in replaced:
                self._files.put_back(kept, path)
            raise
        for i, receipt in done.items():
            receipts[i] = receipt
        for instance, why in aside:
            if self._on_conflict is not OnConflict.REFUSE or not isinstance(why, ConflictError):
                self._files.refuse(instance.data, reason=why.message, code=why.code, source=source)

    def _make_way(self, writer: Writer, old: Known, new: Instance) -> list[tuple[Path, Path]]:
        """Take the stored one out for the newcomer; where its file went, and where it was."""
        if self._on_conflict is not OnConflict.REPLACE:
            raise ConflictError(
                f"{new.sop_instance_uid} is stored already with other content "
                f"(SHA-256 {old.sha256[:12]}..., this one {new.sha256[:12]}...): an instance that "
                "was changed needs a new SOP Instance UID, or on_conflict='replace'"
            )
        path = self._files.path(
            old.study_instance_uid, old.series_instance_uid, new.sop_instance_uid
        )
        writer.remove([new.sop_instance_uid])
        if not path.exists():
            return []
        reason = "replaced by other content of the same SOP Instance UID"
        return [
            (self._files.set_aside(path, reason=reason, code="replaced", source="archive"), path)
        ]


def _same(instance: Instance, known: Known | None) -> bool:
    return known is not None and (
        known.sha256 == instance.sha256
        and known.transfer_syntax_uid == instance.transfer_syntax_uid
    )


def _receipt(status: Status, instance: Instance, error: PacslabError | None = None) -> Receipt:
    return Receipt(
        status,
        instance.study_instance_uid,
        instance.series_instance_uid,
        instance.sop_instance_uid,
        instance.sop_class_uid,
        error,
    )
