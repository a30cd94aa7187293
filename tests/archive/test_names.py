"""Fuzzy matching in the index: every person name, with all other keys, through every change."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from pacslab.archive import Archive, schema
from pacslab.archive.names import words_like
from pacslab.dicom.matching import Query
from tests.making import instance


def study(uid: str, name: str | None, **values: object) -> bytes:
    return instance(
        SpecificCharacterSet="ISO_IR 192", StudyInstanceUID=uid, SeriesInstanceUID=f"{uid}.1",
        SOPInstanceUID=values.pop("SOPInstanceUID", f"{uid}.1.1"), PatientName=name,
        PatientID=values.pop("PatientID", uid), **values,
    )  # fmt: skip


@pytest.fixture
def people(archive: Archive) -> Archive:
    archive.add_many([
        study("1.1", "Müller^Anna", StudyDate="20200101", OperatorsName=["Meyer^Jon", "Roe^Jo"]),
        study("1.2", "Mueller^Otto", StudyDate="20210101", ReferringPhysicianName="House^Greg"),
        study("1.3", "MULLER^Anne", StudyDate="20220101", Modality="MR"),
        study("1.4", "Smith^John", PerformingPhysicianName="Müller^X"),
        study("1.5", None, PatientID="none"),
        study("1.6", "John^Jane"),
    ])  # fmt: skip
    return archive


def found(archive: Archive, level: str = "STUDY", /, **keys: object) -> str:
    limits = {k: keys.pop(k) for k in ("limit", "offset") if k in keys}
    query = Query.build(level, keys, fuzzy=True, **limits)  # type: ignore[arg-type]
    uids = [row[query.level.unique_key] for row in archive.search(query)]
    if not limits:
        assert archive.count(query) == len(uids)
    return " ".join(uids)


@pytest.mark.parametrize(
    ("keys", "uids"),
    [
        ({"PatientName": "Mueller"}, "1.1 1.2 1.3"),
        ({"PatientName": "Mueller", "limit": 1, "offset": 1}, "1.2"),
        ({"PatientName": "Mueller", "StudyDate": "20200601-"}, "1.2 1.3"),
        ({"PatientName": "Mueller", "ModalitiesInStudy": "MR"}, "1.3"),
        ({"PatientName": "ana^müler"}, "1.1"),
        ({"PatientName": "ina^müler"}, ""),  # no typo in less than five letters
        ({"PatientName": "ann^müler"}, "1.1 1.3"),
        ({"PatientName": "M?ller^*"}, "1.1 1.3"),  # literal: ? stands for one character
        ({"PatientName": "John^John"}, ""),  # each word for itself
        ({"PatientName": "Jon^Jane"}, "1.6"),
        ({"ReferringPhysicianName": "Hause"}, "1.2"),
        ({"OperatorsName": "Maier"}, "1.1"),
        ({"OperatorsName": "Maier^Jo"}, ""),  # of one name, not of both
        ({"PerformingPhysicianName": "Mueller^X"}, "1.4"),
        ({"PatientName": '""'}, "1.5"),
        ({"PatientName": "*ull*"}, "1.1 1.3"),  # mueller has no ull
    ],
)
def test_every_person_name_with_other_keys(
    people: Archive, keys: dict[str, object], uids: str
) -> None:
    assert found(people, **keys) == uids


def test_every_level_asks_the_same(people: Archive) -> None:
    assert found(people, "SERIES", PatientName="Muler", OperatorsName="Mayer") == "1.1.1"
    assert found(people, "IMAGE", PatientName="Muler", StudyInstanceUID="1.2") == "1.2.1.1"
    assert found(people, "PATIENT", PatientName="Muler") == "1.1 1.2 1.3"


def test_without_the_flag_it_stays_literal(people: Archive) -> None:
    assert list(people.search(Query.build("STUDY", {"PatientName": "Mueller"}))) == []


def test_one_of_several_names_is_matched_literally_too(people: Archive) -> None:
    def literal(name: object, multiple: bool = False) -> int:
        return people.count(
            Query.build("SERIES", {"OperatorsName": name}, multiple_value_matching=multiple)
        )

    assert [literal("roe^jo"), literal("meyer^*"), literal("roe"), literal("meyer")] == [1, 1, 0, 0]
    assert literal(["roe^jo", "doe^jo"]) == 1
    assert literal(["roe^jo", "doe^jo"], True) == 0
    assert literal(["roe^jo", "meyer^jon"], True) == 1


def words(archive: Archive) -> set[str]:
    """The words in the index; those that have keys are the same."""
    with archive.database.reading() as connection:
        known = set(connection.scalars(select(schema.name_words.c.Word)))
        assert set(connection.scalars(select(schema.word_keys.c.Word))) == known
        return known


def test_names_go_with_the_last_who_has_them(people: Archive) -> None:
    before = words(people)
    people.remove("1.2", source="test")
    assert before - words(people) == {"mueller", "otto", "house", "greg"}
    assert found(people, PatientName="Mueller") == "1.1 1.3"
    people.remove("1.1", source="test")
    assert "muller" in words(people)  # another has it
    for uid in ("1.3", "1.4", "1.5", "1.6"):
        people.remove(uid, source="test")
    assert words(people) == set()


def test_a_name_that_only_a_removed_image_said_is_forgotten(archive: Archive) -> None:
    archive.add(study("1.1", None))
    archive.add(study("1.1", "Smith^Jo", SOPInstanceUID="1.1.1.2"))
    assert found(archive, PatientName="Smiht") == "1.1"
    archive.remove("1.1", "1.1.1", "1.1.1.2", source="test")
    assert found(archive, PatientName="Smiht") == ""
    assert words(archive) == set()


def test_a_replaced_study_is_found_by_its_new_name(tmp_path: Path) -> None:
    with Archive(tmp_path / "a", on_conflict="replace") as archive:
        archive.add(study("1.1", "Smith^Jo"))
        archive.add(study("1.1", "Walker^Jo"))
        assert words(archive) == {"walker", "jo"}
        assert found(archive, PatientName="Smith") == ""
        assert found(archive, PatientName="Wallker") == "1.1"


def test_reindexing_makes_the_same_words(people: Archive) -> None:
    before = words(people)
    people.reindex()
    assert words(people) == before
    assert found(people, PatientName="Mueller") == "1.1 1.2 1.3"


def test_an_index_from_before_there_were_words_is_made_anew(people: Archive) -> None:
    directory = people.directory
    with people.database.writing() as (connection, _):
        connection.exec_driver_sql("DROP TABLE name_words")
        connection.exec_driver_sql("DROP TABLE word_keys")
        connection.exec_driver_sql("UPDATE state SET Value = '2' WHERE Name = 'schema'")
    people.close()
    with Archive.recover(directory) as archive:
        archive.reindex()
        assert found(archive, PatientName="Mueller") == "1.1 1.2 1.3"


def test_words_are_looked_up_by_their_keys(people: Archive) -> None:
    with people.database.reading() as connection:
        assert words_like(connection, "maier") == '["meyer"]'
        assert words_like(connection, "muell*") == '["mueller", "muller"]'
        assert words_like(connection, "nobody") == "[]"
