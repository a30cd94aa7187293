"""Which names are alike (PS3.4 C.2.2.2.1.1 as docs/conformance.md states it)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacslab.dicom.matching import fold
from pacslab.dicom.names import MOST_WORDS, alike, asked, keys, parts


@pytest.mark.parametrize(
    "pair",
    [
        "Müller/Mueller",
        "Müller/MULLER",
        "Mueller/Muller",
        "Bär/Baer",
        "Sørensen/Soerensen",
        "Meyer/Maier",
        "Meyer/Meier",
        "Maier/Meier",
        "Jon/John",
        "Ann/Anne",
        "Stephen/Steven",
        "Katharina/Catherine",
        "Smith/Smyth",
        "Schmidt/Schmitt",
        "Philip/Filip",
        "Thomas/Tomas",
        "Eric/Erik",
        "Christine/Kristine",
        "Иванов/Иваноф",
        "Smith/Simth",
        "Smith/Smit",
        "Smith/Smtih",
        "Smith/Smiths",
        "Smith/Dmith",
        "Weiß/Weiss",
    ],
)
def test_alike(pair: str) -> None:
    one, other = map(fold, pair.split("/"))
    assert alike(one, other)
    assert alike(other, one)
    assert keys(one) & keys(other)


@pytest.mark.parametrize(
    "pair",
    [
        "Jane/John",
        "Jane/June",
        "Jan/Jon",
        "Doe/Roe",
        "Lee/Lea",
        "Li/Lu",
        "Kim/Tim",
        "Meyer/Moore",
        "Martin/Morton",
        "Jones/James",
        "Johnson/Jansen",
        "Hansen/Henson",
        "Mary/Moore",
        "Garcia/Gomez",
        "Walker/Miller",
        "Anna/Emma",
        "Yamada/Yamaguchi",
        "Schulz/Scholl",
        "やまだ/やまた",
        "やまだ/やまだに",
        "山田/山口",
        "김민준/김민서",
        "100001/100002",
    ],
)
def test_not_alike(pair: str) -> None:
    one, other = map(fold, pair.split("/"))
    assert not alike(one, other)
    assert not alike(other, one)


LETTERS = st.sampled_from("abcdefghijklmnopqrstuvwxyz")


@given(st.text(LETTERS, min_size=5, max_size=20), st.data())
def test_every_single_typo_in_a_long_name_is_found_and_forgiven(
    word: str, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(word) - 1))
    letter = data.draw(LETTERS)
    for wrong in (
        word[:place] + word[place + 1 :],
        word[:place] + letter + word[place:],
        word[:place] + letter + word[place + 1 :],
        word[:place] + word[place : place + 2][::-1] + word[place + 2 :],
    ):
        assert alike(word, wrong)
        assert keys(word) & keys(wrong)


@given(st.text(LETTERS, min_size=1, max_size=8), st.text(LETTERS, min_size=1, max_size=8))
def test_what_is_alike_has_a_key_in_common(one: str, other: str) -> None:
    assert not alike(one, other) or keys(one) & keys(other)


def test_the_words_of_names() -> None:
    assert parts("yamada^tarou=山田^太郎=やまだ^たろう") == [
        ("yamada", "tarou"),
        ("山田", "太郎"),
        ("やまだ", "たろう"),
    ]
    assert parts("o'brien-smith^mary ann^^dr.") == [("obrien", "smith", "mary", "ann", "dr")]
    assert parts(r"doe^j\roe^k") == [("doe", "j"), ("roe", "k")]
    assert parts("^^=") == []


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("doe^ja*", (("doe", "ja*"),)),
        ("*doe*", (("*doe*",),)),
        ("doe**^*", (("doe*",),)),
        ("yamada=山田*", (("yamada",), ("山田*",))),
        ("d?e", ()),
        ("doe*jane", ()),
        ("^", ()),
        (" ".join("abcdefgh"), (tuple("abcdefgh"),)),
        (" ".join("abcdefghi"), ()),
    ],
)
def test_the_words_of_a_key_or_none_where_it_is_literal(
    key: str, words: tuple[tuple[str, ...], ...]
) -> None:
    assert asked(key) == words
    assert sum(map(len, words)) <= MOST_WORDS
