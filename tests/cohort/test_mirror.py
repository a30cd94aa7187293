"""The mirror holds what SQLite holds, whatever came, changed and went."""

from __future__ import annotations

import datetime as dt
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pydicom.data
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pacslab.archive import Archive, Status
from pacslab.archive.changes import TABLES, changes
from pacslab.cohort.mirror import Mirror
from pacslab.cohort.sql import query
from pacslab.dicom.keywords import ATTRIBUTES
from tests.cohort.conftest import part10, uid

PLAIN = {
    table: [
        c
        for c in columns
        if c not in ("id", "ReceivedAt")
        and (
            c not in ATTRIBUTES
            or ATTRIBUTES[c].python_type is not str
            or not (ATTRIBUTES[c].multiple or ATTRIBUTES[c].vr in ("DA", "TM", "DT"))
        )
    ]
    for table, columns in TABLES.items()
}


def sqlite_rows(archive: Archive, statement: str, values: tuple[Any, ...] = ()) -> list[Any]:
    connection = sqlite3.connect(archive.database.path)
    try:
        return connection.execute(statement, values).fetchall()
    finally:
        connection.close()


def assert_same(archive: Archive, mirror: Mirror) -> None:
    """Every plain column of every table is what SQLite has, row for row."""
    for table, columns in PLAIN.items():
        names = ", ".join(f'"{c}"' for c in columns)
        with mirror.session() as cursor:
            ours = cursor.execute(f"SELECT {names} FROM {table}").fetchall()
        theirs = sqlite_rows(archive, f"SELECT {names} FROM {table}")
        assert sorted(ours, key=repr) == sorted(theirs, key=repr), table
    patients = "SELECT count(*), sum(NumberOfPatientRelatedStudies) FROM patients"
    (counts,) = sqlite_rows(archive, patients)
    with mirror.session() as cursor:
        assert cursor.execute(patients).fetchone() == counts
        wrong = """SELECT count(*) FROM instances i JOIN studies s USING (StudyInstanceUID)
            WHERE i.PatientID IS DISTINCT FROM s.PatientID"""
        assert cursor.execute(wrong).fetchone() == (0,)
        assert cursor.execute(wrong.replace("instances", "series")).fetchone() == (0,)
        facts = """SELECT count(*) FROM index x JOIN (SELECT SeriesInstanceUID, count(*) AS n,
            min(SOPClassUID) AS c, sum(DataSetSize) / 1e6 AS mb FROM instances GROUP BY 1) i
            USING (SeriesInstanceUID) WHERE n = instanceCount AND x.SOPClassUID = c
            AND abs(series_size_MB - mb) < 1e-9"""
        number = cursor.execute("SELECT count(*) FROM series").fetchone()
        assert cursor.execute(facts).fetchone() == number


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Archive, Mirror]]:
    """pydicom's own test files, as far as the archive takes them."""
    with Archive(tmp_path_factory.mktemp("real")) as archive:
        found = (Path(pydicom.data.__file__).parent / "test_files").glob("*.dcm")
        archive.add_many(p.read_bytes() for p in sorted(found) if p.stat().st_size < 1_000_000)
        mirror = Mirror(archive)
        yield archive, mirror
        mirror.close()


def test_real_files_as_in_sqlite(real: tuple[Archive, Mirror]) -> None:
    archive, mirror = real
    assert archive.counts()["instances"] > 30
    assert_same(archive, mirror)


def test_what_comes_is_seen_at_once(archive: Archive, mirror: Mirror, ask: Any) -> None:
    assert ask("SELECT count(*) FROM instances") == [(0,)]
    archive.add(part10(1, 1, 1))
    assert ask("SELECT PatientID, InstanceNumber FROM instances") == [("P1", 1)]
    archive.add_many([part10(1, 1, 2), part10(1, 2, 1, Modality="MR"), part10(2, 1, 1)])
    assert_same(archive, mirror)
    found = ask("SELECT StudyInstanceUID, ModalitiesInStudy FROM studies ORDER BY 1")
    assert found == [(uid(1), ("CT", "MR")), (uid(2), ("CT",))]


def test_what_is_replaced_and_removed(archive: Archive, mirror: Mirror, ask: Any) -> None:
    archive.add_many(part10(s, e, i) for s in (1, 2) for e in (1, 2) for i in (1, 2, 3))
    assert ask("SELECT count(*) FROM instances") == [(12,)]
    assert archive.add(part10(1, 1, 1, KVP="80")).status is Status.STORED
    assert ask("SELECT count(*), sum(KVP) FROM instances") == [(12, 80.0)]
    archive.remove(uid(1), uid(1, 1), uid(1, 1, 2), source="test")
    assert_same(archive, mirror)


def test_series_and_studies_go_with_their_instances(
    archive: Archive, mirror: Mirror, ask: Any
) -> None:
    archive.add_many(part10(s, e, i) for s in (1, 2) for e in (1, 2) for i in (1, 2))
    assert ask("SELECT count(*) FROM index") == [(4,)]
    archive.remove(uid(1), uid(1, 2), source="test")
    assert_same(archive, mirror)
    archive.remove(uid(2), source="test")
    assert_same(archive, mirror)
    assert ask("SELECT count(*) FROM index") == [(1,)]
    archive.add(part10(2, 1, 1))
    assert_same(archive, mirror)
    assert not archive.reindex()
    assert_same(archive, mirror)


def test_a_patient_id_that_comes_later(archive: Archive, mirror: Mirror, ask: Any) -> None:
    archive.add(part10(1, 1, 1, PatientID=None))
    assert ask("SELECT PatientID IS NULL FROM instances") == [(True,)]
    archive.add(part10(1, 2, 1))
    assert ask("SELECT DISTINCT PatientID FROM instances") == [("P1",)]
    assert_same(archive, mirror)


def test_differences_come_and_go(archive: Archive, mirror: Mirror, ask: Any) -> None:
    archive.add_many([part10(1, 1, 1), part10(1, 1, 2, PatientName="Roe^Jane")])
    assert ask("SELECT Keyword, Value FROM differences") == [("PatientName", "Roe^Jane")]
    archive.add(part10(1, 1, 3, PatientName="Poe^Jane"))
    assert_same(archive, mirror)
    archive.remove(uid(1), uid(1, 1), uid(1, 1, 2), source="test")
    assert ask("SELECT Value FROM differences") == [("Poe^Jane",)]
    archive.remove(uid(1), source="test")
    assert ask("SELECT count(*) FROM differences") == [(0,)]


def test_values_that_break_their_vr(archive: Archive, ask: Any) -> None:
    bad = {"KVP": ["12 ", "1e3", "", "N/A"], "StudyDate": ["20201301", "2020.02.29", "", "nan"]}
    for n, (kvp, date) in enumerate(zip(bad["KVP"], bad["StudyDate"], strict=True), 1):
        raw = part10(n, 1, 1, StudyDescription="DATE" * 2, ProtocolName="X" * 4)
        number = kvp + " " * (len(kvp) % 2)
        element = b"\x18\x00\x60\x00DS" + len(number).to_bytes(2, "little") + number.encode()
        raw = _inserted(raw, element)
        text = date + " " * (len(date) % 2)
        old = b"\x08\x00\x20\x00DA\x08\x0020200229"
        assert old in raw
        new = b"\x08\x00\x20\x00DA" + len(text).to_bytes(2, "little") + text.encode()
        assert archive.add(raw.replace(old, new)).status is Status.STORED
    found = ask("SELECT KVP FROM instances ORDER BY PatientID")
    assert [None if pd.isna(v) else v for (v,) in found] == [12.0, 1000.0, None, None]
    found = ask("SELECT StudyDate IS NULL, tag('StudyDate') FROM instances JOIN studies "
                "USING (StudyInstanceUID) ORDER BY instances.PatientID")  # fmt: skip
    assert [null for null, _ in found] == [True, False, True, True]
    assert [found[0][1], found[3][1]] == ["20201301", "nan"]
    assert ask("SELECT tag('KVP') FROM instances WHERE PatientID = 'P4'") == [("N/A",)]


def _inserted(raw: bytes, element: bytes) -> bytes:
    """The element before (0018,1030), which stands behind all of a lower tag."""
    at = raw.index(b"\x18\x00\x30\x10LO")
    return raw[:at] + element + raw[at:]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10", dt.time(10)),
        ("1011", dt.time(10, 11)),
        ("101112", dt.time(10, 11, 12)),
        ("101112.5", dt.time(10, 11, 12, 500_000)),
        ("101112.123456", dt.time(10, 11, 12, 123_456)),
        ("240000", None),
        ("101160", None),
        ("10:11:12", None),
        ("1", None),
    ],
)
def test_times(archive: Archive, ask: Any, text: str, expected: dt.time | None) -> None:
    archive.add(part10(ContentTime=text))
    assert ask("SELECT ContentTime FROM instances") == [(expected,)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20200229101112.25+0100", dt.datetime(2020, 2, 29, 10, 11, 12, 250_000)),
        ("20200229", dt.datetime(2020, 2, 29)),
        ("2020022910", dt.datetime(2020, 2, 29, 10)),
        ("202002291011", dt.datetime(2020, 2, 29, 10, 11)),
        ("2020", None),
        ("20200230101112", None),
    ],
)
def test_moments(archive: Archive, ask: Any, text: str, expected: dt.datetime | None) -> None:
    archive.add(part10(AcquisitionDateTime=text))
    ((found,),) = ask("SELECT AcquisitionDateTime FROM instances")
    assert (None if pd.isna(found) else found) == expected


def test_lists(archive: Archive, ask: Any) -> None:
    archive.add(part10(PixelSpacing=["0.5", "0.25"], WindowCenter="40"))
    ((types, spacing, centre),) = ask("SELECT ImageType, PixelSpacing, WindowCenter FROM instances")
    assert types == ("ORIGINAL", "PRIMARY", "AXIAL")
    assert (spacing, centre) == ((0.5, 0.25), (40.0,))
    assert ask("SELECT count(*) FROM instances WHERE PixelSpacing[1] > 0.4") == [(1,)]
    assert ask("SELECT count(*) FROM instances WHERE list_contains(ImageType, 'AXIAL')") == [(1,)]


def test_internal_columns_stay_out(mirror: Mirror) -> None:
    for table, columns in mirror.columns().items():
        hidden = {c for c in columns if c.endswith("Folded") or c in ("Changed", "id")}
        assert (table, hidden) == (table, set())


def test_files(archive: Archive, ask: Any) -> None:
    archive.add(part10())
    stored = archive.instance(uid(1, 1, 1))
    found = ask("SELECT path, size, SHA256 FROM files")
    assert found == [(str(stored.path), stored.size, stored.sha256)]


def test_another_process_writes(archive: Archive, mirror: Mirror, ask: Any) -> None:
    assert ask("SELECT count(*) FROM instances") == [(0,)]
    with Archive(archive.directory) as other:
        other.add(part10())
    assert ask("SELECT count(*) FROM instances") == [(1,)]


def test_what_sqlite_holds_in_the_wrong_type(archive: Archive, mirror: Mirror, ask: Any) -> None:
    archive.add_many([part10(1, 1, 1), part10(1, 1, 2)])
    connection = sqlite3.connect(archive.database.path)
    with connection:
        wrong = "UPDATE instances SET Rows = 'many', KVP = 'N/A' WHERE InstanceNumber = 1"
        connection.execute(wrong)
    connection.close()
    assert ask("SELECT Rows IS NULL, KVP IS NULL FROM instances ORDER BY InstanceNumber") == [
        (True, True),
        (False, True),
    ]


def test_queries_while_instances_come(archive: Archive, mirror: Mirror) -> None:
    """No query fails, sees half a transaction, or misses what was acknowledged before it."""
    acknowledged, failures, done = [0], [], threading.Event()

    def bring() -> None:
        for n in range(1, 31):
            archive.add_many(part10(n, 1, i) for i in (1, 2, 3))
            acknowledged[0] = n * 3
        done.set()

    def look() -> None:
        last = 0
        while not done.is_set():
            before = acknowledged[0]
            frame = query(
                mirror,
                "SELECT count(*) AS n, (SELECT count(*) FROM studies) AS s, "
                "(SELECT sum(NumberOfStudyRelatedInstances) FROM studies) AS t FROM instances",
            )
            n, s, t = (int(v) for v in frame.iloc[0].fillna(0))
            if n < max(before, last) or n != s * 3 or n != t:
                failures.append((before, last, n, s, t))
            last = n

    threads = [threading.Thread(target=f) for f in (bring, look, look, look)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert_same(archive, mirror)


def test_changes_are_complete_and_of_one_moment(archive: Archive) -> None:
    archive.add_many(part10(1, 1, i) for i in (1, 2))
    with changes(archive.database, 0) as news:
        archive.add(part10(1, 1, 3))  # comes too late for this reader
        found = {b.table: len(b.values[0]) for b in news.batches}
    assert found == {"studies": 1, "series": 1, "instances": 2}
    assert news.revision == archive.revision() - 1
    with changes(archive.database, news.revision) as later:
        assert {b.table: len(b.values[0]) for b in later.batches}["instances"] == 1
    with changes(archive.database, later.revision) as nothing:
        assert list(nothing.batches) == []


# --- the same question to both ----------------------------------------------------------------

_TEXT = st.sampled_from(["PatientID", "PatientSex", "PatientName", "StudyID", "AccessionNumber"])
_NUMBER = st.sampled_from(["PatientSize", "PatientWeight", "NumberOfStudyRelatedInstances"])
_WORDS = st.text(st.sampled_from("abcDM^0123é'% "), max_size=5)
_COMPARE = st.sampled_from(["=", "<>", "<", "<=", ">", ">="])


def _bound(value: object) -> str:
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)


_LEAF = st.one_of(
    st.builds(lambda c, o, v: f"{c} {o} {_bound(v)}", _TEXT, _COMPARE, _WORDS),
    st.builds(lambda c, o, v: f"{c} {o} {v}", _NUMBER, _COMPARE, st.integers(-5, 200)),
    st.builds(lambda c: f"{c} IS NULL", st.one_of(_TEXT, _NUMBER)),
    st.builds(lambda c, vs: f"{c} IN ({', '.join(map(_bound, vs))})", _TEXT,
              st.lists(_WORDS, min_size=1, max_size=4)),
    st.builds(lambda c, v: f"substr({c}, 1, 2) = {_bound(v)}", _TEXT, _WORDS),
)  # fmt: skip
_WHERE = st.recursive(
    _LEAF,
    lambda inner: st.one_of(
        st.builds(lambda a, b: f"({a} AND {b})", inner, inner),
        st.builds(lambda a, b: f"({a} OR {b})", inner, inner),
        st.builds(lambda a: f"NOT ({a})", inner),
    ),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None, database=None)
@given(where=_WHERE)
def test_the_same_question_gets_the_same_answer(real: tuple[Archive, Mirror], where: str) -> None:
    archive, mirror = real
    statement = f"SELECT count(*) FROM studies WHERE {where}"
    assert query(mirror, statement).iloc[0, 0] == sqlite_rows(archive, statement)[0][0]


@settings(max_examples=40, deadline=None, database=None)
@given(
    keyword=st.sampled_from(["StudyDate", "SeriesDate", "ContentDate"]),
    date=st.dates(dt.date(1990, 1, 1), dt.date(2025, 1, 1)),
    operator=_COMPARE,
)
def test_dates_compare_as_their_text_does(
    real: tuple[Archive, Mirror], keyword: str, date: dt.date, operator: str
) -> None:
    archive, mirror = real
    table = {"StudyDate": "studies", "SeriesDate": "series", "ContentDate": "instances"}[keyword]
    ours = query(mirror, f"SELECT count(*) FROM {table} WHERE {keyword} {operator} '{date}'")
    theirs = sqlite_rows(
        archive,
        f"SELECT count(*) FROM {table} WHERE {keyword} {operator} ? AND length({keyword}) = 8",
        (date.strftime("%Y%m%d"),),
    )
    assert ours.iloc[0, 0] == theirs[0][0]
