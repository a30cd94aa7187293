"""The metadata of a series: how long its answer takes, and its first byte."""

from __future__ import annotations

from collections.abc import Sequence

from tests.benchmarks import data
from tests.benchmarks.asking import Ask, median_ms
from tests.benchmarks.peers import Peer
from tests.benchmarks.table import Measure


def measures(peers: list[Peer], sizes: Sequence[int]) -> list[Measure]:
    """Series of these numbers of CT slices, with headers of 260 elements."""
    found = []
    for size in sizes:
        first, *_ = data.fill(peers, data.copies(data.HEADER, size, per_series=size))
        ask = Ask(f"{first.series_path}/metadata")
        found += [
            Measure(
                f"metadata of a series of {size:,}",
                "ms",
                lambda peer, _, ask=ask: median_ms(peer, ask),
                higher=False,
                target=5,
            ),
            Measure(
                f"metadata of a series of {size:,}, first byte",
                "ms",
                lambda peer, _, ask=ask: median_ms(peer, ask, of=lambda a: a.first),
                higher=False,
            ),
        ]
    return found
