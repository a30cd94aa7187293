"""The server process as the contract has it: ready line, one server, clean end."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pacslab.errors import UsageError
from pacslab.network import client as dimse
from pacslab.server import record
from pacslab.server.settings import Settings
from tests.making import instance
from tests.servers import client, run, serving, start


def test_the_ready_line_is_all_of_stdout_and_both_ports_answer(tmp_path: Path) -> None:
    process, ready = start(tmp_path / "a", "--ae-title", "LAB")
    line = json.loads((tmp_path / "a" / "server.json").read_text())
    assert list(line) == ["pid", "ae_title", "dicom", "dicomweb", "viewer", "token"]
    assert (ready.pid, ready.ae_title) == (process.pid, "LAB")
    host, port = ready.dicom.split(":")
    assert host == "127.0.0.1"
    assert dimse.echo(host, int(port), ae_title="LAB") is not None
    with client(ready) as web:
        assert web.get("/health", headers={"Authorization": ""}).status_code == 200
        assert web.get("/dicom-web/studies", headers={"Authorization": ""}).status_code == 401
        assert web.get("/dicom-web/studies").status_code in (200, 204)
    assert stat.S_IMODE((tmp_path / "a" / "server.json").stat().st_mode) == 0o600
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert time.monotonic() - started < 10
    assert process.stdout is not None
    assert process.stdout.read() == ""
    assert not (tmp_path / "a" / "server.json").exists()


def test_interrupt_ends_it_too(tmp_path: Path) -> None:
    process, _ = start(tmp_path / "a")
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0


def test_a_second_server_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    with serving(tmp_path / "a") as ready:
        second = run("serve", str(tmp_path / "a"), "--dicom-port", "0", "--http-port", "0")
        assert second.returncode == 1
        assert second.stdout == ""
        assert len(second.stderr.strip().splitlines()) == 1
        assert f"pid {ready.pid}" in second.stderr
        assert record.read(tmp_path / "a") == ready


def test_a_server_that_was_killed_leaves_no_obstacle(tmp_path: Path) -> None:
    process, _ = start(tmp_path / "a")
    process.kill()
    process.wait(60)
    assert (tmp_path / "a" / "server.json").exists()
    assert record.read(tmp_path / "a") is None
    with serving(tmp_path / "a") as ready:
        assert ready.pid != process.pid


@pytest.mark.parametrize("option", ["--dicom-port", "--http-port"])
def test_a_port_in_use_is_told_with_its_holder(tmp_path: Path, option: str) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = str(holder.getsockname()[1])
        other = "--http-port" if option == "--dicom-port" else "--dicom-port"
        failed = run("serve", str(tmp_path / "a"), option, port, other, "0")
    assert failed.returncode == 1
    assert port in failed.stderr
    assert f"pid {os.getpid()}" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_settings_come_from_the_environment_and_the_command_line_wins(tmp_path: Path) -> None:
    environment = {"PACSLAB_AE_TITLE": "FROMENV", "PACSLAB_DICOM_PORT": "0",
                   "PACSLAB_HTTP_PORT": "0", "PACSLAB_TOKEN": "sesame"}  # fmt: skip
    words = [sys.executable, "-m", "pacslab", "serve", str(tmp_path / "a")]
    for options, title in (([], "FROMENV"), (["--ae-title", "GIVEN"], "GIVEN")):
        process = subprocess.Popen(
            words + options, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
        )
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert (told["ae_title"], told["token"]) == (title, "sesame")
        process.terminate()
        assert process.wait(60) == 0


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"PACSLAB_DICOM_PORT": "eleven"}, "PACSLAB_DICOM_PORT is 'eleven'"),
        ({"PACSLAB_ALLOW_DELETE": "maybe"}, "take 1 or 0"),
        ({"PACSLAB_AE_TITLE": "x" * 17}, "1 to 16"),
        ({"PACSLAB_HTTP_PORT": "70000"}, "take 0 to 65535"),
        ({"PACSLAB_ON_CONFLICT": "merge"}, "keep, replace, refuse"),
        ({"PACSLAB_LOG_LEVEL": "loud"}, "debug, info"),
    ],
)
def test_settings_that_cannot_be_meant(environment: dict[str, str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Settings.from_options({}, environment)


def test_settings_survive_the_way_through_a_command_line() -> None:
    settings = Settings(ae_title="A B", dicom_port=0, allow_delete=True, token="secret")
    words = settings.arguments()
    assert "secret" not in words
    assert words == ["--ae-title", "A B", "--dicom-port", "0", "--allow-delete"]


def test_what_is_acknowledged_when_it_stops_is_stored(tmp_path: Path) -> None:
    process, ready = start(tmp_path / "a")
    sent = [instance() for _ in range(30)]
    statuses = []
    with client(ready) as web:
        for i, data in enumerate(sent):
            if i == 20:
                process.send_signal(signal.SIGTERM)
            try:
                answer = web.post("/dicom-web/studies", content=data,
                                  headers={"Content-Type": "application/dicom"})  # fmt: skip
            except OSError:
                break
            except Exception:  # the connection ends in one of httpx's many ways
                break
            statuses.append(answer.status_code)
    assert process.wait(60) == 0
    assert statuses[:20] == [200] * 20
    stored = list((tmp_path / "a" / "files").glob("*/*/*.dcm"))
    assert len(stored) >= statuses.count(200)
    assert run("check", str(tmp_path / "a")).returncode == 0


def test_it_ends_with_its_owner(tmp_path: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process, _ = start(tmp_path / "a", "--owner", str(owner.pid))
    assert psutil.pid_exists(process.pid)
    owner.kill()
    owner.wait()
    assert process.wait(60) == 0
