"""Profiles, the table behind them, and what they claim."""

from __future__ import annotations

from pathlib import Path

import pytest

from pacslab.deid import profiles, table
from pacslab.deid.actions import Verb
from pacslab.deid.engine import Engine
from pacslab.deid.keys import Keys
from pacslab.deid.profiles import Option, Profile
from pacslab.deid.rules import Rules
from pacslab.errors import UsageError
from tests.making import instance

KEYS = Keys(bytes(32))
MINE = "name: mine\ntitle: Mine\n"


def test_the_table() -> None:
    assert len(table.rows()) == 655
    assert {row.basic for row in table.rows()} == {
        "X", "Z", "D", "U", "X/Z", "X/D", "Z/D", "X/Z/D", "X/Z/U*"
    }  # fmt: skip
    assert len(table.safe_private()) == 87
    row = next(row for row in table.rows() if row.keyword == "StudyDate")
    assert (row.basic, dict(row.options)) == ("Z", {"RtnLongFullDates": "K",
                                                    "RtnLongModifDates": "C"})  # fmt: skip


@pytest.mark.parametrize("name", profiles.names())
def test_profiles_that_come_along(name: str) -> None:
    assert profiles.load(name).name == name


@pytest.mark.parametrize(
    ("profile", "tag", "vr", "verb"),
    [
        ("basic", 0x00080020, "DA", Verb.EMPTY),
        ("research", 0x00080020, "DA", Verb.SHIFT),
        ("fake-patient", 0x00080020, "DA", Verb.KEEP),
        ("basic", 0x00081030, "LO", Verb.REMOVE),
        ("research", 0x00081030, "LO", Verb.CLEAN),
        ("basic", 0x00101010, "AS", Verb.REMOVE),
        ("research", 0x00101010, "AS", Verb.KEEP),
        ("basic", 0x00081140, "SQ", Verb.INTO),
        ("basic", 0x60023000, "OW", Verb.REMOVE),
        ("basic", 0x50040010, "US", Verb.REMOVE),
        ("basic", 0x00080018, "UI", Verb.UID),
        ("fake-patient", 0x00080018, "UI", Verb.KEEP),
        ("basic", 0x00080016, "UI", Verb.KEEP),
        ("basic", 0x00091001, "LO", Verb.REMOVE),
        ("basic", 0x0008FFFE, "LO", Verb.REMOVE),
        ("basic", 0x00280010, "US", Verb.KEEP),
        ("public", 0x00181020, "LO", Verb.KEEP),
        ("basic", 0x0040A160, "UT", Verb.DUMMY),
        ("fake-patient", 0x0040A160, "UT", Verb.CLEAN),
    ],
)
def test_rules(profile: str, tag: int, vr: str, verb: Verb) -> None:
    assert Rules(profiles.load(profile)).of(tag, vr).verb is verb


def test_a_profile_of_the_users_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        MINE + "options: [retain-uids]\n"
        "overrides: [{attribute: StudyDescription, action: keep, why: is coded here}]\n"
    )
    mine = profiles.load(str(path))
    outcome = Engine(mine, KEYS).deidentify(instance(StudyDescription="C1"))
    assert outcome.dataset.StudyDescription == "C1"
    # It keeps what the Basic Profile removes: that profile, and its options, aren't claimed
    assert "DeidentificationMethodCodeSequence" not in outcome.dataset
    assert outcome.dataset.PatientIdentityRemoved == "YES"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (MINE + "options: [clean-recognizable-visual-features]", "defacing"),
        (MINE + "options: [retain-longitudinal-full-dates, "
         "retain-longitudinal-modified-dates]", "take one"),
        (MINE + "options: [nonsense]", "options.0"),
        (MINE + "patient_names: fake", "patient_names"),
        (MINE + "overrides: [{attribute: Nonsense, action: keep, why: x}]", "Nonsense"),
        ("name: [", "YAML"),
    ],
)  # fmt: skip
def test_mistakes_are_pointed_at(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=says):
        profiles.load(str(path))


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(UsageError, match="basic, fake-patient, public, research"):
        profiles.load("bsic")


@pytest.mark.parametrize(
    ("profile", "codes", "time"),
    [
        ("basic", {"113100"}, "REMOVED"),
        ("research", {"113100", "113105", "113107", "113108", "113111"}, "MODIFIED"),
        ("fake-patient", {"113100", "113103", "113104", "113105", "113106", "113108", "113109",
                          "113110", "113111", "113112"}, "UNMODIFIED"),
    ],
)  # fmt: skip
def test_claims(profile: str, codes: set[str], time: str) -> None:
    out = Engine(profile, KEYS).deidentify(instance()).dataset
    assert {item.CodeValue for item in out.DeidentificationMethodCodeSequence} == codes
    assert {item.CodingSchemeDesignator for item in out.DeidentificationMethodCodeSequence} == {
        "DCM"
    }
    assert out.LongitudinalTemporalInformationModified == time
    assert profile in out.DeidentificationMethod


def test_pixels_arent_claimed_without_a_look() -> None:
    profile = Profile(name="p", title="P", options=(Option.CLEAN_PIXEL_DATA,))
    with pytest.raises(UsageError, match="pacslab\\[pixels\\]"):
        Engine(profile, KEYS)
