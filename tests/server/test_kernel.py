"""The server as a notebook has it: one, however often asked; gone when its kernels are gone."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from pacslab import Lab
from pacslab.errors import ServerError, UsageError
from pacslab.network import client as dimse
from pacslab.server import record
from tests.conftest import dicom_file
from tests.servers import eventually

SERVE = """
import pacslab
lab = pacslab.Lab({directory!r})
lab.serve(dicom_port=0, http_port=0)
print((lab.server.pid, lab.server.dicom))
"""


class Kernel:
    """A real IPython kernel."""

    def __init__(self) -> None:
        self.manager = KernelManager()
        self.manager.start_kernel()
        self.client: BlockingKernelClient = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def run(self, code: str, timeout: float = 60) -> str:
        """Run a cell; what it printed."""
        printed: list[str] = []
        reply = self.client.execute_interactive(
            code,
            timeout=timeout,
            output_hook=lambda m: printed.append(m["content"].get("text", "")),
        )
        assert reply["content"]["status"] == "ok", reply["content"]
        return "".join(printed)

    def restart(self) -> None:
        """As the notebook's button does."""
        self.manager.restart_kernel(now=True)
        self.client.wait_for_ready(timeout=60)

    def close(self) -> None:
        """As closing the notebook does."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    made = Kernel()
    yield made
    made.close()


def servers_of(directory: Path) -> list[int]:
    found = []
    for process in psutil.process_iter(["pid", "cmdline"]):
        words = process.info["cmdline"] or []
        if "serve" in words and str(directory) in words:
            found.append(process.info["pid"])
    return found


def test_ten_times_and_restarted_there_is_one_server_and_in_the_end_none(
    tmp_path: Path, kernel: Kernel
) -> None:
    directory = tmp_path / "a"
    code = SERVE.format(directory=str(directory))
    seen = {ast.literal_eval(kernel.run(code))[0] for _ in range(5)}
    assert len(seen) == 1
    kernel.restart()
    again = {ast.literal_eval(kernel.run(code)) for _ in range(5)}
    assert len(again) == 1
    ((pid, address),) = again
    assert servers_of(directory) == [pid]
    host, port = address.split(":")
    dimse.echo(host, int(port), ae_title="PACSLAB")
    kernel.close()
    assert eventually(lambda: servers_of(directory) == [])
    assert not (directory / "server.json").exists()
    listening = {c.laddr.port for c in psutil.net_connections("tcp") if c.status == "LISTEN"}
    assert int(port) not in listening


def test_a_server_that_two_kernels_use_ends_with_the_last(tmp_path: Path, kernel: Kernel) -> None:
    directory = tmp_path / "a"
    first, _ = ast.literal_eval(kernel.run(SERVE.format(directory=str(directory))))
    with Lab(directory) as lab:
        assert lab.serve().server.pid == first
        kernel.close()
        time.sleep(2)  # longer than the server takes to see that an owner is gone
        assert lab.server.pid == first
        lab.stop()
        assert servers_of(directory) == []


def test_a_busy_kernel_does_not_slow_the_server(tmp_path: Path, kernel: Kernel) -> None:
    """The same file, sent while the kernel is idle and while it holds its interpreter's lock."""
    directory = tmp_path / "a"
    _, address = ast.literal_eval(kernel.run(SERVE.format(directory=str(directory))))
    host, port = address.split(":")
    data = dicom_file("MR_small.dcm")

    def seconds() -> float:
        times = []
        for _ in range(9):
            started = time.perf_counter()
            dimse.echo(host, int(port), ae_title="PACSLAB")
            (sent,) = dimse.send([data], host, int(port), ae_title="PACSLAB", progress=False)
            assert sent.ok
            times.append(time.perf_counter() - started)
        return sorted(times)[len(times) // 2]

    with busy_process():  # so that both times the machine has as much to do
        idle = seconds()
    kernel.client.execute("x = 0\nwhile True: x += 1")
    assert eventually(lambda: psutil.Process(kernel_pid(kernel)).cpu_percent(0.2) > 50)
    busy = seconds()
    # In one process with the kernel, each of the exchange's many steps waits 5 ms for the lock.
    assert busy < 3 * idle + 0.1


@contextmanager
def busy_process() -> Iterator[None]:
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        other.kill()
        other.wait()


def kernel_pid(kernel: Kernel) -> int:
    pid = kernel.manager.provisioner.pid  # type: ignore[union-attr]
    assert isinstance(pid, int)
    return pid


def test_stay_outlives_the_kernel(tmp_path: Path, kernel: Kernel) -> None:
    directory = tmp_path / "a"
    code = SERVE.format(directory=str(directory)).replace("http_port=0", "http_port=0, stay=True")
    pid, _ = ast.literal_eval(kernel.run(code))
    kernel.close()
    time.sleep(2)
    assert psutil.pid_exists(pid)
    with Lab(directory) as lab:
        assert lab.server.pid == pid
        lab.stop()
    assert eventually(lambda: servers_of(directory) == [])


def test_why_a_server_does_not_start_is_said(tmp_path: Path) -> None:
    with Lab(tmp_path / "a") as one, Lab(tmp_path / "b") as other:
        one.serve(dicom_port=0, http_port=0)
        taken = int(one.server.dicom.rsplit(":", 1)[1])
        with pytest.raises(ServerError, match=rf"{taken}.*pid {one.server.pid}"):
            other.serve(dicom_port=taken, http_port=0)
        with pytest.raises(UsageError, match="stop it first"):
            one.serve(dicom_port=taken + 1)
        with pytest.raises(UsageError, match="no setting 'port'"):
            one.serve(port=1)
        one.stop()
        with pytest.raises(ServerError, match=r"lab\.serve\(\)"):
            _ = one.server


def test_a_temporary_lab_leaves_nothing_behind() -> None:
    lab = Lab()
    directory = lab.directory
    lab.serve(dicom_port=0, http_port=0)
    assert record.read(directory) is not None
    lab.close()
    assert not directory.exists()
    assert servers_of(directory) == []
