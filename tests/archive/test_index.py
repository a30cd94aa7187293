"""Rows: counts right whatever the order, differences seen, headers as they came."""

from __future__ import annotations

import json
import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pacslab.archive import Archive, packing
from pacslab.dicom.instance import read
from pacslab.dicom.matching import Query
from pacslab.errors import ArchiveError, DamagedError, NotFoundError, SchemaError
from tests.making import instance


def sqlite(archive: Archive, statement: str) -> list[Any]:
    return sqlite3.connect(archive.directory / "index.sqlite").execute(statement).fetchall()


def family() -> list[bytes]:
    return [
        instance(StudyInstanceUID=f"1.{s}", SeriesInstanceUID=f"1.{s}.{e}",
                 SOPInstanceUID=f"1.{s}.{e}.{i}", PatientID=f"P{s}")
        for s in range(1, 4) for e in range(1, s + 1) for i in range(1, e + 2)
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_counts_do_not_depend_on_the_order_of_arrival(archive: Archive, seed: int) -> None:
    batch = family()
    random.Random(seed).shuffle(batch)
    for start in range(0, len(batch), 3):
        archive.add_many(batch[start : start + 3])
    found = {
        r["StudyInstanceUID"]: (r["NumberOfStudyRelatedSeries"], r["NumberOfStudyRelatedInstances"])
        for r in archive.search(Query.build("STUDY"))
    }
    assert found == {"1.1": (1, 2), "1.2": (2, 5), "1.3": (3, 9)}
    assert list(archive.check()) == []


def test_what_one_instance_lacks_the_next_one_fills_in(archive: Archive) -> None:
    same = {"StudyInstanceUID": "1.1", "SeriesInstanceUID": "1.1.1"}
    archive.add(instance(**same, StudyDescription=None, PatientAge=None))
    archive.add(instance(**same, StudyDescription="Head", PatientAge="040Y"))
    (row,) = archive.search(Query.build("STUDY"))
    assert (row["StudyDescription"], row["PatientAge"]) == ("Head", "040Y")
    assert sqlite(archive, "SELECT * FROM differences") == []


def test_attributes_that_differ_within_a_study_are_seen(archive: Archive) -> None:
    same = {"StudyInstanceUID": "1.1", "SeriesInstanceUID": "1.1.1"}
    archive.add(instance(**same, SOPInstanceUID="1.1.1.1", PatientName="Doe^Jane"))
    archive.add(instance(**same, SOPInstanceUID="1.1.1.2", PatientName="Roe^Jane", Modality="PT"))
    found = sqlite(
        archive,
        "SELECT SOPInstanceUID, Level, Keyword, Value, IndexedValue FROM differences ORDER BY 3",
    )
    assert found == [
        ("1.1.1.2", "SERIES", "Modality", "PT", "CT"),
        ("1.1.1.2", "PATIENT", "PatientName", "Roe^Jane", "Doe^Jane"),
    ]
    archive.remove("1.1", sop_instance_uid="1.1.1.1", source="test")
    (row,) = archive.search(Query.build("SERIES"))
    assert (row["PatientName"], row["Modality"]) == ("Roe^Jane", "PT")
    assert sqlite(archive, "SELECT * FROM differences") == []


def test_removal_is_recoverable_and_takes_empty_parents_along(archive: Archive) -> None:
    archive.add_many(family())
    assert archive.remove("1.3", "1.3.3", source="DELETE") == 4
    assert archive.remove("1.1", source="DELETE") == 2
    assert archive.counts() == {"patients": 2, "studies": 2, "series": 4, "instances": 10}
    assert list(archive.check()) == []
    kept = list(archive.quarantined())
    assert {q.code for q in kept} == {"deleted"}
    assert [archive.add(q.path.read_bytes()).status for q in kept] == ["stored"] * 6
    assert archive.counts()["instances"] == 16
    with pytest.raises(NotFoundError):
        archive.remove("1.77", source="DELETE")


def test_reindex_brings_everything_back(archive: Archive) -> None:
    archive.add_many(family(), source="STOW-RS from 127.0.0.1")
    tables = ("studies", "series", "instances", "headers")

    def state() -> dict[str, list[Any]]:
        rows = {}
        for table in tables:
            columns = [r[1] for r in sqlite(archive, f"PRAGMA table_info({table})")]
            kept = ", ".join(c for c in columns if c not in {"Changed", "id"})
            rows[table] = sorted(sqlite(archive, f"SELECT {kept} FROM {table}"), key=str)
        rows["headers"] = sorted(h for _, h in archive.metadata())
        return rows

    before = state()
    assert archive.reindex() == []
    assert state() == before
    assert list(archive.check()) == []


def test_an_index_that_is_deleted_or_damaged_is_made_again(tmp_path: Path) -> None:
    with Archive(tmp_path / "a") as archive:
        archive.add_many(family())
    index = tmp_path / "a" / "index.sqlite"
    for leftover in index.parent.glob("index.sqlite-*"):
        leftover.unlink()
    index.write_bytes(b"garbage" * 1000)
    with pytest.raises(DamagedError, match="pacslab reindex"):
        Archive(tmp_path / "a")
    with Archive.recover(tmp_path / "a") as archive:
        assert archive.reindex() == []
        assert archive.counts()["instances"] == 16
    assert len(list(index.parent.glob("index.sqlite.2*"))) == 1  # the damaged one is kept
    index.unlink()
    with Archive(tmp_path / "a") as archive:
        assert {f.kind for f in archive.check()} == {"unindexed"}
        archive.reindex()
        assert list(archive.check()) == []


def test_check_sees_missing_unindexed_and_altered_files(archive: Archive) -> None:
    archive.add_many(family())
    files = sorted(archive.directory.glob("files/*/*/*.dcm"))
    files[0].unlink()
    altered = bytearray(files[1].read_bytes())
    altered[-1] ^= 1
    files[1].write_bytes(altered)
    stranger = files[2].with_name("1.99.dcm")
    stranger.write_bytes(files[2].read_bytes())
    assert {(f.kind, f.where) for f in archive.check()} == {
        ("missing", str(files[0])), ("altered", str(files[1])), ("unindexed", str(stranger)),
    }  # fmt: skip
    (fault,) = archive.reindex()
    assert (fault.kind, fault.where) == ("misplaced", str(stranger))
    assert archive.counts()["instances"] == 15


def test_foreign_directories_and_newer_archives_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.docx").write_text("words")
    with pytest.raises(ArchiveError, match=r"isn't an archive: it holds chapter1\.docx"):
        Archive(tmp_path / "thesis")
    assert [p.name for p in (tmp_path / "thesis").iterdir()] == ["chapter1.docx"]
    with pytest.raises(ArchiveError, match="is a file"):
        Archive(tmp_path / "thesis" / "chapter1.docx")
    Archive(tmp_path / "a").close()
    connection = sqlite3.connect(tmp_path / "a" / "index.sqlite")
    connection.execute("UPDATE state SET Value = '99' WHERE Name = 'schema'")
    connection.commit()
    connection.close()
    with pytest.raises(SchemaError, match="newer pacslab"):
        Archive(tmp_path / "a")


def test_headers_come_back_as_they_were(archive: Archive) -> None:
    batch = family()
    archive.add_many(batch)
    expected = {read(d).sop_instance_uid: read(d).header for d in batch}
    found = {s.sop_instance_uid: h.decode() for s, h in archive.metadata()}
    assert found == expected
    assert len(list(archive.metadata("1.3", "1.3.2"))) == 3
    assert json.loads(next(h for _, h in archive.metadata(sop_instance_uid="1.1.1.1")))


@given(st.text(max_size=300), st.lists(st.text(max_size=300), max_size=5))
@settings(max_examples=50, deadline=None)
def test_packing_is_lossless(base: str, headers: list[str]) -> None:
    packed_base = packing.pack_base(base)
    for text in headers:
        expected = text.encode("utf-8", "replace")
        assert packing.unpack(packing.pack(text, packed_base), packed_base) == expected


def test_the_headers_of_a_series_share_what_they_have_in_common(archive: Archive) -> None:
    batch = [
        instance(StudyInstanceUID="1.1", SeriesInstanceUID="1.1.1", InstanceNumber=i,
                 PatientComments="the same long comment " * 50)
        for i in range(50)
    ]  # fmt: skip
    archive.add_many(batch)
    ((total,),) = sqlite(archive, "SELECT sum(length(Header)) FROM headers")
    assert total / 50 < 200 < len(read(batch[0]).header)
