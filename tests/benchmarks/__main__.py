"""Run the benchmark and print its table."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pydicom

from pacslab import Lab
from tests.benchmarks import measures
from tests.benchmarks.peers import Peer, orthanc, pacslab

SMALL, LARGE = "MR_small.dcm", "693_UNCI.dcm"


@dataclass(frozen=True)
class Row:
    """One figure of each server; ``higher`` says which way is better."""

    what: str
    unit: str
    pacslab: float
    orthanc: float | None = None
    higher: bool = True

    def line(self) -> str:
        """The row of the Markdown table, with how many times better pacslab is."""
        other = "" if self.orthanc is None else f"{self.orthanc:,.1f}"
        ratio = ""
        if self.orthanc:
            times = self.pacslab / self.orthanc
            ratio = f"{times if self.higher else 1 / times:.2f}"
        return f"| {self.what} ({self.unit}) | {self.pacslab:,.1f} | {other} | {ratio} |"


def main(arguments: list[str] | None = None) -> list[Row]:
    """Measure; the rows that were printed."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("--short", action="store_true", help="a minute, for the tests")
    options = parser.parse_args(arguments)
    small, large, asked = (120, 16, 60) if options.short else (2000, 300, 2000)
    with tempfile.TemporaryDirectory(prefix="pacslab-bench-") as folder:
        rows = _compare(Path(folder), small, large, asked)
        rows += _alone(Path(folder), small)
    print(f"pacslab beside Orthanc, {time.strftime('%Y-%m-%d')}, {_machine()}\n")
    print("| what | pacslab | Orthanc | times better |\n| --- | --- | --- | --- |")
    for row in rows:
        print(row.line())
    return rows


def _compare(folder: Path, small: int, large: int, asked: int) -> list[Row]:
    """Every figure that both servers have; pacslab's alone where Orthanc isn't installed."""
    if shutil.which("dcmdump") is None:
        print("left out: C-STORE, since DCMTK's storescu isn't installed", file=sys.stderr)
        return []
    one = [measures.copies(SMALL, folder / "mr", small)]
    four = [measures.copies(SMALL, folder / f"mr{i}", small // 4) for i in range(4)]
    big = [measures.copies(LARGE, folder / "ct", large)]
    bigs = [measures.copies(LARGE, folder / f"ct{i}", large // 4) for i in range(4)]
    slow = [measures.copies(SMALL, folder / "nagle", max(small // 20, 20))]
    senders = Senders(one, four, big, bigs, slow)
    figures: dict[str, dict[str, float]] = {}
    for start in (pacslab, orthanc):
        if start is orthanc and shutil.which("Orthanc") is None:
            print("left out: Orthanc, which isn't installed", file=sys.stderr)
            continue
        home = folder / start.__name__
        home.mkdir()
        with start(home) as peer:
            figures[start.__name__] = _stored(peer, senders) | _asked(peer, one, asked)
    ours, theirs = figures["pacslab"], figures.get("orthanc", {})
    return [
        Row(what, unit, ours[what], theirs.get(what), higher)
        for what, unit, higher in (
            ("C-STORE, 10 KB MR, one association", "instances/s", True),
            ("C-STORE, 10 KB MR, four associations", "instances/s", True),
            ("C-STORE, 525 KB CT, one association", "instances/s", True),
            ("C-STORE, 525 KB CT, four associations", "instances/s", True),
            ("C-STORE, 10 KB MR, sender with Nagle's algorithm", "instances/s", True),
            ("QIDO-RS by PatientID, four connections", "requests/s", True),
            ("QIDO-RS by PatientID, one request", "ms", False),
            ("metadata of a series of 50", "ms", False),
        )
    ]


@dataclass(frozen=True)
class Senders:
    """Folders to send, each by a sender of its own: small or large, one or four at once."""

    one: list[Path]
    four: list[Path]
    big: list[Path]
    bigs: list[Path]
    slow: list[Path]


def _stored(peer: Peer, senders: Senders) -> dict[str, float]:
    rate = measures.stored_per_second
    return {
        "C-STORE, 10 KB MR, one association": rate(peer, senders.one),
        "C-STORE, 10 KB MR, four associations": rate(peer, senders.four),
        "C-STORE, 525 KB CT, one association": rate(peer, senders.big),
        "C-STORE, 525 KB CT, four associations": rate(peer, senders.bigs),
        "C-STORE, 10 KB MR, sender with Nagle's algorithm": rate(peer, senders.slow, nagle=True),
    }


def _asked(peer: Peer, one: list[Path], asked: int) -> dict[str, float]:
    files = sorted(one[0].iterdir())
    first = pydicom.dcmread(files[0], stop_before_pixels=True)
    series = f"/studies/{first.StudyInstanceUID}/series/{first.SeriesInstanceUID}/metadata"
    paths = measures.by_patient(peer, max(1, len(files) // 200), asked)
    return {
        "QIDO-RS by PatientID, four connections": measures.requests_per_second(peer, paths),
        "QIDO-RS by PatientID, one request": measures.median_ms(peer, paths[0]),
        "metadata of a series of 50": measures.median_ms(peer, peer.root + series),
    }


def _alone(folder: Path, small: int) -> list[Row]:
    """What Orthanc doesn't have: adding a folder, and SQL."""
    source = measures.copies(SMALL, folder / "add", small)
    with Lab(folder / "added") as lab:
        started = time.perf_counter()
        added = lab.add(source, progress=False)
        rate = len(added) / (time.perf_counter() - started)
        statement = "SELECT StudyInstanceUID, count(*) FROM instances GROUP BY 1"
        started = time.perf_counter()
        lab.sql(statement)
        first = time.perf_counter() - started
        started = time.perf_counter()
        lab.sql(statement)
        again = time.perf_counter() - started
    return [
        Row("lab.add of a folder, 10 KB MR", "files/s", rate),
        Row(f"first lab.sql over {small:,} instances", "ms", first * 1000),
        Row("the next one", "ms", again * 1000),
    ]


def _machine() -> str:
    model = platform.processor() or platform.machine()
    return f"{os.cpu_count()} cores ({model}), Python {platform.python_version()}"


if __name__ == "__main__":
    main()
