"""k-anonymity, l-diversity and uniqueness over made-up patients whose classes are known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from pacslab import Lab
from pacslab.errors import UsageError
from tests.making import instance

PATIENTS = [("F", "061Y", "20200301", "CT")] * 5 + [("M", "043Y", "20200501", "CT")] * 3 + [
    ("M", "047Y", "20210501", "MR")] + [("F", "088Y", "20190501", "CT")]  # fmt: skip


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("risk") / "a") as made:
        made.archive.add_many(
            instance(PatientID=f"P{number}", PatientSex=sex, PatientAge=age, StudyDate=day,
                     Modality=modality, StudyDescription=f"of {number % 2}")
            for number, (sex, age, day, modality) in enumerate(PATIENTS)
        )  # fmt: skip
        yield made


def test_classes_are_patients_who_are_alike(lab: Lab) -> None:
    found = lab.risk(k=3)
    assert found.quasi == ("PatientSex", "age group", "study year", "Modality")
    expected = Counter((s, str(int(a[:3]) // 10 * 10), d[:4], m) for s, a, d, m in PATIENTS)
    told = {row[:4]: row[4] for row in found.classes.itertuples(index=False, name=None)}
    assert told == dict(expected)
    assert (found.patients, found.k, found.unique, found.below) == (10, 1, 2, 2)
    assert found.l is None
    assert "unique" in found._repr_html_()


def test_suggestions_reach_k(lab: Lab) -> None:
    found = lab.risk(k=3)
    assert (found.suggestions["k"] >= 3).all()
    assert found.suggestions["classes"].is_monotonic_decreasing
    last = found.suggestions.iloc[0]
    again = lab.risk(quasi=last["quasi"].split(", "), k=3)
    assert again.below == 0
    assert again.suggestions.empty


def test_diversity_of_a_sensitive_attribute(lab: Lab) -> None:
    found = lab.risk(quasi=["PatientSex"], sensitive="StudyDescription")
    assert found.l == 2
    assert lab.risk(quasi=["PatientID"], sensitive="StudyDescription").l == 1


def test_a_cohort_has_its_own_risk(lab: Lab) -> None:
    women = lab.sql("SELECT StudyInstanceUID FROM studies WHERE PatientSex = 'F'")
    assert lab.risk(women, ["PatientSex"]).patients == 6


@pytest.mark.parametrize("wrong", [["Nonsense"], ["PatientSex; DROP"], []])
def test_what_is_no_quasi_identifier(lab: Lab, wrong: list[str]) -> None:
    with pytest.raises(UsageError, match="quasi"):
        lab.risk(quasi=wrong)


def test_every_named_group_can_be_asked(lab: Lab) -> None:
    from pacslab.cohort.risk import QUASI

    for name in QUASI:
        assert lab.risk(quasi=[name]).patients == len(PATIENTS)
