"""What may be asked, what comes back, and what no statement can do."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pacslab.archive import Archive
from pacslab.cohort.mirror import Mirror
from pacslab.cohort.sql import query
from pacslab.errors import SQLError
from tests.cohort.conftest import part10, uid

Ask = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture(autouse=True)
def filled(archive: Archive) -> None:
    archive.add_many(
        part10(s, e, i, Modality="CT" if e == 1 else "MR", PatientSex="F" if s == 1 else None,
               NumberOfFrames=3 if i == 1 else None, ProtocolName=f"Head {s}")
        for s in (1, 2) for e in (1, 2) for i in (1, 2)
    )  # fmt: skip


# --- parameters and DataFrames ------------------------------------------------------------------


def test_parameters(ask: Ask) -> None:
    assert ask("SELECT count(*) FROM series WHERE Modality = $m", m="CT") == [(2,)]
    both = "SELECT count(*) FROM series WHERE Modality = $m AND PatientID = $p"
    assert ask(both, m="CT", p="P1") == [(1,)]
    assert ask("SELECT $n + 1, $x", n=np.int64(2), x=pd.NA)[0][0] == 3
    for several in (["P1", "P9"], {"P1"}, ("P1",), pd.Series(["P1", None]), np.array(["P1"])):
        found = ask("SELECT count(*) FROM studies WHERE list_contains($p, PatientID)", p=several)
        assert found == [(1,)]
    date = pd.Timestamp("2020-02-29")
    assert ask("SELECT count(*) FROM studies WHERE StudyDate = $d", d=date) == [(2,)]


@pytest.mark.parametrize(
    "value", ["' OR 1=1 --", "CT'; DROP TABLE studies; --", '"', "$m", "\\", "CT\0", "日本"]
)
def test_values_are_never_sql(ask: Ask, value: str) -> None:
    assert ask("SELECT count(*) FROM series WHERE Modality = $m", m=value) == [(0,)]
    assert ask("SELECT $m", m=value) == [(value,)]


def test_parameters_missing_and_unused(ask: Ask) -> None:
    with pytest.raises(SQLError, match=r"no value for \$m") as caught:
        ask("SELECT * FROM series\nWHERE Modality = $m")
    assert str(caught.value).endswith("line 2: WHERE Modality = $m\n                         ^^")
    with pytest.raises(SQLError, match=r"modality= is given, but \$modality isn't"):
        ask("SELECT 1", modality="CT")
    with pytest.raises(SQLError, match="parameters have names"):
        ask("SELECT ?", m=1)


def test_dataframes_join_in(mirror: Mirror) -> None:
    clinical = pd.DataFrame({"PatientID": ["P1", "P2", "P3"], "age": [50, None, 70]})
    statement = """SELECT PatientID, age, count(*) AS n FROM instances
        JOIN clinical USING (PatientID) GROUP BY ALL ORDER BY 1"""
    found = query(mirror, statement, frames={"clinical": clinical, "other": pd.DataFrame()})
    assert found["n"].tolist() == [4, 4]
    assert found["age"].isna().tolist() == [False, True]
    found = query(mirror, statement, frames={"clinical": clinical.set_index("PatientID")})
    assert found["PatientID"].tolist() == ["P1", "P2"]
    with pytest.raises(SQLError, match="no table clinical"):
        query(mirror, statement)


def test_a_dataframe_called_like_a_table_doesnt_hide_it(mirror: Mirror) -> None:
    mine = pd.DataFrame({"x": [1]})
    for name in ("series", "Series", "SERIES"):
        assert query(mirror, "SELECT count(*) FROM series", frames={name: mine}).iloc[0, 0] == 4


def test_a_dataframe_of_mixed_values_says_so(mirror: Mirror) -> None:
    mixed = pd.DataFrame({"PatientID": ["P1", 2]})
    with pytest.raises(SQLError, match=r"DataFrame mixed can't join in.*PatientID"):
        query(mirror, "SELECT * FROM mixed", frames={"mixed": mixed})


def test_variables_of_ours_are_no_tables(mirror: Mirror) -> None:
    for name in ("frames", "named", "result", "frame", "words"):
        with pytest.raises(SQLError, match=f"no table {name}"):
            query(mirror, f"SELECT * FROM {name}", frames={"x": pd.DataFrame({"a": [1]})})


# --- results ------------------------------------------------------------------------------------


def test_dtypes(mirror: Mirror) -> None:
    found = query(
        mirror,
        """SELECT NumberOfFrames, InstanceNumber, sum(Rows) OVER () AS total, 0.5 * Rows AS half,
        StudyDate, ImageType, PatientSex, Rows > 2 AS big, NULL::BOOLEAN AS unknown,
        count(*) OVER () AS n FROM instances JOIN studies USING (PatientID, StudyInstanceUID)""",
    )
    kinds = {name: str(dtype) for name, dtype in found.dtypes.items()}
    assert kinds["NumberOfFrames"] == "Int64"
    assert kinds["InstanceNumber"] == kinds["total"] == kinds["n"] == "int64"
    assert kinds["half"] == "float64"
    assert kinds["StudyDate"].startswith("datetime64")
    assert (kinds["big"], kinds["unknown"]) == ("bool", "boolean")
    assert found["ImageType"].value_counts().tolist() == [8]
    assert found["PatientSex"].isna().sum() == 4


def test_empty_and_odd_results(mirror: Mirror) -> None:
    empty = query(mirror, "SELECT SeriesInstanceUID, SeriesNumber FROM series WHERE false")
    assert (len(empty), list(empty.columns)) == (0, ["SeriesInstanceUID", "SeriesNumber"])
    twice = query(mirror, "SELECT 1 AS a, 2 AS a, 3 AS a")
    assert list(twice.columns) == ["a", "a_1", "a_2"]
    odd = """SELECT INTERVAL 1 DAY, uuid(), {'a': 1}, MAP {'b': 2}, TIME '10:00',
        TIMESTAMPTZ '2020-01-01 00:00:00+00', 'x'::BLOB, 10::HUGEINT ** 3, [[1], NULL]"""
    assert query(mirror, odd).shape == (1, 9)


def test_several_statements(mirror: Mirror, ask: Ask) -> None:
    statement = """-- the CT of it; only that
        CREATE TABLE ct AS SELECT * FROM series WHERE Modality = $m;
        /* and; now */ SELECT count(*) FROM ct WHERE PatientID = $p;"""
    assert ask(statement, m="CT", p="P1") == [(1,)]
    with pytest.raises(SQLError, match="no table ct"):
        ask("SELECT * FROM ct")
    assert ask("CREATE MACRO twice(x) AS x * 2; SELECT twice(4)") == [(8,)]
    assert len(query(mirror, "PIVOT series ON Modality USING count(*) GROUP BY PatientID")) == 2
    assert "studies" in query(mirror, "SHOW TABLES")["name"].tolist()
    assert "PatientID" in query(mirror, "DESCRIBE index")["column_name"].tolist()
    assert len(query(mirror, "SUMMARIZE series")) > 10
    assert len(query(mirror, "EXPLAIN ANALYZE SELECT 1")) == 1


def test_queries_written_for_idc(ask: Ask) -> None:
    found = ask(
        """SELECT PatientID, SeriesInstanceUID, sop_class_name, instanceCount,
        ROUND(series_size_MB, 2) FROM index WHERE Modality = 'CT' AND StudyDate >= '2020-01-01'
        AND SeriesNumber = '1' ORDER BY 1"""
    )
    assert found[0][:4] == ("P1", uid(1, 1), "CT Image Storage", 2)


# --- headers ------------------------------------------------------------------------------------


def test_tag(archive: Archive, ask: Ask) -> None:
    assert ask("SELECT DISTINCT tag('ProtocolName') FROM instances ORDER BY 1") == [
        ("Head 1",),
        ("Head 2",),
    ]
    where = "SELECT count(*) FROM instances WHERE Tag ( $path ) = 'Head 1' AND InstanceNumber = 1"
    assert ask(where, path="00181030") == [(2,)]
    assert ask("SELECT DISTINCT tag('ImageType') FROM instances") == [("ORIGINAL\\PRIMARY\\AXIAL",)]
    assert ask("SELECT DISTINCT tag('(0010,0010)') FROM instances") == [("Doe^Jane",)]
    assert ask("SELECT count(tag('KVP')) FROM instances") == [(0,)]
    joined = """SELECT count(*) FROM series JOIN instances i USING (SeriesInstanceUID)
        WHERE tag('Modality', i.SOPInstanceUID) = 'MR' -- tag('Nonsense')"""
    assert ask(joined) == [(4,)]
    assert ask("SELECT 'tag(''x'')', \"tag('y')\" FROM (SELECT 1 AS \"tag('y')\")") == [
        ("tag('x')", 1)
    ]


def test_tag_reaches_into_sequences(archive: Archive, ask: Ask) -> None:
    from pydicom.dataset import Dataset

    items = [Dataset(), Dataset()]
    for n, item in enumerate(items):
        item.ScheduledProcedureStepID = f"S{n}"
    archive.add(part10(5, 1, 1, RequestAttributesSequence=items))
    path = "RequestAttributesSequence.ScheduledProcedureStepID"
    assert ask(f"SELECT tag('{path}') FROM instances WHERE PatientID = 'P5'") == [("S0\\S1",)]
    assert ask(f"SELECT count(*) FROM instances WHERE tag('{path}') IS NOT NULL") == [(1,)]


def test_elements_are_rows(archive: Archive, ask: Ask) -> None:
    from pydicom.dataset import Dataset

    item = Dataset()
    item.ScheduledProcedureStepID = "S0"
    other = Dataset()
    other.add_new(0x00091010, "LO", ["private", "two"])
    archive.add(part10(5, 1, 1, RequestAttributesSequence=[item, other], PatientComments=""))
    rows = ask(f"""SELECT Path, Tag, Keyword, VR, Value FROM elements
        WHERE SOPInstanceUID = '{uid(5, 1, 1)}'""")
    by_path = {row[0]: row[1:] for row in rows}
    assert by_path["PatientName"] == ("00100010", "PatientName", "PN", "Doe^Jane")
    assert by_path["ImageType"][-1] == "ORIGINAL\\PRIMARY\\AXIAL"
    empty = f"SELECT Path FROM elements WHERE SOPInstanceUID = '{uid(5, 1, 1)}' AND Value IS NULL"
    assert ask(empty) == [("PatientComments",), ("RequestAttributesSequence",)]
    step = "RequestAttributesSequence[0].ScheduledProcedureStepID"
    assert by_path[step] == ("00400009", "ScheduledProcedureStepID", "SH", "S0")
    private = by_path["RequestAttributesSequence[1].00091010"]
    assert (private[0], *private[2:]) == ("00091010", "LO", "private\\two")
    paths = [row[0] for row in rows]
    assert paths.index(step) == paths.index("RequestAttributesSequence") + 1
    assert ask("SELECT count(DISTINCT SOPInstanceUID) FROM elements WHERE PatientID = 'P1'") == [
        (4,)
    ]
    (names,) = ask("SELECT list(DISTINCT Value ORDER BY Value) FROM elements WHERE VR = 'PN'")
    assert names == (("Doe^Jane",),)


def test_tag_mistakes(ask: Ask) -> None:
    with pytest.raises(SQLError, match="'ProtocolNam' is no DICOM keyword"):
        ask("SELECT tag('ProtocolNam') FROM instances")
    with pytest.raises(SQLError, match="is no DICOM keyword"):
        ask("SELECT tag($x) FROM instances", x="ProtocolNam")
    with pytest.raises(SQLError, match="reads the header of an instance"):
        ask("SELECT tag('ProtocolName') FROM series")


# --- mistakes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "message", "pointed"),
    [
        ("SELECT StudyDat FROM studies", "nearest: StudyDate \\(in studies, index\\)", "StudyDat"),
        ("SELECT Modality FROM studies", "Modality stands in .*series", "Modality"),
        ("SELECT * FROM studeis", "no table studeis; the nearest: studies", "studeis"),
        ("SELECT * FORM studies", "syntax error", "studies"),
        ("SELECT 1;\nSELECT 'ü', Zork FROM series", "no column Zork", "Zork"),
        ("SELECT tag('KVP'), tag('KVP'), Zork FROM instances", "no column Zork", "Zork"),
        ("SELECT * FROM studies WHERE StudyDate LIKE '2020%'", "dates are dates here", None),
        ("SELECT * FROM instances WHERE ImageType = 'AXIAL'", "list_contains", None),
        ("SELECT PatientID, count(*) FROM series", "GROUP BY", "PatientID"),
        ("SELECT frobnicate(1)", "frobnicate", "frobnicate"),
        ("SELECT StudyDate::INT FROM studies", "DATE", None),
        ("SELECT", "SELECT", None),
    ],
)
def test_errors_point_at_the_word(
    ask: Ask, statement: str, message: str, pointed: str | None
) -> None:
    with pytest.raises(SQLError, match=message) as caught:
        ask(statement)
    told = str(caught.value)
    assert "exception_message" not in told
    if pointed:
        *_, line, carets = told.split("\n")
        assert line[carets.index("^") :].startswith(pointed)


@pytest.mark.parametrize("statement", ["", " ; ", "-- nothing"])
def test_nothing_asked(ask: Ask, statement: str) -> None:
    with pytest.raises(SQLError, match="empty"):
        ask(statement)


# --- what no statement can do -------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_blob('/etc/passwd')",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM sniff_csv('/etc/passwd')",
        "SELECT * FROM parquet_metadata('/etc/passwd')",
        "FROM '/etc/passwd'",
        "FROM '/etc/hosts.csv'",
        "FROM 'https://example.org/x.csv'",
        "CREATE TABLE t AS FROM read_csv('/etc/passwd')",
        "COPY (SELECT 1) TO '{out}'",
        "COPY studies TO '{out}'",
        "CREATE TABLE t(a INT); COPY t FROM '/etc/passwd'",
        "EXPORT DATABASE '{out}'",
        "IMPORT DATABASE '{out}'",
        "ATTACH '{out}' AS other",
        "ATTACH ':memory:' AS other",
        "DETACH mirror",
        "USE mirror",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "RESET enable_external_access",
        "SET lock_configuration = false",
        "SET python_enable_replacements = true",
        "PRAGMA enable_profiling",
        "SET profiling_output = '{out}'",
        "CALL enable_logging(storage='file', storage_config={{'path': '{out}'}})",
        "SELECT * FROM enable_logging(storage='file', storage_config={{'path': '{out}'}})",
        "CHECKPOINT",
        "VACUUM",
        "COMMIT",
        "ROLLBACK",
        "BEGIN",
        "DROP TABLE studies",
        "DROP VIEW studies",
        "DELETE FROM mirror.instances",
        "/* x */ -- y\n DELETE FROM mirror.instances",
        "UPDATE mirror.studies SET PatientID = NULL",
        "INSERT INTO mirror.uids VALUES ('a', 'b')",
        "TRUNCATE mirror.instances",
        "ALTER TABLE mirror.instances DROP COLUMN PatientID",
        "SELECT 1; DROP VIEW studies; SELECT 2",
        "EXPLAIN ANALYZE DELETE FROM mirror.instances",
        "EXPLAIN DROP VIEW studies",
        "EXPLAIN ANALYZE COMMIT",
        "PREPARE p AS DELETE FROM mirror.instances",
        "EXECUTE p",
        "CREATE INDEX i ON mirror.instances (PatientID)",
        "CREATE SCHEMA s",
        "CREATE SECRET s (TYPE http)",
        "CREATE PERSISTENT SECRET s (TYPE http)",
        "CREATE SEQUENCE s",
        "SELECT * FROM query('DROP VIEW studies')",
        "WITH gone AS (DELETE FROM mirror.instances RETURNING 1) SELECT * FROM gone",
        "MERGE INTO mirror.studies USING (SELECT 1) ON true WHEN MATCHED THEN DELETE",
    ],
)
def test_what_is_refused(ask: Ask, tmp_path: Path, statement: str) -> None:
    out = tmp_path / "out"
    with pytest.raises(SQLError) as caught:
        ask(statement.format(out=out))
    assert "root:" not in str(caught.value)
    assert not out.exists()
    assert ask("SELECT count(*) FROM instances") == [(8,)]
    assert ask("SELECT count(*) FROM index") == [(4,)]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE OR REPLACE VIEW studies AS SELECT 1 AS x",
        "CREATE OR REPLACE TABLE mirror.instances AS SELECT 1 AS x",
        "CREATE TEMP TABLE instances AS SELECT 1 AS x",
        "CREATE TEMP VIEW series AS SELECT 1 AS x",
        "CREATE OR REPLACE MACRO count(x) AS 0",
        "CREATE TABLE mirror.more AS SELECT 1 AS x",
    ],
)
def test_what_is_created_is_undone(archive: Archive, ask: Ask, statement: str) -> None:
    ask(statement)
    archive.add(part10(7, 1, 1))
    assert ask("SELECT count(*) FROM instances") == [(9,)]
    joined = "SELECT count(DISTINCT PatientID) FROM index JOIN studies USING (PatientID)"
    assert ask(joined) == [(3,)]


def test_nothing_is_left_beside_the_archive(ask: Ask, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    ask("SELECT * FROM range(200000) ORDER BY hash(range) LIMIT 3")
    assert {p.name for p in tmp_path.iterdir()} == {"archive"}


def test_a_failed_query_harms_no_other(ask: Ask) -> None:
    for _ in range(3):
        with pytest.raises(SQLError):
            ask("CREATE TABLE t AS SELECT 1; SELECT error('no')")
        assert ask("SELECT count(*) FROM instances") == [(8,)]


# --- stopping -----------------------------------------------------------------------------------


def test_ctrl_c_ends_the_query(mirror: Mirror, ask: Ask) -> None:
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        ask("SELECT sum(a.range * b.range % 7) FROM range(10000000) a, range(100000) b")
    assert time.monotonic() - start < 60  # it would take hours
    assert ask("SELECT count(*) FROM instances") == [(8,)]


def test_the_index_is_never_attached(mirror: Mirror) -> None:
    with mirror.session() as cursor:
        paths = cursor.execute("SELECT path FROM duckdb_databases() WHERE NOT internal").fetchall()
    assert {path for (path,) in paths} == {None}
