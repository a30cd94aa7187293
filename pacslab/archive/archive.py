"""The archive: one directory, one way in (:meth:`Archive.add`), and every question to it."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final, Self

from sqlalchemy import BindParameter, ColumnElement, Select, bindparam, func, literal_column, select

from pacslab.archive import care, comparing, engine, packing, schema, search
from pacslab.archive.care import Fault, Progress
from pacslab.archive.files import Files, Quarantined, load, no_room
from pacslab.archive.inbox import Found, batches
from pacslab.archive.intake import Intake
from pacslab.archive.receipts import Arrival, OnConflict, Receipt, Status
from pacslab.archive.statements import Prepared
from pacslab.dicom.instance import Buffer, Instance
from pacslab.dicom.keywords import ATTRIBUTES, Attribute, Level
from pacslab.dicom.matching import Kind, Query
from pacslab.errors import (
    ArchiveError,
    DamagedError,
    NotFoundError,
    OldSchemaError,
    RefusedError,
    UsageError,
)

INDEX: Final = "index.sqlite"
_OURS: Final = frozenset(
    {
        INDEX, "files", "incoming", "quarantine", "server.json", "peers.toml", "deidentification"
    }
)  # fmt: skip


def _more_than_few(condition: ColumnElement[bool]) -> Prepared:
    one: ColumnElement[int] = literal_column("1")
    return Prepared(select(one).where(condition).limit(one).offset(literal_column("50")))


_STUDIES: Final = schema.studies.c
_LOW: Final[BindParameter[str]] = bindparam("low")
_HIGH: Final[BindParameter[str]] = bindparam("high")
_MORE_THAN_FEW: Final = {
    (ATTRIBUTES[keyword], Kind.SINGLE): _more_than_few(_STUDIES[keyword] == _LOW)
    for keyword in ("StudyInstanceUID", "PatientID", "AccessionNumber")
} | {
    (ATTRIBUTES["StudyDescription"], Kind.WILDCARD): _more_than_few(
        _STUDIES.StudyDescription.between(_LOW, _HIGH)
    )
}


_I, _H, _B = schema.instances.c, schema.headers.c, schema.header_bases.c
_STORED: Final = (
    _I.StudyInstanceUID,
    _I.SeriesInstanceUID,
    _I.SOPInstanceUID,
    _I.SOPClassUID,
    _I.TransferSyntaxUID,
    _I.NumberOfFrames,
    _I.SHA256,
    _I.DataSetSize,
)
_HEADERS: Final = (
    select(_I.id, *_STORED, _H.Header, _B.Base)
    .join(schema.headers, _H.id == _I.id)
    .join(schema.header_bases, _B.SeriesInstanceUID == _I.SeriesInstanceUID)
)
_PAGE: Final = 200  # headers
_MATCHES: Final = 2000  # of a search
_PAGE_OF_HEADERS: Final = _HEADERS.where(_I.id.in_(bindparam("ids", expanding=True)))
_ONE: Final = Prepared(select(*_STORED).where(_I.SOPInstanceUID == bindparam("uid")))


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
    changes each instance before any of it is written; what it raises refuses the instance. With an
    :class:`Arrival` nothing of what arrives is ever written in clear, refused or not.
    Raises ArchiveError for a directory that holds something else, SchemaError for an index of
    another version.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        on_conflict: OnConflict | str = OnConflict.KEEP,
        on_receive: Callable[[Instance], Instance] | Arrival | None = None,
    ) -> None:
        self.directory = Path(directory).expanduser().absolute()
        try:
            self.on_conflict = OnConflict(on_conflict)
        except ValueError:
            known = ", ".join(OnConflict)
            raise UsageError(f"on_conflict is {on_conflict!r}: take one of {known}") from None
        check_directory(self.directory)
        try:
            self.files = Files(self.directory)
        except OSError as error:
            raise no_room(error, self.directory) from error
        self.database = engine.Database(self.directory / INDEX)
        self._intake = Intake(self.files, self.database, self.on_conflict, on_receive)

    @property
    def confidential(self) -> bool:
        """Whether what arrives must be in no file, index or log as it arrives."""
        return self._intake.confidential

    @property
    def spool(self) -> Path | None:
        """Where doors may lay down a long message while it comes in; None where they mustn't."""
        return None if self.confidential else self.files.incoming

    @classmethod
    def recover(cls, directory: str | os.PathLike[str]) -> Self:
        """Open an archive whose index may be damaged or old; such a one is set aside, not lost.

        The new index is empty until :meth:`reindex`, but for logs and cohorts. Raises SchemaError
        for a newer one.
        """
        root = Path(directory).expanduser().absolute()
        try:
            return cls(root)
        except (DamagedError, OldSchemaError):
            stamp = time.strftime("%Y%m%dT%H%M%S")
            for end in ("", "-wal", "-shm"):
                index = root / (INDEX + end)
                if index.exists():
                    index.rename(root / f"{INDEX}.{stamp}{end}")
            archive = cls(root)
            engine.bring_over(root / f"{INDEX}.{stamp}", archive.database)
            return archive

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
        study_instance_uid: str | None = None,
    ) -> list[Receipt]:
        """Store several instances with one commit of the index; a receipt for each, in order.

        With ``study_instance_uid`` instances of other studies are refused.
        """
        items = [self._intake.read(data, source, announced, study_instance_uid) for data in batch]
        return self._intake.store(items, source=source)

    def add_found(self, found: Iterable[Found]) -> Iterator[tuple[Found, Receipt]]:
        """Store what lies in folders and zip files, each file with its receipt, in order.

        A file that can't be read is refused with the reason; the rest goes on.
        """
        # While a batch is on its way to disk, the next is read and parsed.
        with ThreadPoolExecutor(1, "reading") as ahead:
            previous: tuple[list[Found], list[Instance | Receipt]] | None = None
            for group in batches(found):
                reading = ahead.submit(self._read_all, group)
                if previous is not None:
                    yield from self._store_all(*previous)
                previous = group, reading.result()
            if previous is not None:
                yield from self._store_all(*previous)

    def _read_all(self, group: list[Found]) -> list[Instance | Receipt]:
        items: list[Instance | Receipt] = []
        for one in group:
            try:
                items.append(self._intake.read(one.load(), "file", None))
            except OSError as error:
                why = RefusedError(f"can't be read: {error.strerror or error}")
                items.append(Receipt(Status.REFUSED, error=why))
        return items

    def _store_all(
        self, group: list[Found], items: list[Instance | Receipt]
    ) -> Iterator[tuple[Found, Receipt]]:
        return zip(group, self._intake.store(items, source="file"), strict=True)

    # --- questions ------------------------------------------------------------------------

    def search(
        self, query: Query, fields: Iterable[Attribute] | None = None
    ) -> Iterator[dict[str, Any]]:
        """The matching entities, each a dict by DICOM keyword, in a fixed order.

        ``fields`` are the attributes wanted; None means all of the level and those above. Columns
        of several values hold them joined by a backslash. Of many matches, some thousands at a
        time see one state of the index.
        """
        fields = None if fields is None else tuple(fields)
        read, page = 0, query
        # Who reads slowly must not keep a connection, of which there are few: a page at a time
        while True:
            with (
                self.database.asking() as connection,
                closing(search.rows(connection, page, fields)) as rows,
            ):
                found = list(islice(rows, _MATCHES))
            yield from found
            read += len(found)
            left = _MATCHES if query.limit is None else min(_MATCHES, query.limit - read)
            if len(found) < _MATCHES or left <= 0:
                return
            page = replace(query, offset=query.offset + read, limit=left)

    def count(self, query: Query) -> int:
        """How many entities match, whatever the query's limit and offset."""
        with self.database.asking() as connection:
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
        statement = _narrowed(
            select(*_STORED), study_instance_uid, series_instance_uid, sop_instance_uid
        )
        with self.database.reading() as connection:
            for row in connection.execution_options(yield_per=500).execute(statement):
                yield self._stored(row)

    def instance(
        self,
        sop_instance_uid: str,
        study_instance_uid: str | None = None,
        series_instance_uid: str | None = None,
    ) -> Stored:
        """One stored instance. Raises NotFoundError."""
        with self.database.asking() as connection:
            row = _ONE.row(connection, {"uid": sop_instance_uid})
        if row is not None:
            found = self._stored(row)
            if study_instance_uid in (None, found.study_instance_uid) and (
                series_instance_uid in (None, found.series_instance_uid)
            ):
                return found
        raise NotFoundError(f"no instance {sop_instance_uid} in this archive")

    def metadata(
        self,
        study_instance_uid: str | None = None,
        series_instance_uid: str | None = None,
        sop_instance_uid: str | None = None,
    ) -> Iterator[tuple[Stored, bytes]]:
        """Headers as stored, with the instance each belongs to: DICOM JSON text in UTF-8.

        BulkDataURI are relative to the instance. No file is opened. What is removed while it is
        read is left out.
        """
        uids = (study_instance_uid, series_instance_uid, sop_instance_uid)
        # Who reads slowly must not keep a connection, of which there are few: a page at a time
        with self.database.reading() as connection:
            ordered = _narrowed(_HEADERS, *uids)
            rows = connection.execute(ordered.limit(_PAGE)).all()
            rest: Sequence[int] = ()
            if len(rows) == _PAGE:
                keys = _narrowed(select(schema.instances.c.id), *uids).offset(_PAGE)
                rest = connection.scalars(keys).all()
        yield from map(self._with_header, rows)
        for start in range(0, len(rest), _PAGE):
            page = rest[start : start + _PAGE]
            with self.database.reading() as connection:
                found = {row.id: row for row in connection.execute(_PAGE_OF_HEADERS, {"ids": page})}
            yield from (self._with_header(found[key]) for key in page if key in found)

    def first_headers(
        self, level: Level, uids: Sequence[str]
    ) -> Generator[tuple[str, Stored, bytes], None, None]:
        """The header of the instance that came first, for each of some studies, series, instances.

        With the UID it stands for, in ascending order of these; what isn't there is left out. The
        headers are as :meth:`metadata` gives them, unpacked one at a time.
        """
        i, h, b = schema.instances.c, schema.headers.c, schema.header_bases.c
        first = _first_of(level, uids).subquery()
        statement = (
            select(
                first.c.uid,
                *_STORED,
                h.Header,
                b.Base,
            )
            .join(schema.instances, i.id == first.c.id)
            .join(schema.headers, h.id == i.id)
            .join(schema.header_bases, b.SeriesInstanceUID == i.SeriesInstanceUID)
            .order_by(first.c.uid)
        )
        with self.database.reading() as connection:
            rows = connection.execute(statement).all()
        for uid, *stored, packed, base in rows:
            yield uid, self._stored(stored), packing.unpack(packed, base)

    def few(
        self, query: Query, fields: Iterable[Attribute] | None = None
    ) -> list[dict[str, Any]] | None:
        """What :meth:`search` finds, if an index tells that this is at most some 50 studies.

        None where it doesn't. For who must not wait: either answer takes about a millisecond.
        """
        # With a second key SQLite might go by that one's index, and through all that it finds.
        if query.level is not Level.STUDY or len(query.matches) != 1 or not self.database.idle:
            return None
        (match,) = query.matches
        more = _MORE_THAN_FEW.get((match.attribute, match.kind))
        low = match.values[0] if match.values else ""
        if match.kind is Kind.WILDCARD:
            # Only of a pattern that is a beginning does an index tell how many it finds
            beginning = re.fullmatch(r"([^*?]+)\*", low)
            low = beginning[1] if beginning else ""
        if more is None or not low:
            return None
        with self.database.asking() as connection:
            if more.value(connection, {"low": low, "high": low + comparing.LAST}) is not None:
                return None
            return list(search.rows(connection, query, fields))

    def _with_header(self, row: Sequence[Any]) -> tuple[Stored, bytes]:
        _, *stored, packed, base = row
        return self._stored(stored), packing.unpack(packed, base)

    def _stored(self, row: Sequence[Any]) -> Stored:
        study, series, uid, sop_class, syntax, frames, sha256, size = row
        path = self.files.path(study, series, uid)
        return Stored(study, series, uid, sop_class, syntax, frames, sha256, size, path)

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

    def remove(
        self,
        study_instance_uid: str,
        series_instance_uid: str | None = None,
        sop_instance_uid: str | None = None,
        *,
        source: str,
    ) -> int:
        """Take a study, series or instance out; how many instances that were.

        The files go to quarantine with the code ``deleted``, from where they can be added again.
        Raises NotFoundError when there is no such thing.
        """
        return care.remove(
            self, study_instance_uid, series_instance_uid, sop_instance_uid, source=source
        )

    def check(self, progress: Progress | None = None) -> Iterator[Fault]:
        """Compare every file with the index, and every count with the rows; what is wrong."""
        return care.check(self, progress)

    def reindex(self, progress: Progress | None = None) -> list[Fault]:
        """Make the index anew from the files; what couldn't be read, which stays where it is.

        Nothing else may write meanwhile. Logs and cohorts in the index are kept.
        """
        return care.reindex(self, progress)

    def tidy(self) -> int:
        """Remove what a crash left unfinished for over an hour; how many files that were."""
        return self.files.clear_incoming(time.time() - 3600)

    def close(self) -> None:
        """Close the index; what was added stays."""
        self._intake.close()
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
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


def _first_of(level: Level, uids: Sequence[str]) -> Select[Any]:
    """The lowest row of ``instances`` of each entity, which an index of its series knows."""
    i, s = schema.instances.c, schema.series.c
    if level is Level.IMAGE:
        return select(i.SOPInstanceUID.label("uid"), i.id).where(i.SOPInstanceUID.in_(uids))
    if level is Level.SERIES:
        found = select(i.SeriesInstanceUID.label("uid"), func.min(i.id).label("id"))
        return found.where(i.SeriesInstanceUID.in_(uids)).group_by(i.SeriesInstanceUID)
    found = select(s.StudyInstanceUID.label("uid"), func.min(i.id).label("id"))
    found = found.join(schema.instances, i.SeriesInstanceUID == s.SeriesInstanceUID)
    return found.where(s.StudyInstanceUID.in_(uids)).group_by(s.StudyInstanceUID)


def _narrowed(statement: Any, study: str | None, series: str | None, instance: str | None) -> Any:
    c, s = schema.instances.c, schema.series.c
    if study is not None and series is None and instance is None:
        # An index leads from a study to its series and on to their instances
        of_study = select(s.SeriesInstanceUID).where(s.StudyInstanceUID == study)
        statement = statement.where(c.SeriesInstanceUID.in_(of_study))
    for column, uid in (
        (c.StudyInstanceUID, study),
        (c.SeriesInstanceUID, series),
        (c.SOPInstanceUID, instance),
    ):
        if uid is not None:
            statement = statement.where(column == uid)
    return statement.order_by(c.SeriesInstanceUID, c.InstanceNumber, c.SOPInstanceUID)
