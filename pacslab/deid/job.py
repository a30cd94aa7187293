"""De-identifying a cohort into a new archive: in several processes, resumable."""

from __future__ import annotations

import hashlib
import json
import os
import queue
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from pacslab.archive import Archive
from pacslab.archive.archive import Stored
from pacslab.deid import log
from pacslab.deid.crosswalk import Crosswalk, folder
from pacslab.deid.engine import Engine
from pacslab.deid.keys import Keys
from pacslab.deid.profiles import Profile, load
from pacslab.deid.subjects import Patient, Subject
from pacslab.dicom.keywords import Level
from pacslab.errors import PacslabError, UsageError

_BATCH: Final = 32
_BATCH_BYTES: Final = 64 << 20
_STUDIES: Final = 200
_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Result:
    """What became of an instance of the source: stored, already there, or refused and why.

    ``sop_instance_uid`` is the new one, empty where it was refused; ``original`` is in the source.
    """

    original: str
    sop_instance_uid: str
    status: str
    reason: str = ""
    changed: int = 0
    kept: int = 0
    doubts: tuple[str, ...] = field(default=())


class Job:
    """One cohort on its way into a new archive.

    With ``forget`` the key is made for this job and thrown away, and there is no crosswalk: nobody
    can ever go back, and the job can't be resumed. Raises UsageError where ``out`` holds something
    that isn't this job's.
    """

    def __init__(
        self,
        source: Archive,
        out: str | os.PathLike[str],
        profile: Profile | str = "basic",
        *,
        forget: bool = False,
        workers: int | None = None,
    ) -> None:
        self.source = source
        self.out = Path(out).expanduser().absolute()
        self.profile = load(profile)
        home = folder(source.directory)
        self.keys = Keys.new() if forget else Keys.of(home)
        self.crosswalk = None if forget else Crosswalk(home, self.keys)
        self._workers = workers or os.cpu_count() or 1
        self._uid = Engine(self.profile, self.keys).uid
        if self.out == source.directory or source.directory in self.out.parents:
            raise UsageError(
                f"{self.out} lies in the archive that is de-identified: give a directory elsewhere"
            )
        name = hashlib.sha256(str(self.out).encode()).hexdigest()[:16]
        self.log = home / f"actions-{name}.jsonl.zst"
        self._claim(home / f"job-{name}.json", forget)

    def run(self, cohort: Iterable[Stored]) -> Iterator[Result]:
        """De-identify instances; a result for each, in the order in which they end.

        What the new archive has already is left as it is, so that a job that was stopped goes on
        where it was.
        """
        with Archive(self.out) as out:
            there = {stored.sop_instance_uid for stored in out.instances()}
        left: list[Stored] = []
        for stored in cohort:
            new = self._uid(stored.sop_instance_uid)
            if new in there:
                yield Result(stored.sop_instance_uid, new, "already there")
            else:
                left.append(stored)
        if left:
            yield from self._work(left)

    def _work(self, left: list[Stored]) -> Iterator[Result]:
        known = self._subjects({stored.study_instance_uid for stored in left})
        batches = list(_batches(left))
        told = {
            "profile": self.profile.model_dump(mode="json"),
            "key": self.keys.secret.hex(),
            "out": str(self.out),
            "subjects": {identity: asdict(subject) for identity, subject in known.items()},
        }
        uids = {str(stored.path): stored.sop_instance_uid for stored in left}
        with ExitStack() as stack:
            idle: queue.SimpleQueue[_Process] = queue.SimpleQueue()
            number = min(self._workers, len(batches))
            for _ in range(number):
                idle.put(stack.enter_context(_Process(told)))
            pool = ThreadPoolExecutor(number)
            stack.callback(pool.shutdown, cancel_futures=True)

            def work(batch: list[Stored]) -> dict[str, Any]:
                process = idle.get()
                try:
                    return process.ask([str(stored.path) for stored in batch])
                finally:
                    idle.put(process)

            running: list[Future[dict[str, Any]]] = [pool.submit(work, b) for b in batches]
            for future in as_completed(running):
                answer = future.result()
                self._note(answer)
                for told_of in answer["results"]:
                    original = uids[told_of.pop("path")]
                    told_of["doubts"] = tuple(told_of.get("doubts", ()))
                    yield Result(original=original, **{"sop_instance_uid": "", **told_of})

    def _subjects(self, studies: set[str]) -> dict[str, Subject]:
        """Who the patients of these studies become, asked in the order of their dates."""
        if self.crosswalk is None:
            return {}
        patients: list[Patient] = []
        uids = sorted(studies)
        for at in range(0, len(uids), _STUDIES):
            headers = self.source.first_headers(Level.STUDY, uids[at : at + _STUDIES])
            patients += [_patient(json.loads(header)) for _, _, header in headers]
        for patient in sorted(patients, key=lambda p: (p.study_date, p.study_instance_uid)):
            self.crosswalk.resolve(patient)
        return self.crosswalk.subjects

    def _note(self, answer: dict[str, Any]) -> None:
        log.append(self.log, answer["records"])
        if self.crosswalk is None:
            return
        for patient, subject in answer["patients"]:
            if not self.crosswalk.adopt(Patient(**patient), Subject(**subject)):
                raise PacslabError(
                    "two processes named a patient differently: remove the new archive and start "
                    "again"
                )
        for patient, new in answer["studies"]:
            self.crosswalk.note_study(Patient(**patient), new)

    def _claim(self, path: Path, forget: bool) -> None:
        """Make sure that the new archive is this job's: same profile, same key, or still empty."""
        mine = {
            "version": _VERSION,
            "out": str(self.out),
            "profile": self.profile.digest,
            "key": self.keys.name,
        }
        with Archive(self.out) as archive:
            empty = not archive.counts()["instances"]
        if not empty:
            held = json.loads(path.read_text("utf-8")) if path.exists() else None
            if forget or held != mine:
                raise UsageError(
                    f"{self.out} holds instances that another profile or key made, or another "
                    "program: give a new directory"
                )
        if empty:
            self.log.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(mine, file)


class _Process:
    """One worker, asked and answering in turn."""

    def __init__(self, told: dict[str, Any]) -> None:
        self._told = told

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pacslab.deid.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # a traceback may quote a patient
            text=True,
            encoding="utf-8",
        )
        self._ready = False
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def ask(self, paths: list[str]) -> dict[str, Any]:
        """Have files de-identified. Raises PacslabError where the worker can't."""
        if not self._ready:
            self._say(self._told)
            self._ready = True
        return self._say(paths)

    def _say(self, told: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(told) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except OSError:
            line = ""
        if not line:
            raise PacslabError(
                f"a worker ended unexpectedly (exit code {self._process.wait()}): run the job "
                "again, it goes on where it was"
            )
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise PacslabError(answer["error"])
        return answer


def _batches(left: Sequence[Stored]) -> Iterator[list[Stored]]:
    batch: list[Stored] = []
    size = 0
    for stored in left:
        batch.append(stored)
        size += stored.size
        if len(batch) == _BATCH or size > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _patient(header: dict[str, Any]) -> Patient:
    """The patient in a header as DICOM JSON."""

    def told(tag: str) -> str:
        values = header.get(tag, {}).get("Value") or [""]
        texts = []
        for value in values:
            if isinstance(value, dict):
                groups = [value.get(g, "") for g in ("Alphabetic", "Ideographic", "Phonetic")]
                texts.append("=".join(groups).rstrip("="))
            else:
                texts.append("" if value is None else str(value))
        return "\\".join(texts).strip()

    days = (told(tag) for tag in ("00080020", "00080021", "00080022", "00080023"))
    return Patient(
        patient_id=told("00100020"),
        issuer=told("00100021"),
        name=told("00100010"),
        sex=told("00100040"),
        birth_date=told("00100030"),
        age=told("00101010"),
        study_instance_uid=told("0020000D"),
        study_date=next((day for day in days if day), ""),
    )
