"""BIDS: what the validator takes, named as the sequences are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydicom.uid import MRImageStorage

from pacslab import Lab
from pacslab.cohort.exports import bids, bids_names
from pacslab.errors import PacslabError
from tests.making import instance


def series(number: int, description: str, study: str = "1.5", **values: Any) -> Iterator[bytes]:
    for place in range(4):
        yield instance(**{
            "SOPClassUID": MRImageStorage, "Modality": "MR", "StudyInstanceUID": study,
            "SeriesInstanceUID": f"{study}.{number}", "SOPInstanceUID": f"{study}.{number}.{place}",
            "SeriesNumber": number, "InstanceNumber": place + 1, "SeriesDescription": description,
            "ImagePositionPatient": [0, 0, 3.0 * place], "PixelSpacing": [1, 1],
            "ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "SliceThickness": 3,
            "Columns": 8, "Rows": 8, "PixelData": np.arange(64, dtype="<u2").tobytes(),
            "PatientSex": "F", "PatientAge": "093Y",
        } | values)  # fmt: skip


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(tmp_path / "a") as made:
        for files in (
            series(1, "localizer"),
            series(2, "t1_se_tra"),
            series(3, "T1 post"),
            series(4, "t2_flair_sag"),
            series(5, "ep2d_dti"),
            series(6, "whatever"),
            series(1, "T2 TSE", "1.6", StudyDate="20240301"),
            series(1, "T2 TSE", "1.7", PatientID="P-1"),
        ):
            made.archive.add_many(files)
        made.archive.add(instance(StudyInstanceUID="1.5", SeriesInstanceUID="1.5.9"))
        yield made


def test_a_dataset_that_the_validator_takes(lab: Lab, tmp_path: Path) -> None:
    out = tmp_path / "out"
    rows = lab.export(None, out, format="bids", licence="CC0", progress=False)
    told = rows.drop_duplicates("SeriesInstanceUID").set_index("SeriesInstanceUID")
    assert told["path"].where(told["Status"] == "written", told["Reason"]).to_dict() == {
        "1.5.1": "a localizer or a derived map",
        "1.5.2": "sub-P1x2/ses-01/anat/sub-P1x2_ses-01_run-1_T1w",
        "1.5.3": "sub-P1x2/ses-01/anat/sub-P1x2_ses-01_run-2_T1w",
        "1.5.4": "sub-P1x2/ses-01/anat/sub-P1x2_ses-01_FLAIR",
        "1.5.5": "no gradient directions in it, so that it can't be dwi",
        "1.5.6": "no BIDS suffix is known for it: name the sequence in SeriesDescription "
                 "(T1, T2, ...)",
        "1.5.9": "BIDS has no place for CT here",
        "1.6.1": "sub-P1x2/ses-02/anat/sub-P1x2_ses-02_T2w",
        "1.7.1": "sub-P1/anat/sub-P1_T2w",
    }  # fmt: skip
    assert bids.validate(out) == []
    people = pd.read_csv(out / "participants.tsv", sep="\t")
    assert people.to_dict("records") == [
        {"participant_id": "sub-P1", "age": 89, "sex": "F"},
        {"participant_id": "sub-P1x2", "age": 89, "sex": "F"},
    ]
    assert json.loads((out / "dataset_description.json").read_text())["License"] == "CC0"
    assert not (out / ".pacslab").exists()


def test_a_second_run_converts_nothing_again(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = lab.export(None, tmp_path / "out", format="bids", progress=False)
    monkeypatch.setattr(bids.nifti, "convert", None)
    again = lab.export(None, tmp_path / "out", format="bids", progress=False)
    assert list(again["path"]) == list(first["path"])
    assert set(again["Status"]) == {"already there", "left out"}


def test_an_interrupted_run_goes_on(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert, calls = bids.nifti.convert, []

    def interrupted(program: str, files: list[Path], out: Path) -> str:
        calls.append(out)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return convert(program, files, out)

    monkeypatch.setattr(bids.nifti, "convert", interrupted)
    with pytest.raises(KeyboardInterrupt):
        lab.export(None, tmp_path / "out", format="bids", progress=False)
    rows = lab.export(None, tmp_path / "out", format="bids", progress=False)
    assert len(calls) == 8 + 1
    assert (rows["Status"] == "written").sum() == 20


def test_an_invalid_dataset_is_no_success(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bids.names, "stem", lambda *_: Path("sub-P1", "anat", "wrong_name"))
    with pytest.raises(PacslabError, match="isn't valid BIDS"):
        lab.export("1.7", tmp_path / "out", format="bids", progress=False)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("MPRAGE sag", "anat T1w"), ("Ax FSPGR", "anat T1w"), ("t2_tse_tra", "anat T2w"),
        ("T2 FLAIR", "anat FLAIR"), ("PD fs", "anat PDw"), ("SWI_Images", "anat T2starw"),
        ("TOF 3D", "anat angio"), ("ep2d_diff_3scan", "dwi dwi"), ("fMRI rest", "func bold"),
        ("ep2d_diff_ADC", ""), ("AAHScout", ""), ("3-plane loc", ""), ("Heart", ""),
    ],
)  # fmt: skip
def test_what_sites_call_their_sequences(text: str, kind: str) -> None:
    found = bids_names.kind_of([text], {})
    told = "" if isinstance(found, str) else f"{found.data_type} {found.suffix}"
    assert told == kind


def test_a_guess_counts_where_no_word_is_known() -> None:
    found = bids_names.kind_of(["series 4"], {"BidsGuess": ["anat", "_acq-tfl3_run-5_T1w"]})
    assert found == bids_names.Kind("anat", "T1w")
    assert isinstance(bids_names.kind_of(["4"], {"BidsGuess": ["anat", "_acq-fl3_run-18"]}), str)


def test_labels_stay_apart() -> None:
    made = bids_names.subjects(["A-1", "A1", "a_1", "", "ü"])
    assert len({name.lower() for name in made.values()}) == 5
    assert all(name.isalnum() and name.isascii() for name in made.values())
