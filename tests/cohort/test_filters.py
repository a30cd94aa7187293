"""The filters of the dashboard: each against pandas over the same tables, and alone or together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pacslab import Lab
from pacslab.cohort.filters import Facets, Filters, statement
from pacslab.dicom.keywords import Level
from pacslab.errors import UsageError
from tests.making import instance


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("filters")) as made:
        made.synthesize(patients=30, progress=False)
        bare: dict[str, Any] = dict.fromkeys(
            ("PatientID", "PatientAge", "StudyDate", "PatientBirthDate", "Modality", "PatientSex")
        )
        made.archive.add(instance(**bare))
        made.archive.add(instance(PatientAge="018M", StudyDate="20200229", PatientID="BABY"))
        made.archive.add(instance(
            PatientAge=None, PatientBirthDate="19500601", StudyDate="20200101", PatientID="OLD",
            StudyDescription="it's 100% \\ odd", ProtocolName="Head [x]",
        ))  # fmt: skip
        yield made


def _series(lab: Lab) -> pd.DataFrame:
    studies = lab.sql("SELECT * EXCLUDE (PatientID) FROM studies")
    return lab.sql("SELECT * FROM series").merge(studies, on="StudyInstanceUID")


def _found(lab: Lab, filters: Filters) -> set[str]:
    asked = statement(filters)
    return set(lab.sql(asked.text, **asked.parameters)["SeriesInstanceUID"])


def _expected(lab: Lab, keep: Any) -> set[str]:
    rows = _series(lab)
    return set(rows[keep(rows).fillna(False).astype(bool)]["SeriesInstanceUID"])


@pytest.mark.parametrize(
    ("filters", "keep"),
    [
        (Filters(), lambda r: r.SeriesInstanceUID.notna()),
        (Filters(modalities=("CT", "MR")), lambda r: r.Modality.isin(["CT", "MR"])),
        (Filters(sexes=("F",)), lambda r: r.PatientSex == "F"),
        (Filters(body_parts=("CHEST",)), lambda r: r.BodyPartExamined == "CHEST"),
        (Filters(manufacturers=("SIEMENS",)), lambda r: r.Manufacturer == "SIEMENS"),
        (Filters(since=date(2020, 1, 1), until=date(2020, 1, 1)), lambda r: r.PatientID == "OLD"),
        (Filters(oldest=1), lambda r: r.PatientID == "BABY"),
        (Filters(text="old 100% it's"), lambda r: r.PatientID == "OLD"),
        (Filters(description="ODD"), lambda r: r.PatientID == "OLD"),
        (Filters(description="' OR 1=1"), lambda r: r.PatientID == "nobody"),
        (Filters(attribute="ProtocolName", value="head [[]x]"), lambda r: r.PatientID == "OLD"),
        (Filters(attribute="ProtocolName", value="*LIVER*"),
         lambda r: r.ProtocolName.str.lower().str.contains("liver")),
        (Filters(attribute="PatientAge"), lambda r: r.PatientAge.notna()),
    ],
)  # fmt: skip
def test_a_filter_leaves_what_pandas_leaves(lab: Lab, filters: Filters, keep: Any) -> None:
    found = _found(lab, filters)
    assert found == _expected(lab, keep)
    facets = Facets(lab._mirror, filters)
    assert facets.counts()["series"] == len(found)
    for level, number in (
        (Level.SERIES, "series"),
        (Level.STUDY, "studies"),
        (Level.IMAGE, "instances"),
    ):
        rows = pd.concat(
            facets.page(level, page, 40) for page in range(facets.counts()[number] // 40 + 1)
        )
        assert len(rows) == facets.counts()[number]
        assert not rows.duplicated().any()


def test_ages_are_years_by_age_or_else_by_dates(lab: Lab) -> None:
    facets = Facets(lab._mirror, Filters(text="OLD"))
    assert facets.by_age().to_dict("list") == {"age": [70], "studies": [1]}
    assert Facets(lab._mirror, Filters(text="BABY")).by_age()["age"].to_list() == [0]


_FILTERS = st.builds(
    Filters,
    modalities=st.sampled_from([(), ("CT",), ("MR", "US"), ("none",)]),
    sexes=st.sampled_from([(), ("F",), ("M", "O")]),
    since=st.sampled_from([None, date(2019, 1, 1)]),
    oldest=st.sampled_from([None, 50]),
    text=st.sampled_from(["", "syn", "liver", "'; DROP"]),
)


@settings(max_examples=60, deadline=None)
@given(filters=_FILTERS)
def test_numbers_beside_the_choices_are_what_choosing_them_leaves(
    lab: Lab, filters: Filters
) -> None:
    together = set.intersection(
        *(_found(lab, replace(Filters(), **{name: getattr(filters, name)}))
          for name in ("modalities", "sexes", "since", "oldest", "text"))
    )  # fmt: skip
    assert _found(lab, filters) == together
    facets = Facets(lab._mirror, filters)
    for name in ("modalities", "sexes"):
        for value, number in facets.choices(name):
            chosen = replace(filters, **{name: (value,)})
            assert Facets(lab._mirror, chosen).counts()["series"] == number


def test_what_is_no_attribute_is_refused(lab: Lab) -> None:
    for name in ("x y", "a') OR ('", "1", "A."):
        with pytest.raises(UsageError, match="is no attribute"):
            statement(Filters(attribute=name, value="1"))


def test_the_cell_can_be_run(lab: Lab) -> None:
    filters = Filters(modalities=("CT",), text="it's", since=date(2000, 1, 1), youngest=1)
    cell = statement(filters, Level.STUDY).cell()
    assert set(eval(cell, {"lab": lab}).columns) >= {"PatientID", "StudyInstanceUID"}
