"""Cohorts: frozen for good, compared with what is there now, and shared out by patient."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from pacslab import Lab
from pacslab.cohort.cohort import Cohort
from pacslab.cohort.splits import split
from pacslab.errors import NotFoundError, OutOfResourcesError, SQLError, UsageError
from tests.cohort.conftest import part10, uid

CT = "SELECT SeriesInstanceUID FROM series WHERE Modality = $m"


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    made = Lab(tmp_path / "a", on_conflict="replace")
    for study in range(1, 5):
        for number in range(1, 4):
            made.archive.add(part10(study, 1, number))
        made.archive.add(part10(study, 2, 1, Modality="MR"))
    return made


def changes(frame: pd.DataFrame) -> list[tuple[str, str]]:
    return [(row.SOPInstanceUID, row.Change) for row in frame.itertuples()]


def test_a_cohort_is_frozen_under_a_version_and_found_again(lab: Lab) -> None:
    saved = lab.save_cohort("ct", CT, m="CT", note="all of it")
    assert (saved.name, saved.version, saved.sql, len(saved)) == ("ct", 1, CT, 12)
    assert repr(saved) == ("<Cohort 'ct' version 1: 4 patients, 4 studies, 4 series, 12 instances>")
    again = lab.save_cohort("ct", lab.sql("SELECT SeriesInstanceUID FROM series LIMIT 1"))
    assert (again.version, again.sql) == (2, None)
    assert lab.cohort("ct").version == 2
    assert lab.cohort("ct", 1) == saved
    assert list(lab.cohorts["NumberOfInstances"]) == [12, len(again)]
    assert list(lab.cohorts["NumberOfPatients"]) == [4, 1]
    hashes = lab.sql(
        "SELECT SOPInstanceUID, SHA256 FROM instances WHERE SOPInstanceUID LIKE '%.1.2'"
    )
    frozen = dict(zip(saved.instances["SOPInstanceUID"], saved.instances["SHA256"], strict=True))
    assert all(frozen[row.SOPInstanceUID] == row.SHA256 for row in hashes.itertuples())


def test_what_changes_is_told_and_the_cohort_stays_as_it_was(lab: Lab) -> None:
    saved = lab.save_cohort("ct", CT, m="CT")
    assert changes(saved.verify()) == changes(saved.diff()) == []
    lab.archive.remove(uid(1), uid(1, 1), uid(1, 1, 2), source="test")
    lab.archive.add(part10(2, 1, 1, PatientSex="F"))
    lab.archive.add(part10(3, 1, 9))
    lab.archive.add(part10(7, 1, 1))
    told = [
        (uid(1, 1, 2), "gone"), (uid(2, 1, 1), "changed"), (uid(3, 1, 9), "added"),
    ]  # fmt: skip
    assert changes(saved.verify(progress=False)) == told
    assert changes(saved.diff()) == [*told, (uid(7, 1, 1), "added")]
    assert len(lab.cohort("ct")) == 12
    newer = lab.save_cohort("ct", CT, m="CT")
    assert changes(saved.diff(newer)) == [*told, (uid(7, 1, 1), "added")]
    assert changes(newer.diff(saved))[0] == (uid(1, 1, 2), "added")


def test_a_part_of_a_series_gains_nothing_by_verifying(lab: Lab) -> None:
    part = lab.save_cohort("two", [uid(1, 1, 1), uid(1, 1, 2)])
    lab.archive.add(part10(1, 1, 8))
    assert changes(part.verify()) == []


def test_files_are_read_when_asked(lab: Lab) -> None:
    saved = lab.save_cohort("all", None)
    path = lab.archive.instance(uid(1, 1, 1)).path
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert changes(saved.verify()) == []
    assert changes(saved.verify(files=True, progress=False)) == [(uid(1, 1, 1), "altered")]


def test_it_stands_for_its_instances_wherever_a_cohort_is_asked_for(lab: Lab) -> None:
    part = lab.save_cohort("two", [uid(1, 1, 1), uid(1, 1, 2)])
    assert len(lab.save_cohort("same", part)) == 2
    assert sorted(p.name for p in lab._sources(part)) == [f"{uid(1, 1, n)}.dcm" for n in (1, 2)]
    assert list(lab.sql("SELECT count(*) n FROM instances SEMI JOIN two USING (SOPInstanceUID)",
                        frames={"two": part.instances})["n"]) == [2]  # fmt: skip


def test_tables_of_the_cell_choose_too(lab: Lab) -> None:
    clinical = pd.DataFrame({"PatientID": ["P1", "P3"], "group": ["a", "b"]})
    saved = lab.save_cohort(
        "joined", "SELECT SOPInstanceUID FROM instances JOIN clinical USING (PatientID)"
    )
    assert len(saved) == 8
    assert len(clinical) == 2
    with pytest.raises(SQLError, match="no table clinical"):
        saved.diff()


def test_another_archive_checks_itself_against_the_text_file(lab: Lab, tmp_path: Path) -> None:
    saved = lab.save_cohort("ct", CT, m="CT", note="für alle")
    part = lab.save_cohort("two", [uid(1, 1, 1), uid(1, 1, 2)])
    files = [saved.write(tmp_path / "ct.txt"), part.write(tmp_path / "two.txt")]
    assert len(files[0].read_text("utf-8").splitlines()) == 10 + 4
    shutil.copytree(lab.directory / "files", tmp_path / "copies")
    with Lab(tmp_path / "b") as other:
        other.add(tmp_path / "copies", progress=False)
        here = other.cohort(files[0])
        assert (here.name, here.sql, here.frozen.note, len(here)) == ("ct", CT, "für alle", 12)
        assert changes(here.verify()) == changes(here.diff()) == []
        assert len(here.instances) == 12
        assert len(other.cohort(files[1]).instances) == 2
        other.archive.remove(uid(1), uid(1, 1), uid(1, 1, 2), source="test")
        other.archive.remove(uid(2), uid(2, 1), source="test")
        told = other.cohort(files[0]).verify()
        assert list(told["SeriesInstanceUID"]) == [uid(1, 1), uid(2, 1)]
        assert list(told["Change"]) == ["changed", "gone"]
        assert changes(other.cohort(files[1]).verify()) == [(uid(1, 1, 2), "gone")]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("# pacslab cohort 1", "# something", "begins with"),
        ("\nseries ", "\nserie ", "line 11"),
        ('"ct"', "ct", "line 3"),
        ("\npart ", "\npart x", "line 11"),
        (" 3 ", " three ", "line 11"),
        ("  1.2", "  2.2", "aren't those of its digest"),
    ],
)
def test_a_text_file_that_is_no_cohort(
    lab: Lab, tmp_path: Path, old: str, new: str, said: str
) -> None:
    part = f"SELECT '{uid(1, 1, 1)}' AS SOPInstanceUID"
    chosen = part if old in {"\npart ", "  1.2"} else CT
    saved = lab.save_cohort("ct", chosen, **({"m": "CT"} if chosen == CT else {}))
    path = saved.write(tmp_path / "ct.txt")
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(UsageError, match=said):
        lab.cohort(path)


def test_mistakes_are_told(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't be a cohort's name"):
        lab.save_cohort("../x", CT, m="CT")
    with pytest.raises(UsageError, match="at least one instance"):
        lab.save_cohort("none", CT, m="US")
    with pytest.raises(UsageError, match="no SQL that could take it"):
        lab.save_cohort("x", [uid(1)], m="CT")
    with pytest.raises(NotFoundError, match=r"lab\.save_cohort"):
        lab.cohort("ct")
    lab.save_cohort("ct", CT, m="CT")
    with pytest.raises(NotFoundError, match="there are ct"):
        lab.cohort("mr")
    with pytest.raises(NotFoundError, match=r"no version 3: there are \[1\]"):
        lab.cohort("ct", 3)
    with pytest.raises(UsageError, match="no SQL to ask again"):
        lab.save_cohort("uids", [uid(1)]).diff()
    with pytest.raises(UsageError, match="can't read"):
        lab.cohort(tmp_path / "missing.txt")
    with pytest.raises(OutOfResourcesError, match="can't write"):
        lab.cohort("ct").write(tmp_path / "no" / "ct.txt")


def test_cohorts_outlive_a_new_index(lab: Lab, tmp_path: Path) -> None:
    saved = lab.save_cohort("ct", CT, m="CT")
    assert lab.archive.reindex() == []
    assert lab.cohort("ct").frozen == saved.frozen
    with lab.archive.database.writing() as (connection, _):
        connection.exec_driver_sql("UPDATE state SET Value = '1' WHERE Name = 'schema'")
    lab.close()
    from pacslab.archive import Archive

    with Archive.recover(tmp_path / "a") as archive:
        assert archive.reindex() == []
    with Lab(tmp_path / "a") as again:
        assert again.cohort("ct").frozen == saved.frozen
        assert changes(again.cohort("ct").verify()) == []


# --- splits -------------------------------------------------------------------------------------


def people(number: int) -> pd.DataFrame:
    """Two series each; one study without a patient's ID."""
    rows = [(f"P{p // 2}", f"1.{p // 2}", f"1.{p // 2}.{p % 2}", 10) for p in range(2 * number)]
    rows += [(None, "2.9", "2.9.1", 10), (None, "2.8", "2.8.1", 10)]  # type: ignore[list-item]
    columns = ["PatientID", "StudyInstanceUID", "SeriesInstanceUID", "NumberOfInstances"]
    return pd.DataFrame(rows, columns=columns)


def test_no_patient_is_on_both_sides_and_every_side_has_its_share() -> None:
    series = people(98)
    shares = {"train": 0.7, "validation": 0.1, "test": 0.2}
    made = split(series, shares, 3)
    assert made.groupby("PatientID")["Split"].nunique().max() == 1
    sides = made.drop_duplicates("StudyInstanceUID")["Split"].value_counts().to_dict()
    assert sides == {"train": 70, "validation": 10, "test": 20}
    assert made.equals(split(series, shares, 3))
    shuffled = split(series.sample(frac=1, random_state=1), shares, 3).sort_index()
    assert made.equals(shuffled)
    assert not made.equals(split(series, shares, 4))


def test_strata_keep_their_proportions() -> None:
    series = people(100)
    labels = {f"P{n}": "F" if n < 30 else "M" for n in range(100)}
    made = split(series, {"train": 0.8, "test": 0.2}, 1, labels).dropna()
    women = made[made["PatientID"].map(labels) == "F"].drop_duplicates("PatientID")
    assert abs((women["Split"] == "test").sum() - 6) <= 1


def test_a_cohort_is_split_by_what_the_index_says(lab: Lab) -> None:
    saved = lab.save_cohort("all", None)
    made = saved.split(stratify=["Modality", "PatientSex"], seed=2, train=0.5, test=0.5)
    assert made["Split"].value_counts().to_dict() == {"train": 4, "test": 4}
    with pytest.raises(SQLError, match="no column Modalty"):
        saved.split(stratify="Modalty")
    with pytest.raises(UsageError, match="parts of a whole"):
        saved.split(train=0.5, test=0.6)


def test_a_cohort_says_what_it_is(lab: Lab) -> None:
    assert isinstance(lab.save_cohort("all", None), Cohort)
