"""Where the hard work is done: decoding and encoding pixels, in a few threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter
from anyio.lowlevel import RunVar

_P = ParamSpec("_P")
_T = TypeVar("_T")

# More would only wait for each other, and each holds decoded frames in memory
_THREADS: Final = max(2, os.cpu_count() or 2)
_limiter: RunVar[CapacityLimiter] = RunVar("pacslab_working")


async def working(function: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs) -> _T:
    """Call a function that computes for long, in one of a few threads kept for that."""
    try:
        limiter = _limiter.get()
    except LookupError:
        limiter = CapacityLimiter(_THREADS)
        _limiter.set(limiter)
    return await anyio.to_thread.run_sync(lambda: function(*arguments, **named), limiter=limiter)
