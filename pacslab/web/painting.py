"""Pictures are made in processes of their own.

To decode and present pixels keeps a core busy, and Python one core only; and a codec that a damaged
image brings down takes its process along. In a process for each core neither is felt by others.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Final, ParamSpec, TypeVar

from pacslab.errors import PixelError
from pacslab.web.working import working

log = logging.getLogger(__name__)

_P = ParamSpec("_P")
_T = TypeVar("_T")

_MOST: Final = 4
# A fork of a process with threads may hang; the fork server has none, and spawns quickly.
_METHOD: Final = "forkserver" if sys.platform == "linux" else "spawn"


class Painters:
    """The processes, begun when there is something to do. For one event loop."""

    def __init__(self, number: int | None = None) -> None:
        self._number = number or min(os.cpu_count() or 1, _MOST)
        self._pool: ProcessPoolExecutor | None = None
        self._beginning = asyncio.Lock()
        self._alone = asyncio.Lock()

    async def run(self, function: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs) -> _T:
        """Call a module's function there; arguments and result travel.

        Raises what it raises, and PixelError where it ended its process.
        """
        assert not named
        try:
            return await self._call(function, *arguments)
        except BrokenProcessPool:
            pass
        # Each of those that ran may have done it. One after another, only the one that did fails
        async with self._alone:
            try:
                return await self._call(function, *arguments)
            except BrokenProcessPool:
                log.exception("a picture ended the process that made it")
                raise PixelError(
                    "The decoder broke down on this image. Ask for the object as it is stored."
                ) from None

    def close(self) -> None:
        """End the processes; what they are at is given up."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    async def _call(self, function: Callable[..., _T], *arguments: object) -> _T:
        pool = self._pool or await self._begun()
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, function, *arguments)
        except BrokenProcessPool:
            if self._pool is pool:
                self.close()
            raise

    async def _begun(self) -> ProcessPoolExecutor:
        async with self._beginning:
            if self._pool is None:
                self._pool = await working(_begin, self._number)
            return self._pool


def _begin(number: int) -> ProcessPoolExecutor:
    kind = multiprocessing.get_context(_METHOD)
    if _METHOD == "forkserver":
        kind.set_forkserver_preload(["pacslab.web.rendered"])
    pool = ProcessPoolExecutor(number, kind, initializer=_prepare)
    # All at once, so that nobody waits for the second one later
    for ready in [pool.submit(time.sleep, 0.01) for _ in range(number)]:
        ready.result()
    return pool


def _prepare() -> None:
    """In each process: the server's end is its end, and Ctrl-C is the server's to hear."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    server = multiprocessing.parent_process()
    assert server is not None

    def watch() -> None:
        server.join()
        os._exit(0)

    threading.Thread(target=watch, name="orphaned", daemon=True).start()
