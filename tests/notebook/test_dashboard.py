"""The dashboard without a browser: what its widgets show follows the filters and the archive."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pacslab import Lab
from pacslab.notebook.dashboard import Dashboard
from tests.making import instance


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("dashboard")) as made:
        made.synthesize(patients=20, progress=False)
        yield made


@pytest.fixture
def shown(lab: Lab) -> Iterator[Dashboard]:
    made = lab.dashboard()
    yield made
    made.close()


def numbers(dashboard: Dashboard) -> list[int]:
    return [
        int(n.replace(",", "")) for n in re.findall(r"<b>([\d,]+)</b>", dashboard.numbers.value)
    ]


def test_without_filters_all_is_there(lab: Lab, shown: Dashboard) -> None:
    assert numbers(shown) == list(lab.counts.values())
    assert shown.plots.value.count("<svg") == 3
    assert len(shown.grid.rows) == 15
    assert shown.where.value == f"1 to 15 of {lab.counts['series']}"


def test_everything_follows_a_filter(lab: Lab, shown: Dashboard) -> None:
    series = lab.sql("SELECT SeriesInstanceUID FROM series WHERE Modality = 'MR'")
    shown.controls.choices["modalities"].value = ("MR",)
    assert numbers(shown)[2] == len(series)
    assert set(shown.grid.rows["Modality"]) == {"MR"}
    assert "modalities=['MR']" in shown.code.value
    assert shown.statement.parameters == {"modalities": ["MR"]}
    # others can still be chosen beside it
    assert len(shown.controls.choices["modalities"].options) > 2
    shown.reset()
    assert numbers(shown) == list(lab.counts.values())


def test_pages_and_levels(lab: Lab, shown: Dashboard) -> None:
    first = shown.grid.rows
    shown._step(1)
    assert set(shown.grid.rows["SeriesInstanceUID"]).isdisjoint(first["SeriesInstanceUID"])
    shown._step(1000)
    assert shown.where.value.endswith(f"{lab.counts['series']} of {lab.counts['series']}")
    shown.level.value = "Instances"
    assert shown.where.value == f"1 to 15 of {lab.counts['instances']:,}"


def test_a_chosen_row_is_shown(shown: Dashboard) -> None:
    shown.controls.choices["modalities"].value = ("CT",)
    assert "data:image" not in shown.picture.value
    shown.grid.widget.selected_rows = [0]
    assert "data:image/jpeg" in shown.picture.value


def test_mistakes_are_said_and_go_away(shown: Dashboard) -> None:
    shown.controls.attribute.value = "no attribute"
    assert "is no attribute" in shown.message.value
    shown.controls.attribute.value = "ProtocolName"
    assert shown.message.value == ""
    shown._export()
    assert "name a folder" in shown.message.value


def test_cohort_and_export(lab: Lab, shown: Dashboard, tmp_path: Path) -> None:
    shown.controls.choices["modalities"].value = ("MR",)
    shown.name.value = "heads"
    shown._save()
    assert "saved: heads, version 1" in shown.message.value
    assert len(lab.cohort("heads").series) == numbers(shown)[2]
    shown.folder.value = str(tmp_path / "out")
    shown._export()
    assert f"{numbers(shown)[3]:,} rows of dicom" in shown.message.value
    assert len(list((tmp_path / "out").rglob("*.dcm"))) == numbers(shown)[3]


def test_what_arrives_appears(tmp_path: Path) -> None:
    async def scene(lab: Lab) -> None:
        shown = lab.dashboard()
        assert numbers(shown) == [0, 0, 0, 0]
        lab.archive.add(instance(PatientID="NEW"))
        async with asyncio.timeout(60):
            while numbers(shown) != [1, 1, 1, 1]:
                await asyncio.sleep(0.05)
        shown.close()

    with Lab(tmp_path / "a") as lab:
        asyncio.run(scene(lab))
