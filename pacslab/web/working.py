"""Where the hard work is done: decoding and encoding pixels, in a few threads."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")

# More threads would only wait for each other, and each holds decoded frames in memory. Starlette's
# pool takes twice as long to begin, which is as long as a stored frame takes to be found
_WORKERS: Final = ThreadPoolExecutor(max(2, os.cpu_count() or 2), "working")


async def working(function: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs) -> _T:
    """Call a function that computes for long, in one of a few threads kept for that."""
    call = partial(function, *arguments, **named)
    return await asyncio.get_running_loop().run_in_executor(_WORKERS, call)
