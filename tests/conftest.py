"""What all tests share: real files, an archive, and what happens where a program is missing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pydicom.data
import pytest

from pacslab.archive import Archive

PROGRAMS = {
    "dcmtk": "dcmdump",
    "curl": "curl",
    "orthanc": "Orthanc",
    "dciodvfy": "dciodvfy",
    "chromium": "chromium",
}
"""Marker and the program that tests with it need."""

_left_out: dict[str, int] = {}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests whose program isn't installed, and say so; in CI none may be left out."""
    kept = []
    for item in items:
        missing = [
            marker
            for marker, program in PROGRAMS.items()
            if item.get_closest_marker(marker) and shutil.which(program) is None
        ]
        if not missing:
            kept.append(item)
            continue
        _left_out[missing[0]] = _left_out.get(missing[0], 0) + 1
        config.hook.pytest_deselected(items=[item])
    if _left_out and os.environ.get("CI"):
        raise pytest.UsageError(f"in CI every program must be there; missing: {list(_left_out)}")
    items[:] = kept


def pytest_report_collectionfinish() -> list[str]:
    return [f"left out: {n} tests that need {m}" for m, n in _left_out.items()]


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of the machine's environment must not decide what a test sees."""
    for name in [n for n in os.environ if n.startswith("PACSLAB_") and n != "PACSLAB_CACHE"]:
        monkeypatch.delenv(name)


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    """An empty archive."""
    with Archive(tmp_path / "archive") as made:
        yield made


def dcmtk(program: str) -> str:
    """DCMTK's program: pynetdicom installs some of the same names, dcmdump it doesn't."""
    dcmdump = shutil.which("dcmdump")
    assert dcmdump is not None, "DCMTK isn't installed"
    return str(Path(dcmdump).parent / program)


def dicom_file(name: str) -> Path:
    """One of the files that come with pydicom or pydicom-data; nothing is downloaded."""
    found = pydicom.data.get_testdata_file(name, download=False)
    assert isinstance(found, str), f"{name} isn't among the test files"
    return Path(found)


def pydicom_files() -> list[Path]:
    """Every file that comes with pydicom itself, whatever it is."""
    folder = Path(pydicom.data.__file__).parent
    return sorted(
        p
        for p in folder.rglob("*")
        if p.is_file() and p.suffix != ".py" and "__pycache__" not in p.parts
    )
