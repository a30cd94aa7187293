"""De-identification of a cohort into a new archive."""

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
    return found
