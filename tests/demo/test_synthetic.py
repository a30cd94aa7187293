"""Made-up patients: marked as such, the same from the same seed, and DICOM as it should be."""

from __future__ import annotations

import hashlib
import io
import os
import random
import subprocess
import sys
from collections import defaultdict
from itertools import islice

import numpy as np
import pytest
from faker import Faker
from pydicom import dcmread
from pydicom.dataset import FileDataset

from pacslab.archive import Archive, Status
from pacslab.archive.inbox import Found
from pacslab.demo.synthetic import synthesize
from pacslab.dicom.uids import is_uid

PATIENTS = 60
VOLUMES = {"CT", "MR", "PT"}


@pytest.fixture(scope="module")
def made() -> list[bytes]:
    return list(synthesize(patients=PATIENTS, seed=7))


@pytest.fixture(scope="module")
def datasets(made: list[bytes]) -> list[FileDataset]:
    return [dcmread(io.BytesIO(data)) for data in made]


@pytest.fixture(scope="module")
def series(datasets: list[FileDataset]) -> dict[str, list[FileDataset]]:
    found = defaultdict(list)
    for one in datasets:
        found[one.SeriesInstanceUID].append(one)
    return found


def _digest(files: list[bytes]) -> str:
    return hashlib.sha256(b"".join(files)).hexdigest()


# --- the same again -------------------------------------------------------------------------


def test_another_process_makes_the_same_bytes(made: list[bytes]) -> None:
    script = (
        "import hashlib, random, numpy\n"
        "random.seed(99); numpy.random.seed(99)\n"
        "from pacslab.demo.synthetic import synthesize\n"
        f"made = list(synthesize(patients={PATIENTS}, seed=7))\n"
        "print(hashlib.sha256(b''.join(made)).hexdigest())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "4711", "TZ": "Pacific/Auckland"}
    run = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == _digest(made)


def test_what_was_made_before_or_meanwhile_changes_nothing(made: list[bytes]) -> None:
    Faker.seed(1)
    random.seed(1)
    one, other = synthesize(patients=5, seed=7), synthesize(patients=5, seed=8)
    mixed = []
    for data in one:
        mixed.append(data)
        next(other, None)
    assert mixed == made[: len(mixed)]


def test_nothing_global_is_touched() -> None:
    random.seed(3)
    state, legacy = random.getstate(), np.random.get_state()[1]
    assert list(islice(synthesize(), 3))
    assert random.getstate() == state
    assert np.array_equal(np.random.get_state()[1], legacy)


def test_another_seed_makes_other_people_with_other_uids(datasets: list[FileDataset]) -> None:
    others = [dcmread(io.BytesIO(d)) for d in synthesize(patients=5, seed=8)]
    assert not {d.SOPInstanceUID for d in others} & {d.SOPInstanceUID for d in datasets}
    assert not {d.PatientID for d in others} & {d.PatientID for d in datasets}
    assert not {str(d.PatientName) for d in others} <= {str(d.PatientName) for d in datasets}


# --- what they are --------------------------------------------------------------------------


def test_every_instance_says_that_it_is_synthetic(datasets: list[FileDataset]) -> None:
    for one in datasets:
        assert one.PatientID.startswith("SYN-")
        assert one.PatientComments.startswith("SYNTHETIC")
        assert one.InstitutionName.startswith("SYNTHETIC")
        assert one.SyntheticData == "YES"
        if one.Modality != "SR":
            assert one.ImageComments.startswith("SYNTHETIC")


def test_the_pixels_say_so_too(datasets: list[FileDataset]) -> None:
    stamps = set()
    for one in datasets:
        if one.Modality == "SR":
            continue
        for frame in one.pixel_array.reshape(-1, one.Rows, one.Columns):
            corner = frame[:9, :54].astype(int)
            values = np.unique(corner)
            assert len(values) == 2, (one.Modality, values)
            bright = corner == (0 if one.PhotometricInterpretation == "MONOCHROME1" else values[1])
            stamps.add(bright.tobytes())
    assert len(stamps) == 1  # the same word in all of them
    word = np.frombuffer(stamps.pop(), bool).reshape(9, 54)
    assert 0.2 < word.mean() < 0.6


def test_there_is_something_in_the_pictures(datasets: list[FileDataset]) -> None:
    for one in datasets:
        if one.Modality != "SR":
            shown = one.pixel_array[..., 9:, :]
            assert shown.std() > 1, (one.Modality, one.SeriesDescription)
            assert int(shown.max()) < 2**one.BitsStored


def test_the_mix_is_that_of_a_hospital(datasets: list[FileDataset]) -> None:
    assert {d.Modality for d in datasets} >= VOLUMES | {"CR", "DX", "US", "MG", "SR"}
    assert len({d.Manufacturer for d in datasets}) >= 6
    patients, studies = defaultdict(set), {}
    for one in datasets:
        patients[one.PatientID].add(one.StudyInstanceUID)
        studies[one.StudyInstanceUID] = one
        assert "20180101" <= one.StudyDate <= "20241231"
        assert one.PatientBirthDate < one.StudyDate
        age = int(one.StudyDate[:4]) - int(one.PatientBirthDate[:4])
        age -= one.StudyDate[4:] < one.PatientBirthDate[4:]
        assert one.PatientAge == f"{age:03d}Y"
        if one.Modality == "MG":
            assert one.PatientSex == "F"
    assert len(patients) == PATIENTS
    assert 0.2 < sum(len(s) > 1 for s in patients.values()) / PATIENTS < 0.7
    assert len({d.StudyDate[:4] for d in studies.values()}) == 7
    assert len({d.PatientAge for d in studies.values()}) > 20


def test_a_patient_stays_the_same_person(datasets: list[FileDataset]) -> None:
    known: dict[str, tuple[str, ...]] = {}
    for one in datasets:
        person = (str(one.PatientName), one.PatientSex, one.PatientBirthDate)
        assert known.setdefault(one.PatientID, person) == person


def test_names_come_in_many_character_sets() -> None:
    people = {}
    for data in synthesize(patients=150, seed=7):
        one = dcmread(io.BytesIO(data), specific_tags=["PatientID", "PatientName"])
        people[one.PatientID] = (one.get("SpecificCharacterSet"), one.PatientName)
    sets = {str(charset) for charset, _ in people.values()}
    assert sets >= {
        "None", "ISO_IR 100", "ISO_IR 126", "ISO_IR 144", "ISO_IR 192", "GB18030",
        "['', 'ISO 2022 IR 87']", "['', 'ISO 2022 IR 149']",
    }  # fmt: skip
    for charset, name in people.values():
        # What a character set can't write would have come back as a question mark.
        assert "?" not in str(name)
        assert "\ufffd" not in str(name)
        assert all(len(group) <= 64 for group in str(name).split("="))
        if "ISO 2022 IR 87" in str(charset):
            assert name.alphabetic.isascii()
            assert all("ぁ" <= c <= "ゖ" or c in "^ー" for c in name.phonetic), name
            assert name.ideographic
        if charset == "ISO_IR 192":
            assert any("\u0600" <= c <= "\u06ff" for c in name.alphabetic)


# --- DICOM as it should be ------------------------------------------------------------------


def test_uids(datasets: list[FileDataset]) -> None:
    instances = [d.SOPInstanceUID for d in datasets]
    assert len(set(instances)) == len(instances)
    parents: dict[str, str] = {}
    for one in datasets:
        for uid in (one.StudyInstanceUID, one.SeriesInstanceUID, one.SOPInstanceUID):
            assert is_uid(uid)
            assert uid.startswith("2.25.")
            assert int(uid[5:]) < 1 << 128
        assert parents.setdefault(one.SeriesInstanceUID, one.StudyInstanceUID) == (
            one.StudyInstanceUID
        )
        assert one.file_meta.MediaStorageSOPInstanceUID == one.SOPInstanceUID
        assert one.file_meta.MediaStorageSOPClassUID == one.SOPClassUID


def test_elements_are_in_order_and_read_as_written(made: list[bytes]) -> None:
    for data in made[::40]:
        one = dcmread(io.BytesIO(data))
        tags = [element.tag for element in one]
        assert list(one.keys()) == sorted(tags)
        again = io.BytesIO()
        one.save_as(again, enforce_file_format=True)
        assert again.getvalue() == data


def test_slices_of_a_volume_lie_side_by_side(series: dict[str, list[FileDataset]]) -> None:
    seen = set()
    for images in series.values():
        if images[0].Modality not in VOLUMES:
            continue
        seen.add((images[0].Modality, tuple(images[0].ImageOrientationPatient)))
        assert len(images) >= 8
        right, down = np.split(np.array(images[0].ImageOrientationPatient, float), 2)
        normal = np.cross(right, down)
        places = np.array([d.ImagePositionPatient for d in images], float)
        along = places @ normal
        step = np.diff(along)
        assert np.allclose(np.abs(step), float(images[0].SliceThickness))
        assert len(np.unique(np.sign(step))) == 1
        assert np.allclose(places - np.outer(along, normal), places[0] - along[0] * normal)
        for one in images:
            assert one.FrameOfReferenceUID == images[0].FrameOfReferenceUID
            assert np.allclose(np.abs(one.SliceLocation), np.abs(one.ImagePositionPatient).astype(
                float)[np.argmax(np.abs(normal))])  # fmt: skip
    assert {modality for modality, _ in seen} == VOLUMES
    assert len({orientation for _, orientation in seen}) == 3


def test_pet_and_ct_of_a_study_show_the_same_body(datasets: list[FileDataset]) -> None:
    studies = defaultdict(lambda: defaultdict(list))
    for one in datasets:
        if one.Modality in ("CT", "PT"):
            studies[one.StudyInstanceUID][one.Modality].append(one)
    both = [study for study in studies.values() if len(study) == 2]
    assert both
    for study in both:
        assert {d.FrameOfReferenceUID for d in study["CT"]} == {
            d.FrameOfReferenceUID for d in study["PT"]
        }
        heights = [{float(d.ImagePositionPatient[2]) for d in study[m]} for m in ("CT", "PT")]
        assert heights[0] == heights[1]


def test_hounsfield_units_are_those_of_the_tissues(series: dict[str, list[FileDataset]]) -> None:
    heads = [
        s for s in series.values() if s[0].Modality == "CT" and s[0].BodyPartExamined == "HEAD"
    ]
    assert heads
    for images in heads:
        middle = images[len(images) // 2]
        units = middle.pixel_array * float(middle.RescaleSlope) + float(middle.RescaleIntercept)
        assert abs(np.median(units[-6:, :6]) + 1000) < 30  # air
        centre = units[middle.Rows // 2 - 3 :, :][:6, middle.Columns // 2 + 8 :][:, :6]
        assert 0 < np.median(centre) < 80  # brain


def test_the_archive_takes_them_all(made: list[bytes], archive: Archive) -> None:
    found = [Found(str(i), len(d), lambda d=d: d) for i, d in enumerate(made[:300])]  # type: ignore[misc]
    receipts = [receipt for _, receipt in archive.add_found(found)]
    assert {r.status for r in receipts} == {Status.STORED}


@pytest.mark.dcmtk
def test_dcmtk_reads_them_without_complaint(
    series: dict[str, list[FileDataset]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("dcmdump")
    kinds = {(s[0].Modality, s[0].SOPClassUID): s[0] for s in series.values()}
    assert len(kinds) >= 9
    for number, one in enumerate(kinds.values()):
        one.save_as(folder / f"{number}.dcm", enforce_file_format=True)
    run = subprocess.run(
        ["dcmdump", "--quiet", "+sd", str(folder)], capture_output=True, check=True
    )
    assert run.stderr == b""
    assert run.stdout.count(b"# Dicom-Data-Set") == len(kinds)
