"""Pixels: bodies of ellipsoids, cut into slices, projected, or scanned with sound.

After the phantom of Shepp and Logan, The Fourier reconstruction of a head section, IEEE Trans.
Nucl. Sci. 21 (1974); here in three dimensions, with tissues in place of densities, so that one
body gives CT, MR, PET and ultrasound. Only sums, products and comparisons are used: every machine
rounds these alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pacslab.demo.chance import Chance


class Tissue(IntEnum):
    """What a voxel is made of."""

    AIR = 0
    FAT = 1
    MUSCLE = 2
    BONE = 3
    LUNG = 4
    GREY = 5
    WHITE = 6
    FLUID = 7
    LIVER = 8
    SPLEEN = 9
    KIDNEY = 10
    BLOOD = 11
    GLAND = 12
    LESION = 13


@dataclass(frozen=True, slots=True)
class Part:
    """An ellipsoid of one tissue; later parts lie over earlier ones.

    Centre and half axes are in mm along x (to the left), y (to the back) and z (to the head), as
    PS3.3 C.7.6.2.1.1 has them. ``tilt`` turns it in the axial plane: the tangent of half the angle.
    """

    tissue: Tissue
    centre: tuple[float, float, float]
    axes: tuple[float, float, float]
    tilt: float = 0.0


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the slices lie: plane, number of slices, rows, columns, and distances in mm."""

    plane: str
    slices: int
    rows: int
    columns: int
    pixel: float
    step: float

    @property
    def orientation(self) -> tuple[str, ...]:
        """Image Orientation (Patient)."""
        return {
            "axial": ("1", "0", "0", "0", "1", "0"),
            "sagittal": ("0", "1", "0", "0", "0", "-1"),
            "coronal": ("1", "0", "0", "0", "0", "-1"),
        }[self.plane]

    def position(self, index: int) -> tuple[float, float, float]:
        """Image Position (Patient) of a slice: the centre of its first pixel, in mm."""
        x, y, z = (
            float(along.ravel()[index if along.shape[0] > 1 else 0]) for along in self.axes()
        )
        return x, y, z

    def axes(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """x, y and z of the voxels in mm, each along its own axis of (slice, row, column)."""
        along = _spread(self.slices, self.step)[:, None, None]
        down = _spread(self.rows, self.pixel)[None, :, None]
        right = _spread(self.columns, self.pixel)[None, None, :]
        if self.plane == "axial":
            return right, down, along
        if self.plane == "sagittal":
            return along, right, -down
        return right, along, -down


def _spread(count: int, distance: float) -> NDArray[np.float64]:
    return np.linspace(-(count - 1) / 2, (count - 1) / 2, count) * distance


def voxels(body: tuple[Part, ...], grid: Grid) -> NDArray[np.uint8]:
    """The tissue of every voxel, (slices, rows, columns)."""
    x, y, z = grid.axes()
    made = np.zeros((grid.slices, grid.rows, grid.columns), np.uint8)
    for part in body:
        (cx, cy, cz), (a, b, c) = part.centre, part.axes
        # A turn by rational numbers: cosine and sine of twice the angle whose tangent is tilt.
        scale = 1 + part.tilt * part.tilt
        cosine, sine = (1 - part.tilt * part.tilt) / scale, 2 * part.tilt / scale
        u = ((x - cx) * cosine + (y - cy) * sine) / a
        v = ((y - cy) * cosine - (x - cx) * sine) / b
        w = (z - cz) / c
        np.copyto(made, np.uint8(part.tissue), where=(u * u + v * v) + w * w <= 1)
    return made


def slices(
    tissues: NDArray[np.uint8], values: Mapping[Tissue, int], grain: int, chance: Chance
) -> NDArray[np.int16]:
    """An image of each slice: the tissues' values, softened in plane, with noise of ``grain``."""
    image = softened(_looked_up(tissues, values))
    return image + (chance.noise(image.shape) * grain // 127).astype(np.int16)


def projection(
    tissues: NDArray[np.uint8], values: Mapping[Tissue, int], grain: int, chance: Chance
) -> NDArray[np.int16]:
    """A radiograph through all slices, (rows, columns), 0 to 4095: more tissue is brighter."""
    path = _looked_up(tissues, values).sum(axis=0)
    image = softened(path * 3200 // max(int(path.max()), 1)) + np.int16(200)
    image += (chance.noise(image.shape) * grain // 127).astype(np.int16)
    return image.clip(0, 4095)


def echoes(
    tissues: NDArray[np.uint8], values: Mapping[Tissue, int], chance: Chance
) -> NDArray[np.uint8]:
    """Ultrasound of each slice, 8 bits: speckle in a sector that opens downwards."""
    count, rows, columns = tissues.shape
    image = _looked_up(tissues, values) * (150 + chance.noise((count, rows, columns))) // 150
    depth = np.arange(rows)[:, None] + 6
    aside = np.abs(np.arange(columns)[None, :] * 2 - columns + 1)
    radius = 4 * depth * depth + aside * aside
    sector = (aside * 5 <= depth * 8) & (radius <= 4 * rows * rows) & (radius >= 400)
    seen: NDArray[np.int16] = softened(image) * sector
    return seen.clip(0, 255).astype(np.uint8)


def softened(image: NDArray[Any]) -> NDArray[np.int16]:
    """Neighbours mixed (1 2 1) along rows and columns: borders of tissues are never sharp."""
    wide = image.astype(np.int32)
    mixed = wide.copy()
    mixed[..., 1:-1, :] = (wide[..., :-2, :] + 2 * wide[..., 1:-1, :] + wide[..., 2:, :]) // 4
    made = mixed.copy()
    made[..., 1:-1] = (mixed[..., :-2] + 2 * mixed[..., 1:-1] + mixed[..., 2:]) // 4
    return made.astype(np.int16)


def _looked_up(tissues: NDArray[np.uint8], values: Mapping[Tissue, int]) -> NDArray[np.int32]:
    table = np.zeros(len(Tissue), np.int32)
    for tissue, value in values.items():
        table[tissue] = value
    return table[tissues]


# Drawn here, not with a font: fonts differ between machines.
_LETTERS: Final = {
    "S": ".### #... #... .##. ...# ...# ###.",
    "Y": "#..# #..# #..# .### ...# ...# .##.",
    "N": "#..# ##.# ##.# #.## #.## #..# #..#",
    "T": "#### .#.. .#.. .#.. .#.. .#.. .#..",
    "H": "#..# #..# #..# #### #..# #..# #..#",
    "E": "#### #... #... ###. #... #... ####",
    "I": ".##. .#.. .#.. .#.. .#.. .#.. .##.",
    "C": ".### #... #... #... #... #... .###",
}


def _stamp(text: str) -> NDArray[np.bool_]:
    glyphs = [[[dot == "#" for dot in row] for row in _LETTERS[c].split()] for c in text]
    return np.concatenate([np.pad(np.array(g), ((1, 1), (1, 1))) for g in glyphs], axis=1)


STAMP: Final = _stamp("SYNTHETIC")
"""The word as it is burned in, True where it is bright: 9 rows, 54 columns."""


def stamp(image: NDArray[Any], bright: int, dark: int) -> None:
    """Burn the word into the upper left of (..., rows, columns), in place."""
    height, width = STAMP.shape
    image[..., :height, :width] = np.where(STAMP, bright, dark)
