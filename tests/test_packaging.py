"""What is installed: the package, its notebooks, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import distribution, requires
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
# Licences that would oblige whoever passes pacslab on (docs/architecture.md, decision 12).
COPYLEFT = ("GPL", "AGPL")
LESSER = ("LGPL", "LESSER")


def test_the_wheel_has_the_package_and_the_notebooks(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT, check=True, capture_output=True, env={**os.environ, "HATCH_QUIET": "1"},
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "pacslab/py.typed" in names
    assert "pacslab/demo/PROVENANCE.md" in names
    assert any(n.endswith("share/pacslab/notebooks/01_first_steps.ipynb") for n in names)
    top = {n.split("/")[0] for n in names}
    assert len(top) == 3, top  # the package, its .data and its .dist-info
    assert not [n for n in names if "tests" in n.split("/")]


def _closure() -> set[str]:
    """Every package that a default install brings, directly or not."""
    seen: set[str] = set()
    waiting = ["pacslab"]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for line in requires(name) or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name.lower())
    return seen - {"pacslab"}


def test_no_dependency_of_the_default_install_is_under_the_gpl() -> None:
    names = _closure()
    assert len(names) > 60
    for name in names:
        metadata = distribution(name).metadata
        said = [metadata.get("License-Expression", ""), *(metadata.get_all("Classifier") or [])]
        if not said[0]:
            said.append((metadata.get("License") or "")[:60])
        text = " ".join(s for s in said if s and ("License" in s or "GPL" in s)).upper()
        if any(word in text for word in COPYLEFT):
            assert any(word in text for word in LESSER), (name, text)


def test_dependencies_stand_in_one_place() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert settings["project"]["dependencies"]
    conda = (ROOT / "environment.yml").read_text("utf-8")
    names = [Requirement(d).name for d in settings["project"]["dependencies"]]
    assert not [n for n in names if n in conda]
