"""Instances to measure with: real files again and again, with UIDs of their own."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.uid import generate_uid

from tests.benchmarks.peers import Peer
from tests.conftest import dicom_file

MR = "MR_small.dcm"  # 10 KB, 64 x 64
HEADER = "CT_small.dcm"  # 39 KB, 128 x 128, 260 elements
CT = "693_UNCI.dcm"  # 525 KB, 512 x 512 with 16 bits, not compressed
CT_J2K = "693_J2KR.dcm"  # the same image in JPEG 2000, lossless

REGIONS = ("ABDOMEN", "BRAIN", "CHEST", "KNEE", "PELVIS", "SPINE")
PER_DESCRIPTION = 10


@dataclass(frozen=True, slots=True)
class Made:
    """One instance: its UIDs and its file's bytes."""

    study: str
    series: str
    instance: str
    data: bytes

    @property
    def path(self) -> str:
        """Its path below a DICOMweb root."""
        return f"/studies/{self.study}/series/{self.series}/instances/{self.instance}"

    @property
    def series_path(self) -> str:
        """The path of its series."""
        return f"/studies/{self.study}/series/{self.series}"


def patient(study: int) -> str:
    """The Patient ID of a study by its number: five studies a patient."""
    return f"BENCH{study // 5:06d}"


def description(study: int) -> str:
    """The Study Description of a study by its number: ten studies have the same."""
    number = study // PER_DESCRIPTION
    return f"{REGIONS[number % len(REGIONS)]} PROTOCOL {number:05d} ROUTINE"


def copies(
    name: str, number: int, *, per_series: int = 50, series_per_study: int = 4
) -> Iterator[Made]:
    """Copies of a real file as instances of their own: studies of several series of slices."""
    dataset = pydicom.dcmread(dicom_file(name))
    per_study = per_series * series_per_study
    for i in range(number):
        if i % per_study == 0:
            dataset.StudyInstanceUID = generate_uid()
            dataset.PatientID = patient(i // per_study)
            dataset.StudyDescription = description(i // per_study)
        if i % per_series == 0:
            dataset.SeriesInstanceUID = generate_uid()
        dataset.InstanceNumber = i % per_series + 1
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        file = io.BytesIO()
        dataset.save_as(file)
        yield Made(
            str(dataset.StudyInstanceUID),
            str(dataset.SeriesInstanceUID),
            str(dataset.SOPInstanceUID),
            file.getvalue(),
        )


def folder_of(name: str, folder: Path, number: int) -> Path:
    """Copies as the files of a folder."""
    folder.mkdir(parents=True)
    for i, made in enumerate(copies(name, number)):
        (folder / f"{i:06d}.dcm").write_bytes(made.data)
    return folder


def fill(peers: list[Peer], made: Iterator[Made]) -> list[Made]:
    """Bring instances into every server by STOW-RS; what was brought, without its bytes."""
    brought: list[Made] = []
    batch: list[bytes] = []
    for one in made:
        batch.append(one.data)
        brought.append(Made(one.study, one.series, one.instance, b""))
        if sum(map(len, batch)) > 4 << 20 or len(batch) == 100:
            _post(peers, batch)
            batch = []
    if batch:
        _post(peers, batch)
    return brought


def _post(peers: list[Peer], batch: list[bytes]) -> None:
    head = b"--bench\r\nContent-Type: application/dicom\r\n\r\n"
    body = b"".join(head + data + b"\r\n" for data in batch) + b"--bench--\r\n"
    kind = 'multipart/related; type="application/dicom"; boundary=bench'
    for peer in peers:
        answer = peer.post("/studies", body, kind)
        assert answer.status_code == 200, (peer.name, answer.status_code, answer.text[:300])
