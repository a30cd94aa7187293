"""Answers as text and files."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pandas as pd
import pytest

from pacslab.archive import Archive
from pacslab.cohort.mirror import Mirror
from pacslab.cohort.output import FORMATS, write
from pacslab.cohort.sql import query
from pacslab.errors import OutOfResourcesError, UsageError
from tests.cohort.conftest import part10

ASKED = """SELECT PatientID, StudyDate, ImageType, NumberOfFrames, PixelSpacing, ContentTime
    FROM instances JOIN studies USING (PatientID, StudyInstanceUID) ORDER BY 1"""


@pytest.fixture
def answer(archive: Archive, mirror: Mirror) -> pd.DataFrame:
    archive.add_many(
        [
            part10(1, PatientID='a,"b"', PixelSpacing=["0.5", "1"], ContentTime="101112.5"),
            part10(2, PatientID="Ärztin", StudyDate=None, ImageType=None, NumberOfFrames=3,
                   SpecificCharacterSet="ISO_IR 192"),
        ]
    )  # fmt: skip
    return query(mirror, ASKED)


def test_csv(answer: pd.DataFrame, tmp_path: Path) -> None:
    write(answer, "csv", tmp_path / "out.csv")
    rows = list(csv.reader(io.StringIO((tmp_path / "out.csv").read_text("utf-8"))))
    assert rows[0] == list(answer.columns)
    assert rows[1] == ['a,"b"', "2020-02-29", "ORIGINAL\\PRIMARY\\AXIAL", "", "0.5\\1.0",
                       "10:11:12.500000"]  # fmt: skip
    assert rows[2] == ["Ärztin", "", "", "3", "", ""]


def test_json(answer: pd.DataFrame, tmp_path: Path) -> None:
    write(answer, "json", tmp_path / "out.json")
    first, second = json.loads((tmp_path / "out.json").read_text("utf-8"))
    assert first["StudyDate"] == "2020-02-29"
    assert first["ImageType"] == ["ORIGINAL", "PRIMARY", "AXIAL"]
    assert (first["NumberOfFrames"], second["NumberOfFrames"]) == (None, 3)
    assert second["StudyDate"] is None
    assert first["ContentTime"] == "10:11:12.500000"


def test_parquet(answer: pd.DataFrame, tmp_path: Path) -> None:
    write(answer, "parquet", tmp_path / "out.parquet")
    found = pd.read_parquet(tmp_path / "out.parquet")
    assert found["PatientID"].tolist() == answer["PatientID"].tolist()
    assert [list(v) for v in found["ImageType"].dropna()] == [["ORIGINAL", "PRIMARY", "AXIAL"]]
    assert {p.name for p in tmp_path.iterdir()} == {"archive", "out.parquet"}


def test_table(answer: pd.DataFrame, capsys: pytest.CaptureFixture[str]) -> None:
    write(answer)
    told = capsys.readouterr().out
    assert "2020-02-29" in told
    assert told.endswith("(2 rows)\n")
    assert "NaN" not in told
    assert "NaT" not in told
    assert "<NA>" not in told


def test_long_values_and_no_rows(capsys: pytest.CaptureFixture[str]) -> None:
    uid = "1." + "2" * 62
    write(pd.DataFrame({"SOPInstanceUID": [uid]}))
    assert uid in capsys.readouterr().out
    write(pd.DataFrame({"SOPInstanceUID": []}))
    assert "(0 rows)" in capsys.readouterr().out
    write(pd.DataFrame())
    assert capsys.readouterr().out == "(0 rows)\n"
    for one in FORMATS[1:3]:
        write(pd.DataFrame({"a": []}), one)
    assert capsys.readouterr().out.splitlines()[0] == "a"


def test_what_cant_be_written(answer: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="xlsx"):
        write(answer, "xlsx")
    with pytest.raises(UsageError, match="--output"):
        write(answer, "parquet")
    for one in FORMATS:
        with pytest.raises(OutOfResourcesError, match="No such file"):
            write(answer, one, tmp_path / "nowhere" / "out")
