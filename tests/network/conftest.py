"""A listener on a free port, and other people's programs against it."""

from __future__ import annotations

import os
import queue
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from pacslab.archive import Archive
from pacslab.dicom.instance import data_set_offset
from pacslab.network import client
from pacslab.network.listener import DicomListener
from pacslab.network.summary import AssociationSummary
from tests.conftest import dcmtk

HOST = "127.0.0.1"


@dataclass
class Node:
    """A running listener, its archive, and the associations that have ended."""

    listener: DicomListener
    archive: Archive
    ended: queue.Queue[AssociationSummary]

    @property
    def port(self) -> int:
        return self.listener.port

    def send(self, *things: Any, **options: Any) -> list[client.SendResult]:
        options = {"ae_title": "PACSLAB", "progress": False, **options}
        return client.send(things, HOST, self.port, **options)

    def stored(self) -> dict[str, bytes]:
        """The data sets in the archive by SOP Instance UID, without file meta information."""
        return {s.sop_instance_uid: data_set(s.path.read_bytes()) for s in self.archive.instances()}

    def next_ended(self) -> AssociationSummary:
        return self.ended.get(timeout=60)


@pytest.fixture
def serve(archive: Archive) -> Iterator[Callable[..., Node]]:
    """Starts listeners over the test's archive, and stops them."""
    with ExitStack() as stack:

        def start(**options: Any) -> Node:
            ended: queue.Queue[AssociationSummary] = queue.Queue()
            listener = DicomListener(archive, port=0, on_association=ended.put, **options)
            stack.enter_context(listener)
            return Node(listener, archive, ended)

        yield start


@pytest.fixture
def node(serve: Callable[..., Node]) -> Node:
    return serve()


def data_set(part10: bytes) -> bytes:
    return part10[data_set_offset(part10) :]


def run(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [dcmtk(program), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "TCP_NODELAY": "1"},
    )


@contextmanager
def storescp(folder: Path, *options: str) -> Iterator[int]:
    """DCMTK's receiver over a folder; its port, once it answers."""
    folder.mkdir(exist_ok=True)
    with socket.create_server((HOST, 0)) as taken:
        port = int(taken.getsockname()[1])
    command = [dcmtk("storescp"), *options, "-od", str(folder), str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            # A connection made to find out would be the one that --refuse and --abort are for
            while not psutil.Process(process.pid).net_connections():
                assert process.poll() is None, "storescp ended at once"
                time.sleep(0.01)
            yield port
        finally:
            process.kill()
