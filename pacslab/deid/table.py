"""PS3.15 Table E.1-1 and the safe private attributes of Table E.3.10-1, as they lie in ``data``."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final

EDITION: Final = "2026c"
"""The edition of PS3.15 whose base codes these are."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of Table E.1-1.

    ``tag`` has eight digits, ``x`` where the standard leaves one open (curves, overlays). ``basic``
    is the code of the Basic Profile (X, Z, D, U, K or several of them), ``options`` the code (K, C
    or X) by column, only of columns that say something.
    """

    tag: str
    name: str
    keyword: str
    vr: str
    basic: str
    options: Mapping[str, str]


@cache
def rows() -> tuple[Row, ...]:
    """All rows of Table E.1-1, in the order of their tags."""
    found = []
    for line in _read("confidentiality.csv"):
        told = {"Tag", "Name", "Keyword", "VR", "Basic", "OptionsFrom"}
        options = {column: code for column, code in line.items() if column not in told and code}
        found.append(
            Row(
                line["Tag"],
                line["Name"],
                line["Keyword"],
                line["VR"],
                line["Basic"],
                MappingProxyType(options),
            )
        )
    return tuple(found)


@cache
def safe_private() -> Mapping[tuple[str, int, int], str]:
    """The VR of each private attribute that is known to be safe (PS3.15 E.3.10).

    Keys are private creator, group, and the two low digits of the element.
    """
    return MappingProxyType(
        {
            (line["PrivateCreator"], int(line["Group"], 16), int(line["Element"], 16)): line["VR"]
            for line in _read("safe_private.csv")
        }
    )


def _read(name: str) -> list[dict[str, str]]:
    text = (files("pacslab.deid.data") / name).read_text("utf-8")
    return list(csv.DictReader(text.splitlines()))
