"""Pictures are made in processes of their own: what one does to its process no other feels."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from pacslab.errors import NotAcceptableError, PixelError
from pacslab.web.painting import Painters
from tests.conftest import dicom_file
from tests.servers import client, eventually, start


def double(number: int) -> int:
    return 2 * number


def own_process() -> int:
    return os.getpid()


def break_down() -> None:
    os._exit(11)  # as a codec does that reads where it must not


def refuse() -> None:
    raise NotAcceptableError("not so")


@asynccontextmanager
async def painters() -> AsyncIterator[Painters]:
    made = Painters(2)
    try:
        yield made
    finally:
        made.close()


def test_results_and_errors_come_back() -> None:
    async def asked() -> None:
        async with painters() as some:
            assert await some.run(own_process) != os.getpid()
            assert await asyncio.gather(*(some.run(double, n) for n in range(20))) == [
                2 * n for n in range(20)
            ]
            with pytest.raises(NotAcceptableError, match="not so"):
                await some.run(refuse)

    asyncio.run(asked())


def test_what_ends_its_process_is_an_error_and_the_others_get_their_answers() -> None:
    async def asked() -> None:
        async with painters() as some:
            for _ in range(2):
                asks = [some.run(double, n) for n in range(6)]
                *others, broken = await asyncio.gather(
                    *asks, some.run(break_down), return_exceptions=True
                )
                assert others == [2 * n for n in range(6)]
                assert isinstance(broken, PixelError)
            assert await some.run(double, 4) == 8

    asyncio.run(asked())


def family(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_they_go_with_their_server(tmp_path: Path, number: signal.Signals) -> None:
    process, ready = start(tmp_path / "a")
    with client(ready) as web:
        headers = {"Content-Type": "application/dicom"}
        body = dicom_file("CT_small.dcm").read_bytes()
        stored = web.post("/dicom-web/studies", content=body, headers=headers)
        url = stored.json()["00081199"]["Value"][0]["00081190"]["Value"][0]
        shown = web.get(f"{url}/rendered", headers={"Accept": "image/jpeg"})
        assert shown.status_code == 200, shown.text
    theirs = family(ready.pid)
    assert theirs
    process.send_signal(number)
    process.wait(60)
    assert eventually(lambda: not any(map(alive, theirs)))


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
