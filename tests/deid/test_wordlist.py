"""Many words as one expression."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from pacslab.deid.wordlist import any_of

WORDS = st.text("ab.(", min_size=1, max_size=6)


@given(st.sets(WORDS, min_size=1), st.text("ab.(", max_size=20))
def test_it_finds_what_a_plain_list_finds(words: set[str], text: str) -> None:
    plain = "|".join(re.escape(w) for w in sorted(words, key=len, reverse=True))
    assert re.findall(any_of(words), text) == re.findall(plain, text)
