"""The command line as a stranger would use it: answers, exit codes, one line for a mistake."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from pacslab.network import client as dimse
from tests.conftest import dicom_file
from tests.making import instance
from tests.servers import run, serving


def inbox(folder: Path) -> Path:
    folder.mkdir()
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "one").write_bytes(instance(StudyInstanceUID="1.1", SOPInstanceUID="1.1.9"))
    (folder / "deep" / "er" / "two.xyz").write_bytes(instance())
    (folder / ".hidden").write_bytes(b"not looked at")
    with zipfile.ZipFile(folder / "three.zip", "w") as made:
        made.writestr("a/b.dcm", instance())
        made.writestr("__MACOSX/a/._b.dcm", b"junk")
    return folder


def test_add_says_what_became_of_each_file(tmp_path: Path) -> None:
    directory, folder = str(tmp_path / "a"), inbox(tmp_path / "inbox")
    done = run("add", directory, str(folder))
    assert (done.returncode, done.stdout) == (0, "3 stored, 0 already there, 0 refused\n")
    (folder / "bad.dcm").write_bytes(b"this is no image whatever its name")
    (folder / "four").write_bytes(instance())
    done = run("add", directory, str(folder))
    assert done.stdout == "1 stored, 3 already there, 1 refused\n"
    assert done.returncode == 1
    assert "bad.dcm: not a DICOM file" in done.stderr
    assert run("check", directory).stdout == "4 instances checked, 0 faults\n"


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["add", "{d}", "/no/such/path"], 2, "/no/such/path doesn't exist"),
        (["add", "{foreign}", "{f}"], 2, "isn't an archive"),
        (["sql", "{d}/none", "SELECT 1"], 2, "there is no archive at"),
        (["check", "{d}/none"], 2, "there is no archive at"),
        (["reindex", "{d}/none"], 2, "there is no archive at"),
        (["sql", "{d}", "SELECT nothing FROM studies"], 2, "nothing"),
        (["echo", "nonsense"], 2, "AET@host:port"),
        (["echo", "PACSLAB@127.0.0.1:1"], 1, "127.0.0.1"),
        (["send", "/no/such", "PACSLAB@127.0.0.1:1"], 2, "doesn't exist"),
        (["serve"], 2, "required"),
        (["dance"], 2, "invalid choice"),
        (["serve", "{d}", "--dicom-port", "many"], 2, "invalid int"),
        (["serve", "{d}", "--ae-title", ""], 2, "AE title"),
        (["serve", "{d}", "--deidentify", "basic", "--trace"], 2, "leave one of them out"),
    ],
)
def test_mistakes_are_one_line_without_a_traceback(
    tmp_path: Path, words: list[str], code: int, says: str
) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.docx").write_text("words")
    names = {"d": tmp_path / "a", "foreign": foreign, "f": dicom_file("CT_small.dcm")}
    run("add", str(names["d"]), str(names["f"]))
    failed = run(*(w.format(**names) for w in words))
    assert failed.returncode == code
    assert says in failed.stderr
    assert "Traceback" not in failed.stderr
    if code == 2 and words[0] != "sql":  # an SQL mistake is shown with the line it stands in
        assert len(failed.stderr.strip().splitlines()) == 1
    assert failed.stdout == ""


def test_sql_in_every_format(tmp_path: Path) -> None:
    directory = str(tmp_path / "a")
    run("add", directory, str(inbox(tmp_path / "inbox")))
    question = "SELECT Modality, count(*) AS n FROM series GROUP BY 1"
    assert "CT" in run("sql", directory, question).stdout
    assert run("sql", directory, question, "--format", "csv").stdout == "Modality,n\nCT,3\n"
    as_json = run("sql", directory, question, environment={"PACSLAB_FORMAT": "json"}).stdout
    assert json.loads(as_json) == [{"Modality": "CT", "n": 3}]
    output = tmp_path / "answer.parquet"
    done = run("sql", directory, question, "--format", "parquet", "--output", str(output))
    assert done.returncode == 0
    assert pd.read_parquet(output).n.tolist() == [3]
    wrong = run("sql", directory, question, environment={"PACSLAB_FORMAT": "excel"})
    assert (wrong.returncode, "take one of" in wrong.stderr) == (2, True)


def test_check_and_reindex(tmp_path: Path) -> None:
    directory = tmp_path / "a"
    run("add", str(directory), str(inbox(tmp_path / "inbox")))
    lost = next((directory / "files").glob("*/*/*.dcm"))
    lost.rename(tmp_path / "kept.dcm")
    (directory / "index.sqlite").unlink()
    for leftover in directory.glob("index.sqlite-*"):
        leftover.unlink()
    done = run("check", str(directory))
    assert (done.returncode, "pacslab reindex" in done.stderr) == (2, True)
    done = run("reindex", str(directory))
    assert (done.returncode, done.stdout) == (0, "2 instances indexed, 0 left out\n")
    (tmp_path / "kept.dcm").rename(lost)
    done = run("check", str(directory))
    assert done.returncode == 1
    assert done.stdout == "2 instances checked, 1 faults\n"
    assert f"unindexed {lost}" in done.stderr


def test_reindex_waits_for_the_server_to_be_stopped(tmp_path: Path) -> None:
    with serving(tmp_path / "a") as ready:
        done = run("reindex", str(tmp_path / "a"))
    assert done.returncode == 1
    assert f"pid {ready.pid}" in done.stderr


def test_echo_and_send(tmp_path: Path) -> None:
    with serving(tmp_path / "a") as ready:
        peer = f"{ready.ae_title}@{ready.dicom}"
        assert run("echo", peer).stdout == f"{peer} answers\n"
        done = run("send", str(inbox(tmp_path / "inbox") / "deep"), peer)
        assert (done.returncode, done.stdout) == (0, "1 sent, 0 failed\n")
        host, port = ready.dicom.split(":")
        assert dimse.echo(host, int(port), ae_title="PACSLAB") is not None
    assert run("check", str(tmp_path / "a")).stdout == "1 instances checked, 0 faults\n"


def test_help_names_every_command() -> None:
    text = run("--help").stdout
    for name in ("serve", "add", "demo", "send", "echo", "sql", "check", "reindex", "lab"):
        assert name in text
