"""The care of an archive: what is wrong with it, how the index is made anew, what is taken out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from sqlalchemy import select, text

from pacslab.archive import schema
from pacslab.archive.files import load
from pacslab.archive.index import Writer
from pacslab.dicom import buffers
from pacslab.dicom.instance import Instance, data_set_offset, read
from pacslab.errors import NotFoundError, RefusedError

if TYPE_CHECKING:
    from pacslab.archive.archive import Archive

Progress: TypeAlias = Callable[[Iterable[Path]], Iterable[Path]]
_BATCH: Final = 500

_REMEDIES: Final = {
    "unindexed": "run 'pacslab reindex' to index it",
    "altered": "its bytes changed after they were stored: restore the file from a backup, or move "
    "it away and add it as a new one",
    "missing": "restore the file from a backup, or run 'pacslab reindex' to forget it",
    "misplaced": "its UIDs aren't those of its path: move it away and add it again",
    "count": "run 'pacslab reindex'",
}
_WRONG_COUNTS: Final = {
    "study": """SELECT s.StudyInstanceUID FROM studies s WHERE s.NumberOfStudyRelatedInstances <>
        (SELECT count(*) FROM instances i WHERE i.StudyInstanceUID = s.StudyInstanceUID)
        OR s.NumberOfStudyRelatedSeries <>
        (SELECT count(*) FROM series e WHERE e.StudyInstanceUID = s.StudyInstanceUID)""",
    "series": """SELECT s.SeriesInstanceUID FROM series s WHERE s.NumberOfSeriesRelatedInstances <>
        (SELECT count(*) FROM instances i WHERE i.SeriesInstanceUID = s.SeriesInstanceUID)""",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong with an archive: ``kind``, the file or UID it is about, and the remedy.

    Kinds: ``missing`` (a row without its file), ``unindexed`` (a file without a row), ``altered``
    (a file whose data set isn't the one that was stored), ``unreadable``, ``misplaced`` (its UIDs
    aren't those of its path), ``count`` (a wrong number of series or instances).
    """

    kind: str
    where: str
    remedy: str


def _fault(kind: str, where: Path | str) -> Fault:
    return Fault(kind, str(where), _REMEDIES[kind])


def check(archive: Archive, progress: Progress | None) -> Iterator[Fault]:
    """Every file against its row, every row against its file, every count against the rows."""
    known: dict[Path, str] = {s.path: s.sha256 for s in archive.instances()}
    for path in (progress or iter)(list(archive.files.stored())):
        sha256 = known.pop(path, None)
        if sha256 is None:
            yield _fault("unindexed", path)
            continue
        data = load(path)
        if buffers.sha256(data, data_set_offset(data)) != sha256:
            yield _fault("altered", path)
    for path in known:
        yield _fault("missing", path)
    with archive.database.reading() as connection:
        for level, statement in _WRONG_COUNTS.items():
            for uid in connection.scalars(text(statement)):
                yield _fault("count", f"{level} {uid}")


def reindex(archive: Archive, progress: Progress | None) -> list[Fault]:
    """Empty the index and fill it from the files, in one transaction, in order of arrival."""
    faults: list[Fault] = []
    c = schema.instances.c
    with archive.database.reading() as connection:
        rows = connection.execute(select(c.SOPInstanceUID, c.Source, c.ReceivedAt)).all()
    doors = {uid: (source, received) for uid, source, received in rows}
    with archive.database.writing() as (connection, revision):
        writer = Writer(connection, revision)
        writer.clear()
        seen: set[str] = set()
        batch: list[tuple[Instance, str, datetime | None]] = []
        for path in (progress or iter)(list(archive.files.stored())):
            try:
                instance = _reread(archive, path, seen, writer)
            except RefusedError as error:
                faults.append(Fault("unreadable", str(path), error.message))
                continue
            if instance is None:
                faults.append(_fault("misplaced", path))
                continue
            seen.add(instance.sop_instance_uid)
            door, at = doors.get(instance.sop_instance_uid, ("reindex", None))
            arrived = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            batch.append((instance, door, datetime.fromisoformat(at) if at else arrived))
            if len(batch) == _BATCH:
                writer.insert(batch)
                batch.clear()
        if batch:
            writer.insert(batch)
    return faults


def _reread(archive: Archive, path: Path, seen: set[str], writer: Writer) -> Instance | None:
    """A stored file's instance; None when it isn't where its UIDs say, or stands there twice."""
    instance = read(load(path))
    study, series = instance.study_instance_uid, instance.series_instance_uid
    uid = instance.sop_instance_uid
    if uid in seen or path != archive.files.path(study, series, uid):
        return None
    writer.parents.check_series(study, series)
    return instance


def remove(
    archive: Archive, study: str, series: str | None, instance: str | None, *, source: str
) -> int:
    """Move the files to quarantine and take their rows out, in one transaction."""
    moved: list[tuple[Path, Path]] = []
    try:
        with archive.database.writing() as (connection, revision):
            found = list(archive.instances(study, series, instance))
            if not found:
                raise NotFoundError(f"no {'/'.join(filter(None, (study, series, instance)))} here")
            Writer(connection, revision).remove([s.sop_instance_uid for s in found])
            for stored in found:
                if stored.path.exists():
                    kept = archive.files.set_aside(
                        stored.path, reason="deleted on request", code="deleted", source=source
                    )
                    moved.append((kept, stored.path))
    except BaseException:
        for kept, path in moved:
            archive.files.put_back(kept, path)
        raise
    return len(found)
