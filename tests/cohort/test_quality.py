"""Every check finds what was planted for it, and nothing in a sound series."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pacslab import Lab
from pacslab.cohort.checks import CHECKS
from pacslab.cohort.quality import meanings
from tests.cohort.conftest import uid
from tests.making import instance

AXIAL = [1, 0, 0, 0, 1, 0]
SOUND: dict[str, Any] = {
    "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
    "ImageOrientationPatient": AXIAL,
    "PixelSpacing": [0.7, 0.7],
    "SliceThickness": 2.5,
    "RescaleSlope": 1,
    "RescaleIntercept": -1024,
    "ConvolutionKernel": "B30f",
    "PatientSex": "F",
    "PatientBirthDate": "19700101",
    "PatientAge": "054Y",
}
PLACES = [-5.0, -2.5, 0.0, 2.5, 5.0, 7.5]


def series(study: int = 1, places: list[float] = PLACES, **values: Any) -> Iterator[bytes]:
    """A stack; a list among ``values`` whose length is that of the stack has one for each slice."""
    for number, place in enumerate(places):
        own = {
            name: value[number] if isinstance(value, tuple) else value
            for name, value in values.items()
        }
        yield instance(
            **{
                "StudyInstanceUID": uid(study),
                "SeriesInstanceUID": uid(study, 1),
                "SOPInstanceUID": uid(study, 1, number + 1),
                "InstanceNumber": number + 1,
                "ImagePositionPatient": [-100, -100, place],
            }
            | SOUND
            | own
        )


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(tmp_path / "a") as made:
        yield made


def found(lab: Lab, *files: Iterator[bytes], **options: Any) -> list[tuple[str, str]]:
    for one in files:
        assert all(r.status == "stored" for r in lab.archive.add_many(one))
    rows = lab.quality(progress=False, **options)
    return [(row.Check, row.Detail) for row in rows.itertuples()]


def odd(usual: Any, *others: Any) -> tuple[Any, ...]:
    """A value for each slice: the usual one, and the last ones otherwise."""
    return (usual,) * (len(PLACES) - len(others)) + others


LOCALIZER = odd(SOUND["ImageType"], ["ORIGINAL", "PRIMARY", "LOCALIZER"])

PLANTED: list[tuple[str, str, dict[str, Any]]] = [
    ("missing slices", "2 missing at 0.0, 5.0 mm", {"places": [-5, -2.5, 2.5, 7.5, 10, 12.5, 15]}),
    ("uneven spacing", "from 2.0 to 3.0 mm, usually 2.5", {"places": [-5, -2.5, 0, 3, 5, 7.5]}),
    ("duplicate slices", "1 positions twice or more, the first at 2.5 mm",
     {"places": [-5, -2.5, 0, 2.5, 2.5, 5]}),
    ("incomplete phases", "1 positions with fewer or more than 2 images",
     {"places": [0, 0, 2.5, 2.5, 5, 7.5, 7.5]}),
    ("mixed orientation", "2 orientations",
     {"ImageOrientationPatient": odd(AXIAL, [1, 0, 0, 0, 0, -1])}),
    ("localizer among slices", "1 of 6", {"ImageType": LOCALIZER}),
    ("mixed size", "2 sizes: 4x4; 8x4", {"Rows": odd(4, 8)}),
    ("mixed pixel spacing", "2 spacings: [0.5, 0.5]; [0.7, 0.7]",
     {"PixelSpacing": odd([0.7, 0.7], [0.5, 0.5])}),
    ("mixed slice thickness", "2 thicknesses: 2.5; 5.0", {"SliceThickness": odd(2.5, 5)}),
    ("mixed kernel", "2 kernels: [B30f]; [B60f]", {"ConvolutionKernel": odd("B30f", "B60f")}),
    ("missing rescale", "2 images", {"RescaleSlope": odd(1, None, None)}),
    ("missing geometry", "1 images", {"PixelSpacing": odd([0.7, 0.7], None)}),
    ("missing identification", "PatientID, StudyDate, Modality empty",
     {"PatientID": None, "StudyDate": None, "Modality": None, "PatientAge": None}),
    ("differs within", "PatientSex is M, not F", {"PatientSex": odd("F", "M")}),
    ("impossible date", "born 2024-02-01, examined 2024-01-31",
     {"PatientBirthDate": "20240201", "PatientAge": None}),
    ("impossible date", "StudyDate 2999-01-01 is in the future",
     {"StudyDate": "29990101", "PatientBirthDate": None, "PatientAge": None}),
    ("impossible age", "age 030Y, by the dates 54 years", {"PatientAge": "030Y"}),
    ("impossible age", "by the dates 174 years",
     {"PatientBirthDate": "18500101", "PatientAge": None}),
    ("burned-in text", "1 images", {"BurnedInAnnotation": odd("NO", "YES")}),
    ("lossy compression", "2 images", {"LossyImageCompression": odd("00", "01", "01")}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "detail", "values"), PLANTED)
def test_what_was_planted_is_found_and_nothing_else(
    lab: Lab, name: str, detail: str, values: dict[str, Any]
) -> None:
    assert found(lab, series(**values)) == [(name, detail)]


def test_every_check_has_a_test() -> None:
    planted = {name for name, _, _ in PLANTED}
    assert planted | {"patient's sex differs", "patient's birth date differs"} == {
        check.name for check in CHECKS
    }
    assert set(meanings()["Check"]) == {c.name for c in CHECKS} | {"unreadable pixels"}


def test_a_sound_series_has_no_finding(lab: Lab) -> None:
    phases = [place for place in PLACES for _ in range(3)]
    assert (
        found(lab, series(), series(2, phases), series(3, Modality="MR", RescaleSlope=None)) == []
    )


def test_an_oblique_stack_is_measured_along_its_normal(lab: Lab) -> None:
    turned = [0.8, 0.0, 0.6, 0, 1, 0]
    positions = tuple([-0.6 * p, 10, 0.8 * p] for p in PLACES)
    gap = (*positions[:3], *positions[4:])
    assert found(lab, series(ImageOrientationPatient=turned, ImagePositionPatient=positions)) == []
    told = found(
        lab,
        series(2, PLACES[:5], ImageOrientationPatient=turned, ImagePositionPatient=gap),
    )
    assert told == [("missing slices", "1 missing at 2.5 mm")]


def test_patients_who_differ_between_studies(lab: Lab) -> None:
    other = series(2, PatientSex="M", PatientBirthDate="19710101")
    stranger = series(3, PatientSex="M", IssuerOfPatientID="elsewhere")
    told = found(lab, series(), other, stranger)
    assert told == [
        ("patient's birth date differs",
         "of patient P1, PatientBirthDate: 1970-01-01; in other studies: 1971-01-01"),
        ("patient's birth date differs",
         "of patient P1, PatientBirthDate: 1971-01-01; in other studies: 1970-01-01"),
        ("patient's sex differs", "of patient P1, PatientSex: F; in other studies: M"),
        ("patient's sex differs", "of patient P1, PatientSex: M; in other studies: F"),
    ]  # fmt: skip


def test_pixels_are_decoded_when_asked(lab: Lab) -> None:
    broken = series(2, PixelData=odd(bytes(32), bytes(6)))
    assert found(lab, series(), broken) == []
    ((name, detail),) = found(lab, pixels=True)
    assert name == "unreadable pixels"
    assert "6" in detail
    rows = lab.quality(pixels=True, progress=False)
    assert list(rows["SOPInstanceUID"]) == [uid(2, 1, 6)]


def test_only_the_cohort_is_looked_at(lab: Lab) -> None:
    found(lab, series(), series(2, [0, 2.5, 7.5, 10]), series(3, [0, 2.5, 7.5, 10]))
    rows = lab.quality(uid(2))
    assert list(rows["StudyInstanceUID"]) == [uid(2)]
    assert list(rows["Severity"]) == ["error"]
    assert lab.quality(lab.save_cohort("first", uid(1))).empty
    assert list(rows.columns) == list(lab.quality(uid(1)).columns)
