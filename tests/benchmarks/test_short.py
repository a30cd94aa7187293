"""The benchmark runs and measures both servers; how fast they are isn't asserted."""

from __future__ import annotations

import pytest

from tests.benchmarks.__main__ import main


@pytest.mark.dcmtk
@pytest.mark.orthanc
@pytest.mark.timeout(300)
def test_the_short_benchmark_has_every_figure(capsys: pytest.CaptureFixture[str]) -> None:
    rows = main(["--short"])
    assert len(rows) == 32
    assert all(row.pacslab > 0 for row in rows)
    assert all(row.orthanc is not None and row.orthanc > 0 for row in rows[:19])
    assert capsys.readouterr().out.count("|") > 40
