"""Measures, and the Markdown table that they become."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tests.benchmarks.peers import Peer

_ROUNDS = 3


@dataclass(frozen=True)
class Measure:
    """A figure of a server, taken several times; ``higher`` says which way is better.

    ``target``: how many times better than Orthanc pacslab shall be.
    """

    what: str
    unit: str
    figure: Callable[[Peer, int], float]
    """Takes the server and the number of the round."""
    higher: bool = True
    target: float | None = None


@dataclass(frozen=True)
class Row:
    """One figure of each server."""

    what: str
    unit: str
    pacslab: float
    orthanc: float | None = None
    higher: bool = True
    target: float | None = None
    remark: str = ""

    @property
    def times(self) -> float | None:
        """How many times better pacslab is."""
        if not self.orthanc:
            return None
        times = self.pacslab / self.orthanc
        return times if self.higher else 1 / times

    def line(self) -> str:
        """The row of the Markdown table."""
        other = "" if self.orthanc is None else f"{self.orthanc:,.1f}"
        ratio = self.remark if self.times is None else f"{self.times:.2f}"
        wanted = "" if self.target is None else f"{self.target:g}"
        return f"| {self.what} ({self.unit}) | {self.pacslab:,.1f} | {other} | {ratio} | {wanted} |"


def compared(measures: Iterable[Measure], peers: Sequence[Peer]) -> list[Row]:
    """Each measure of each server, turn by turn, so that both see the same machine."""
    return [_row(measure, peers) for measure in measures]


def _row(measure: Measure, peers: Sequence[Peer]) -> Row:
    found: dict[str, list[float]] = {peer.name: [] for peer in peers}
    for round_ in range(_ROUNDS):
        for peer in peers:
            found[peer.name].append(measure.figure(peer, round_))
    medians = {name: statistics.median(figures) for name, figures in found.items()}
    return Row(
        measure.what,
        measure.unit,
        medians["pacslab"],
        medians.get("Orthanc"),
        measure.higher,
        measure.target,
    )


def markdown(rows: Iterable[Row]) -> str:
    """The table."""
    head = "| what | pacslab | Orthanc | times better | wanted |\n| --- | --- | --- | --- | --- |\n"
    return head + "\n".join(row.line() for row in rows)
