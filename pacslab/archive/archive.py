"""The archive: one directory, one way in (:meth:`Archive.add`), and every question to it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from sqlalchemy import select

from pacslab.archive import engine, packing, schema, search
from pacslab.archive.files import Files, Quarantined, load, no_room, sync_directories
from pacslab.archive.index import Known, Writer
from pacslab.dicom.instance import Buffer, Instance, read
from pacslab.dicom.keywords import Attribute
from pacslab.dicom.matching import Query
from pacslab.errors import (
    ArchiveError,
    ConflictError,
    NotFoundError,
    PacslabError,
    RefusedError,
    UsageError,
)

INDEX: Final = "index.sqlite"
_OURS: Final = frozenset({INDEX, "files", "incoming", "quarantine", "server.json"})


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
class Stored:
    """An instance in the archive: its UIDs, its file, and what is needed to serve it."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    number_of_frames: int | None
    sha256: str
    size: int
    path: Path


class Archive:
    """One directory with files, index and quarantine; opened, or created where there is none.

    Safe to use from several threads, and to open from several processes at once. ``on_receive``
    changes each instance before any of it is written; what it raises refuses the instance.
    Raises ArchiveError for a directory that holds something else, SchemaError for an index of
    another version.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        on_conflict: OnConflict | str = OnConflict.KEEP,
        on_receive: Callable[[Instance], Instance] | None = None,
    ) -> None:
        self.directory = Path(directory).expanduser().absolute()
        try:
            self.on_conflict = OnConflict(on_conflict)
        except ValueError:
            known = ", ".join(OnConflict)
            raise UsageError(f"on_conflict is {on_conflict!r}: take one of {known}") from None
        self._on_receive = on_receive
        check_directory(self.directory)
        try:
            self.files = Files(self.directory)
        except OSError as error:
            raise no_room(error, self.directory) from error
        self.database = engine.Database(self.directory / INDEX)

    # --- the way in -----------------------------------------------------------------------

    def add(
        self,
        data: Buffer,
        *,
        source: str = "file",
        announced: tuple[str, str] | None = None,
    ) -> Receipt:
        """Store one instance: the bytes of a Part 10 file, or of a bare data set.

        ``source`` names the door it came by; ``announced`` the SOP Class and Instance UID that the
        sender gave, which must be the data set's. Nothing is raised for what can't be stored: the
        receipt says why, and quarantine keeps the bytes.
        """
        return self.add_many([data], source=source, announced=announced)[0]

    def add_many(
        self,
        batch: Iterable[Buffer],
        *,
        source: str = "file",
        announced: tuple[str, str] | None = None,
    ) -> list[Receipt]:
        """Store several instances with one commit of the index; a receipt for each, in order."""
        items: list[Instance | Receipt] = []
        for data in batch:
            try:
                instance = read(data, announced=announced)
                items.append(self._on_receive(instance) if self._on_receive else instance)
            except RefusedError as error:
                items.append(self._refused(data, error, source))
        return self.add_read(items, source=source)

    def add_read(self, items: Iterable[Instance | Receipt], *, source: str) -> list[Receipt]:
        """Store instances that were read already (receipts among them pass through)."""
        receipts = list(items)
        arrivals = {i: x for i, x in enumerate(receipts) if isinstance(x, Instance)}
        staged: dict[int, Path] = {}
        try:
            with self.database.reading() as connection:
                known = Writer(connection, 0).known(x.sop_instance_uid for x in arrivals.values())
            for i, instance in arrivals.items():
                if not _same(instance, known.get(instance.sop_instance_uid)):
                    staged[i] = self.files.stage(instance)
            self._commit(receipts, arrivals, staged, source)
        except (OSError, PacslabError) as error:
            failure = no_room(error, self.directory) if isinstance(error, OSError) else error
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
        staged: Mapping[int, Path],
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
            with self.database.writing() as (connection, revision):
                writer = Writer(connection, revision)
                known = writer.known(x.sop_instance_uid for x in arrivals.values())
                dirty: set[Path] = set()
                for i, instance in arrivals.items():
                    uid = instance.sop_instance_uid
                    try:
                        if _same(instance, known.get(uid)):
                            done[i] = _receipt(Status.PRESENT, instance)
                            continue
                        if uid in known:
                            replaced += self._make_way(writer, known[uid], instance)
                        writer.check_series(instance.study_instance_uid,
                                            instance.series_instance_uid)  # fmt: skip
                    except RefusedError as error:
                        done[i] = _receipt(Status.REFUSED, instance, error)
                        aside.append((instance, error))
                        continue
                    target = self.files.path(
                        instance.study_instance_uid, instance.series_instance_uid, uid
                    )
                    dirty |= self.files.place(staged[i], target)
                    placed.append(target)
                    accepted.append((instance, source, None))
                    known[uid] = Known(0, instance.study_instance_uid,
                                       instance.series_instance_uid,
                                       instance.transfer_syntax_uid, instance.sha256)  # fmt: skip
                    done[i] = _receipt(Status.STORED, instance)
                sync_directories(dirty)
                if accepted:
                    writer.insert(accepted)
        except BaseException:
            # Not acknowledged and without a row: no file may look as if it were stored.
            for path in placed:
                path.unlink(missing_ok=True)
            for kept, path in replaced:
                self.files.put_back(kept, path)
            raise
        for i, receipt in done.items():
            receipts[i] = receipt
        for instance, error in aside:
            if self.on_conflict is not OnConflict.REFUSE or not isinstance(error, ConflictError):
                self.files.refuse(_whole(instance), reason=error.message, code=error.code,
                                  source=source)  # fmt: skip

    def _make_way(self, writer: Writer, old: Known, new: Instance) -> list[tuple[Path, Path]]:
        """Take the stored one out for the newcomer; where its file went, and where it was."""
        if self.on_conflict is not OnConflict.REPLACE:
            raise ConflictError(
                f"{new.sop_instance_uid} is stored already with other content "
                f"(SHA-256 {old.sha256[:12]}..., this one {new.sha256[:12]}...): an instance that "
                "was changed needs a new SOP Instance UID, or on_conflict='replace'"
            )
        path = self.files.path(
            old.study_instance_uid, old.series_instance_uid, new.sop_instance_uid
        )
        writer.remove(new.sop_instance_uid)
        if not path.exists():
            return []
        reason = "replaced by other content of the same SOP Instance UID"
        return [
            (self.files.set_aside(path, reason=reason, code="replaced", source="archive"), path)
        ]

    def _refused(self, data: Buffer, error: PacslabError, source: str) -> Receipt:
        self.files.refuse(data, reason=error.message, code=error.code, source=source)
        return Receipt(Status.REFUSED, error=error)

    # --- questions ------------------------------------------------------------------------

    def search(
        self, query: Query, fields: Iterable[Attribute] | None = None
    ) -> Iterator[dict[str, Any]]:
        """The matching entities, each a dict by DICOM keyword, in a fixed order.

        ``fields`` are the attributes wanted; None means all of the level and those above. Columns
        of several values hold them joined by a backslash.
        """
        with self.database.reading() as connection:
            yield from search.rows(connection, query, fields)

    def count(self, query: Query) -> int:
        """How many entities match, whatever the query's limit and offset."""
        with self.database.reading() as connection:
            return search.count(connection, query)

    def counts(self) -> dict[str, int]:
        """How many patients, studies, series and instances there are."""
        tables = ("patients", "studies", "series", "instances")
        with self.database.reading() as connection:
            return {
                name: int(connection.exec_driver_sql(f"SELECT count(*) FROM {name}").scalar() or 0)
                for name in tables
            }

    def instances(
        self,
        study_instance_uid: str | None = None,
        series_instance_uid: str | None = None,
        sop_instance_uid: str | None = None,
    ) -> Iterator[Stored]:
        """The stored instances of a study, series or one instance, by series and InstanceNumber.

        Empty when there are none.
        """
        c = schema.instances.c
        statement = _narrowed(
            select(c.StudyInstanceUID, c.SeriesInstanceUID, c.SOPInstanceUID, c.SOPClassUID,
                   c.TransferSyntaxUID, c.NumberOfFrames, c.SHA256, c.DataSetSize),
            study_instance_uid, series_instance_uid, sop_instance_uid,
        )  # fmt: skip
        with self.database.reading() as connection:
            for row in connection.execution_options(yield_per=500).execute(statement):
                yield Stored(*row, self.files.path(*row[:3]))

    def instance(
        self,
        sop_instance_uid: str,
        study_instance_uid: str | None = None,
        series_instance_uid: str | None = None,
    ) -> Stored:
        """One stored instance. Raises NotFoundError."""
        for found in self.instances(study_instance_uid, series_instance_uid, sop_instance_uid):
            return found
        raise NotFoundError(f"no instance {sop_instance_uid} in this archive")

    def metadata(
        self,
        study_instance_uid: str | None = None,
        series_instance_uid: str | None = None,
        sop_instance_uid: str | None = None,
    ) -> Iterator[tuple[Stored, bytes]]:
        """Headers as stored, with the instance each belongs to: DICOM JSON text in UTF-8.

        BulkDataURI are relative to the instance. No file is opened.
        """
        i, h, b = schema.instances.c, schema.headers.c, schema.header_bases.c
        statement = _narrowed(
            select(i.StudyInstanceUID, i.SeriesInstanceUID, i.SOPInstanceUID, i.SOPClassUID,
                   i.TransferSyntaxUID, i.NumberOfFrames, i.SHA256, i.DataSetSize,
                   h.Header, b.Base)
            .join(schema.headers, h.id == i.id)
            .join(schema.header_bases, b.SeriesInstanceUID == i.SeriesInstanceUID),
            study_instance_uid, series_instance_uid, sop_instance_uid,
        )  # fmt: skip
        with self.database.reading() as connection:
            for row in connection.execution_options(yield_per=200).execute(statement):
                *stored, packed, base = row
                path = self.files.path(stored[0], stored[1], stored[2])
                yield Stored(*stored, path), packing.unpack(packed, base)

    def data(self, stored: Stored) -> Buffer:
        """The bytes of an instance's Part 10 file, mapped when large.

        Raises NotFoundError when the file is gone, which ``pacslab check`` would report too.
        """
        try:
            return load(stored.path)
        except FileNotFoundError:
            raise NotFoundError(
                f"the file of {stored.sop_instance_uid} is gone from {self.files.files}: run "
                f"'pacslab check {self.directory}'"
            ) from None

    def quarantined(self) -> Iterator[Quarantined]:
        """What was refused, oldest first, each with its reason."""
        return self.files.quarantined()

    def revision(self) -> int:
        """The number of the last change; it grows with each."""
        with self.database.reading() as connection:
            return engine.revision(connection)

    # --- care -----------------------------------------------------------------------------

    def tidy(self) -> int:
        """Remove what a crash left unfinished for over an hour; how many files that were."""
        return self.files.clear_incoming(time.time() - 3600)

    def close(self) -> None:
        """Close the index; what was added stays."""
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()


def check_directory(directory: Path) -> None:
    """Raise ArchiveError unless this is an archive, an empty directory or none yet."""
    if directory.exists() and not directory.is_dir():
        raise ArchiveError(f"{directory} is a file: give a directory")
    if not directory.is_dir() or (directory / INDEX).exists() or (directory / "files").is_dir():
        return
    foreign = sorted(p.name for p in directory.iterdir() if p.name not in _OURS)
    foreign = [
        name for name in foreign if not name.startswith((".", INDEX)) and name != "README.md"
    ]
    if foreign:
        raise ArchiveError(
            f"{directory} isn't an archive: it holds {foreign[0]}"
            + (f" and {len(foreign) - 1} more" if foreign[1:] else "")
            + ". Give a new or empty directory; to index a folder of images, "
            "add it to an archive that lies elsewhere"
        )


def _narrowed(statement: Any, study: str | None, series: str | None, instance: str | None) -> Any:
    c = schema.instances.c
    for column, uid in ((c.StudyInstanceUID, study), (c.SeriesInstanceUID, series),
                        (c.SOPInstanceUID, instance)):  # fmt: skip
        if uid is not None:
            statement = statement.where(column == uid)
    return statement.order_by(c.SeriesInstanceUID, c.InstanceNumber, c.SOPInstanceUID)


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


def _whole(instance: Instance) -> bytes:
    return instance.prefix + bytes(instance.data[instance.offset :])
