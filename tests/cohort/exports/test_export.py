"""Datasets: whole, resumable, checked by other people's programs."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pydicom
import pytest

from pacslab import Lab
from pacslab.cohort.exports import folder as folders
from pacslab.cohort.exports import nifti
from pacslab.errors import OutOfResourcesError, UsageError
from tests.conftest import dicom_file
from tests.making import instance
from tests.servers import run

CT = "SELECT * FROM series WHERE Modality = 'CT'"
STACK = {"StudyInstanceUID": "1.2.1", "SeriesInstanceUID": "1.2.1.1", "PatientID": "Á/../b"}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(tmp_path / "a") as made:
        for number in range(5):
            made.archive.add(instance(
                **STACK, SOPInstanceUID=f"1.2.1.1.{number}", InstanceNumber=number + 1,
                ImagePositionPatient=[0, 0, 2.0 * number],
                ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
                PixelSpacing=[0.5, 0.75], SliceThickness=2, RescaleSlope=1, RescaleIntercept=-1024,
                PixelData=(np.arange(16, dtype="<u2") + 100 * number).tobytes(),
            ))  # fmt: skip
        made.archive.add(dicom_file("reportsi.dcm").read_bytes())
        yield made


def contents(root: Path) -> dict[str, bytes]:
    return {
        p.relative_to(root).as_posix(): p.read_bytes()
        for p in root.rglob("*")
        if p.is_file() and p.name != folders.STATE
    }


def test_a_folder_of_files_with_manifest_checksums_and_card(lab: Lab, tmp_path: Path) -> None:
    cohort = lab.save_cohort("Everything", "SELECT * FROM series")
    rows = lab.export(cohort, tmp_path / "out", licence="CC BY 4.0", progress=False)
    assert list(rows["Status"]) == ["written"] * 6
    for row in rows.itertuples():
        stored = lab.archive.instance(row.SOPInstanceUID)
        assert (tmp_path / "out" / row.path).read_bytes() == stored.path.read_bytes()
    assert f"dicom/b/{'1.2.1'}/1.2.1.1/1.2.1.1.0.dcm" in set(rows["path"])
    for name in ("manifest.csv", "manifest.parquet"):
        path = tmp_path / "out" / name
        told = pd.read_csv(path) if name.endswith("csv") else pd.read_parquet(path)
        assert list(told["SOPInstanceUID"]) == list(rows["SOPInstanceUID"])
        assert told["SHA256"].notna().all()
    command = ["sha256sum", "-c", "--quiet", "checksums.sha256"]
    subprocess.run(command, cwd=tmp_path / "out", check=True, timeout=60)
    card = (tmp_path / "out" / "README.md").read_text("utf-8")
    assert "# Everything, version 1" in card
    assert "2 studies, 2 series, 6 instances" in card
    assert "CC BY 4.0" in card
    assert "SELECT * FROM series" in card
    state = json.loads((tmp_path / "out" / folders.STATE).read_text("utf-8"))
    assert (state["instances"], state["failed"]) == (6, 0)
    assert state["finished"]


@pytest.mark.parametrize("format", ["dicom", "nifti", "parquet"])
def test_a_second_run_finishes_what_the_first_left(
    lab: Lab, tmp_path: Path, format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"pixels": True} if format == "parquet" else {}
    whole = lab.export(None, tmp_path / "whole", format=format, progress=False, **options)
    assert "failed" not in set(whole["Status"])
    replace = Path.replace
    left = 4

    def full(self: Path, target: Path) -> Path:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OutOfResourcesError, match="run the same export again"):
        lab.export(None, tmp_path / "out", format=format, progress=False, **options)
    monkeypatch.undo()
    assert json.loads((tmp_path / "out" / folders.STATE).read_text())["finished"] is None
    assert not list((tmp_path / "out").rglob("*.partial"))
    again = lab.export(None, tmp_path / "out", format=format, progress=False, **options)
    assert "already there" in set(again["Status"]) or format == "parquet"
    one, other = contents(tmp_path / "whole"), contents(tmp_path / "out")
    assert one.keys() == other.keys()
    gone = {"checksums.sha256"} | {name for name in one if name.endswith((".json", ".gz"))}
    assert {n: one[n] for n in one.keys() - gone} == {n: other[n] for n in other.keys() - gone}


def test_what_cannot_be_read_is_told_and_the_rest_goes_on(lab: Lab, tmp_path: Path) -> None:
    lab.archive.instance("1.2.1.1.2").path.unlink()
    rows = lab.export(None, tmp_path / "out", progress=False)
    assert rows["Status"].value_counts().to_dict() == {"written": 5, "failed": 1}
    (failed,) = rows[rows["Status"] == "failed"].itertuples()
    assert failed.SOPInstanceUID == "1.2.1.1.2"
    assert "No such file" in failed.Reason
    assert len(pd.read_csv(tmp_path / "out" / "manifest.csv")) == 5


def test_a_volume_has_the_values_and_the_geometry_of_its_slices(lab: Lab, tmp_path: Path) -> None:
    rows = lab.export(None, tmp_path / "out", format="nifti", progress=False)
    assert rows["Status"].value_counts().to_dict() == {"written": 5, "left out": 1}
    (file,) = (tmp_path / "out").rglob("*.nii.gz")
    volume = nibabel.load(file)
    values = np.asarray(volume.dataobj)
    assert volume.header.get_zooms() == (0.75, 0.5, 2.0)
    for number in range(5):
        slice_ = lab.open(f"1.2.1.1.{number}").pixel_array.astype(float) - 1024
        assert np.array_equal(values[:, ::-1, number].T, slice_)
    assert "PatientName" not in next(file.parent.glob("*.json")).read_text()


def test_what_dcm2niix_refuses_has_its_reason(lab: Lab, tmp_path: Path) -> None:
    lab.archive.add(instance(SeriesInstanceUID="1.2.9.1", StudyInstanceUID="1.2.9",
                             PixelData=None, Columns=None))  # fmt: skip
    rows = lab.export(None, tmp_path / "out", format="nifti", progress=False)
    assert rows["Status"].value_counts().to_dict() == {"written": 5, "left out": 1, "failed": 1}
    (failed,) = rows[rows["Status"] == "failed"].itertuples()
    assert failed.Reason.startswith("dcm2niix: ")
    assert not (tmp_path / "out" / failed.path).exists()
    assert not list((tmp_path / "out").rglob("*.partial"))


def test_without_dcm2niix_it_is_said_how_to_get_it(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setitem(__import__("sys").modules, "dcm2niix", None)
    with pytest.raises(UsageError, match="pip install dcm2niix"):
        nifti.executable()
    with pytest.raises(UsageError, match="pip install dcm2niix"):
        lab.export(None, tmp_path / "out", format="nifti", progress=False)


def test_parquet_has_tables_headers_and_pixels(lab: Lab, tmp_path: Path) -> None:
    out = tmp_path / "out"
    chosen = [f"1.2.1.1.{n}" for n in range(3)]
    rows = lab.export(chosen, out, format="parquet", pixels=True, progress=False)
    assert list(rows["Status"]) == ["written"] * 3
    assert list(pd.read_parquet(out / "instances.parquet")["SOPInstanceUID"]) == chosen
    assert len(pd.read_parquet(out / "studies.parquet")) == 1
    headers = pd.read_parquet(out / "headers.parquet").set_index("SOPInstanceUID")["header"]
    assert set(headers.index) == set(chosen)
    dataset = pydicom.Dataset.from_json(headers[chosen[0]], lambda *_: b"")
    assert dataset.PatientID == STACK["PatientID"]
    frames = pd.read_parquet(out / "pixels" / "1.2.1.1.parquet")
    for row in frames.itertuples():
        array = np.frombuffer(row.pixels, row.dtype).reshape(row.shape)
        assert np.array_equal(array, lab.open(row.SOPInstanceUID).pixel_array)
    assert len(frames) == 3


def test_folders_and_words_that_cannot_be_meant(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("x")
    with pytest.raises(UsageError, match="isn't empty"):
        lab.export(None, tmp_path / "full", progress=False)
    lab.export("1.2.1.1.1", tmp_path / "out", progress=False)
    for other in ({"cohort": "1.2.1.1.2"}, {"cohort": "1.2.1.1.1", "format": "parquet"}):
        with pytest.raises(UsageError, match="another cohort or format"):
            lab.export(out=tmp_path / "out", progress=False, **other)
    with pytest.raises(UsageError, match="take one of bids, dicom"):
        lab.export(None, tmp_path / "new", format="zip")
    with pytest.raises(UsageError, match="no option 'pixels'"):
        lab.export(None, tmp_path / "new", pixels=True)
    assert not (tmp_path / "new").exists()
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["mine.txt"]


def test_from_the_command_line(lab: Lab, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    done = run(
        "export", str(lab.directory), out, "--sql", "SELECT * FROM series WHERE Modality = 'CT'"
    )
    assert (done.returncode, done.stdout) == (
        0, "5 written, 0 already there, 0 left out, 0 failed\n"
    )  # fmt: skip
    assert "Modality = 'CT'" in (tmp_path / "out" / "README.md").read_text("utf-8")
    lab.archive.instance("1.2.1.1.2").path.unlink()
    again = run("export", str(lab.directory), str(tmp_path / "all"), "--format", "dicom")
    assert (again.returncode, again.stdout) == (
        1, "5 written, 0 already there, 0 left out, 1 failed\n"
    )  # fmt: skip
    assert "1.2.1.1.2.dcm: can't be read" in again.stderr
    empty = run(
        "export", str(lab.directory), out, "--sql", "SELECT * FROM series WHERE Modality = 'XX'"
    )
    assert empty.returncode == 2
    assert len(empty.stderr.splitlines()) == 1
