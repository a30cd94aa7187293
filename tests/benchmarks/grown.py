"""Whether storing gets slower as the archive grows; the rows that make it large are made by SQL."""

from __future__ import annotations

import secrets
import statistics
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pacslab.archive import Archive
from tests.benchmarks import data
from tests.benchmarks.table import Row

_PER_SERIES, _SERIES = 50, 4
_ROUND = 20
_ROUNDS = 12


def rows(folder: Path, small: int, large: int) -> list[Row]:
    """Instances a second in an archive of so many, and in one of many more, in turns."""
    source = data.folder_of(data.MR, folder / "grown", 2 * _ROUND * (_ROUNDS + 1))
    files = [path.read_bytes() for path in sorted(source.iterdir())]
    with ExitStack() as stack:
        archives = {}
        for size in (small, large):
            archive = stack.enter_context(Archive(folder / f"grown-{size}"))
            _store(archive, files)
            grow(archive, size)
            archives[size] = archive
        rates: dict[int, list[float]] = {size: [] for size in archives}
        for _ in range(_ROUNDS):
            for size, archive in archives.items():
                started = time.perf_counter()
                _store(archive, files)
                rates[size].append(_ROUND / (time.perf_counter() - started))
    return [
        Row(f"one MR after the other, {size:,} in the archive", "instances/s", statistics.median(r))
        for size, r in rates.items()
    ]


def _store(archive: Archive, files: list[bytes]) -> None:
    for _ in range(_ROUND):
        assert archive.add(files.pop()).status == "stored"


def grow(archive: Archive, number: int) -> None:
    """Give the index so many rows more: copies of what is there under other UIDs, without files."""
    with archive.database.writing() as (connection, _):
        cursor: Any = connection.connection.cursor()
        cursor.execute("CREATE TEMP TABLE new (i INTEGER PRIMARY KEY, sop, series, study)")
        made, series, study = [], "", ""
        for i in range(number):
            study = _uid() if i % (_PER_SERIES * _SERIES) == 0 else study
            series = _uid() if i % _PER_SERIES == 0 else series
            made.append((i, _uid(), series, study))
        cursor.executemany("INSERT INTO new VALUES (?, ?, ?, ?)", made)
        (last,) = cursor.execute("SELECT max(id) FROM instances").fetchone()
        uids = {"SOPInstanceUID": "n.sop", "SeriesInstanceUID": "n.series",
                "StudyInstanceUID": "n.study", "id": f"n.i + {last + 1}",
                "PatientID": "'P' || n.i"}  # fmt: skip
        for table, key in (
            ("studies", "study"),
            ("series", "series"),
            ("header_bases", "series"),
            ("instances", "i"),
            ("headers", "i"),
        ):
            names = [row[1] for row in cursor.execute(f"PRAGMA table_info({table})")]
            values = ", ".join(uids.get(name, f'o."{name}"') for name in names)
            cursor.execute(
                f"INSERT INTO {table} SELECT {values} "
                f"FROM (SELECT * FROM new GROUP BY {key}) n "
                f"CROSS JOIN (SELECT * FROM {table} LIMIT 1) o"
            )
        cursor.execute("DROP TABLE new")


def _uid() -> str:
    return f"2.25.{secrets.randbits(127)}"
