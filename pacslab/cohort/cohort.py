"""A cohort: a question and its answer, frozen to the instance and its bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import pandas as pd

from pacslab.archive import Archive, cohorts
from pacslab.archive.cohorts import Frozen, Part
from pacslab.archive.files import load
from pacslab.cohort import comparison, manifest, splits
from pacslab.cohort.mirror import Mirror
from pacslab.cohort.selection import key_and_uids
from pacslab.cohort.sql import query
from pacslab.dicom import buffers
from pacslab.dicom.instance import data_set_offset
from pacslab.errors import UsageError

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,63}")
_SQL: Final = re.compile(r"\s*(--[^\n]*\n\s*)*(SELECT|WITH|FROM)\b", re.IGNORECASE)
_COLUMNS: Final = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SHA256")


@dataclass(frozen=True)
class Cohort:
    """A frozen cohort: ``name`` and ``version``, the SQL that chose it, and every instance in it.

    It never changes; what the archive holds now is compared with it by :meth:`verify` and
    :meth:`diff`. It can stand wherever a cohort is asked for: ``lab.thumbnails(cohort)``.
    """

    frozen: Frozen
    _archive: Archive = field(repr=False, compare=False)
    _mirror: Mirror = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        """What its author calls it."""
        return self.frozen.name

    @property
    def version(self) -> int:
        """1, 2, ... of that name."""
        return self.frozen.version

    @property
    def sql(self) -> str | None:
        """The statement that chose it; None when it was chosen otherwise."""
        return self.frozen.statement

    @property
    def series(self) -> pd.DataFrame:
        """A row a series: PatientID, the UIDs, NumberOfInstances, and their digest."""
        names = ["PatientID", "StudyInstanceUID", "SeriesInstanceUID", "NumberOfInstances"]
        rows = [
            (p.patient_id, p.study_instance_uid, p.series_instance_uid, p.number, p.whole, p.digest)
            for p in self.frozen.parts
        ]
        return pd.DataFrame(rows, columns=[*names, "Whole", "Digest"])

    @property
    def instances(self) -> pd.DataFrame:
        """A row an instance: the UIDs and the SHA-256 of its data set when it was frozen."""
        rows = [
            (p.study_instance_uid, p.series_instance_uid, uid, sha256)
            for p in self.frozen.parts
            for uid, sha256 in p.instances.items()
        ]
        return pd.DataFrame(rows, columns=list(_COLUMNS))

    def verify(self, *, files: bool = False, progress: bool = True) -> pd.DataFrame:
        """What of it is no longer as it was frozen; no row when all is.

        A row an instance, or a series where the cohort came from a text file: Change is ``gone``,
        ``changed`` (another data set under the same UID) or, where the cohort held a whole series,
        ``added``. With ``files`` every file is read as well: ``altered`` when its bytes aren't
        those that the index knows.
        """
        here = _here(self._mirror, self.frozen.parts)
        found = comparison.verified(self.frozen.parts, here)
        if files:
            found += self._altered(progress)
        return comparison.frame(found)

    def diff(self, other: Cohort | None = None) -> pd.DataFrame:
        """What another cohort has that this one hasn't, and the other way round.

        A row an instance; Change is ``added``, ``gone`` or ``changed``. ``other`` is an earlier or
        later version, or any cohort; without it, what the same SQL chooses now. Raises UsageError
        for a cohort without SQL.
        """
        if other is not None:
            return comparison.frame(comparison.difference(self.frozen.parts, other.frozen.parts))
        if self.sql is None:
            raise UsageError(f"cohort {self.name!r} has no SQL to ask again: give other=")
        now = _parts(self._mirror, self._ask())
        return comparison.frame(comparison.difference(self.frozen.parts, now))

    def split(
        self,
        *,
        stratify: str | list[str] | None = None,
        seed: int = 0,
        **shares: float,
    ) -> pd.DataFrame:
        """A row a series with its Split, for machine learning; a patient is on one side only.

        ``shares`` are the sides and their parts, such as ``train=0.8, test=0.2``; patients are
        counted. ``stratify`` names columns of the table ``index`` (PatientSex, Modality, ...) whose
        proportions are kept on each side. Same seed, same split. Raises UsageError for shares that
        aren't a whole and SQLError for a column that isn't there.
        """
        labels = None
        if stratify:
            names = [stratify] if isinstance(stratify, str) else stratify
            labels = splits.labels(self._mirror, self.series, names)
        return splits.split(self.series, shares or {"train": 0.8, "test": 0.2}, seed, labels)

    def write(self, path: str | Path) -> Path:
        """Write it as a small text file that another pacslab can check itself against.

        A line a series, and one for each instance of series that aren't whole in it.
        """
        return manifest.write(self.frozen, Path(path))

    def __len__(self) -> int:
        return sum(part.number for part in self.frozen.parts)

    def __repr__(self) -> str:
        return f"<Cohort {self.name!r} version {self.version}: {self._numbers()}>"

    def _numbers(self) -> str:
        parts = self.frozen.parts
        patients = len({p.patient_id for p in parts if p.patient_id is not None})
        studies = len({p.study_instance_uid for p in parts})
        numbers = {"studies": studies, "series": len(parts), "instances": len(self)}
        if patients:
            numbers = {"patients": patients} | numbers
        return ", ".join(f"{number:,} {name}" for name, number in numbers.items())

    def _ask(self) -> pd.DataFrame:
        assert self.sql is not None
        return query(self._mirror, self.sql, self.frozen.parameters)

    def _altered(self, progress: bool) -> list[comparison.Change]:
        from tqdm.auto import tqdm

        total = [(p, uid) for p in self.frozen.parts for uid in p.instances]
        found = []
        for part, uid in tqdm(total, desc="verifying", unit="file", disable=not progress):
            where = (part.study_instance_uid, part.series_instance_uid, uid)
            path = self._archive.files.path(*where)
            if path.exists():
                data = load(path)
                if buffers.sha256(data, data_set_offset(data)) != part.instances[uid]:
                    found.append(comparison.Change(*where, "altered"))
        return found


def save(
    archive: Archive,
    mirror: Mirror,
    name: str,
    what: Any,
    *,
    note: str = "",
    parameters: Mapping[str, Any] | None = None,
    frames: Mapping[str, pd.DataFrame] | None = None,
) -> Cohort:
    """Freeze what ``what`` stands for (SQL, or what ``selection`` takes) as the next version.

    Raises UsageError for a name that is none, and for an answer without images.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} can't be a cohort's name: take up to 64 letters, digits, spaces, . _ -"
        )
    statement = what if isinstance(what, str) and _SQL.match(what) else None
    if parameters and statement is None:
        raise UsageError(f"{next(iter(parameters))}= is given, but no SQL that could take it")
    chosen = what if statement is None else query(mirror, statement, parameters, frames)
    revision = archive.revision()
    parts = _parts(mirror, chosen)
    if not parts:
        raise UsageError("nothing is in that cohort: a frozen cohort holds at least one instance")
    saved = cohorts.save(
        archive.database, name, parts,
        statement=statement, parameters=parameters or {}, note=note, revision=revision,
    )  # fmt: skip
    return Cohort(saved, archive, mirror)


def read(archive: Archive, mirror: Mirror, path: Path) -> Cohort:
    """The cohort in a text file, to be compared with what is here. Raises UsageError.

    The file names no instances of whole series: those that are here as they were then are known.
    """
    frozen = manifest.read(path)
    here = _here(mirror, frozen.parts)
    parts = []
    for part in frozen.parts:
        found = here.get(part.series_instance_uid)
        parts.append(found if found is not None and found.digest == part.digest else part)
    return Cohort(replace(frozen, parts=tuple(parts)), archive, mirror)


def of(archive: Archive, mirror: Mirror, name: str, version: int | None) -> Cohort:
    """A saved cohort. Raises NotFoundError."""
    return Cohort(cohorts.load(archive.database, name, version), archive, mirror)


def _parts(mirror: Mirror, what: Any) -> list[Part]:
    return list(_grouped(_instances(mirror, what)))


def _here(mirror: Mirror, parts: Iterable[Part]) -> dict[str, Part]:
    """What the archive holds now of each of these series."""
    uids = pd.DataFrame({"SeriesInstanceUID": [p.series_instance_uid for p in parts]})
    return {p.series_instance_uid: p for p in _parts(mirror, uids)}


def _instances(mirror: Mirror, what: Any) -> pd.DataFrame:
    """The instances that a cohort stands for, and how many each series has."""
    key, uids = key_and_uids(what)
    condition = f"{key} IN (SELECT uid FROM chosen)"
    if key is None:
        condition = " OR ".join(
            f"{name} IN (SELECT uid FROM chosen)"
            for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
        )
    if what is None:
        condition = "true"
    return query(
        mirror,
        f"""SELECT i.StudyInstanceUID, i.SeriesInstanceUID, i.SOPInstanceUID, i.SHA256, i.PatientID,
            s.NumberOfSeriesRelatedInstances AS Total
        FROM (SELECT * FROM instances WHERE {condition}) i JOIN series s USING (SeriesInstanceUID)
        ORDER BY i.StudyInstanceUID, i.SeriesInstanceUID""",
        frames={"chosen": pd.DataFrame({"uid": pd.Series(uids, dtype="str")})},
    )


def _grouped(rows: pd.DataFrame) -> Iterator[Part]:
    found: dict[str, tuple[str, Any, int, dict[str, str]]] = {}
    for study, series, uid, sha256, patient, total in rows.itertuples(index=False):
        _, _, _, held = found.setdefault(series, (study, patient, total, {}))
        held[uid] = sha256
    for series, (study, patient, total, held) in found.items():
        known = patient if isinstance(patient, str) else None
        yield Part.of(study, series, known, len(held) == total, held)
