"""What Orthanc doesn't have: adding a folder, and SQL."""

from __future__ import annotations

import time
from pathlib import Path

from pacslab import Lab
from tests.benchmarks import data
from tests.benchmarks.table import Row


def rows(folder: Path, number: int) -> list[Row]:
    """Adding a folder of so many files, and asking about them."""
    source = data.folder_of(data.MR, folder / "add", number)
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
        Row(f"first lab.sql over {number:,} instances", "ms", first * 1000, higher=False),
        Row("the next one", "ms", again * 1000, higher=False),
    ]
