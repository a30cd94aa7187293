"""``Lab``, the notebook's noun, on real files and a real server."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import pacslab
from pacslab import Lab
from pacslab.errors import NetworkError, NotFoundError, QueryError, UsageError
from tests.conftest import dicom_file
from tests.making import instance

NAMES = ["CT_small.dcm", "MR_small.dcm", "rtplan.dcm", "693_J2KI.dcm", "examples_ybr_color.dcm"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "inbox"
    made.mkdir()
    for name in NAMES:
        shutil.copy(dicom_file(name), made / name)
    (made / "notes.txt").write_text("a corrupt file in a folder of many stops nothing")
    return made


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(tmp_path / "archive") as made:
        yield made
        made.stop()


def test_add_has_a_row_for_every_file(lab: Lab, folder: Path) -> None:
    added = lab.add(folder, progress=False)
    assert added.Status.tolist().count("stored") == len(NAMES)
    (refused,) = added[added.Status == "refused"].itertuples()
    assert refused.Path.endswith("notes.txt")
    assert "not a DICOM file" in refused.Reason
    assert (lab.add(folder, progress=False).Status == "already there").sum() == len(NAMES)
    assert lab.counts["instances"] == len(NAMES)
    assert len(lab.quarantine) == 1
    assert len(lab.check(progress=False)) == 0
    with pytest.raises(UsageError, match="doesn't exist"):
        lab.add("/no/such/folder")
    assert lab.add(str(folder / "CT_small.dcm"), progress=False).shape == (1, 7)


def test_search_gives_frames_with_keywords_as_columns(lab: Lab, folder: Path) -> None:
    lab.add(folder, progress=False)
    found = lab.search("SERIES", Modality="CT", columns=["Modality", "SeriesNumber", "PatientID"])
    assert list(found.columns) == ["Modality", "SeriesNumber", "PatientID"]
    assert set(found.Modality) == {"CT"}
    assert str(found.SeriesNumber.dtype) == "Int64"
    nothing = lab.search("STUDY", PatientID="nobody")
    assert len(nothing) == 0
    assert "NumberOfStudyRelatedInstances" in nothing.columns
    with pytest.raises(QueryError, match="did you mean PatientID"):
        lab.search("STUDY", PatientIDs="x")


def test_search_finds_names_that_sound_alike(lab: Lab, folder: Path) -> None:
    lab.add(folder, progress=False)
    nearly = "CompresedSamples^CT1"
    assert len(lab.search("STUDY", PatientName=nearly)) == 0
    found = lab.search("STUDY", PatientName=nearly, fuzzy=True)
    assert list(found.PatientName) == ["CompressedSamples^CT1"]


def test_sql_sees_what_was_just_added_and_the_frames_of_the_caller(lab: Lab, folder: Path) -> None:
    lab.add(folder, progress=False)
    assert lab.sql("SELECT count(*) AS n FROM instances").n[0] == len(NAMES)
    extra = pd.DataFrame({"Modality": ["CT", "MR"], "label": ["x-ray", "magnet"]})
    joined = lab.sql(
        "SELECT DISTINCT label FROM series JOIN extra USING (Modality) WHERE label > $no "
        "ORDER BY label",
        no="a",
    )
    assert joined.label.tolist() == ["magnet", "x-ray"]
    assert len(extra) == 2
    lab.archive.add(instance(Modality="XC"))
    assert lab.sql("SELECT count(*) AS n FROM series WHERE Modality = 'XC'").n[0] == 1


def test_open_gives_the_pixels(lab: Lab, folder: Path) -> None:
    lab.add(folder, progress=False)
    uid = lab.search("IMAGE", Modality="CT", limit=1).SOPInstanceUID[0]
    dataset = lab.open(uid)
    assert uid == dataset.SOPInstanceUID
    assert dataset.pixel_array.dtype == np.int16
    with pytest.raises(NotFoundError, match=r"1\.2\.3"):
        lab.open("1.2.3")


def test_thumbnails_show_pictures_and_say_why_there_is_none(lab: Lab, folder: Path) -> None:
    lab.add(folder, progress=False)
    html = lab.thumbnails()._repr_html_()
    series = lab.counts["series"]
    assert html.count("<figure") == series
    assert html.count("data:image/jpeg;base64,") == series - 1
    assert "RTPLAN" in html
    cohort = lab.sql("SELECT SeriesInstanceUID FROM series WHERE Modality = 'MR'")
    few = lab.thumbnails(cohort)
    assert len(few.pictures) == len(cohort)
    study = lab.search("STUDY", Modality="RTPLAN").StudyInstanceUID[0]
    (plan,) = lab.thumbnails(study).pictures
    assert plan.jpeg is None
    assert plan.reason
    assert lab.thumbnails(limit=2).left_out == series - 2
    with pytest.raises(UsageError, match="no column of UIDs"):
        lab.thumbnails(pd.DataFrame({"x": [1]}))
    with pytest.raises(NotFoundError):
        lab.thumbnails("1.2.3")


def test_an_empty_cohort_is_no_cohort_of_everything(lab: Lab, folder: Path) -> None:
    lab.add(folder, progress=False)
    nothing = lab.sql("SELECT SeriesInstanceUID FROM series WHERE Modality = 'ZZ'")
    assert lab.thumbnails(nothing).pictures == ()


def test_the_card_shows_counts_and_addresses_and_no_token(lab: Lab, folder: Path) -> None:
    lab.add(folder, progress=False)
    assert "server stopped" in lab._repr_html_()
    lab.serve(dicom_port=0, http_port=0, ae_title="CARD")
    card = lab._repr_html_()
    assert f"CARD@{lab.server.dicom}" in card
    assert lab.server.dicomweb in card
    for shown in (card, repr(lab)):
        assert lab.server.token not in shown
    assert "1 refused" in card


def test_echo_and_send_over_the_network(lab: Lab, folder: Path, tmp_path: Path) -> None:
    lab.serve(dicom_port=0, http_port=0)
    lab.echo()
    sent = lab.send(folder, progress=False)
    assert sent.ok.sum() == len(NAMES)
    assert lab.counts["instances"] == len(NAMES)
    with Lab(tmp_path / "other") as other:
        other.serve(dicom_port=0, http_port=0)
        cohort = lab.sql("SELECT SeriesInstanceUID FROM series WHERE Modality <> 'CT'")
        peer = f"PACSLAB@{other.server.dicom}"
        result = lab.send(cohort, peer, progress=False)
        assert result.ok.all()
        one = lab.search("IMAGE", Modality="CT", limit=1)
        assert lab.send(one, peer, progress=False).ok.tolist() == [True]
        assert other.counts["instances"] == len(result) + 1
        image = lab.open(one.SOPInstanceUID[0])
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
        assert lab.send(image, peer, progress=False).ok.tolist() == [True]
        other.stop()
        with pytest.raises(NetworkError):
            lab.echo(peer, timeout=5)


def test_the_package_imports_quickly_without_the_notebooks_libraries() -> None:
    code = (
        "import sys, pacslab.cli; "
        "heavy = 'pandas', 'duckdb', 'IPython', 'altair', 'fastapi'; "
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert pacslab.__version__
