"""Archives of small instances, made with pydicom."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from pacslab.archive import Archive, OnConflict
from pacslab.cohort.mirror import Mirror
from pacslab.cohort.sql import query

ROOT = "1.2.826.0.1.3680043.10.99"


def uid(study: int, series: int = 0, instance: int = 0) -> str:
    """A UID for each study, series and instance."""
    return ".".join([ROOT, *(str(n) for n in (study, series, instance) if n)])


def part10(study: int = 1, series: int = 1, instance: int = 1, **values: Any) -> bytes:
    """The bytes of a small CT instance; ``values`` by keyword, None takes one away."""
    dataset = Dataset()
    defaults: dict[str, Any] = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": uid(study, series, instance),
        "SeriesInstanceUID": uid(study, series),
        "StudyInstanceUID": uid(study),
        "PatientID": f"P{study}",
        "PatientName": "Doe^Jane",
        "StudyDate": "20200229",
        "Modality": "CT",
        "SeriesNumber": series,
        "InstanceNumber": instance,
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "Rows": 4,
        "Columns": 4,
    }
    for keyword, value in (defaults | values).items():
        if value is not None:
            setattr(dataset, keyword, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    with Archive(tmp_path / "archive", on_conflict=OnConflict.REPLACE) as archive:
        yield archive


@pytest.fixture
def mirror(archive: Archive) -> Iterator[Mirror]:
    mirror = Mirror(archive)
    yield mirror
    mirror.close()


@pytest.fixture
def ask(mirror: Mirror) -> Callable[..., list[tuple[Any, ...]]]:
    """A question's answer as plain rows."""

    def rows(statement: str, **parameters: object) -> list[tuple[Any, ...]]:
        frame = query(mirror, statement, parameters)
        return list(frame.itertuples(index=False, name=None))

    return rows
