"""Names of people who don't exist, of the patient's sex, the same for the same key and patient."""

from __future__ import annotations

import threading
from functools import cache
from typing import Final

from faker import Faker

from pacslab.deid.keys import Keys

_FIRST: Final = {"M": "first_name_male", "F": "first_name_female"}
# Faker is seeded and then asked; nobody else may ask in between.
_asking = threading.Lock()


@cache
def _faker() -> Faker:
    return Faker("en_US")


def fake_name(keys: Keys, subject: str, sex: str, real: frozenset[str] = frozenset()) -> str:
    """A PN ``Family^Given`` for a patient.

    ``sex`` is a value of (0010,0040); ``real`` holds the words of the real name in lower case,
    none of which is given. The same comes only from the same version of Faker: the crosswalk keeps
    the first answer.
    """
    first = _FIRST.get(sex, "first_name_nonbinary")
    with _asking:
        faker = _faker()
        for attempt in range(100):
            faker.seed_instance(keys.number("name|v1|", f"{attempt}\0{subject}"))
            family, given = faker.last_name(), getattr(faker, first)()
            if not {family.lower(), given.lower()} & real:
                return f"{family}^{given}"
    return f"Nemo^{keys.word('name|v1|', subject, 8).capitalize()}"
