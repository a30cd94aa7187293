"""Run the benchmark and print its table."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks import cohort, deid, frames, grown, memory, metadata, search, store
from tests.benchmarks.peers import orthanc, pacslab
from tests.benchmarks.table import Row, compared, markdown


@dataclass(frozen=True)
class Size:
    """How much is measured with."""

    small: int  # 10 KB instances stored
    large: int  # 525 KB instances stored
    studies: int
    many_studies: int
    asked: int  # searches
    series: tuple[int, ...]  # instances of the series whose metadata is asked for
    slices: int
    grown: int  # instances of a large archive


FULL = Size(1000, 150, 2000, 100_000, 2000, (100, 1000), 150, 500_000)
SHORT = Size(40, 8, 60, 600, 60, (10, 30), 9, 2000)


def main(arguments: list[str] | None = None) -> list[Row]:
    """Measure; the rows that were printed."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("--short", action="store_true", help="a minute, for the tests")
    parser.add_argument("--memory", action="store_true", help="memory alone, with studies of 4 GB")
    options = parser.parse_args(arguments)
    size = SHORT if options.short else FULL
    with tempfile.TemporaryDirectory(prefix="pacslab-bench-") as folder:
        rows = memory.rows(Path(folder)) if options.memory else _speed(Path(folder), size)
    print(f"pacslab beside Orthanc, {time.strftime('%Y-%m-%d')}, {_machine()}\n")
    print(markdown(rows))
    return rows


def _speed(folder: Path, size: Size) -> list[Row]:
    rows = _compared(folder, size)
    searches = [row for row in rows if row.what.startswith("QIDO")]
    rows += search.among_many(folder / "many", size.many_studies, size.asked, searches)
    rows += cohort.rows(folder, size.small) + deid.rows(folder, size.small)
    return rows + grown.rows(folder, 1000, size.grown)


def _compared(folder: Path, size: Size) -> list[Row]:
    """Every figure that both servers have; pacslab's alone where Orthanc isn't installed."""
    with ExitStack() as stack:
        peers = []
        for start in (pacslab, orthanc):
            if start is orthanc and shutil.which("Orthanc") is None:
                print("left out: Orthanc, which isn't installed", file=sys.stderr)
                continue
            home = folder / start.__name__
            home.mkdir()
            peers.append(stack.enter_context(start(home)))
        # Searches come first: there are as many studies as their rows say
        search.filled(peers, size.studies)
        rows = compared(search.measures(size.studies, size.asked), peers)
        rows += compared(metadata.measures(peers, size.series), peers)
        rows += compared(frames.measures(peers, size.slices), peers)
        return rows + compared(store.measures(folder, size.small, size.large), peers)


def _machine() -> str:
    model = platform.processor() or platform.machine()
    return f"{os.cpu_count()} cores ({model}), Python {platform.python_version()}"


if __name__ == "__main__":
    main()
