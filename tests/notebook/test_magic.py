"""``%%pacs`` in a real IPython shell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.testing.globalipapp import start_ipython

from pacslab import Lab
from pacslab.errors import SQLError, UsageError
from tests.making import instance


@pytest.fixture(scope="module")
def ipython() -> InteractiveShell:
    shell = start_ipython() or InteractiveShell.instance()
    shell.run_line_magic("load_ext", "pacslab")
    return shell


@pytest.fixture
def shell(ipython: InteractiveShell, tmp_path: Path) -> Iterator[Any]:
    with Lab(tmp_path / "a") as lab:
        lab.archive.add_many([instance(), instance(Modality="MR", PatientID="P2")])
        ipython.user_ns["lab"] = lab
        yield ipython
        for name in ("lab", "lab2", "modality", "cohort", "clinical"):
            ipython.user_ns.pop(name, None)


def test_the_answer_is_shown_and_kept(shell: Any) -> None:
    shell.user_ns["modality"] = "MR"
    cell = "SELECT PatientID FROM series WHERE Modality = $modality AND '$no' <> '' -- $never"
    answer = shell.run_cell_magic("pacs", "cohort", cell)
    assert list(answer["PatientID"]) == ["P2"]
    assert shell.user_ns["cohort"] is answer


def test_tables_of_the_notebook_join_in(shell: Any) -> None:
    shell.user_ns["clinical"] = pd.DataFrame({"PatientID": ["P1"], "outcome": ["well"]})
    answer = shell.run_cell_magic(
        "pacs", "", "SELECT outcome FROM studies JOIN clinical USING (PatientID)"
    )
    assert list(answer["outcome"]) == ["well"]


def test_which_lab(shell: Any, tmp_path: Path) -> None:
    with Lab(tmp_path / "b") as other:
        shell.user_ns["lab2"] = other
        with pytest.raises(UsageError, match="there are lab, lab2: say --lab NAME"):
            shell.run_cell_magic("pacs", "", "SELECT 1")
        count = shell.run_cell_magic("pacs", "--lab lab2", "SELECT count(*) AS n FROM series")
        assert list(count["n"]) == [0]
        with pytest.raises(UsageError, match="nothing is no Lab"):
            shell.run_cell_magic("pacs", "--lab nothing", "SELECT 1")
    del shell.user_ns["lab"], shell.user_ns["lab2"]
    with pytest.raises(UsageError, match="there is none"):
        shell.run_cell_magic("pacs", "", "SELECT 1")


def test_mistakes(shell: Any) -> None:
    with pytest.raises(UsageError, match="no variable modality"):
        shell.run_cell_magic("pacs", "", "SELECT $modality")
    with pytest.raises(SQLError, match="PatientName"):
        shell.run_cell_magic("pacs", "", "SELECT PatientNmae FROM studies")
