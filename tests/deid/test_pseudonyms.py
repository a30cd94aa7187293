"""UIDs, dates, ages, names and keys."""

from __future__ import annotations

import stat
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacslab.deid import dates, names, uids
from pacslab.deid.keys import KEY_VARIABLE, Keys
from pacslab.deid.subjects import Patient, by_key
from pacslab.dicom.uids import is_uid
from pacslab.errors import UsageError

KEYS, OTHER = Keys(bytes(32)), Keys(bytes(range(32)))
DAYS = st.dates(date(1850, 1, 1), date(2100, 12, 31))


def patient(**said: str) -> Patient:
    empty = dict.fromkeys(Patient.__slots__, "")
    return Patient(**{**empty, **said})


def test_uids_are_uids_and_those_of_the_standard_stay() -> None:
    made = uids.replaced("1.2.3", KEYS)
    assert is_uid(made)
    assert made.startswith("2.25.")
    assert made == uids.replaced("1.2.3\0", KEYS) != uids.replaced("1.2.3", OTHER)
    assert uids.replaced("1.2.840.10008.1.2.1", KEYS) == "1.2.840.10008.1.2.1"
    assert uids.replaced("1.2.840.10008.123456789", KEYS).startswith("2.25.")
    assert uids.replaced("", KEYS) == ""


@given(DAYS, DAYS, st.text())
def test_intervals_survive(one: date, other: date, who: str) -> None:
    days = dates.shift_of(KEYS, who)
    assert -3650 <= days < 0
    moved = [dates.shifted(f"{d:%Y%m%d}", "DA", days) for d in (one, other)]
    new = [dates.parsed(m) for m in moved]
    assert new[0] is not None
    assert new[1] is not None
    assert new[0] - new[1] == one - other
    assert new[0] != one


@pytest.mark.parametrize(
    ("value", "vr", "moved"),
    [
        ("20240229", "DA", "20230301"),
        ("20240229235959.999999+0100", "DT", "20230301235959.999999+0100"),
        ("2024.02.29", "DA", "20230301"),
        ("20240101-20240229", "DA", "20230101-20230301"),
        ("235959.5", "TM", "235959.5"),
        ("202402", "DT", ""),
        ("2024", "DT", ""),
        ("20240231", "DA", ""),
        ("00000000", "DA", ""),
        ("Doe", "DA", ""),
        ("20240229Doe", "DT", ""),
        ("Doe", "TM", ""),
        ("", "DA", ""),
    ],
)
def test_dates_of_all_forms(value: str, vr: str, moved: str) -> None:
    assert dates.shifted(value, vr, -365) == moved


@pytest.mark.parametrize(
    ("age", "coded"),
    [("089Y", "089Y"), ("090Y", "090Y"), ("107Y", "090Y"), ("003M", "003M"), ("45Y", "045Y"),
     ("Doe", "")],
)  # fmt: skip
def test_ages_are_top_coded(age: str, coded: str) -> None:
    assert dates.top_coded(age) == coded


@given(DAYS, st.integers(0, 110), st.text())
def test_birth_dates_give_the_age(at: date, age: int, who: str) -> None:
    born = dates.parsed(dates.birth_date(KEYS, who, at=at, age=age))
    assert born is not None
    assert dates.years_between(born, at) == min(age, dates.TOP_AGE)


def test_birth_dates_arent_shifted_dates() -> None:
    moved = set()
    for number in range(50):
        who = patient(patient_id=str(number), birth_date="19700101", study_date="20200101")
        subject = by_key(KEYS)(who)
        new = dates.parsed(subject.birth_date)
        assert new is not None
        moved.add(new - date(1970, 1, 1) == timedelta(subject.shift))
    assert moved == {False}


def test_names_fit_the_sex_and_arent_the_real_one() -> None:
    one = names.fake_name(KEYS, "a", "F")
    assert one == names.fake_name(KEYS, "a", "F")
    real = frozenset(one.lower().split("^"))
    other = names.fake_name(KEYS, "a", "F", real)
    assert not set(other.lower().split("^")) & real
    assert len({names.fake_name(KEYS, str(n), "M") for n in range(50)}) > 40


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (patient(patient_id="12"), patient(patient_id="0012")),
        (patient(patient_id="12", issuer="A"), patient(patient_id="12", issuer="B")),
        (patient(patient_id="A12"), patient(patient_id="12", issuer="A")),
        (patient(study_instance_uid="1.2"), patient(study_instance_uid="1.3")),
        (patient(study_instance_uid="1.2"), patient(patient_id="1.2")),
    ],
)
def test_who_isnt_the_same_becomes_another(one: Patient, other: Patient) -> None:
    assert by_key(KEYS)(one).patient_id != by_key(KEYS)(other).patient_id


def test_ids_are_long_enough_and_depend_on_the_key() -> None:
    who = patient(patient_id="12")
    assert len(by_key(KEYS)(who).patient_id) >= 12
    assert by_key(KEYS)(who) != by_key(OTHER)(who)


def test_the_key_is_made_once_and_only_ours_to_read(tmp_path: Path) -> None:
    made = Keys.of(tmp_path, {})
    assert Keys.of(tmp_path, {}) == made
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert made.secret.hex() not in repr(made)


def test_the_key_of_the_environment_comes_first(tmp_path: Path) -> None:
    assert Keys.of(tmp_path, {KEY_VARIABLE: "00" * 32}) == KEYS
    (tmp_path / "mine").write_text("00" * 32 + "\n")
    assert Keys.of(tmp_path, {KEY_VARIABLE: f"@{tmp_path / 'mine'}"}) == KEYS
    assert not (tmp_path / "key").exists()


@pytest.mark.parametrize("text", ["secret", "00" * 31, "@nowhere"])
def test_a_key_that_is_none_is_told(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError):
        Keys.of(tmp_path, {KEY_VARIABLE: text})
