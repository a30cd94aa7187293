"""Bodies of ellipsoids: what lies where in the patient lies there in the pictures."""

from __future__ import annotations

import numpy as np
import pytest

from pacslab.demo.ellipsoids import Grid, Part, Tissue, voxels

PLANES = ["axial", "sagittal", "coronal"]


@pytest.mark.parametrize("plane", PLANES)
def test_position_and_orientation_lead_to_the_voxel(plane: str) -> None:
    """PS3.3 C.7.6.2.1.1, equation C.7.6.2.1-1, for a ball that is off centre on every axis."""
    centre = (30.0, -20.0, 10.0)
    grid = Grid(plane, slices=31, rows=50, columns=60, pixel=2.0, step=4.0)
    tissues = voxels((Part(Tissue.BONE, centre, (9.0, 9.0, 9.0)),), grid)
    right, down = np.split(np.array(grid.orientation, float), 2)
    seen = [
        np.array(grid.position(k)) + down * r * grid.pixel + right * c * grid.pixel
        for k, r, c in np.argwhere(tissues == Tissue.BONE)
    ]
    assert len(seen) > 50
    assert np.allclose(np.mean(seen, axis=0), centre, atol=0.8)
    assert np.linalg.norm(np.array(seen) - centre, axis=1).max() <= 9.0


def test_later_parts_lie_over_earlier_ones() -> None:
    grid = Grid("axial", slices=1, rows=21, columns=21, pixel=1.0, step=1.0)
    outer = Part(Tissue.FAT, (0, 0, 0), (9, 9, 9))
    inner = Part(Tissue.LIVER, (0, 0, 0), (4, 4, 4))
    assert voxels((outer, inner), grid)[0, 10, 10] == Tissue.LIVER
    assert voxels((inner, outer), grid)[0, 10, 10] == Tissue.FAT
    assert voxels((outer, inner), grid)[0, 0, 0] == Tissue.AIR


def test_a_tilt_turns_an_ellipsoid_from_left_to_back() -> None:
    grid = Grid("axial", slices=1, rows=41, columns=41, pixel=1.0, step=1.0)
    tilted = Part(Tissue.BONE, (0, 0, 0), (15, 3, 3), tilt=0.41421356)  # 45 degrees
    made = voxels((tilted,), grid)[0]
    assert made[20 + 8, 20 + 8] == Tissue.BONE
    assert made[20 - 8, 20 + 8] == Tissue.AIR
