"""The server from the outside: started for a kernel, found again, stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final

import psutil

from pacslab.errors import ServerError, UsageError
from pacslab.server import record
from pacslab.server.record import Record
from pacslab.server.settings import PREFIX, Settings

LOG: Final = "server.log"

_children: dict[int, subprocess.Popen[bytes]] = {}
"""Servers that this process started: kept, so that they are reaped when they end."""


def start(
    directory: Path, settings: Settings, *, stay: bool = False, timeout: float = 60
) -> Record:
    """The server of this archive: the one that runs, or a new process.

    It ends with this process (and all others that called this), unless ``stay``. Raises
    ServerError when none can be started, with the reason that it gave.
    """
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        running = record.read(directory)
        if running is None:
            found = _spawn(directory, settings, stay, deadline)
            if found is not None:
                return found
        elif _adopt(running, None if stay else os.getpid()):
            return _checked(running, directory, settings)
        # It is stopping, or someone else is starting one at this moment.
        time.sleep(0.05)
    raise ServerError(
        f"no server answers on {directory} after {timeout:.0f} s: see {directory / LOG}"
    )


def stop(directory: Path, timeout: float = 15) -> bool:
    """End the server of this archive and wait for it; False when none runs.

    Raises ServerError when it doesn't end.
    """
    running = record.read(directory)
    if running is None:
        return False
    try:
        process = psutil.Process(running.pid)
        process.send_signal(signal.SIGTERM)
        process.wait(timeout)
    except psutil.NoSuchProcess:
        pass
    except psutil.TimeoutExpired:
        raise ServerError(
            f"the server (pid {running.pid}) didn't end within {timeout:.0f} s: see "
            f"{directory / LOG}"
        ) from None
    return True


def request(running: Record, path: str, body: object | None = None, timeout: float = 10) -> Any:
    """Ask the running server something in JSON. Raises OSError when it doesn't answer."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {running.token}", "Content-Type": "application/json"}
    # Loopback never goes through a proxy that the environment names for the outside.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    asked = urllib.request.Request(running.base + path, data, headers)
    with opener.open(asked, timeout=timeout) as answer:
        return json.loads(answer.read())


def _adopt(running: Record, pid: int | None) -> bool:
    try:
        request(running, "/server/owners", {"pid": pid})
    except OSError:
        return False
    return True


def _checked(running: Record, directory: Path, settings: Settings) -> Record:
    """The running server, if it is what was asked for; a fixed port elsewhere isn't."""
    for name, asked in (("dicom", settings.dicom_port), ("dicomweb", settings.http_port)):
        address = getattr(running, name).removesuffix("/dicom-web")
        has = int(address.rsplit(":", 1)[1])
        default = Settings.dicom_port if name == "dicom" else Settings.http_port
        if asked not in (0, default, has):
            raise UsageError(
                f"a server runs on {directory} already, with {name} at port {has} and not "
                f"{asked}: stop it first (lab.stop()), or ask for no port"
            )
    return running


def _spawn(directory: Path, settings: Settings, stay: bool, deadline: float) -> Record | None:
    """A new server process; None when another one was quicker."""
    directory.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, "-m", "pacslab", "serve", str(directory), *settings.arguments()]
    if not stay:
        words += ["--owner", str(os.getpid())]
    environment = os.environ | ({PREFIX + "TOKEN": settings.token} if settings.token else {})
    with (directory / LOG).open("ab") as log:
        began = log.tell()
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            env=environment,
            # A session of its own: interrupting the kernel must not reach the server.
            start_new_session=True,
        )
    _children[process.pid] = process
    while time.monotonic() < deadline:
        running = record.read(directory)
        if running is not None and running.pid == process.pid:
            return running
        if process.poll() is not None:
            if running is not None:
                return None
            raise ServerError(_last_words(directory / LOG, began))
        time.sleep(0.02)
    process.terminate()
    process.wait()
    return None


def _last_words(log: Path, began: int) -> str:
    text = log.read_bytes()[began:].decode("utf-8", "replace").strip()
    if not text:
        return f"the server ended without a word: see {log}"
    return text.splitlines()[-1].removeprefix("pacslab: ")
