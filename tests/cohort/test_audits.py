"""The audit of an archive: findings with their review, the report, the gate, the command line."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from pacslab import Lab
from pacslab.errors import GateError, UsageError
from tests.deid.planting import CLASSES, STRICT, found_in, planted
from tests.making import instance
from tests.servers import run


@pytest.fixture
def labs(tmp_path: Path) -> Iterator[tuple[Lab, Lab]]:
    """An archive of planted objects, and the one that was made of it."""
    with Lab(tmp_path / "source") as source:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            source.archive.add_many(planted(kind) for kind in CLASSES)
        source.deidentify(None, tmp_path / "out", "research", workers=1, progress=False)
        with Lab(tmp_path / "out") as out:
            yield source, out


def test_against_the_source(labs: tuple[Lab, Lab], tmp_path: Path) -> None:
    source, out = labs
    done = out.audit(against=source, workers=2, progress=False)
    assert set(done.findings["check"]) == {"alone"}
    assert {"pixels"} <= set(done.findings["kind"]) <= {"pixels", "free text"}
    assert dict(zip(done.checks["check"], done.checks["result"], strict=True)) == {
        "every instance has its source": "yes",
        "intervals between dates are kept": "yes",
        "dates are moved": "yes",
        "UIDs refer to each other as before": "yes",
        "pixels are as they were": "yes",
    }
    table = done.before_after.set_index("attribute")
    number = len(CLASSES)
    assert table.loc["StudyDate", "date_shifted"] == number
    assert table.loc["PatientID", "patid_consistent"] == number
    assert table.loc["StudyInstanceUID", "uid_consistent"] == number
    assert table.loc["PatientAddress", ["before", "after"]].tolist() == [number, 0]
    assert table.loc["PixelData", "pixels_retained"] == 8
    assert {"E.1-1 U", "CleanDesc C"} <= set(done.actions["source"])
    page = done.report(tmp_path / "report.html").read_text("utf-8")
    assert found_in((page + done._repr_html_()).encode(), STRICT) == []
    assert found_in((tmp_path / "out" / "index.sqlite").read_bytes(), STRICT) == []
    assert "Signature" in page
    assert "http" not in page.replace("https://", "http")  # nothing is fetched


def test_the_raw_archive_is_full_of_findings_and_none_quotes(
    labs: tuple[Lab, Lab], tmp_path: Path
) -> None:
    source, _ = labs
    done = source.audit(workers=1, progress=False)
    assert (done.open["severity"] == "high").sum() > 40 * len(CLASSES)
    assert found_in(done.findings.drop(columns="SOPInstanceUID").to_csv().encode(), STRICT) == []
    assert found_in(done.html().encode(), STRICT) == []


def test_what_stays_in_the_archives_other_files(labs: tuple[Lab, Lab], tmp_path: Path) -> None:
    source, out = labs
    note = tmp_path / "out" / "quarantine" / "note.txt"
    note.write_text("see Z. QUIBBLETHORPE")
    done = out.audit(against=source, workers=1, progress=False)
    (found,) = done.open[done.open["check"] == "against"].to_dict("records")
    assert (found["path"], found["kind"]) == ("archive: quarantine", "name")
    note.unlink()
    again = out.audit(against=source, workers=1, progress=False)
    fixed = again.findings[again.findings["status"] == "fixed"]
    assert list(fixed["path"]) == ["archive: quarantine"]


def test_accepted_findings_stay_accepted_for_these_bytes(labs: tuple[Lab, Lab]) -> None:
    source, out = labs
    done = out.audit(against=source, workers=1, progress=False)
    with pytest.raises(UsageError, match="why"):
        done.accept(done.open, why=" ")
    number = len(done.open)
    assert done.accept(done.open, why="looked at each", who="Ada") == number
    again = out.audit(against=source, workers=1, progress=False)
    assert len(again.open) == 0
    assert set(again.findings["by"]) == {"Ada"}
    assert set(again.findings["why"]) == {"looked at each"}
    assert "No open finding" in again.html()
    (uid,) = out.sql(
        "SELECT SOPInstanceUID FROM instances WHERE SOPClassUID = $c", c=CLASSES["US"]
    )["SOPInstanceUID"]
    data = bytearray(out.archive.instance(uid).path.read_bytes())
    data[-2] ^= 1  # a pixel
    with Lab(out.directory, on_conflict="replace") as same:
        same.archive.add(bytes(data))
    third = out.audit(against=source, workers=1, progress=False)
    assert list(third.open["SOPInstanceUID"]) == [uid]
    assert dict(zip(third.checks["check"], third.checks["result"], strict=True))[
        "pixels are as they were"
    ] == "no"  # fmt: skip
    assert again.reopen(again.findings) >= number - 1


def test_another_patients_name_in_an_object(tmp_path: Path) -> None:
    """A fault of mixing: what is found stands in a source that isn't the object's own."""
    with Lab(tmp_path / "source") as source, Lab(tmp_path / "out") as out:
        source.archive.add_many([
            instance(PatientID="AAA111", PatientName="Quibblethorpe^Zephyrine",
                     SOPInstanceUID="1.2.9.1"),
            instance(PatientID="BBB222", PatientName="Roe^Richard", SOPInstanceUID="1.2.9.2"),
        ])  # fmt: skip
        out.archive.add(instance(
            PatientID="X", PatientName="", SOPInstanceUID="1.2.9.2", StudyDate="",
            ImageComments="as in zephyrine quibblethorpe, AAA-111",
        ))  # fmt: skip
        out.archive.add(instance(SOPInstanceUID="1.2.9.77", PatientID="Y", PatientName=""))
        found = out.audit(against=source, workers=1, progress=False).findings
        told = found[found["check"] == "against"]
        assert {"name", "id"} <= set(told[told["attribute"] == "ImageComments"]["kind"])
        assert "unpaired" in set(told["kind"])


def test_the_gate(labs: tuple[Lab, Lab], tmp_path: Path) -> None:
    source, out = labs
    assert out.gate().empty
    out.gate(2, who="Ada")
    with pytest.raises(GateError, match="weren't audited"):
        out.export(None, tmp_path / "a", progress=False)
    done = out.audit(against=source, workers=1, progress=False)
    with pytest.raises(GateError, match=r"1 of 1 patients.*findings are open"):
        out.export(None, tmp_path / "a", progress=False)
    assert not (tmp_path / "a").exists()
    done.accept(done.open, why="looked", who="Ada")
    out.gate(1)
    assert len(out.export(None, tmp_path / "a", progress=False)) == len(CLASSES)
    out.gate(9)
    out.export(None, tmp_path / "b", progress=False, override="agreed with the board")
    assert list(out.gate()["Event"]) == [
        "set", "stopped", "stopped", "set", "passed", "set", "overridden"
    ]  # fmt: skip
    assert "agreed with the board" in out.gate()["Detail"].iloc[-1]
    out.gate(off=True)
    assert len(out.export(None, tmp_path / "c", progress=False))


def test_the_record_outlives_a_new_index(labs: tuple[Lab, Lab]) -> None:
    source, out = labs
    done = out.audit(against=source, workers=1, progress=False)
    done.accept(done.open, why="looked", who="Ada")
    out.archive.reindex()
    assert len(out.audit(against=source, workers=1, progress=False).open) == 0


def test_an_archive_isnt_audited_against_itself(labs: tuple[Lab, Lab], tmp_path: Path) -> None:
    source, out = labs
    with pytest.raises(UsageError, match="came from"):
        source.audit(against=source)
    with pytest.raises(UsageError, match="no archive"):
        out.audit(against=tmp_path / "nowhere")


def test_the_command_line(labs: tuple[Lab, Lab], tmp_path: Path) -> None:
    source, out = map(str, (labs[0].directory, labs[1].directory))
    done = run("audit", out, "--against", source, "--format", "json")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert {"pixels"} <= {row["kind"] for row in told} <= {"pixels", "free text"}
    assert found_in((done.stdout + done.stderr).encode(), STRICT) == []
    labs[1].audit(progress=False, workers=1).accept(pd.DataFrame(told), why="looked", who="Ada")
    again = run("audit", out, "--against", source, "--format", "html")
    assert (again.returncode, again.stderr.splitlines()[-1]) == (0, "0 open findings")
    assert again.stdout.startswith("<!DOCTYPE html>")
    assert run("audit", out, "--against", str(tmp_path / "no")).returncode == 2
