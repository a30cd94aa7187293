"""Transactions of the write path: names and rows for all who wait at that moment, then one sync.

Whoever has written a file stands in line; the first in line commits what everybody brought. A
sender alone waits for nobody, and twenty at once wait for one sync of the index instead of twenty.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from pacslab.archive.engine import Database
from pacslab.archive.files import Files, Staged, sync_directories
from pacslab.archive.index import Known, Writer
from pacslab.archive.index import known as known_in
from pacslab.archive.parents import Memory
from pacslab.archive.receipts import OnConflict, Receipt, Status
from pacslab.dicom.instance import Instance
from pacslab.errors import ConflictError, PacslabError, RefusedError


@dataclass(slots=True)
class Delivery:
    """What one caller brings: instances by their place in his batch, with their files.

    ``receipts`` has an answer for each of them once it is ``done``, or ``error`` says why not.
    """

    arrivals: dict[int, Instance]
    staged: dict[int, Staged]
    source: str
    receipts: dict[int, Receipt] = field(default_factory=dict)
    error: Exception | None = None
    done: bool = False


@dataclass(slots=True)
class _Work:
    """What a transaction has done to the files, to be undone if it fails."""

    placed: list[Path] = field(default_factory=list)
    replaced: list[tuple[Path, Path]] = field(default_factory=list)
    unsynced: list[Staged] = field(default_factory=list)
    dirty: set[Path] = field(default_factory=set)
    accepted: list[tuple[Instance, str, datetime | None]] = field(default_factory=list)
    aside: list[tuple[Instance, RefusedError, str]] = field(default_factory=list)

    def sync_files(self) -> None:
        """Make the files durable."""
        for staged in reversed(self.unsynced):  # the last one's sync covers most of the others
            staged.sync()

    def sync_names(self) -> None:
        """Make their names durable."""
        sync_directories(self.dirty)


class Commits:
    """The line in which deliveries wait for their transaction."""

    def __init__(self, files: Files, database: Database, on_conflict: OnConflict) -> None:
        self._files = files
        self._database = database
        self._on_conflict = on_conflict
        self._memory = Memory()  # guarded by the lock that writing() holds
        self._waiting: list[Delivery] = []
        self._gate = threading.Lock()
        self._turn = threading.Lock()
        # Files and directories at once, and the rows meanwhile: three that wait for the same disk
        self._pool = ThreadPoolExecutor(2, "syncing")

    def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown()

    def commit(self, delivery: Delivery) -> None:
        """Give a delivery its names and rows; durable on return. Raises what went wrong."""
        with self._gate:
            self._waiting.append(delivery)
        with self._turn:
            if not delivery.done:
                with self._gate:
                    together, self._waiting = self._waiting, []
                self._commit_all(together)
        if delivery.error is not None:
            raise delivery.error

    def _commit_all(self, together: Sequence[Delivery]) -> None:
        try:
            self._transaction(together)
        except Exception as error:
            if len(together) == 1:
                together[0].error = error
            else:  # the others' instances aren't refused for what is wrong with one
                for delivery in together:
                    self._commit_all([delivery])
        except BaseException:
            for delivery in together:
                delivery.error = PacslabError("interrupted while it was stored: send it again")
            raise
        finally:
            for delivery in together:
                delivery.done = True

    def _transaction(self, together: Sequence[Delivery]) -> None:
        """Names are given inside of it: whoever else brings the same UID waits outside."""
        work = _Work()
        for delivery in together:
            delivery.receipts.clear()
        try:
            with self._database.writing() as (connection, revision):
                writer = Writer(connection, revision, self._memory)
                uids = {x.sop_instance_uid for d in together for x in d.arrivals.values()}
                known = known_in(connection, uids)
                for delivery in together:
                    for i, instance in delivery.arrivals.items():
                        receipt = self._take(writer, known, work, delivery, i)
                        delivery.receipts[i] = receipt
                        if receipt.status is Status.STORED:
                            work.accepted.append((instance, delivery.source, None))
                syncing = [self._pool.submit(work.sync_files), self._pool.submit(work.sync_names)]
                try:
                    if work.accepted:
                        writer.insert(work.accepted)
                finally:
                    wait(syncing)
                for one in syncing:  # durable, before the rows are
                    one.result()
        except BaseException:
            # Not acknowledged and without a row: no file may look as if it were stored.
            for path in work.placed:
                path.unlink(missing_ok=True)
            for kept, path in work.replaced:
                self._files.put_back(kept, path)
            raise
        for instance, why, source in work.aside:
            if self._on_conflict is not OnConflict.REFUSE or not isinstance(why, ConflictError):
                self._files.refuse(instance.data, reason=why.message, code=why.code, source=source)

    def _take(
        self, writer: Writer, known: dict[str, Known], work: _Work, delivery: Delivery, i: int
    ) -> Receipt:
        """Give one instance its name, unless it is there or may not be."""
        instance = delivery.arrivals[i]
        uid = instance.sop_instance_uid
        study, series = instance.study_instance_uid, instance.series_instance_uid
        try:
            if is_same(instance, known.get(uid)):
                return Receipt.of(Status.PRESENT, instance)
            if uid in known:
                work.replaced += self._make_way(writer, known[uid], instance)
            writer.parents.check_series(study, series)
        except RefusedError as error:
            work.aside.append((instance, error, delivery.source))
            return Receipt.of(Status.REFUSED, instance, error)
        staged = delivery.staged.get(i)
        if staged is None or staged.placed:
            # It was there a moment ago and has been removed since, or a transaction was undone
            staged = delivery.staged[i] = self._files.stage(instance)
        staged.settle()
        target = self._files.path(study, series, uid)
        work.dirty |= self._files.place(staged, target)
        work.placed.append(target)
        work.unsynced.append(staged)
        known[uid] = Known(0, study, series, instance.transfer_syntax_uid, instance.sha256)
        return Receipt.of(Status.STORED, instance)

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


def is_same(instance: Instance, known: Known | None) -> bool:
    """Whether the index has this instance: the same data set in the same transfer syntax."""
    return known is not None and (
        known.sha256 == instance.sha256
        and known.transfer_syntax_uid == instance.transfer_syntax_uid
    )
