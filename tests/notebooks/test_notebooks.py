"""The notebooks run from top to bottom, against real servers on free ports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest
from nbclient import NotebookClient

from pacslab import Lab

FOLDER = Path(__file__).parents[2] / "notebooks"


def execute(name: str, monkeypatch: pytest.MonkeyPatch, **environment: str) -> Any:
    """Run a notebook in a kernel of its own; the notebook with its outputs."""
    for key, value in {"PACSLAB_DICOM_PORT": "0", "PACSLAB_HTTP_PORT": "0", **environment}.items():
        monkeypatch.setenv(key, value)
    notebook = nbformat.read(FOLDER / name, as_version=4)
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(FOLDER)}})
    return client.execute()


def outputs(notebook: Any, kind: str) -> list[str]:
    """Every output of a media type."""
    found = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if kind in output.get("data", {}):
                found.append(str(output["data"][kind]))
    return found


def no_server_on(directory: Path) -> bool:
    return not any(
        str(directory) in (p.info["cmdline"] or []) for p in psutil.process_iter(["cmdline"])
    )


@pytest.mark.timeout(600)
def test_first_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "demo"
    done = execute("01_first_steps.ipynb", monkeypatch, PACSLAB_DIR=str(directory))
    html = "".join(outputs(done, "text/html"))
    assert html.count("data:image/jpeg;base64,") >= 10, "the contact sheet has real pictures"
    assert "server running" in html
    assert outputs(done, "image/jpeg"), "a slice rendered by the server"
    assert len(outputs(done, "image/svg+xml")) == 2
    assert "0x0000" in html
    assert "not a DICOM file" in html
    assert no_server_on(directory)


@pytest.mark.timeout(600)
def test_cohort_sql(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "synthetic"
    done = execute(
        "03_cohort_sql.ipynb", monkeypatch,
        PACSLAB_SQL_DIR=str(directory), PACSLAB_PATIENTS="60",
    )  # fmt: skip
    html = "".join(outputs(done, "text/html"))
    assert html.count("data:image/jpeg;base64,") >= 10
    assert "relapse" in html
    assert "PatientBirthDate" in html
    text = "".join(o.get("text", "") for c in done.cells for o in c.get("outputs", []))
    assert "PatientName" in text, "the mistake is answered with what was meant"
    assert len(outputs(done, "image/svg+xml")) == 2
    assert (directory / "index.sqlite").exists()


@pytest.mark.timeout(600)
def test_dashboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "synthetic"
    done = execute(
        "05_dashboard.ipynb", monkeypatch,
        PACSLAB_SQL_DIR=str(directory), PACSLAB_PATIENTS="60",
    )  # fmt: skip
    assert len(outputs(done, "application/vnd.jupyter.widget-view+json")) >= 2
    text = "".join(o.get("text", "") for c in done.cells for o in c.get("outputs", []))
    assert "list_contains($modalities, Modality)" in text
    assert "modalities=['CT']" in text
    plain = "".join(outputs(done, "text/plain"))
    assert "ct-40-to-80" in plain
    assert "0x0000" in plain
    assert no_server_on(directory)


@pytest.mark.timeout(600)
def test_export_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "synthetic"
    done = execute(
        "06_export_dataset.ipynb", monkeypatch,
        PACSLAB_SQL_DIR=str(directory), PACSLAB_PATIENTS="60",
    )  # fmt: skip
    html = "".join(outputs(done, "text/html"))
    assert "mr-heads" in html
    assert "gone" in html, "the cohort misses the image that was taken out"
    text = "".join(o.get("text", "") for c in done.cells for o in c.get("outputs", []))
    assert "_T1w.nii.gz" in text
    assert "# pacslab cohort 1" in text
    assert "Licence: CC0 1.0" in text


@pytest.mark.timeout(600)
def test_deidentification_audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = execute(
        "04_deidentification_audit.ipynb", monkeypatch,
        PACSLAB_DEID_DIR=str(tmp_path), PACSLAB_PATIENTS="12",
    )  # fmt: skip
    html = "".join(outputs(done, "text/html"))
    assert "originals searched" in html
    assert "overridden" in html
    text = "".join(o.get("text", "") for c in done.cells for o in c.get("outputs", []))
    assert "the gate is closed" in text
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "Signature" in page
    with Lab(tmp_path / "raw") as raw:
        names = set(raw.sql("SELECT PatientID FROM studies WHERE len(PatientID) > 6").PatientID)
    shown = html + text + page
    assert not [name for name in names if name in shown]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("sql/*.sql")), ids=lambda path: path.stem)
def test_kept_queries(path: Path, tmp_path: Path) -> None:
    with Lab(tmp_path / "a") as lab:
        lab.synthesize(patients=12, progress=False)
        assert path.read_text("utf-8").startswith("-- ")
        assert len(lab.sql(path.read_text("utf-8")).columns) > 2
