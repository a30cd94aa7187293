"""Cohorts as they were frozen: kept beside the index, never changed, each version for good."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Self

import zstandard
from sqlalchemy import Connection, delete, func, insert, select

from pacslab.archive import engine, schema
from pacslab.archive.engine import Database
from pacslab.errors import NotFoundError


@dataclass(frozen=True, slots=True)
class Part:
    """The instances of one series that are in a cohort.

    ``digest`` is the SHA-256 over the lines ``SOPInstanceUID SHA256``, sorted by UID, each ended by
    a line feed; ``whole`` says that these were all instances of the series. ``instances`` maps
    SOPInstanceUID to the SHA-256 of the data set, and is empty where only the digest is known.
    """

    study_instance_uid: str
    series_instance_uid: str
    patient_id: str | None
    number: int
    whole: bool
    digest: str
    instances: Mapping[str, str]

    @classmethod
    def of(
        cls, study: str, series: str, patient: str | None, whole: bool, instances: Mapping[str, str]
    ) -> Self:
        """The part with these instances, and its digest."""
        digest = hashlib.sha256(_lines(instances)).hexdigest()
        return cls(study, series, patient, len(instances), whole, digest, dict(instances))


@dataclass(frozen=True, slots=True)
class Frozen:
    """A cohort as it was frozen: its name and version, what chose it, and its parts by series."""

    name: str
    version: int
    created_at: str
    statement: str | None
    parameters: Mapping[str, Any]
    note: str
    archive: str
    revision: int
    parts: tuple[Part, ...]


def save(
    database: Database,
    name: str,
    parts: Iterable[Part],
    *,
    statement: str | None,
    parameters: Mapping[str, Any],
    note: str,
    revision: int,
) -> Frozen:
    """Keep a cohort under the next version of its name, in one transaction."""
    c = schema.cohorts.c
    ordered = sorted(parts, key=lambda p: (p.study_instance_uid, p.series_instance_uid))
    with database.writing() as (connection, _):
        last = connection.scalar(select(func.max(c.Version)).where(c.Name == name)) or 0
        row = {
            "Name": name,
            "Version": last + 1,
            "CreatedAt": datetime.now(UTC).isoformat(timespec="seconds"),
            "Statement": statement,
            "Parameters": json.dumps(dict(parameters), ensure_ascii=False, default=str),
            "Note": note,
            "Archive": engine.identity(connection),
            "Revision": revision,
        }
        result = connection.execute(insert(schema.cohorts), row)
        (key,) = result.inserted_primary_key or (None,)
        packer = zstandard.ZstdCompressor(level=3)
        rows = [
            {
                "Cohort": key,
                "SeriesInstanceUID": part.series_instance_uid,
                "StudyInstanceUID": part.study_instance_uid,
                "PatientID": part.patient_id,
                "NumberOfInstances": part.number,
                "Whole": int(part.whole),
                "Digest": part.digest,
                "Instances": packer.compress(_lines(part.instances)),
            }
            for part in ordered
        ]
        if rows:
            connection.execute(insert(schema.cohort_series), rows)
    return _frozen(row, tuple(ordered))


def load(database: Database, name: str, version: int | None = None) -> Frozen:
    """A cohort by its name, the last version where none is given.

    Raises NotFoundError that names the cohorts there are.
    """
    c, s = schema.cohorts.c, schema.cohort_series.c
    chosen = select(schema.cohorts).where(c.Name == name).order_by(c.Version.desc()).limit(1)
    if version is not None:
        chosen = chosen.where(c.Version == version)
    with database.reading() as connection:
        row = connection.execute(chosen).mappings().first()
        if row is None:
            raise NotFoundError(_missing(connection, name, version))
        found = connection.execute(
            select(schema.cohort_series)
            .where(s.Cohort == row["id"])
            .order_by(s.StudyInstanceUID, s.SeriesInstanceUID)
        )
        parts = tuple(_part(dict(r)) for r in found.mappings())
    return _frozen(dict(row), parts)


COLUMNS: Final = (
    "Name", "Version", "CreatedAt", "NumberOfPatients", "NumberOfStudies", "NumberOfSeries",
    "NumberOfInstances", "Note", "Statement",
)  # fmt: skip


def listed(database: Database) -> list[dict[str, Any]]:
    """Every version of every cohort, with its numbers of patients, studies, series, instances."""
    c, s = schema.cohorts.c, schema.cohort_series.c
    statement = (
        select(
            c.Name,
            c.Version,
            c.CreatedAt,
            func.count(s.PatientID.distinct()).label("NumberOfPatients"),
            func.count(s.StudyInstanceUID.distinct()).label("NumberOfStudies"),
            func.count(s.SeriesInstanceUID).label("NumberOfSeries"),
            func.coalesce(func.sum(s.NumberOfInstances), 0).label("NumberOfInstances"),
            c.Note,
            c.Statement,
        )
        .outerjoin_from(schema.cohorts, schema.cohort_series, s.Cohort == c.id)
        .group_by(c.id)
        .order_by(c.Name, c.Version)
    )
    with database.reading() as connection:
        return [dict(row) for row in connection.execute(statement).mappings()]


def forget(database: Database, name: str) -> int:
    """Remove every version of a cohort; the images stay. How many versions there were.

    Raises NotFoundError.
    """
    c, s = schema.cohorts.c, schema.cohort_series.c
    with database.writing() as (connection, _):
        keys = list(connection.scalars(select(c.id).where(c.Name == name)))
        if not keys:
            raise NotFoundError(_missing(connection, name, None))
        connection.execute(delete(schema.cohort_series).where(s.Cohort.in_(keys)))
        connection.execute(delete(schema.cohorts).where(c.id.in_(keys)))
    return len(keys)


def _frozen(row: Mapping[str, Any], parts: tuple[Part, ...]) -> Frozen:
    return Frozen(
        row["Name"],
        row["Version"],
        row["CreatedAt"],
        row["Statement"],
        json.loads(row["Parameters"]),
        row["Note"],
        row["Archive"],
        row["Revision"],
        parts,
    )


def _part(row: Mapping[str, Any]) -> Part:
    text = zstandard.ZstdDecompressor().decompress(row["Instances"]).decode()
    pairs = (line.partition(" ") for line in text.splitlines())
    return Part(
        row["StudyInstanceUID"],
        row["SeriesInstanceUID"],
        row["PatientID"],
        row["NumberOfInstances"],
        bool(row["Whole"]),
        row["Digest"],
        {uid: sha256 for uid, _, sha256 in pairs},
    )


def _lines(instances: Mapping[str, str]) -> bytes:
    return "".join(f"{uid} {instances[uid]}\n" for uid in sorted(instances)).encode()


def _missing(connection: Connection, name: str, version: int | None) -> str:
    c = schema.cohorts.c
    versions = list(connection.scalars(select(c.Version).where(c.Name == name)))
    if versions:
        return f"cohort {name!r} has no version {version}: there are {sorted(versions)}"
    names = sorted(set(connection.scalars(select(c.Name))))
    there = f"there are {', '.join(names)}" if names else "none was saved: use lab.save_cohort()"
    return f"no cohort {name!r} in this archive; {there}"
