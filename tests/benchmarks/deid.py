"""De-identification of a cohort into a new archive, and its audit against the source."""

from __future__ import annotations

import time
from pathlib import Path

from pacslab import Lab
from tests.benchmarks import data
from tests.benchmarks.table import Row


def rows(folder: Path, number: int) -> list[Row]:
    """So many CT images with two profiles, starting the processes included."""
    found = []
    with Lab(folder / "identified") as lab:
        lab.add(data.folder_of(data.CT, folder / "ct", number), progress=False)
        for profile in ("basic", "research"):
            started = time.perf_counter()
            done = lab.deidentify(None, folder / profile, profile, progress=False)
            rate = (done.Status == "stored").sum() / (time.perf_counter() - started)
            found.append(Row(f"lab.deidentify, {profile}, 525 KB CT", "instances/s", float(rate)))
        with Lab(folder / "research") as out:
            for name, source in (("alone", None), ("against the source", lab)):
                started = time.perf_counter()
                done = out.audit(against=source, progress=False)
                rate = done.about.instances / (time.perf_counter() - started)
                found.append(Row(f"lab.audit, {name}, 525 KB CT", "instances/s", float(rate)))
    return found
