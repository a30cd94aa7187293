"""The shell's verbs for other nodes, as a stranger would use them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pacslab.archive import Archive
from pacslab.cli import main
from pacslab.network.listener import DicomListener
from tests.network.certificates import Authority
from tests.network.conftest import HOST
from tests.network.test_find import STUDY_A, fill
from tests.servers import run, serving


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[DicomListener]:
    with Archive(tmp_path / "pacs") as archive:
        fill(archive)
        with DicomListener(archive, ae_title="PACS", port=0) as listener:
            yield listener


def test_find_get_move_commit(
    pacs: DicomListener, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    peer = f"PACS@{HOST}:{pacs.port}"
    assert main(["find", peer, "PatientID=P1", "--format", "json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["StudyInstanceUID"] == STUDY_A

    study = f"StudyInstanceUID={STUDY_A}"
    folder = tmp_path / "out"
    assert main(["get", peer, study, "--output", str(folder)]) == 0
    assert len(list(folder.glob("*.dcm"))) == 3
    assert capsys.readouterr().out == "3 retrieved, 0 failed\n"
    assert main(["get", peer, study, "--archive", str(tmp_path / "mine")]) == 0
    with Archive(tmp_path / "mine") as mine:
        assert mine.counts()["instances"] == 3
    capsys.readouterr()

    assert main(["commit", str(folder), peer]) == 0
    assert capsys.readouterr().out == "3 committed, 0 not\n"

    assert main(["move", peer, "NOWHERE", study]) == 1
    told = capsys.readouterr()
    assert told.out == "0 moved, 0 failed\n"
    assert "0xA801" in told.err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["find", "PACS@127.0.0.1:1", "PatientID"], "write keys as"),
        (["get", "PACS@127.0.0.1:1", "PatientID=1"], "--output FOLDER or --archive DIR"),
        (["move", "PACS@127.0.0.1:1", "X", "Modality=CT"], "say what"),
        (["find", "nonsense"], "isn't a DICOM node"),
    ],
)
def test_wrong_usage(words: list[str], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    told = capsys.readouterr().err
    assert why in told
    assert told.count("\n") == 1


def test_peers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = str(tmp_path / "archive")
    Archive(directory).close()
    words = ["peers", directory, "--add", "WS", "--address", "10.0.0.7:104", "--allow",
             "query,move", "--calls-from", "10.0.0.0/24"]  # fmt: skip
    assert main(words) == 0
    assert capsys.readouterr().out == "WS\t10.0.0.7:104\tquery, move\t10.0.0.0/24\n"
    assert main(["peers", directory, "--remove", "WS"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["peers", directory, "--remove", "WS"]) == 2


def test_a_server_with_tls_and_a_registry_of_its_own(tmp_path: Path) -> None:
    """Options by environment, on both sides; the password comes by environment too."""
    authority = Authority.make(tmp_path / "ca")
    server, scanner = authority.security("server"), authority.security("scanner")
    registry = tmp_path / "peers.toml"
    secret = {"PACSLAB_PEERS": str(registry), "PACSLAB_PASSWORD": "secret"}
    done = run("peers", str(tmp_path / "a"), "--add", "CT1", "--address", HOST, "--user", "jane",
               environment=secret)  # fmt: skip
    assert done.returncode == 0, done.stderr
    files = [str(f) for f in (server.certificate, server.key, server.authorities)]
    with serving(tmp_path / "a", "--tls-certificate", files[0], "--tls-key", files[1],
                 "--tls-ca", files[2], "--peers", str(registry)) as ready:  # fmt: skip
        calling = {
            "PACSLAB_TLS": "1",
            "PACSLAB_TLS_CERTIFICATE": str(scanner.certificate),
            "PACSLAB_TLS_KEY": str(scanner.key),
            "PACSLAB_TLS_CA": str(scanner.authorities),
            "PACSLAB_CALLING_AE_TITLE": "CT1",
            "PACSLAB_USER": "jane",
        }
        peer = f"PACSLAB@{ready.dicom}"
        done = run("echo", peer, environment={**calling, "PACSLAB_PASSWORD": "secret"})
        assert done.returncode == 0, done.stderr
        done = run("echo", peer, environment={**calling, "PACSLAB_PASSWORD": "wrong"})
        assert done.returncode == 1
        assert "password" in done.stderr
        done = run("echo", peer, environment={**calling, "PACSLAB_TLS": "0"})
        assert done.returncode == 1
