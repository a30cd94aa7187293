"""Names and descriptions by any part of them: looked up, what a scan finds is found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy
from hypothesis import given, settings
from hypothesis import strategies as st

from pacslab.archive import Archive, schema, search, texts
from pacslab.archive.comparing import Among
from pacslab.dicom.keywords import Level
from pacslab.dicom.matching import Query
from pacslab.errors import PacslabError
from tests.making import instance

_DESCRIPTIONS = [
    "CT THORAX 1", "MR HEAD [contrast]", "head", "HEAD", "Kopf*spiral", "what?", "a]b", "[", "",
    'say "head" AND thorax', "ÄÖÜ straße", "日本語の検査", "NOT", "x", "it's",
    "HEAD\N{NO-BREAK SPACE}",
]  # fmt: skip
_NAMES = [
    "Doe^Jane", "DOE^JOHN", "Doe^Jane^^Dr", "Yamada^Tarou=山田^太郎=やまだ^たろう", "Müller^Jürgen",
    "Hong^Gildong=洪^吉洞=홍^길동", "O'Neil^Shea", "X", "Doe", "山田^花子", "=山田^太郎",
    "A*B^C", "",
]  # fmt: skip


def _fill(archive: Archive) -> None:
    made = [
        instance(
            SpecificCharacterSet="ISO_IR 192",
            StudyDescription=_DESCRIPTIONS[i % 16],
            PatientName=_NAMES[i % 13],
            PatientID=str(i),
        )
        for i in range(16 * 13)
    ]
    assert {r.status for r in archive.add_many(made)} == {"stored"}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    with Archive(tmp_path_factory.mktemp("texts")) as archive:
        _fill(archive)
        yield archive


_PART = st.text(st.sampled_from(list("HEADheadCTx[]*?^='\"äÄ山田日本 1")), min_size=1, max_size=7)
_PIECES = [
    text[i:j]
    for text in (*_DESCRIPTIONS, *_NAMES)
    for i in range(0, len(text), 2)
    for j in range(i + 1, len(text) + 1, 3)
]
_TEXT = st.one_of(_PART, st.sampled_from(_PIECES)).flatmap(
    lambda t: st.sampled_from([t, f"*{t}*", f"*{t}", f"{t}*", f"?{t}*", f"*{t[:1]}*{t[1:]}*"])
)


def _answers(archive: Archive, asked: Query) -> tuple[list[dict[str, object]], int]:
    with archive.database.reading() as connection:
        return list(search.rows(connection, asked)), search.count(connection, asked)


@settings(max_examples=300, deadline=None)
@given(
    _TEXT,
    st.sampled_from(["StudyDescription", "PatientName"]),
    st.sampled_from([Level.PATIENT, Level.STUDY, Level.SERIES]),
    st.sampled_from([1, 256]),
)
def test_what_a_scan_finds_is_found(
    filled: Archive, pattern: str, keyword: str, level: Level, many: int
) -> None:
    if level is Level.PATIENT and keyword == "StudyDescription":
        level = Level.STUDY
    asked = Query.build(level, {keyword: pattern})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(texts, "_MANY", many)  # with more than one text the columns are compared
        quick = _answers(filled, asked)
        patch.setattr(texts, "_scans", lambda _: False)
        assert _answers(filled, asked) == quick


def test_parts_are_looked_up_and_not_compared(filled: Archive) -> None:
    with filled.database.reading() as connection:
        for keyword, pattern, number in (
            ("StudyDescription", "*THORAX*", 1),
            ("StudyDescription", "*no such*", 1),
            ("PatientName", "yamada^TAROU", 1),
            ("PatientName", "*jane*", 2),
        ):
            (match,) = texts.narrowed(connection, Query.build("STUDY", {keyword: pattern})).matches
            assert isinstance(match, Among)
            assert len(set(match.values)) == number


def test_what_no_row_says_any_more_is_forgotten(archive: Archive) -> None:
    _fill(archive)
    asked = Query.build("STUDY", {"PatientName": "Doe^Jane"})
    before = [row["StudyInstanceUID"] for row in archive.search(asked)]
    assert len(before) == 16
    for uid in before[:-1]:
        archive.remove(uid, source="test")
    assert [row["StudyInstanceUID"] for row in archive.search(asked)] == before[-1:]
    archive.remove(before[-1], source="test")
    with archive.database.reading() as connection:
        cursor = connection.connection.cursor()
        held = {text for (text,) in cursor.execute("SELECT Text FROM texts")}
        assert "doe^jane" not in {text.lower() for text in held}
        assert "doe^john" in {text.lower() for text in held}
        cursor.execute("INSERT INTO text_parts (text_parts, rank) VALUES ('integrity-check', 1)")


def test_a_sqlite_without_fts5_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = sqlalchemy.text("CREATE VIRTUAL TABLE text_parts USING fts99(Text)")
    monkeypatch.setattr(schema, "text_parts", lacking)
    with pytest.raises(PacslabError, match="built without FTS5"):
        Archive(tmp_path / "archive")
