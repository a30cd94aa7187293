"""A query finds what PS3.4 C.2.2.2 says, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import select

from pacslab.archive import Archive, schema, search
from pacslab.archive.archive import _narrowed as narrowed
from pacslab.dicom.keywords import ATTRIBUTES, Attribute
from pacslab.dicom.matching import Query
from tests.making import instance


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """Four studies of three patients and one without an ID."""
    with Archive(Path(tmp_path_factory.mktemp("search")) / "a") as made:
        people = [
            ("1.1", {"PatientID": "A", "PatientName": "Müller^Zoë", "StudyDate": "20200101",
                     "StudyTime": "1030", "StudyDescription": "CT [head] 50%"}),
            ("1.2", {"PatientID": "A", "PatientName": "Mueller^Zoe", "StudyDate": "20210615",
                     "StudyTime": "103000.5", "StudyDescription": "ct head"}),
            ("1.3", {"PatientID": "B", "StudyDate": "20220101", "StudyTime": "09",
                     "PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう", "StudyID": "7*"}),
            ("1.4", {"PatientID": None, "PatientName": None, "StudyDate": None}),
            ("1.5", {"PatientID": None, "PatientName": None, "StudyDate": None}),
        ]  # fmt: skip
        for study, values in people:
            for number, modality in enumerate(("CT", "SR") if study == "1.2" else ("MR",), 1):
                made.add_many(
                    instance(
                        SpecificCharacterSet="ISO_IR 192",
                        StudyInstanceUID=study,
                        SeriesInstanceUID=f"{study}.{number}",
                        SOPInstanceUID=f"{study}.{number}.{i}",
                        SeriesNumber=number,
                        Modality=modality,
                        ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER" if i == 2 else "AXIAL"],
                        SliceThickness="2.50" if i == 1 else "5",
                        InstanceNumber=3 - i,
                        **values,
                    )
                    for i in (1, 2)
                )
        yield made


@pytest.mark.parametrize(
    ("keys", "studies"),
    [
        ({}, "1.1 1.2 1.3 1.4 1.5"),
        ({"PatientID": "A"}, "1.1 1.2"),
        ({"PatientID": "a"}, ""),
        ({"PatientID": '""'}, "1.4 1.5"),
        ({"PatientName": "muller^zoe"}, "1.1"),
        ({"PatientName": "MUELLER*"}, "1.2"),
        ({"PatientName": "m*"}, "1.1 1.2"),
        ({"PatientName": "M?ller^*"}, "1.1"),
        ({"PatientName": "Muller"}, ""),
        ({"PatientName": "山田*"}, "1.3"),
        ({"PatientName": "山田^太郎"}, "1.3"),
        ({"PatientName": "yamada^tarou"}, "1.3"),
        ({"PatientName": "やまだ^たろう"}, "1.3"),
        ({"StudyDescription": "CT [head] 50%"}, "1.1"),
        ({"StudyDescription": "CT [head]*"}, "1.1"),
        ({"StudyDescription": "*head*"}, "1.1 1.2"),
        ({"StudyDescription": "CT*"}, "1.1"),
        ({"StudyDescription": "ct ?ead"}, "1.2"),
        ({"StudyDescription": "%"}, ""),
        ({"StudyDescription": "' OR 1=1 --"}, ""),
        ({"StudyDate": "20200101-20211231"}, "1.1 1.2"),
        ({"StudyDate": "20200102-"}, "1.2 1.3"),
        ({"StudyDate": "-20200101"}, "1.1"),
        ({"StudyDate": "20220101"}, "1.3"),
        ({"StudyTime": "103000"}, "1.1"),
        ({"StudyTime": "0900-1030"}, "1.1 1.2 1.3 1.4 1.5"),
        ({"StudyTime": "0901-1030"}, "1.1 1.2 1.4 1.5"),
        ({"StudyTime": "-09"}, "1.3"),
        ({"ModalitiesInStudy": "SR"}, "1.2"),
        ({"ModalitiesInStudy": "SR,MR"}, "1.1 1.2 1.3 1.4 1.5"),
        ({"Modality": "CT"}, "1.2"),
        ({"StudyInstanceUID": "1.1,1.3"}, "1.1 1.3"),
        ({"NumberOfStudyRelatedSeries": 2}, "1.2"),
        ({"SOPInstanceUID": "1.3.1.2"}, "1.3"),
        ({"PatientID": "A", "Modality": "MR"}, "1.1"),
        ({"SOPClassesInStudy": "1.2.3"}, ""),
    ],
)
def test_studies(archive: Archive, keys: dict[str, object], studies: str) -> None:
    query = Query.build("STUDY", keys)
    found = [row["StudyInstanceUID"] for row in archive.search(query)]
    assert found == studies.split()
    assert archive.count(query) == len(found)


@pytest.mark.parametrize(
    ("level", "keys", "uids"),
    [
        ("SERIES", {"PatientID": "A"}, "1.1.1 1.2.1 1.2.2"),
        ("SERIES", {"SeriesNumber": "2"}, "1.2.2"),
        ("SERIES", {"SeriesNumber": "02"}, "1.2.2"),
        ("SERIES", {"ModalitiesInStudy": "SR"}, "1.2.1 1.2.2"),
        ("IMAGE", {"ImageType": "LOCALIZER", "PatientID": "B"}, "1.3.1.2"),
        ("IMAGE", {"ImageType": "LOC*", "PatientID": "B"}, "1.3.1.2"),
        ("IMAGE", {"ImageType": "LOCAL", "PatientID": "B"}, ""),
        ("IMAGE", {"SliceThickness": "2.5", "StudyInstanceUID": "1.1"}, "1.1.1.1"),
        ("IMAGE", {"Modality": "SR"}, "1.2.2.1 1.2.2.2"),
        ("IMAGE", {"AvailableTransferSyntaxUID": "1.2.840.10008.1.2.1", "PatientID": "B"},
         "1.3.1.1 1.3.1.2"),
    ],
)  # fmt: skip
def test_lower_levels(archive: Archive, level: str, keys: dict[str, object], uids: str) -> None:
    query = Query.build(level, keys)
    found = [row[query.level.unique_key] for row in archive.search(query)]
    assert found == uids.split()


def test_patients_without_an_id_are_never_merged(archive: Archive) -> None:
    rows = list(archive.search(Query.build("PATIENT")))
    assert [r["PatientID"] for r in rows] == [None, None, "A", "B"]
    counts = {r["PatientID"]: r["NumberOfPatientRelatedStudies"] for r in rows if r["PatientID"]}
    assert counts == {"A": 2, "B": 1}
    assert archive.counts()["patients"] == archive.count(Query.build("PATIENT")) == 4


def test_a_patient_found_by_one_study_is_counted_with_all(archive: Archive) -> None:
    (row,) = archive.search(Query.build("PATIENT", {"PatientName": "mueller*"}))
    assert (row["PatientID"], row["NumberOfPatientRelatedStudies"]) == ("A", 2)


def test_collected_attributes(archive: Archive) -> None:
    (row,) = archive.search(Query.build("STUDY", {"StudyInstanceUID": "1.2"}))
    assert row["ModalitiesInStudy"] == "CT\\SR"
    assert row["SOPClassesInStudy"] == "1.2.840.10008.5.1.4.1.1.2"
    (row,) = archive.search(Query.build("SERIES", {"SeriesInstanceUID": "1.2.2"}))
    assert row["ModalitiesInStudy"] == "CT\\SR"
    assert row["NumberOfSeriesRelatedInstances"] == 2


def test_pages_neither_overlap_nor_leave_out(archive: Archive) -> None:
    whole = [r["SOPInstanceUID"] for r in archive.search(Query.build("IMAGE"))]
    paged = []
    for offset in range(0, len(whole) + 3, 3):
        query = Query.build("IMAGE", limit=3, offset=offset)
        paged += [r["SOPInstanceUID"] for r in archive.search(query)]
        assert archive.count(query) == len(whole)
    assert paged == whole
    assert list(archive.search(Query.build("IMAGE", limit=0))) == []


def test_queries_of_one_shape_share_their_statement(archive: Archive) -> None:
    def texts(*queries: dict[str, object]) -> set[object]:
        shapes = (search._shape(Query.build("STUDY", keys, limit=1)) for keys in queries)
        return {search._prepared(shape, ()) for shape in shapes}

    assert len(texts({"PatientID": "A"}, {"PatientID": "B"})) == 1
    assert len(texts({"StudyDate": "20200101-"}, {"StudyDate": "-20200101"})) == 1
    assert len(texts({"PatientName": "A*"}, {"PatientName": "B=C*"})) == 1
    assert len(texts({"PatientID": "A"}, {"PatientID": ["A", "B"]}, {"PatientID": "A*"})) == 3


def test_only_the_fields_wanted_and_the_unique_keys_come_back(archive: Archive) -> None:
    fields = [ATTRIBUTES["Rows"], ATTRIBUTES["PatientName"]]
    row = next(archive.search(Query.build("IMAGE"), fields))
    assert set(row) == {
        "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "Rows", "PatientName",
    }  # fmt: skip


def test_instances_come_in_the_order_of_their_numbers(archive: Archive) -> None:
    found = [s.sop_instance_uid for s in archive.instances("1.2")]
    assert found == ["1.2.1.2", "1.2.1.1", "1.2.2.2", "1.2.2.1"]


def test_what_an_index_tells_to_be_few(archive: Archive) -> None:
    assert archive.few(Query.build("STUDY", {"PatientID": "A"})) == list(
        archive.search(Query.build("STUDY", {"PatientID": "A"}))
    )
    assert archive.few(Query.build("STUDY", {"PatientID": "nobody"})) == []
    for pattern in ("CT*", "CT [head]*", "ct*"):  # a beginning is looked up in an index too
        asked = Query.build("STUDY", {"StudyDescription": pattern})
        assert archive.few(asked) == list(archive.search(asked)) != []
    for level, keys in (
        ("STUDY", {}),
        ("STUDY", {"PatientID": "A*"}),
        ("STUDY", {"PatientID": ["A", "B"]}),
        ("STUDY", {"StudyDescription": "ct head"}),
        ("STUDY", {"StudyDescription": "*head"}),
        ("STUDY", {"StudyDescription": "ct*ad"}),
        ("STUDY", {"PatientID": "A", "StudyDescription": "ct head"}),
        ("SERIES", {"PatientID": "A"}),
    ):
        assert archive.few(Query.build(level, keys)) is None


def test_many_are_not_few_and_nobody_waits_for_a_connection(tmp_path: Path) -> None:
    with Archive(tmp_path / "a") as archive, ExitStack() as readers:
        archive.add_many(
            instance(StudyInstanceUID=f"1.{i}", PatientID="anon", StudyDescription=f"Head {i}")
            for i in range(51)
        )
        assert archive.few(Query.build("STUDY", {"StudyDescription": "Head*"})) is None
        assert len(archive.few(Query.build("STUDY", {"StudyDescription": "Head 4*"})) or ()) == 11
        archive.add(instance(StudyInstanceUID="2.1", PatientID="one"))
        assert archive.few(Query.build("STUDY", {"PatientID": "anon"})) is None
        one = Query.build("STUDY", {"PatientID": "one"})
        assert archive.few(one) == list(archive.search(one))
        for _ in range(40):
            readers.enter_context(archive.database.reading())
        assert archive.few(one) is None


@pytest.mark.parametrize(
    ("level", "keys", "fields"),
    [
        ("IMAGE", {"StudyInstanceUID": "1.1"}, None),
        ("SERIES", {"StudyInstanceUID": "1.1"}, []),
        ("STUDY", {"StudyInstanceUID": "1.1"}, None),
        ("STUDY", {"StudyInstanceUID": "1.1", "InstanceNumber": "1"}, []),
    ],
)
def test_a_study_is_found_without_a_scan(
    archive: Archive, level: str, keys: dict[str, str], fields: list[Attribute] | None
) -> None:
    query = Query.build(level, keys)
    wanted = search.fields_of(query.level) if fields is None else fields
    with archive.database.reading() as connection:
        text = search._entities(query, wanted).compile(
            connection, compile_kwargs={"literal_binds": True}
        )
        plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}")]
    assert not [step for step in plan if step.startswith("SCAN instances")], plan


def test_the_instances_of_a_study_are_found_without_a_scan(archive: Archive) -> None:
    statement = narrowed(select(schema.instances.c.id), "1.1", None, None)
    with archive.database.reading() as connection:
        text = statement.compile(connection, compile_kwargs={"literal_binds": True})
        plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}")]
    assert not [step for step in plan if step.startswith("SCAN instances")], plan


@pytest.mark.parametrize(
    ("limit", "offset"), [(None, 0), (None, 3), (7, 0), (6, 2), (1, 9), (0, 0)]
)
def test_pages_are_the_whole_whatever_is_read_at_once(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, limit: int | None, offset: int
) -> None:
    query = Query.build("IMAGE", {"Modality": "MR"}, limit=limit, offset=offset)
    everything = list(archive.search(Query.build("IMAGE", {"Modality": "MR"})))
    stop = None if limit is None else offset + limit
    monkeypatch.setattr("pacslab.archive.archive._MATCHES", 3)
    assert list(archive.search(query)) == everything[offset:stop]
