"""Notebook 05 in a real JupyterLab: filters, a row, its pictures, and what arrives meanwhile."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Page, expect

from pacslab import Lab
from tests.browser.conftest import PATIENCE, JupyterLab
from tests.making import instance

pytestmark = [pytest.mark.chromium, pytest.mark.timeout(600)]
expect.set_options(timeout=PATIENCE)


def _only_beginning(path: Path) -> None:
    """The notebook up to the dashboard, so that the rest doesn't use it meanwhile."""
    notebook = nbformat.read(path, as_version=4)
    shown = next(
        i
        for i, c in enumerate(notebook.cells)
        if "lab.dashboard()" in c.source and c.cell_type == "code"
    )
    notebook.cells = notebook.cells[: shown + 1]
    nbformat.write(notebook, path)


def test_the_dashboard_in_jupyterlab(page: Page, jupyter: JupyterLab, tmp_path: Path) -> None:
    _only_beginning(jupyter.folder / "05_dashboard.ipynb")
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    jupyter.open(page, "05_dashboard.ipynb")
    jupyter.run_all(page)
    dashboard = page.locator(".pacslab-dashboard")
    rows = dashboard.locator(".dt-container tbody tr")
    expect(rows).to_have_count(15)
    expect(dashboard.locator("svg.marks")).to_have_count(3)
    with Lab(tmp_path / "archive") as lab:
        series, instances = lab.counts["series"], lab.counts["instances"]
        heads = len(lab.sql("SELECT 1 FROM series WHERE Modality = 'MR'"))
    numbers = dashboard.locator(".pacslab-numbers b")
    expect(numbers.nth(2)).to_have_text(f"{series:,}")

    dashboard.locator("select").first.select_option(label=f"MR  ({heads})")
    expect(numbers.nth(2)).to_have_text(f"{heads}")
    expect(rows.first).to_contain_text("MR")
    rows.nth(1).click()
    viewer = page.frame_locator('iframe[title="pacslab viewer"]')
    expect(viewer.locator("body")).to_have_attribute("data-state", "ready")
    expect(viewer.locator("#where")).to_contain_text("MR")
    dashboard.scroll_into_view_if_needed()
    page.screenshot(path=tmp_path / "dashboard.png")

    dashboard.get_by_role("button", name="Reset").click()
    expect(numbers.nth(2)).to_have_text(f"{series:,}")
    with Lab(tmp_path / "archive") as lab:
        lab.archive.add(instance(PatientID="LATER"))
    expect(numbers.nth(3)).to_have_text(f"{instances + 1:,}")
    dashboard.get_by_text("SQL", exact=True).click()
    expect(dashboard.locator("textarea")).to_have_value(re.compile(r"^lab\.sql"))
    assert complaints == []
