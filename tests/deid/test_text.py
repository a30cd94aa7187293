"""Known values in other spellings, and what looks like an identifier; and what must stay."""

from __future__ import annotations

import pytest

from pacslab.deid.known import Kind, Known, Value
from pacslab.deid.text import Cleaner, Habits

VALUES = (
    Value(Kind.PATIENT, "Müller-Long^Hans Peter^^Dr"),
    Value(Kind.PATIENT, "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    Value(Kind.ID, "12345678"),
    Value(Kind.ID, "12"),
    Value(Kind.DATE, "19570309"),
    Value(Kind.PERSON, "Smith^Anne"),
    Value(Kind.PERSON, "Siemens^Service"),
    Value(Kind.PLACE, "St. Mary's Hospital"),
    Value(Kind.PHONE, "+49 30 5550199"),
)


def cleaner(shift: int | None = None, *, places: bool = False) -> Cleaner:
    return Cleaner(Known(VALUES), Habits("NOBODY", shift, lambda _: "2.25.1", places))


@pytest.mark.parametrize(
    "text",
    [
        "Müller", "MULLER", "Mueller", "mu\u0308ller", "MÜLLER-LONG, HANS", "Hans", "山田太郎",
        "ヤマダ タロウ", "YAMADA", "H. Müller", "Müller, H.", "12345678", "1234-5678",
        "19570309", "1957-03-09", "09.03.1957", "9.3.57", "03/09/1957", "9 March 1957",
        "March 9th, 1957", "9. März 1957", "9-MAR-1957", "09031957", "Smith", "A. Smith",
        "st marys hospital".replace("marys", "mary s"), "ST. MARY'S  HOSPITAL", "030 5550199",
        "0049305550199", "Long^", "Long, Hans",
    ],
)  # fmt: skip
def test_known_values_are_found(text: str) -> None:
    clean = cleaner().clean(f"see {text} here", thorough=False)
    rest = clean.replace("NOBODY", "").replace("REMOVED", "").split()
    assert rest in (["see", "here"], ["see", "^", "here"])


@pytest.mark.parametrize(
    "text",
    [
        "LONG AXIS", "long TR", "SIEMENS",
        "12 weeks", "T2 2D 5/10", "HANSEN", "Smithsonian", "Handsome",
        "1.2.840", "L", "R", "64 Slice CT 1.25 0.75", "MS PROTOCOL", "DR CHEST PA", "C 4.2.1",
        "syngo MR E11", "ax T1 +C 3mm", "0.5 1.0 2.25 4.50", "HFS", "FLAIR TE 120 TR 9000",
    ],
)  # fmt: skip
@pytest.mark.parametrize("thorough", [False, True])
def test_what_says_nothing_stays(text: str, thorough: bool) -> None:
    assert cleaner().clean(text, thorough=thorough) == text


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("mail j.doe@example.org now", "mail REMOVED now"),
        ("ssn 078-05-1120.", "ssn REMOVED."),
        ("Dr. Foo Bar reported", "REMOVED reported"),
        ("read by Jane Roe", "REMOVED"),
        ("MRN: A12345", "MRN: REMOVED"),
        ("12 Main Street, Springfield, IL 62704", "REMOVED"),
        ("Hauptstraße 12, 10115 Berlin", "REMOVED"),
        ("General Hospital of Erewhon", "REMOVED"),
        ("95 year old man", "90+ year old man"),
        ("45 year old man", "45 year old man"),
        ("on 2019-01-31", "on REMOVED"),
        ("tel 030 1234567", "tel REMOVED"),
        ("see 1.2.826.0.1.3680043.9.3811.1", "see 2.25.1"),
    ],
)
def test_what_looks_like_an_identifier(text: str, clean: str) -> None:
    assert cleaner().clean(text, thorough=True) == clean


def test_dates_are_shifted_or_stay() -> None:
    assert cleaner(-1).clean("on 20190131", thorough=True) == "on 20190130"
    assert cleaner(0).clean("on 20190131", thorough=True) == "on 20190131"


@pytest.mark.parametrize(
    "piece", ["A", "1", "Aa ", "1 ", "a@", "1.", "ü", "müller ", "4 Ab ", "- ", "name: "]
)
def test_long_texts_take_no_more_than_their_length(piece: str) -> None:
    # Quadratic growth would take very long here: this ends, or the test's timeout does
    text = piece * 50_000
    cleaner().clean(text, thorough=True)


def test_bytes_in_other_encodings() -> None:
    known = Known(VALUES)
    for encoding in ("utf-8", "latin-1", "utf-16-le"):
        assert known.in_bytes(b"\1\2" + "Müller".encode(encoding) + b"\3")
    assert known.in_bytes("山田".encode("shift_jis"))
    assert not known.in_bytes(bytes(range(256)))  # a ramp, as in lookup tables
