"""JupyterLab, opened on the notebooks that come with the package."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Final

from pacslab.errors import NotFoundError

FIRST: Final = "01_first_steps.ipynb"
ARCHIVE: Final = "PACSLAB_DIR"
"""The environment variable that tells the notebooks which archive to use."""


def launch(archive: Path | None) -> int:
    """Run JupyterLab in the foreground on the first notebook; its exit code."""
    folder = notebooks()
    environment = os.environ | ({ARCHIVE: str(archive)} if archive else {})
    words = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder}"]
    words.append(f"--LabApp.default_url=/lab/tree/{FIRST}")
    if os.geteuid() == 0:
        # In a container everyone is root, and Jupyter would refuse; it has its token all the same.
        words.append("--allow-root")
    return subprocess.run(words, env=environment, check=False).returncode


def notebooks() -> Path:
    """The folder of notebooks to work in: the checkout's, or a copy of the package's.

    A copy that is there already is kept, with whatever its user wrote into it.
    """
    checkout = Path(__file__).parents[2] / "notebooks"
    if (checkout / FIRST).exists():
        return checkout
    copy = Path.cwd() / "pacslab-notebooks"
    installed = Path(sysconfig.get_path("data"), "share", "pacslab", "notebooks")
    if not (installed / FIRST).exists():
        raise NotFoundError(f"the notebooks aren't where they were installed, in {installed}")
    for source in sorted(installed.rglob("*")):
        target = copy / source.relative_to(installed)
        if source.is_file() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    return copy
