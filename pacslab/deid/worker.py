"""A process that de-identifies files into an archive; ``job`` starts several of them.

It is told what to do over its standard input, a line of JSON at a time, so that neither key nor
patients stand on a command line or in a file, and a script that starts a job needs no guard.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
import warnings
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pacslab.archive import Archive, Status
from pacslab.archive.files import load
from pacslab.deid import log
from pacslab.deid.crosswalk import remembering
from pacslab.deid.engine import Engine, Outcome
from pacslab.deid.keys import Keys
from pacslab.deid.profiles import Profile
from pacslab.deid.subjects import Patient, Subject
from pacslab.errors import PacslabError


class Worker:
    """De-identifies files with one engine into one archive."""

    def __init__(self, told: dict[str, Any]) -> None:
        keys = Keys(bytes.fromhex(told["key"]))
        self._subjects = {i: Subject(**s) for i, s in told["subjects"].items()}
        self._known = set(self._subjects)
        self.engine = Engine(
            Profile.model_validate(told["profile"]),
            keys,
            resolve=remembering(self._subjects, keys),
        )
        self._out = Archive(Path(told["out"]))

    def do(self, paths: Iterable[str]) -> dict[str, Any]:
        """De-identify and store files; results in order, and what a job has to know of them."""
        results: list[dict[str, Any]] = []
        done: list[tuple[int, Outcome]] = []
        for path in paths:
            results.append({"path": path, "status": str(Status.REFUSED), "reason": ""})
            try:
                done.append((len(results) - 1, self.engine.deidentify(bytes(load(Path(path))))))
            except OSError as error:
                results[-1]["reason"] = f"the file can't be read: {error.strerror}"
            except PacslabError as error:
                results[-1]["reason"] = error.message
        receipts = self._out.add_many([o.data for _, o in done], source="deidentified")
        records, patients, studies = [], {}, {}
        for (place, outcome), receipt in zip(done, receipts, strict=True):
            results[place] |= {
                "status": str(receipt.status),
                "reason": receipt.reason,
                "sop_instance_uid": outcome.sop_instance_uid,
                "changed": len(outcome.actions),
                "kept": outcome.kept,
                "doubts": list(outcome.doubts),
            }
            if receipt.status is Status.REFUSED:
                continue
            records.append(log.record(outcome.sop_instance_uid, outcome.kept, outcome.actions))
            studies[outcome.patient.study_instance_uid] = _study(outcome)
            if outcome.patient.identity not in self._known:
                self._known.add(outcome.patient.identity)
                patients[outcome.patient.identity] = [
                    asdict(outcome.patient), asdict(outcome.subject)
                ]  # fmt: skip
        return {
            "results": results,
            "records": records,
            "patients": list(patients.values()),
            "studies": list(studies.values()),
        }


def _study(outcome: Outcome) -> list[Any]:
    return [asdict(outcome.patient), outcome.study_instance_uid]


def patient(told: dict[str, str]) -> Patient:
    """A patient as a worker tells of one."""
    return Patient(**told)


def main() -> None:
    """Work until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started it decides when it is over
    # Warnings of pydicom quote values
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    worker: Worker | None = None
    for line in sys.stdin:
        told = json.loads(line)
        try:
            if worker is None:
                worker, answer = Worker(told), {}
            else:
                answer = worker.do(told)
        except PacslabError as error:
            answer = {"error": error.message}
        except Exception as error:  # its text may quote a value
            answer = {"error": f"a worker failed ({type(error).__name__})"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
