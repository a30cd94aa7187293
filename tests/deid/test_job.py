"""A cohort into a new archive: nothing of it in any byte there, resumable, the same each time."""

from __future__ import annotations

import json
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from pacslab import Lab
from pacslab.archive import Archive
from pacslab.deid import log
from pacslab.deid.job import Job
from pacslab.errors import UsageError
from tests.deid.planting import CLASSES, STRICT, found_in, planted
from tests.making import instance
from tests.servers import run


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """An archive with one planted object of each class, each its own instance."""
    with Lab(tmp_path / "source") as made:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made.archive.add_many(planted(kind) for kind in CLASSES)
        yield made


def everything(directory: Path) -> bytes:
    """Every byte and every name below a directory."""
    files = [p for p in directory.rglob("*") if p.is_file()]
    names = "\n".join(str(p.relative_to(directory)) for p in files).encode()
    return names + b"".join(p.read_bytes() for p in files)


def test_nothing_is_left_anywhere(lab: Lab, tmp_path: Path) -> None:
    out = tmp_path / "out"
    frame = lab.deidentify(None, out, workers=1, progress=False)
    assert len(frame) == lab.counts["instances"] == len(CLASSES)
    assert set(frame.Status) == {"stored"}
    assert found_in(frame.to_csv().encode(), STRICT) == []
    with Archive(out) as made:
        assert made.counts()["instances"] == len(frame)
        assert not list(made.check())
        headers = b"".join(header for _, header in made.metadata())
    assert found_in(everything(out) + headers, STRICT) == []
    kept = everything(lab.directory / "deidentification")
    assert found_in(kept, STRICT) == []
    (actions,) = (lab.directory / "deidentification").glob("actions-*.zst")
    records = list(log.read(actions))
    assert {r["SOPInstanceUID"] for r in records} == set(frame.SOPInstanceUID)
    assert found_in(json.dumps(records).encode(), STRICT) == []
    assert stat.S_IMODE(actions.stat().st_mode) == 0o600


def test_it_goes_on_where_it_was_stopped(lab: Lab, tmp_path: Path) -> None:
    cohort = list(lab.archive.instances())
    half = Job(lab.archive, tmp_path / "out", workers=1).run(cohort[:5])
    assert [r.status for r in half] == ["stored"] * 5
    whole = [r.status for r in Job(lab.archive, tmp_path / "out", workers=1).run(cohort)]
    assert sorted(whole) == ["already there"] * 5 + ["stored"] * (len(cohort) - 5)


def test_the_same_key_gives_the_same_bytes(lab: Lab, tmp_path: Path) -> None:
    held = []
    for name in ("one", "other"):
        lab.deidentify(None, tmp_path / name, "research", workers=2, progress=False)
        files = (tmp_path / name / "files").rglob("*.dcm")
        held.append({p.name: p.read_bytes() for p in files})
    assert held[0] == held[1]


def test_forgetting_leaves_no_way_back(lab: Lab, tmp_path: Path) -> None:
    one = lab.deidentify(None, tmp_path / "one", forget=True, workers=1, progress=False)
    other = lab.deidentify(None, tmp_path / "other", forget=True, workers=1, progress=False)
    assert not set(one.SOPInstanceUID) & set(other.SOPInstanceUID)
    home = lab.directory / "deidentification"
    assert not (home / "key").exists()
    assert not (home / "crosswalk").exists()
    with pytest.raises(UsageError, match="new directory"):
        lab.deidentify(None, tmp_path / "one", forget=True, progress=False)


def test_the_crosswalk_says_who_is_who(lab: Lab, tmp_path: Path) -> None:
    frame = lab.deidentify(None, tmp_path / "out", workers=1, progress=False)
    told = lab.crosswalk
    assert set(told.PatientID) == {"ZQ7781234"}
    with Lab(tmp_path / "out") as out:
        (study,) = out.search("STUDY").to_dict("records")
    assert study["PatientID"] == told.DeidentifiedPatientID[0]
    assert study["StudyInstanceUID"] == told.DeidentifiedStudyInstanceUID[0]
    assert "asked.jsonl" in {p.name for p in (lab.directory / "deidentification").iterdir()}
    assert len(frame) == study["NumberOfStudyRelatedInstances"]


def test_another_profile_needs_another_directory(lab: Lab, tmp_path: Path) -> None:
    cohort = list(lab.archive.instances())[:1]
    assert len(list(Job(lab.archive, tmp_path / "out", workers=1).run(cohort))) == 1
    with pytest.raises(UsageError, match="new directory"):
        Job(lab.archive, tmp_path / "out", "research")
    with pytest.raises(UsageError, match="elsewhere"):
        Job(lab.archive, lab.directory / "out")


def test_what_cant_be_done_is_refused_with_a_reason(tmp_path: Path) -> None:
    with Lab(tmp_path / "source") as lab:
        lab.archive.add(instance(BurnedInAnnotation="YES", PatientName="Quibblethorpe"))
        lab.archive.add(instance())
        frame = lab.deidentify(None, tmp_path / "out", workers=1, progress=False)
        assert sorted(frame.Status) == ["refused", "stored"]
        (refused,) = frame[frame.Status == "refused"].to_dict("records")
        assert "burned into" in refused["Reason"]
        assert lab.archive.instance(refused["OriginalSOPInstanceUID"])
    assert found_in(everything(tmp_path / "out"), STRICT) == []


def test_the_command_line(lab: Lab, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["deidentify", str(lab.directory), str(out), "--workers", "1"]
    cohort = "SELECT SOPInstanceUID FROM instances i JOIN series USING (SeriesInstanceUID) LIMIT 3"
    done = run(*words, "--sql", cohort)
    assert (done.returncode, done.stdout) == (0, "3 stored, 0 already there, 0 refused\n")
    assert found_in((done.stderr + done.stdout).encode(), STRICT) == []
    wrong = run(*words, "--profile", "nonsense")
    assert wrong.returncode == 2
    assert wrong.stderr.count("\n") == 1
