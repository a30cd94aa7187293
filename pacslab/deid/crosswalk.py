"""The crosswalk: who became whom, in a file of its own, each record encrypted.

It lies beside the archive's index, never in it, so that no cohort query can reach it.
"""

from __future__ import annotations

import fcntl
import getpass
import json
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cryptography.fernet import Fernet, InvalidToken

from pacslab.deid import subjects
from pacslab.deid.keys import Keys
from pacslab.deid.subjects import Patient, Subject
from pacslab.errors import UsageError

log = logging.getLogger(__name__)

FOLDER: Final = "deidentification"
"""Where, in an archive's directory, the key, the crosswalk and the logs of what was done lie."""

_LENGTHS: Final = (12, 16, 20, 26)  # characters of an ID; longer ones only if a shorter is taken


def folder(directory: Path) -> Path:
    """The directory for it, made with mode 0700 where there is none."""
    path = directory / FOLDER
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


class Crosswalk:
    """Remembers who became whom; whatever it said first, it says again.

    Safe in threads, and with several processes on one file. Raises UsageError when the file was
    written with another key.
    """

    def __init__(self, directory: Path, keys: Keys) -> None:
        self.path = directory / "crosswalk"
        self._asked = directory / "asked.jsonl"
        self._keys = keys
        self._fernet = Fernet(keys.encryption())
        self._lock = threading.RLock()
        self._patients: dict[str, tuple[Patient, Subject]] = {}
        self._taken: dict[str, str] = {}
        self._studies: dict[str, tuple[str, str]] = {}
        self._read_to = 0
        if not self.path.exists():
            os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o600))
        with self._exclusive():
            pass

    def resolve(self, patient: Patient) -> Subject:
        """Who this patient becomes: what was said first, else what follows from the key."""
        with self._lock:
            known = self._patients.get(patient.identity)
            if known is not None:
                return known[1]
            with self._exclusive():
                known = self._patients.get(patient.identity)
                if known is not None:
                    return known[1]
                subject = self._new(patient)
                self._append({"patient": asdict(patient), "subject": asdict(subject)})
                return subject

    def adopt(self, patient: Patient, subject: Subject) -> bool:
        """Note what a worker said of a patient; False where another subject was said before."""
        return self.resolve(patient) == subject

    def note_study(self, patient: Patient, new: str) -> None:
        """Note which study a study became."""
        original = patient.study_instance_uid
        with self._lock:
            if original in self._studies:
                return
            with self._exclusive():
                if original not in self._studies:
                    study = {"original": original, "new": new, "identity": patient.identity}
                    self._append({"study": study})

    @property
    def subjects(self) -> dict[str, Subject]:
        """Every subject by the identity of its patient."""
        with self._lock:
            return {identity: subject for identity, (_, subject) in self._patients.items()}

    def rows(self, why: str) -> list[dict[str, Any]]:
        """Who is who, a row a study (or a patient without one); that it was asked is written down.

        Keys are DICOM keywords, those of the new values with ``Deidentified`` before.
        """
        with self._lock, self._exclusive():
            self._write_down(why)
            by_identity: dict[str, list[tuple[str, str]]] = {}
            for original, (new, identity) in self._studies.items():
                by_identity.setdefault(identity, []).append((original, new))
            rows = []
            for identity, (patient, subject) in self._patients.items():
                for original, new in by_identity.get(identity, [("", "")]):
                    rows.append(
                        {
                            "PatientID": patient.patient_id,
                            "IssuerOfPatientID": patient.issuer,
                            "PatientName": patient.name,
                            "PatientBirthDate": patient.birth_date,
                            "PatientSex": patient.sex,
                            "StudyInstanceUID": original,
                            "DeidentifiedPatientID": subject.patient_id,
                            "DeidentifiedPatientName": subject.fake_name,
                            "DeidentifiedPatientBirthDate": subject.birth_date,
                            "DeidentifiedStudyInstanceUID": new,
                            "DateShift": subject.shift,
                        }
                    )
            return rows

    # --- inside -------------------------------------------------------------------------------

    def _new(self, patient: Patient) -> Subject:
        for length in _LENGTHS:
            subject = subjects.by_key(self._keys, length=length)(patient)
            if self._taken.get(subject.patient_id, patient.identity) == patient.identity:
                return subject
        raise UsageError("the crosswalk gives two patients the same ID: begin one with a new key")

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Hold the file against other processes, having read what they wrote."""
        with self.path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            self._catch_up(file)
            yield

    def _catch_up(self, file: Any) -> None:
        file.seek(self._read_to)
        data: bytes = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        for number, line in enumerate(whole.splitlines()):
            try:
                record = json.loads(self._fernet.decrypt(line))
            except InvalidToken:
                if self._read_to == 0 and number == 0:
                    raise UsageError(
                        f"the crosswalk {self.path} was written with another key: give the key it "
                        "was made with (PACSLAB_DEIDENTIFICATION_KEY), or move the file away"
                    ) from None
                log.warning("a record of the crosswalk can't be read: line %d", number + 1)
                continue
            self._learn(record)
        self._read_to += len(whole)

    def _append(self, record: dict[str, Any]) -> None:
        token = self._fernet.encrypt(json.dumps(record, ensure_ascii=False).encode())
        size = self.path.stat().st_size
        # What a crash left behind the last line is closed, and passed over when read
        line = (b"\n" if size > self._read_to else b"") + token + b"\n"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(descriptor, line)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._read_to = size + len(line)
        self._learn(record)

    def _learn(self, record: dict[str, Any]) -> None:
        if "study" in record:
            study = record["study"]
            self._studies.setdefault(study["original"], (study["new"], study["identity"]))
            return
        patient, subject = Patient(**record["patient"]), Subject(**record["subject"])
        self._patients.setdefault(patient.identity, (patient, subject))
        self._taken.setdefault(subject.patient_id, patient.identity)

    def _write_down(self, why: str) -> None:
        told = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "user": _user(),
            "pid": os.getpid(),
            "why": why,
            "patients": len(self._patients),
        }
        descriptor = os.open(self._asked, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "a", encoding="utf-8") as file:
            file.write(json.dumps(told) + "\n")
        log.info("the crosswalk was asked by %s: %s", told["user"], why)


def remembering(known: dict[str, Subject], keys: Keys) -> subjects.Resolve:
    """Subjects from a crosswalk's answers; by the key for whom it doesn't know yet."""
    by_key = subjects.by_key(keys)

    def resolve(patient: Patient) -> Subject:
        found = known.get(patient.identity)
        if found is None:
            found = known[patient.identity] = by_key(patient)
        return found

    return resolve


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
