"""Every file of pydicom: what comes out is valid, and the geometry is what it was."""

from __future__ import annotations

import io
import re
import subprocess
import tempfile
import warnings
from functools import cache
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from pacslab.archive import Archive
from pacslab.deid.engine import Engine
from pacslab.deid.keys import Keys
from pacslab.demo import real
from pacslab.demo.synthetic import synthesize
from pacslab.dicom.instance import data_set_offset, read
from pacslab.errors import RefusedError
from tests.conftest import pydicom_files

KEYS = Keys(bytes(range(32)))
ENGINES = {p: Engine(p, KEYS) for p in ("basic", "research", "public", "fake-patient")}
# NumberOfFrames is '1A': how long the pixels are can't be said.
UNDESCRIBED = {"badVR.dcm"}
# What hides in their pixel data is taken out: a comment with statistics, bytes after the frame.
CLEANED = {"GDCMJ2K_TextGBR.dcm", "MR_small_padded.dcm"}
# They break off, so that dciodvfy can't say what is wrong with them before.
TRUNCATED = {"MR_truncated.dcm", "rtplan_truncated.dcm"}
GEOMETRY = ("Rows", "Columns", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient",
            "SliceThickness", "NumberOfFrames", "PhotometricInterpretation", "BitsStored",
            "RescaleSlope", "RescaleIntercept", "SpacingBetweenSlices", "GridFrameOffsetVector",
            "PerFrameFunctionalGroupsSequence.0.PlanePositionSequence.0.ImagePositionPatient",
            "SharedFunctionalGroupsSequence.0.PixelMeasuresSequence.0.PixelSpacing",
            "ROIContourSequence.0.ContourSequence.0.ContourData")  # fmt: skip


def instances() -> list[Path]:
    found = []
    for path in pydicom_files():
        try:
            read(path.read_bytes())
        except RefusedError:
            continue
        found.append(path)
    return found


@pytest.mark.parametrize("path", instances(), ids=lambda p: p.name)
@pytest.mark.filterwarnings("ignore")
def test_each_file(path: Path) -> None:
    data = path.read_bytes()
    before = dcmread(path, force=True)
    for name, engine in ENGINES.items():
        if path.name in UNDESCRIBED and engine.profile.uninspected == "refuse":
            with pytest.raises(RefusedError, match="Rows"):
                engine.deidentify(data)
            continue
        outcome = engine.deidentify(data)
        after = read(outcome.data)
        out = dcmread(io.BytesIO(outcome.data))
        assert after.sop_instance_uid == engine.uid(str(before.SOPInstanceUID))
        for place in GEOMETRY:
            assert value(out, place) == value(before, place), (name, place)
        if "PixelData" in before and path.name not in CLEANED:
            assert out.PixelData == before.PixelData


@pytest.mark.dciodvfy
@pytest.mark.parametrize("profile", ENGINES)
@pytest.mark.filterwarnings("ignore")
def test_nothing_new_is_wrong_with_them(profile: str) -> None:
    for path in instances():
        if path.name in UNDESCRIBED | TRUNCATED:
            continue
        data = path.read_bytes()
        outcome = ENGINES[profile].deidentify(data)
        new = faults(outcome.data) - faults(data)
        assert not new, path.name


@pytest.mark.dciodvfy
@pytest.mark.filterwarnings("ignore")
def test_nothing_new_is_wrong_with_made_up_patients() -> None:
    seen: set[str] = set()
    for data in synthesize(patients=12, seed=7):
        sop_class = read(data).sop_class_uid
        if sop_class in seen:
            continue
        seen.add(sop_class)
        for name in ("basic", "research"):
            new = faults(ENGINES[name].deidentify(data).data) - faults(data)
            assert not new, (name, sop_class)
    assert len(seen) >= 5


@pytest.mark.filterwarnings("ignore")
def test_demo_data_can_still_be_stacked(tmp_path: Path) -> None:
    """A series stays a series, of images of the same size."""
    from pacslab.archive.inbox import find

    files = [f for c in real.collections() for f in c.files]
    engine = ENGINES["basic"]
    with Archive(tmp_path / "a") as archive:
        for found in find(files):
            data = bytes(found.load())
            try:
                before = read(data)
            except RefusedError:
                continue
            if found.name.rsplit("/")[-1] in UNDESCRIBED:
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                outcome = engine.deidentify(data)
            assert archive.add(outcome.data).error is None
            after = read(outcome.data)
            for keyword in ("Rows", "Columns", "NumberOfFrames", "Modality"):
                assert after.row.get(keyword) == before.row.get(keyword)
        assert archive.counts()["instances"] > 20


def value(dataset: object, place: str) -> object:
    """A value at ``Keyword`` or ``Keyword.0.Keyword``; None where there is none."""
    here: object = dataset
    for step in place.split("."):
        try:
            here = here[int(step)] if step.isdigit() else getattr(here, step)  # type: ignore[index]
        except (AttributeError, IndexError, TypeError):
            return None
    return here if isinstance(here, str | int) or here is None else str(here)


@cache
def faults(data: bytes) -> frozenset[str]:
    """What dciodvfy calls an error, without the values; it can't inflate, so that is done here."""
    if data[128:132] == b"DICM" and DeflatedExplicitVRLittleEndian.encode() in data[:400]:
        dataset = dcmread(io.BytesIO(data))
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        buffer = io.BytesIO()
        dataset.save_as(buffer)
        data = buffer.getvalue()
    assert data_set_offset(data) >= 0
    with tempfile.NamedTemporaryFile(suffix=".dcm") as file:
        file.write(data)
        file.flush()
        done = subprocess.run(
            ["dciodvfy", "-new", file.name],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    lines = (done.stdout + done.stderr).splitlines()
    return frozenset(
        re.sub(r"<[^>]*>|\[\d+\]", "", line) for line in lines if line.startswith("Error")
    )
