"""The server's memory stays flat while studies larger than the bound go in and out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks import memory
from tests.benchmarks.peers import pacslab

_BOUND = 72  # MB; half of each study. STOW-RS commits some 32 MB of small instances at once


@pytest.mark.dcmtk
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("objects", "frames"), [(1, 280), (40, 7)])
def test_memory_stays_flat_while_a_study_is_stored_and_retrieved(
    tmp_path: Path, objects: int, frames: int
) -> None:
    study = memory.Study(objects, frames)
    with pacslab(tmp_path) as peer:
        grown = memory.figures(peer, tmp_path, study, memory.Study(objects, frames))
    assert study.megabytes > 2 * _BOUND
    assert max(grown.values()) < _BOUND, grown
