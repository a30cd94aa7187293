"""Writes the parts of the documentation that follow from the code (``make docs``).

A test fails when a page isn't what this would write.
"""

from __future__ import annotations

import re
import runpy
from dataclasses import fields
from pathlib import Path

from pacslab.archive import schema
from pacslab.server.settings import PREFIX, Settings

DOCS = Path(__file__).parent


def pages() -> dict[Path, str]:
    """Every page with generated parts, and its text as it should be."""
    operations = DOCS / "operations.md"
    text = operations.read_text("utf-8")
    return {
        DOCS / "schema.md": schema.markdown(),
        operations: _between(text, "settings", _settings()),
        DOCS / "conformance.md": _conformance(),
    }


def _conformance() -> str:
    text = (DOCS / "conformance.md").read_text("utf-8")
    for name, table in runpy.run_path(str(DOCS / "tables.py"))["TABLES"].items():
        text = _between(text, name, table())
    return text


def _settings() -> str:
    lines = ["| option | variable | default | |", "| --- | --- | --- | --- |"]
    for setting in fields(Settings):
        name = setting.name
        default = "" if setting.default in ("", False) else f"`{setting.default}`"
        option = f"`--{name.replace('_', '-')}`"
        lines.append(
            f"| {option} | `{PREFIX}{name.upper()}` | {default} | {setting.metadata['help']} |"
        )
    return "\n".join(lines)


def _between(text: str, name: str, inside: str) -> str:
    pattern = rf"(<!-- {name} -->\n).*?(\n?<!-- /{name} -->)"
    assert re.search(pattern, text, re.DOTALL), f"no place for {name}"
    return re.sub(pattern, lambda m: m[1] + inside + "\n" + m[2].lstrip(), text, flags=re.DOTALL)


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, "utf-8")
