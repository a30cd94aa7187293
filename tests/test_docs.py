"""The documentation says what is true."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pacslab import Lab
from pacslab.cli import _parser
from tests.servers import run

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    p
    for p in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("pacslab/**/*.md"))
    if "node_modules" not in p.parts
    if not any(part.startswith(".") for part in p.relative_to(ROOT).parts)
)


def _generated() -> dict[Path, str]:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: dict[Path, str] = module.pages()
    return found


def test_generated_parts_are_up_to_date() -> None:
    for path, text in _generated().items():
        assert path.read_text("utf-8") == text, f"{path.name}: run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text("utf-8")):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def _commands() -> list[str]:
    found = []
    for page in PAGES:
        blocks = re.findall(r"^```(?:sh)?\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)
        for line in "\n".join(blocks).replace("\\\n", " ").splitlines():
            if line.startswith("pacslab "):
                found.append(line.split("  #")[0].strip())
    return sorted(set(found))


@pytest.mark.parametrize("command", _commands())
def test_commands_that_are_shown_can_be_parsed(command: str) -> None:
    words = shlex.split(command.split(" | ", maxsplit=1)[0])[1:]
    assert _parser().parse_args(words).run is not None


def test_the_readme_starts_with_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert text.index("make lab") < text.index("make test") < 700
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.M)
    for command in re.findall(r"`make ([a-z]+)`|^make ([a-z]+)", text, re.M):
        assert (command[0] or command[1]) in targets


def test_the_readmes_python_uses_what_lab_has() -> None:
    for name in re.findall(r"\blab\.([a-z_]+)", (ROOT / "README.md").read_text("utf-8")):
        assert hasattr(Lab, name), f"Lab has no {name}"


def test_every_command_is_in_the_readme_or_the_operations_page() -> None:
    told = (ROOT / "README.md").read_text("utf-8") + (ROOT / "docs/operations.md").read_text()
    for name in re.findall(r"^    ([a-z]+) ", run("--help").stdout, re.M):
        assert f"pacslab {name}" in told, name


def test_ci_calls_only_what_the_readme_mentions() -> None:
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    assert re.findall(r"^make (\w+)", script, re.M) == ["test"]


def test_notebooks_are_committed_without_outputs_and_functions() -> None:
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    assert len(notebooks) >= 2
    for path in notebooks:
        for cell in json.loads(path.read_text("utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                assert cell["outputs"] == [], path.name
                assert cell["execution_count"] is None, path.name
                assert not re.search(r"^(def|class) ", "".join(cell["source"]), re.M), path.name


def test_nothing_generated_or_downloaded_is_committed() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\n")
    for name in filter(None, listed):
        assert not name.endswith((".dcm", ".zip", ".sqlite", ".whl", ".tar.gz")), name
        assert (ROOT / name).stat().st_size < 1_500_000, name
