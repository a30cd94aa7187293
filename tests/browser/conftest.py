"""A browser, and JupyterLab below a base URL, as a JupyterHub has it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
PATIENCE = 120_000  # ms; for a machine that has other things to do
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


@pytest.fixture(scope="module")  # its event loop runs as long: others want their own
def chromium() -> Iterator[Browser]:
    """Debian's Chromium without a screen."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=_FLAGS, timeout=PATIENCE
        )
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A window that nobody else uses."""
    made = chromium.new_page(viewport={"width": 1500, "height": 1150})
    made.set_default_timeout(PATIENCE)
    yield made
    made.close()


@dataclass(frozen=True, slots=True)
class JupyterLab:
    """A running JupyterLab and the folder that it shows."""

    url: str
    folder: Path

    def open(self, page: Page, notebook: str) -> None:
        """Open a notebook and wait until it is there."""
        page.goto(f"{self.url}lab/tree/{notebook}?token=secret")
        page.wait_for_selector(".jp-Notebook .jp-Cell")
        page.wait_for_function("window.jupyterapp !== undefined")

    def run_all(self, page: Page) -> None:
        """Begin to run every cell, once there is a kernel that listens."""
        page.locator("#jp-main-statusbar").get_by_text("Idle").wait_for()
        page.evaluate("() => void window.jupyterapp.commands.execute('notebook:run-all-cells')")


@pytest.fixture
def jupyter(tmp_path: Path) -> Iterator[JupyterLab]:
    """JupyterLab on a free port, below /user/jane/."""
    folder = tmp_path / "notebooks"
    shutil.copytree(NOTEBOOKS, folder)
    runtime = tmp_path / "runtime"
    environment = {
        **os.environ,
        "PACSLAB_SQL_DIR": str(tmp_path / "archive"), "PACSLAB_PATIENTS": "40",
        "PACSLAB_HTTP_PORT": "0", "PACSLAB_DICOM_PORT": "0",
        "JUPYTER_RUNTIME_DIR": str(runtime), "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
        "JUPYTER_NO_CONFIG": "1", "IPYTHONDIR": str(tmp_path / "ipython"),
    }  # fmt: skip
    with (tmp_path / "jupyter.log").open("wb") as log:
        running = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--port=0",
             f"--ServerApp.root_dir={folder}", "--IdentityProvider.token=secret",
             "--ServerApp.base_url=/user/jane/", "--LabApp.expose_app_in_browser=True",
             "--LabApp.news_url=None"],
            env=environment, stderr=log, stdout=log,
        )  # fmt: skip
    try:
        yield JupyterLab(_address(running, runtime, tmp_path / "jupyter.log"), folder)
    finally:
        running.terminate()
        running.wait(60)


def _address(running: subprocess.Popen[bytes], runtime: Path, log: Path) -> str:
    deadline = time.monotonic() + PATIENCE / 1000
    while time.monotonic() < deadline and running.poll() is None:
        for told in runtime.glob("jpserver-*.json"):
            try:
                return str(json.loads(told.read_text())["url"])
            except ValueError:
                pass  # it is being written
        time.sleep(0.05)
    raise AssertionError(log.read_text())
