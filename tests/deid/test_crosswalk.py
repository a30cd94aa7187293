"""The crosswalk: encrypted, of its own, first answers kept, and who asked."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from pacslab.deid.crosswalk import Crosswalk
from pacslab.deid.keys import Keys
from pacslab.deid.subjects import Patient
from pacslab.errors import UsageError

KEYS = Keys(bytes(32))
WHO = Patient("ZQ7781234", "", "Quibblethorpe^Zephyrine", "F", "19430217", "", "1.2", "20210314")


def test_it_says_again_what_it_said(tmp_path: Path) -> None:
    crosswalk = Crosswalk(tmp_path, KEYS)
    first = crosswalk.resolve(WHO)
    assert crosswalk.resolve(replace(WHO, sex="M", study_date="20250101")) == first
    assert Crosswalk(tmp_path, KEYS).resolve(replace(WHO, sex="M")) == first


def test_two_processes_agree(tmp_path: Path) -> None:
    one, other = Crosswalk(tmp_path, KEYS), Crosswalk(tmp_path, KEYS)
    first = one.resolve(WHO)
    assert other.resolve(replace(WHO, sex="M")) == first


def test_nothing_of_a_patient_can_be_read_in_it(tmp_path: Path) -> None:
    crosswalk = Crosswalk(tmp_path, KEYS)
    crosswalk.resolve(WHO)
    crosswalk.note_study(WHO, "2.25.1")
    held = b"".join(p.read_bytes() for p in tmp_path.iterdir())
    assert not [w for w in (b"ZQ77", b"Quibble", b"19430217", b"2.25.1") if w in held]
    assert stat.S_IMODE(crosswalk.path.stat().st_mode) == 0o600


def test_who_is_who_and_who_asked(tmp_path: Path) -> None:
    crosswalk = Crosswalk(tmp_path, KEYS)
    subject = crosswalk.resolve(WHO)
    crosswalk.note_study(WHO, "2.25.1")
    (row,) = crosswalk.rows("a test")
    assert (row["PatientID"], row["DeidentifiedPatientID"]) == ("ZQ7781234", subject.patient_id)
    assert (row["StudyInstanceUID"], row["DeidentifiedStudyInstanceUID"]) == ("1.2", "2.25.1")
    (asked,) = (tmp_path / "asked.jsonl").read_text().splitlines()
    assert json.loads(asked)["why"] == "a test"
    assert "Quibble" not in asked


def test_another_key_is_told(tmp_path: Path) -> None:
    Crosswalk(tmp_path, KEYS).resolve(WHO)
    with pytest.raises(UsageError, match="another key"):
        Crosswalk(tmp_path, Keys.new())


def test_a_record_that_a_crash_left_unfinished_does_no_harm(tmp_path: Path) -> None:
    first = Crosswalk(tmp_path, KEYS).resolve(WHO)
    with (tmp_path / "crosswalk").open("ab") as file:
        file.write(b"gAAAAABl")
    again = Crosswalk(tmp_path, KEYS)
    other = again.resolve(replace(WHO, patient_id="other"))
    last = Crosswalk(tmp_path, KEYS)
    assert last.resolve(WHO) == first
    assert last.resolve(replace(WHO, patient_id="other")) == other
