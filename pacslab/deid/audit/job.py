"""An audit of many instances, in several processes, alone or against the source."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from pacslab.archive import Archive, Stored
from pacslab.archive.archive import INDEX
from pacslab.deid.audit.compare import Comparison
from pacslab.deid.audit.finding import Finding, Kind, Severity
from pacslab.deid.crosswalk import FOLDER
from pacslab.deid.keys import Keys
from pacslab.deid.uids import replaced
from pacslab.errors import PacslabError

_BATCH: Final = 16
_NOT_SEARCHED: Final = frozenset({"files", "deidentification", "incoming"})


@dataclass(slots=True)
class Result:
    """What an audit found: by instance, in the archive's other files, and in comparing."""

    findings: list[tuple[str, Finding]] = field(default_factory=list)
    comparison: Comparison = field(default_factory=Comparison)
    instances: int = 0
    paired: int = 0
    inconsistent: int = 0
    originals: int = 0


def run(
    archive: Archive,
    chosen: Sequence[Stored],
    against: Archive | None = None,
    *,
    workers: int | None = None,
    progress: Callable[[int], object] = lambda _: None,
) -> Result:
    """Audit instances of an archive; with ``against`` every value of that source is looked for.

    ``progress`` is told how many are done more.
    """
    result = Result(instances=len(chosen))
    batches = [chosen[at : at + _BATCH] for at in range(0, len(chosen), _BATCH)]
    number = max(1, min(workers or os.cpu_count() or 1, len(batches)))
    with ExitStack() as stack:
        processes = [stack.enter_context(_Process()) for _ in range(number)]
        pool = stack.enter_context(ThreadPoolExecutor(number))

        def each(tasks: Sequence[Any]) -> Iterator[Any]:
            idle = list(processes)

            def one(task: Any) -> Any:
                process = idle.pop()
                try:
                    return process.ask(task)
                finally:
                    idle.append(process)

            return pool.map(one, tasks)

        pairs: dict[str, tuple[str, str]] = {}
        if against is not None:
            pairs = _know(against, chosen, each, processes=processes, pool=pool, result=result)
        tasks = []
        for batch in batches:
            told = []
            for stored in batch:
                before = pairs.get(stored.sop_instance_uid, (None, None))
                told.append([str(stored.path), *before])
            tasks.append({"audit": told})
        for batch, answer in zip(batches, each(tasks), strict=True):
            for stored, found in zip(batch, answer["audit"], strict=True):
                uid = stored.sop_instance_uid
                result.findings += [(uid, _finding(row)) for row in found]
                result.findings += _names(stored)
                if against is not None and uid not in pairs:
                    result.findings.append((uid, Finding(
                        "file", Kind.UNPAIRED, Severity.MEDIUM,
                        "no instance of the source belongs to it", "against")))  # fmt: skip
            progress(len(batch))
        if against is not None:
            files = _other_files(archive)
            old = {Path(path).stem for path, _ in pairs.values()}
            kept = any(stored.sop_instance_uid in old for stored in chosen)
            for path, answer in zip(files, each([{"file": str(p)} for p in files]), strict=True):
                place = path.name if path.parent == archive.directory else path.parent.name
                for kind in answer["file"]:
                    if kept and kind != Kind.NAME:  # the index tells what the instances may
                        continue
                    result.findings.append(("", Finding(
                        f"archive: {place}", Kind(kind), Severity.HIGH,
                        f"{kind} of the source", "against")))  # fmt: skip
            for process in processes:
                _add_up(result, process.ask({"end": True}))
    return result


def _know(
    against: Archive,
    chosen: Sequence[Stored],
    each: Callable[[Sequence[Any]], Iterator[Any]],
    *,
    processes: Sequence[_Process],
    pool: ThreadPoolExecutor,
    result: Result,
) -> dict[str, tuple[str, str]]:
    """Have every worker know the source; by new UID the file and the patient that it came from."""
    sources = list(against.instances())
    new = _new_uids(against, sources, {stored.sop_instance_uid for stored in chosen})
    batches = [sources[at : at + _BATCH] for at in range(0, len(sources), _BATCH)]
    tasks = [{"harvest": [str(stored.path) for stored in batch]} for batch in batches]
    everybody: dict[str, set[tuple[Any, ...]]] = {}
    pairs: dict[str, tuple[str, str]] = {}
    for batch, answer in zip(batches, each(tasks), strict=True):
        for stored, (person, _, values) in zip(batch, answer["harvest"], strict=True):
            everybody.setdefault(person, set()).update(map(tuple, values))
            pairs[new[stored.sop_instance_uid]] = (str(stored.path), person)
    told = {"know": {person: sorted(values) for person, values in everybody.items()}}
    list(pool.map(lambda process: process.ask(told), processes))
    result.originals = sum(map(len, everybody.values()))
    result.paired = sum(stored.sop_instance_uid in pairs for stored in chosen)
    return pairs


def _new_uids(against: Archive, sources: Sequence[Stored], there: set[str]) -> dict[str, str]:
    """What became of each SOPInstanceUID: kept, or replaced with the source's key, if it has one.

    Only which file belongs to which is taken from the key, never what is looked for.
    """
    home = against.directory / FOLDER
    keyed = (home / "key").exists() or "PACSLAB_DEIDENTIFICATION_KEY" in os.environ
    keys = Keys.of(home) if keyed else None
    made: dict[str, str] = {}
    for stored in sources:
        uid = stored.sop_instance_uid
        made[uid] = uid if uid in there or keys is None else replaced(uid, keys)
    return made


def _names(stored: Stored) -> Iterator[tuple[str, Finding]]:
    """A file's name and folders are UIDs of the instance, and nothing else."""
    uids = (stored.study_instance_uid, stored.series_instance_uid, stored.sop_instance_uid)
    if (*stored.path.parts[-3:-1], stored.path.stem) != uids:
        yield uids[2], Finding("file name", Kind.HIDDEN, Severity.MEDIUM,
                               "the file isn't named by its UIDs")  # fmt: skip


def _other_files(archive: Archive) -> list[Path]:
    """Files of an archive that are no instance: the index with its log, quarantine, what else."""
    found = [
        path
        for path in archive.directory.rglob("*")
        if path.is_file() and path.relative_to(archive.directory).parts[0] not in _NOT_SEARCHED
    ]
    return sorted(found, key=lambda path: (path.name != INDEX, path))


def _add_up(result: Result, told: dict[str, Any]) -> None:
    held = result.comparison
    for attribute, did, number in told["did"]:
        held.did[attribute, did] += number
    held.pixels += Counter(told["pixels"])
    for subject, days in told["shifts"].items():
        held.shifts.setdefault(subject, set()).update(days)
    for old, new in told["uids"].items():
        if held.uids.setdefault(old, new) != new:
            result.inconsistent += 1


def _finding(row: Sequence[str]) -> Finding:
    path, kind, severity, detail, check = row
    return Finding(path, Kind(kind), Severity(severity), detail, check)


class _Process:
    """One worker, asked and answering in turn."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pacslab.deid.audit.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # a traceback may quote a patient
            text=True,
            encoding="utf-8",
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def ask(self, told: Any) -> dict[str, Any]:
        """Have a task done. Raises PacslabError where the worker can't."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(told) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except OSError:
            line = ""
        answer: dict[str, Any] = json.loads(line) if line else {"error": "a worker ended"}
        if "error" in answer:
            raise PacslabError(f"{answer['error']}: run the audit again with workers=1")
        return answer
