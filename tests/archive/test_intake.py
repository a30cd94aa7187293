"""The write path: what is acknowledged is stored, what isn't leaves nothing behind."""

from __future__ import annotations

import errno
import threading
from pathlib import Path

import pytest

from pacslab.archive import Archive, OnConflict, Status, commits
from pacslab.archive.files import Files
from pacslab.archive.index import Writer
from pacslab.dicom.instance import Instance
from pacslab.dicom.matching import Query
from pacslab.errors import OutOfResourcesError, RefusedError, UsageError
from tests.conftest import dicom_file
from tests.making import instance


def files_in(archive: Archive) -> list[Path]:
    return sorted(archive.directory.glob("files/*/*/*.dcm"))


def test_a_stored_instance_lies_under_its_uids_with_its_bytes(archive: Archive) -> None:
    data = dicom_file("CT_small.dcm").read_bytes()
    receipt = archive.add(data)
    assert receipt.status is Status.STORED
    (path,) = files_in(archive)
    assert path == archive.files.path(
        receipt.study_instance_uid, receipt.series_instance_uid, receipt.sop_instance_uid
    )
    assert path.read_bytes() == data
    assert archive.counts() == {"patients": 1, "studies": 1, "series": 1, "instances": 1}
    assert list(archive.directory.glob("incoming/*")) == []


def test_the_same_again_is_already_there(archive: Archive) -> None:
    data = instance()
    first, *others = [archive.add(data).status for _ in range(3)]
    assert (first, others) == ("stored", ["already there", "already there"])
    assert [r.status for r in archive.add_many([data, instance(), data])] == [
        "already there", "stored", "already there",
    ]  # fmt: skip
    assert archive.counts()["instances"] == 2
    assert list(archive.quarantined()) == []


def test_the_same_twice_in_one_batch_is_stored_once(archive: Archive) -> None:
    data = instance()
    assert [r.status for r in archive.add_many([data, data])] == ["stored", "already there"]
    assert archive.counts()["instances"] == 1


def conflicting() -> tuple[bytes, bytes]:
    first = instance(SOPInstanceUID="1.2.3", StudyInstanceUID="1.2", SeriesInstanceUID="1.2.1")
    other = instance(SOPInstanceUID="1.2.3", StudyInstanceUID="1.9", SeriesInstanceUID="1.9.1")
    return first, other


def test_other_content_is_kept_out_and_quarantined_by_default(archive: Archive) -> None:
    first, other = conflicting()
    archive.add(first)
    receipt = archive.add(other, source="C-STORE from A")
    assert receipt.status is Status.REFUSED
    assert "other content" in receipt.reason
    assert receipt.error is not None
    assert receipt.error.dimse_status == 0x0111
    (path,) = files_in(archive)
    assert path.read_bytes() == first
    (kept,) = archive.quarantined()
    assert kept.path.read_bytes() == other
    assert (kept.code, kept.source) == ("conflict", "C-STORE from A")


def test_other_content_can_replace_the_old_which_goes_to_quarantine(tmp_path: Path) -> None:
    first, other = conflicting()
    with Archive(tmp_path / "a", on_conflict=OnConflict.REPLACE) as archive:
        archive.add(first)
        assert archive.add(other).status is Status.STORED
        (path,) = files_in(archive)
        assert path.read_bytes() == other
        assert archive.counts()["studies"] == 1
        (kept,) = archive.quarantined()
        assert kept.path.read_bytes() == first
        assert kept.code == "replaced"
        assert list(archive.check()) == []


def test_other_content_can_be_refused_without_a_trace(tmp_path: Path) -> None:
    first, other = conflicting()
    with Archive(tmp_path / "a", on_conflict="refuse") as archive:
        archive.add(first)
        assert archive.add(other).status is Status.REFUSED
        assert list(archive.quarantined()) == []
    with pytest.raises(UsageError, match="keep, replace, refuse"):
        Archive(tmp_path / "b", on_conflict="merge")


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"this is no image at all, but long enough", "not-dicom"),
        (instance(SOPInstanceUID=None), "invalid-uid"),
        (instance(StudyInstanceUID="1/../.."), "invalid-uid"),
    ],
)
def test_what_cannot_be_stored_is_quarantined_with_its_reason(
    archive: Archive, data: bytes, code: str
) -> None:
    for _ in range(2):  # the same garbage again is kept once
        receipt = archive.add(data, source="STOW-RS from 127.0.0.1")
        assert receipt.status is Status.REFUSED
    (kept,) = archive.quarantined()
    assert (kept.code, kept.reason) == (code, receipt.reason)
    assert kept.path.read_bytes() == data
    assert archive.counts()["instances"] == 0
    assert files_in(archive) == []


def test_a_series_has_one_study(archive: Archive) -> None:
    archive.add(instance(SeriesInstanceUID="1.5", StudyInstanceUID="1.1"))
    receipt = archive.add(instance(SeriesInstanceUID="1.5", StudyInstanceUID="1.2"))
    assert receipt.status is Status.REFUSED
    assert "belongs to study 1.1" in receipt.reason
    both = [instance(SeriesInstanceUID="1.6", StudyInstanceUID=s) for s in ("1.3", "1.4")]
    assert [r.status for r in archive.add_many(both)] == ["stored", "refused"]
    assert list(archive.check()) == []


def test_a_full_disk_is_an_answer_and_changes_nothing(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.add(instance())

    def full(self: Files, parts: object) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = archive.counts()
    monkeypatch.setattr(Files, "_write_new", full)
    receipt = archive.add(instance())
    assert isinstance(receipt.error, OutOfResourcesError)
    assert receipt.error.dimse_status == 0xA700
    assert "Make room" in receipt.reason
    monkeypatch.undo()
    assert archive.counts() == before
    assert list(archive.check()) == []


def test_a_failing_index_leaves_no_file(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: Writer, arrivals: object) -> None:
        raise OutOfResourcesError("database or disk is full")

    monkeypatch.setattr(Writer, "insert", fails)
    assert archive.add(instance()).status is Status.REFUSED
    monkeypatch.undo()
    assert files_in(archive) == []
    assert archive.counts()["studies"] == 0


def test_a_failed_replacement_keeps_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, other = conflicting()
    with Archive(tmp_path / "a", on_conflict="replace") as archive:
        archive.add(first)

        def fails(directories: object) -> None:
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(commits, "sync_directories", fails)
        assert archive.add(other).status is Status.REFUSED
        monkeypatch.undo()
        (path,) = files_in(archive)
        assert path.read_bytes() == first
        assert list(archive.check()) == []


def test_many_threads_and_two_archives_on_one_directory(archive: Archive) -> None:
    """Two processes would be two Archive objects: the same instances race to the same names."""
    batch = [instance(SOPInstanceUID=f"1.2.{i}", StudyInstanceUID="1.2", SeriesInstanceUID="1.2.3")
             for i in range(40)]  # fmt: skip
    results: list[Status] = []
    with Archive(archive.directory) as second:

        def send(which: Archive) -> None:
            results.extend(which.add(data).status for data in batch)

        threads = [threading.Thread(target=send, args=(a,)) for a in (archive, second) * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert results.count(Status.STORED) == 40
    assert results.count(Status.PRESENT) == 120
    (row,) = archive.search(Query.build("STUDY"))
    assert (row["NumberOfStudyRelatedSeries"], row["NumberOfStudyRelatedInstances"]) == (1, 40)
    assert list(archive.check()) == []


def test_on_receive_changes_before_anything_is_written_and_fails_closed(tmp_path: Path) -> None:
    def refuses(found: Instance) -> Instance:
        raise RefusedError("not today")

    with Archive(tmp_path / "a", on_receive=refuses) as archive:
        receipt = archive.add(instance())
        assert receipt.reason == "not today"
        assert archive.counts()["instances"] == 0
        assert files_in(archive) == []
