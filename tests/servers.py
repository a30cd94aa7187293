"""A real ``pacslab serve`` process for tests, on free ports of the loopback address."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from pacslab.server.record import Record


@contextmanager
def serving(directory: Path, *options: str, stderr: Path | None = None) -> Iterator[Record]:
    """A server over an archive, from its ready line to its end; it must end by SIGTERM, with 0."""
    process, ready = start(directory, *options, stderr=stderr)
    try:
        yield ready
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def start(
    directory: Path, *options: str, stderr: Path | None = None
) -> tuple[subprocess.Popen[str], Record]:
    """A server process and what its ready line says."""
    words = [sys.executable, "-m", "pacslab", "serve", str(directory)]
    words += ["--dicom-port", "0", "--http-port", "0", *options]
    log = (stderr or directory.parent / "serve.log").open("ab")
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"the server ended: {(stderr or directory.parent / 'serve.log').read_text()}"
    return process, Record(**json.loads(line))


def client(ready: Record) -> httpx.Client:
    """An HTTP client that carries the token; addresses are relative to the server's root."""
    return httpx.Client(
        base_url=ready.base,
        headers={"Authorization": f"Bearer {ready.token}"},
        trust_env=False,
        timeout=120,
    )


def run(*words: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """The command line, as a stranger would use it."""
    return subprocess.run(
        [sys.executable, "-m", "pacslab", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, **(environment or {})},
    )


def eventually(holds: Callable[[], bool], seconds: float = 60) -> bool:
    """Whether something holds within some seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.05)
    return holds()
