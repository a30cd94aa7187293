"""``%%pacs``: SQL as it is, in a cell of its own.

``%load_ext pacslab`` once, then::

    %%pacs cohort --lab lab
    SELECT SeriesInstanceUID FROM series WHERE Modality = $modality

shows the answer and keeps it as the variable ``cohort``. ``$name`` takes the notebook's variable of
that name, and its DataFrames are tables.
"""

from __future__ import annotations

import re
from typing import Any, Final

import pandas as pd
from IPython.core.interactiveshell import InteractiveShell

from pacslab.errors import UsageError

# Strings, quoted names and comments are passed over, so that a $ in them is none of ours.
_TOKENS: Final = re.compile(
    r"""--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|"(?:[^"]|"")*"|\$(?P<name>[A-Za-z_]\w*)""", re.DOTALL
)


def load(shell: InteractiveShell) -> None:
    """Make the magic known to a notebook: what ``%load_ext pacslab`` calls."""

    def pacs(line: str, cell: str) -> pd.DataFrame:
        """Ask the index in SQL: ``%%pacs [NAME] [--lab LAB]``; NAME keeps the answer."""
        return _ask(shell.user_ns, line, cell)

    register: Any = shell.register_magic_function  # its types are those of a decorator
    register(pacs, "cell", "pacs")


def _ask(names: dict[str, Any], line: str, cell: str) -> pd.DataFrame:
    words = line.split()
    lab = ""
    if "--lab" in words:
        at = words.index("--lab")
        lab = " ".join(words[at + 1 : at + 2])
        del words[at : at + 2]
    if len(words) > 1 or not all(word.isidentifier() for word in words):
        raise UsageError(f"%%pacs {line}: write %%pacs [NAME] [--lab LAB]")
    frames = {n: v for n, v in names.items() if isinstance(v, pd.DataFrame)}
    asked = _lab(names, lab)
    answer: pd.DataFrame = asked.sql(cell, frames=frames, **_parameters(cell, names))
    names.update(dict.fromkeys(words, answer))
    return answer


def _parameters(cell: str, names: dict[str, Any]) -> dict[str, Any]:
    wanted = {m["name"] for m in _TOKENS.finditer(cell) if m["name"]}
    if missing := sorted(wanted - names.keys()):
        raise UsageError(f"${missing[0]} is in the query, but no variable {missing[0]} here")
    return {name: names[name] for name in wanted}


def _lab(names: dict[str, Any], name: str) -> Any:
    if name:
        if not _is_lab(names.get(name)):
            raise UsageError(f"{name} is no Lab here: open one with {name} = pacslab.Lab(...)")
        return names[name]
    found = {id(v): n for n, v in names.items() if _is_lab(v) and not n.startswith("_")}
    if len(found) != 1:
        there = f"there are {', '.join(sorted(found.values()))}" if found else "there is none"
        raise UsageError(f"which Lab? {there}: say --lab NAME")
    (name,) = found.values()
    return names[name]


def _is_lab(thing: Any) -> bool:
    # By its name: this layer lies below Lab's.
    return type(thing).__qualname__ == "Lab" and type(thing).__module__ == "pacslab.lab"
