"""Phantoms: pictures that look like a modality and a body part, made of ellipsoids and noise.

Anatomy is a list of ellipsoids, each of a tissue; a modality gives every tissue a value. Slices of
one anatomy therefore fit together, and CT, MR and PT of a patient show the same organs. Lengths
are in halves of the field of view: x to the patient's left, y to the back, z to the head.

Same seed, same pixels, on every machine: only operations that IEEE 754 defines to the last bit are
used (no sin, exp or sums of floats), and only the raw stream of PCG64, which NumPy keeps stable.
"""

from __future__ import annotations

from functools import cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]


class Ellipsoid(NamedTuple):
    """A piece of tissue: centre, half-axes, and the tangent of half its tilt in the picture."""

    tissue: str
    x: float
    y: float
    z: float
    rx: float
    ry: float
    rz: float
    tilt: float = 0.0


def _parsed(table: str) -> list[Ellipsoid]:
    """A table of ellipsoids, separated by semicolons; one that begins with ± is there twice."""
    found = []
    for entry in filter(str.strip, table.split(";")):
        tissue, *numbers = entry.split()
        x, y, z, rx, ry, rz, tilt = (*map(float, numbers), 0.0)[:7]
        for side in (-1, 1) if tissue[0] == "±" else (1,):
            sides = side * x, y, z, rx, ry, rz, side * tilt
            found.append(Ellipsoid(tissue.lstrip("±"), *sides))
    return found


_E = Ellipsoid
# Around a circle in steps of 15 degrees: tabulated, since cosines differ between C libraries.
_STEPS: Final = (
    (1, 0),
    (0.9659, 0.2588),
    (0.866, 0.5),
    (0.7071, 0.7071),
    (0.5, 0.866),
    (0.2588, 0.9659),
)
_CIRCLE: Final = [
    point
    for quarter in range(4)
    for c, s in _STEPS
    for point in [((c, s), (-s, c), (-c, -s), (s, -c))[quarter]]
]


def _tangent(c: float, s: float) -> float:
    """The tilt of an axis along (c, s), which is half the angle's tangent."""
    length = float(np.sqrt(c * c + s * s))
    return s / (length + c) if c > 0 else -s / (length - c)


_HEAD: Final = [
    *_parsed("""skin 0 0 0 .78 .95 .98; fat 0 0 0 .76 .93 .96; bone 0 0 0 .72 .885 .92;
        csf 0 0 0 .65 .815 .86; grey 0 0 0 .63 .795 .84"""),
    *[_E("csf", 0.58 * c, 0.73 * s, 0.0, 0.09, 0.013, 0.45, _tangent(c, s)) for c, s in _CIRCLE],
    *_parsed("±white .275 -.02 .08 .22 .6 .6 .06"),
    *[_E("grey", 0.46 * c, 0.57 * s, 0.0, 0.1, 0.022, 0.4, _tangent(c, s)) for c, s in _CIRCLE],
    *_parsed("""csf 0 0 .1 .013 .79 .7; ±grey .23 -.06 .02 .085 .17 .2 -.12;
        ±grey .13 .08 0 .085 .14 .16 .15; ±csf .105 -.21 .1 .047 .19 .26 -.12;
        ±csf .145 .28 .1 .045 .19 .2 .16; csf 0 .04 -.05 .018 .11 .15;
        ±bone .38 .11 -.62 .23 .08 .14 -.25; grey 0 .48 -.55 .43 .27 .24;
        ±fat .3 -.68 -.5 .19 .2 .16; ±csf .3 -.73 -.5 .12 .12 .12; air 0 -.66 -.55 .12 .17 .22"""),
]
_BACK: Final = """bone 0 .36 0 .125 .105 9; marrow 0 .36 0 .1 .08 9; bone 0 .49 0 .075 .065 9;
    ±bone .12 .5 0 .085 .025 9 .12; bone 0 .58 0 .022 .075 9; csf 0 .49 0 .05 .045 9;
    grey 0 .49 0 .028 .024 9;"""
_TRUNK: Final = "skin 0 .03 0 .92 .67 9; fat 0 .03 0 .905 .655 9; muscle 0 .02 0 .83 .58 9;"
_RIBS: Final = [
    _E("bone", 0.77 * c, 0.02 + 0.53 * s, z, 0.09, 0.024, 0.13, _tangent(-0.77 * s, 0.53 * c))
    for turn, z in enumerate((-0.6, -0.36, -0.12, 0.12, 0.36, 0.6))
    for c, s in _CIRCLE[turn % 2 :: 2]
    if abs(s) < 0.95
]
_CHEST: Final = [
    *_parsed(f"""{_TRUNK} ±fat .34 .5 0 .3 .018 9 -.12; ±lung .41 -.01 .05 .34 .46 .95 .03;
        fat 0 -.1 0 .16 .36 9; muscle 0 .1 0 .12 .26 9; muscle .16 -.13 -.3 .34 .25 .46 .25;
        blood .22 -.1 -.3 .19 .14 .34 .25; blood -.04 -.17 -.25 .14 .13 .3 -.1;
        blood .1 .22 0 .07 .07 9; blood -.03 -.13 .3 .085 .085 .35;
        blood -.14 -.12 .3 .05 .055 .4; blood .06 -.02 .12 .2 .06 .09 -.12;
        air 0 .07 .55 .05 .055 .5; ±air .11 .09 .03 .06 .035 .12;
        {_BACK} bone 0 -.52 .1 .1 .03 .6"""),
    *_RIBS,
]
_ABDOMEN: Final = [
    *_parsed(f"""{_TRUNK} fat 0 -.02 0 .76 .51 9; ±muscle .2 .45 0 .15 .1 9;
        ±muscle .19 .31 -.2 .075 .09 .9; liver -.33 -.05 .25 .42 .43 .6 .15;
        liver -.02 -.25 .3 .34 .2 .35 -.1; liver .56 .17 .3 .14 .24 .4 .12;
        muscle .33 -.18 .3 .25 .19 .32 -.2; fluid .33 -.15 .3 .21 .14 .28 -.2;
        air .31 -.26 .3 .14 .05 .2; fluid -.27 -.3 -.02 .085 .11 .2 -.1;
        muscle .12 -.02 0 .26 .05 .13 -.12; ±kidney .4 .24 -.1 .135 .165 .42 .3;
        ±fluid .36 .22 -.1 .05 .07 .16 .3; blood .05 .19 0 .062 .062 9;
        blood -.1 .19 0 .075 .055 9;"""),
    *[
        _E(tissue, 0.47 * c, 0.32 * s - 0.02, -0.5, 0.12 * r, 0.09 * r, 0.36)
        for c, s in _CIRCLE[13:24:2]
        for tissue, r in (("muscle", 1), ("air" if s < -0.8 else "fluid", 0.7))
    ],
    *_parsed(_BACK),
]
_SPINE: Final = [
    *_parsed("""fat 0 0 0 .8 .92 9; muscle 0 -.45 0 .8 .36 9; blood .02 -.22 0 .06 .07 9;
        fluid .1 -.55 .5 .3 .1 .16; fluid .1 -.6 .1 .3 .13 .13; fluid .1 -.52 -.4 .3 .12 .2;
        muscle 0 .5 0 .7 .2 1.6; bone 0 .21 0 .18 .12 9; csf 0 .21 0 .16 .09 9;
        grey 0 .2 .8 .1 .04 .75"""),
    *[
        _E(tissue, 0, y + 0.009 * k * k - 0.05, 0.25 * k + z, *radii, tilt)
        for k in range(-4, 5)
        for tissue, y, z, radii, tilt in (
            ("bone", -0.01, 0, (0.35, 0.16, 0.1), 0),
            ("marrow", -0.01, 0, (0.33, 0.145, 0.085), 0),
            ("bone", 0, 0.125, (0.33, 0.15, 0.042), 0),
            ("disc", 0, 0.125, (0.3, 0.12, 0.032), 0),
            ("bone", 0.42, -0.1, (0.1, 0.15, 0.06), 0.15),
            ("marrow", 0.42, -0.1, (0.08, 0.13, 0.045), 0.15),
        )
    ],
]
ANATOMY: Final = {"HEAD": _HEAD, "CHEST": _CHEST, "ABDOMEN": _ABDOMEN, "LSPINE": _SPINE}
_LESIONS: Final = {
    "HEAD": (0.22, 0.16, 0.1, 0.09),
    "CHEST": (0.46, 0.05, 0.05, 0.06),
    "ABDOMEN": (-0.38, 0.02, 0.2, 0.1),
    "LSPINE": (0.0, -0.05, 0.25, 0.06),
}
_NAMES: Final = (
    *("air", "lung", "fat", "skin", "muscle", "blood", "liver", "kidney", "fluid"),
    *("csf", "grey", "white", "bone", "marrow", "disc", "lesion"),
)
_PT_REST: Final = (1500, 24000, 9000, 2500, 5200, 2000, 42000)
TISSUES: Final = {
    look: dict(zip(_NAMES, values, strict=True))
    for look, values in {
        # Hounsfield units, without and with contrast medium
        "CT": (-1000, -860, -100, -20, 55, 42, 58, 34, 8, 6, 39, 27, 900, 260, 80, 66),
        "CT+C": (-1000, -850, -100, -20, 65, 230, 112, 190, 10, 6, 42, 29, 900, 270, 80, 90),
        # signal in arbitrary units
        "T1": (8, 10, 900, 700, 330, 60, 480, 420, 150, 130, 430, 640, 60, 560, 380, 240),
        "T2": (8, 10, 560, 400, 200, 50, 300, 600, 950, 980, 560, 380, 40, 420, 640, 860),
        "FLAIR": (8, 10, 520, 380, 210, 50, 300, 500, 110, 80, 540, 400, 40, 380, 300, 960),
        # activity concentration, Bq/ml
        "PT": (0, 1800, 900, 900, 3000, 6500, 9000, 20000, 2500, *_PT_REST),
    }.items()
}
_NOISE: Final = {"CT": 9, "CT+C": 12, "T1": 22, "T2": 24, "FLAIR": 24, "PT": 350}


class Dice:
    """A stream of random numbers that is the same on every machine and in every NumPy."""

    def __init__(self, seed: int) -> None:
        self._bits = np.random.PCG64(seed)

    def uniform(self, low: float, high: float) -> float:
        """A number between ``low`` and ``high``."""
        return low + (high - low) * float(int(self._bits.random_raw()) >> 11) / 2**53

    def noise(self, rows: int, columns: int) -> Image:
        """Nearly normal noise of mean 0 and deviation 1: the sum of four bytes a pixel."""
        raw = self._bits.random_raw(rows * columns // 2 + 1).astype("<u8", copy=False)
        four = raw.view(np.uint8)[: 4 * rows * columns].reshape(4, rows, columns)
        summed = four.sum(axis=0, dtype=np.uint16)
        return (summed.astype(np.float32) - np.float32(510)) * np.float32(1 / 147.8)

    def clouds(self, rows: int, columns: int, cell: int) -> Image:
        """Smooth noise whose blobs are about ``cell`` pixels wide."""
        small = self.noise(rows // cell + 2, columns // cell + 2)
        large = small.repeat(cell, 0).repeat(cell, 1)
        for _ in range(2):
            large = blurred(large, cell // 2)
        return large[cell // 2 :][:rows, cell // 2 :][:, :columns]


def blurred(image: Image, reach: int) -> Image:
    """The image with every pixel the mean of those up to ``reach`` away; edges are repeated."""
    rows, columns = image.shape
    wide = np.pad(image, reach, mode="edge")
    down = wide[:rows].copy()
    for step in range(1, 2 * reach + 1):
        down += wide[step : step + rows]
    total = down[:, :columns].copy()
    for step in range(1, 2 * reach + 1):
        total += down[:, step : step + columns]
    return total * np.float32(1 / (2 * reach + 1) ** 2)


@cache
def _axis(number: int) -> Image:
    """The positions of the pixels' centres along one edge, from -1 to 1."""
    return ((np.arange(number, dtype=np.float32) * 2 + 1) / number - 1).astype(np.float32)


class Canvas:
    """A picture being painted, in coordinates from -1 to 1 along its longer edge."""

    def __init__(self, rows: int, columns: int, background: float = 0) -> None:
        self.size = max(rows, columns)
        self.image: Image = np.full((rows, columns), background, np.float32)
        self.u = _axis(columns) * np.float32(columns / self.size)
        self.v = _axis(rows) * np.float32(rows / self.size)

    def ellipse(
        self,
        at: tuple[float, float],
        radii: tuple[float, float],
        tilt: float,
        value: float,
        *,
        add: bool = False,
    ) -> None:
        """Paint an ellipse over what is there, or ``add`` the thickness of an ellipsoid."""
        (u, v), (ru, rv) = at, radii
        c, s = (1 - tilt * tilt) / (1 + tilt * tilt), 2 * tilt / (1 + tilt * tilt)
        edge = 2 / self.size
        wide = abs(c) * ru + abs(s) * rv + edge
        high = abs(s) * ru + abs(c) * rv + edge
        left, right = np.searchsorted(self.u, (u - wide, u + wide))
        top, bottom = np.searchsorted(self.v, (v - high, v + high))
        if left >= right or top >= bottom:
            return
        across, down = self.u[left:right] - u, (self.v[top:bottom] - v)[:, None]
        a, b = across * (c / ru) + down * (s / ru), down * (c / rv) - across * (s / rv)
        inside = 1 - (a * a + b * b)
        box = self.image[top:bottom, left:right]
        if add:
            box += np.sqrt(np.maximum(inside, 0)) * value
        else:  # the edge is one pixel wide: a smooth outline even in a small matrix
            box += np.clip(inside * (min(ru, rv) / edge) + 0.5, 0, 1) * (value - box)


class Volume:
    """A patient's body part as a modality sees it; a slice at a time.

    ``look`` is a key of ``TISSUES``, ``part`` of ``ANATOMY``; ``body`` seeds what is particular to
    the patient, ``lesion`` is the relative size of a finding, 0 for none.
    """

    def __init__(
        self, look: str, part: str, rows: int, columns: int, *, body: int, lesion: float
    ) -> None:
        self.look, self.rows, self.columns = look, rows, columns
        self.sagittal = part == "LSPINE"
        dice, values = Dice(body), TISSUES[look]
        scale = dice.uniform(0.88, 1.04)
        pieces = list(ANATOMY[part])
        if part == "CHEST":
            for _ in range(22):
                side = -1 if dice.uniform(0, 1) < 0.5 else 1
                x, y, z = dice.uniform(0.2, 0.6), dice.uniform(-0.3, 0.3), dice.uniform(-0.6, 0.6)
                r = dice.uniform(0.012, 0.028)
                pieces.append(_E("muscle", side * x, y, z, r, r, 0.15))
        if lesion:
            x, y, z, r = _LESIONS[part]
            x, y, r = x * dice.uniform(0.8, 1.2), y + dice.uniform(-0.05, 0.05), r * lesion
            pieces.append(_E("lesion", x, y, z, r, r * dice.uniform(0.8, 1.2), r))
        self._pieces = []
        for p in pieces:
            j = [dice.uniform(0.96, 1.04) for _ in range(3)]
            place = (p.x * scale, p.y * scale, p.z * scale)
            radii = (p.rx * scale * j[0], p.ry * scale * j[1], p.rz * scale * j[2])
            self._pieces.append((place, radii, p.tilt, values[p.tissue]))

    def slice(self, w: float, dice: Dice) -> Image:
        """The picture at ``w``: an axial slice at that height, of a spine a sagittal one."""
        canvas = Canvas(self.rows, self.columns, TISSUES[self.look]["air"])
        for (x, y, z), (rx, ry, rz), tilt, value in self._pieces:
            u, v, depth = (y, -z, x) if self.sagittal else (x, y, z)
            ru, rv, rw = (ry, rz, rx) if self.sagittal else (rx, ry, rz)
            off = (w - depth) / rw
            if off * off < 0.98:
                shrink = float(np.sqrt(1 - off * off))
                canvas.ellipse((u, v), (ru * shrink, rv * shrink), tilt, value)
        image = blurred(canvas.image, 1) if self.look == "PT" else canvas.image
        noise = dice.noise(self.rows, self.columns) * np.float32(_NOISE[self.look])
        if self.look in ("T1", "T2", "FLAIR"):
            # coils of the surface see the rim better than the depth; magnitude noise (Rice)
            shade = 1 + 0.12 * (canvas.u * canvas.u + (canvas.v * canvas.v)[:, None])
            return np.abs(image * shade.astype(np.float32) + noise)
        return image + noise if self.look != "PT" else np.maximum(image + blurred(noise, 1) * 3, 0)


def radiograph(part: str, rows: int, columns: int, body: int, dice: Dice) -> Image:
    """What X-rays leave: the thickness of a CHEST or a HAND, summed up through the body; 0 to 1."""
    own = Dice(body)
    scale, canvas = own.uniform(0.92, 1.03), Canvas(rows, columns)
    if part == "HAND":
        bones = [
            (0.0, 0.3, 0.34, 0.42, 0.0, 0.4),
            (0.02, 0.95, 0.2, 0.5, 0.0, 0.4),
            (-0.3, 0.3, 0.14, 0.3, 0.25, 0.25),
        ]
        for spread, length in ((-0.62, 0.62), (-0.2, 0.9), (-0.03, 1.0), (0.13, 0.93), (0.3, 0.75)):
            n = float(np.sqrt(1 + spread * spread))
            tilt, reach, u = _tangent(1, spread), 0.5, spread * 0.75
            for part_length in (0.4, 0.3, 0.19, 0.13)[: 3 if spread < -0.5 else 4]:
                half = part_length * length / 2
                x, y = u + spread * (reach - 0.5 + half) / n, 0.72 - (reach + half) / n
                bones += [(x, y, 0.085, half + 0.07, tilt, 0.26), (x, y, 0.036, half, tilt, 0.3)]
                bones += [(x, y + e * half * 0.85, 0.05, 0.035, 0.0, 0.15) for e in (-1, 1)]
                reach += 2 * half + 0.01
        bones += [
            (0.14 * (k % 4) - 0.2, 0.4 + 0.12 * (k // 4), 0.08, 0.065, 0, 0.3) for k in range(8)
        ]
        bones += [(-0.1, 0.92, 0.1, 0.32, 0, 0.35), (0.15, 0.94, 0.07, 0.3, 0, 0.3)]
    else:
        bones = [(0, 0.35, 0.98, 1.5, 0, 0.5), (0, -0.98, 0.26, 0.5, 0, 0.3)]
        bones += [(s * 0.43, -0.05, 0.34, 0.72, s * 0.04, -0.5) for s in (-1, 1)]
        bones += [(0.17, 0.3, 0.36, 0.3, 0.25, 0.38), (0.05, -0.1, 0.17, 0.4, 0, 0.22)]
        bones += [(-0.45, 0.82, 0.5, 0.42, 0, 0.5), (0.47, 0.88, 0.5, 0.4, 0, 0.45)]
        bones += [(0, -0.95 + 0.13 * k, 0.1, 0.055, 0, 0.2) for k in range(15)]
        bones += [(s * 0.38, -0.72, 0.34, 0.035, s * -0.1, 0.22) for s in (-1, 1)]
        bones += [(0, -0.6, 0.04, 0.35, 0, -0.15)]
        for k in range(8):  # a rib is a ring seen from the side: an ellipse without its inside
            y, r = -0.55 + 0.17 * k, 0.42 + 0.02 * k
            for s in (-1, 1):
                bones += [
                    (s * 0.4, y, r, 0.16, s * 0.16, 0.24),
                    (s * 0.4, y, r - 0.03, 0.125, s * 0.16, -0.24),
                ]
    for u, v, ru, rv, tilt, weight in bones:
        canvas.ellipse((u * scale, v * scale), (ru * scale, rv * scale), tilt, weight, add=True)
    seen = np.clip(blurred(canvas.image, 1) * 0.85, 0, 1)
    return seen + dice.noise(rows, columns) * np.float32(0.008)


def ultrasound(rows: int, columns: int, body: int, dice: Dice) -> Image:
    """A sector with speckle: liver, gall bladder, kidney, vessels; brightness from 0 to 1."""
    own, canvas = Dice(body), Canvas(rows, columns, 0.34)
    for u, v, ru, rv, tilt, value in (
        *((0.0, -0.8, 1.2, 0.13, 0, 0.55), (0.3, 0.35, 0.42, 0.24, 0.12, 0.75)),
        *((0.3, 0.35, 0.38, 0.2, 0.12, 0.22), (0.3, 0.35, 0.22, 0.07, 0.12, 0.8)),
        *((-0.3, 0.0, 0.2, 0.28, -0.2, 0.5), (-0.3, 0.0, 0.18, 0.26, -0.2, 0.01)),
        *((-0.28, 0.5, 0.14, 0.3, -0.1, 0.6), (0.05, -0.2, 0.2, 0.035, 0.3, 0.04)),
        *((-0.1, 0.85, 1.2, 0.06, 0.05, 0.85), (0.2, -0.42, 0.13, 0.025, -0.2, 0.06)),
    ):
        move = own.uniform(-0.05, 0.05), own.uniform(-0.04, 0.04)
        size = own.uniform(0.85, 1.15)
        shift = dice.uniform(-0.03, 0.03)
        centre = u + move[0] + shift, v + move[1]
        canvas.ellipse(centre, (ru * size, rv * size), tilt, value)
    one, two = (dice.noise(rows, columns) for _ in range(2))
    speckle = np.sqrt(one * one + two * two)
    speckle = (speckle + np.roll(speckle, 1, 1)) * np.float32(0.36)
    u, down = canvas.u, (canvas.v - canvas.v[0] + 0.25)[:, None]
    distance = np.sqrt(u * u + down * down)
    sector = (np.abs(u) < down * 0.75) & (distance < 1.95 * rows / canvas.size) & (distance > 0.33)
    bright = blurred(canvas.image, 1) * speckle * (1.25 - 0.35 * distance)
    return np.where(sector, np.clip(bright * 1.25, 0, 1), 0).astype(np.float32)


def mammogram(
    rows: int, columns: int, body: int, dice: Dice, *, left: bool, oblique: bool
) -> Image:
    """A breast at the edge of the picture, pectoral muscle when ``oblique``; from 0 to 1."""
    own, canvas = Dice(body), Canvas(rows, columns)
    edge, density = -float(canvas.u[-1]), own.uniform(0.1, 0.3)
    size = own.uniform(0.95, 1.2), own.uniform(0.75, 0.9)
    canvas.ellipse((edge, 0.05), size, 0, 0.34)
    skin = blurred(canvas.image, 3)
    clouds = dice.clouds(rows, columns, 16) * 1.1 + dice.clouds(rows, columns, 6) * 0.6
    gland = Canvas(rows, columns)
    gland.ellipse((edge + 0.45, 0.05), (0.5, 0.5), 0, 1.0)
    image = skin + blurred(gland.image, 6) * (density + 0.16 * clouds) * (skin > 0.1)
    if own.uniform(0, 1) < 0.3:
        gland.image[:] = 0
        gland.ellipse((edge + 0.5, own.uniform(-0.2, 0.3)), (0.09, 0.08), 0, 0.3)
        image += blurred(gland.image, 1)
    if oblique:
        muscle = canvas.u - edge < (0.45 - (canvas.v[:, None] + 1) * 0.42)
        image = np.where(muscle, np.float32(0.72), image)
    image = np.clip(image + dice.noise(rows, columns) * np.float32(0.012), 0, 1)
    return image if left else image[:, ::-1]


# Letters of 4 by 5 pixels, a row a hexadecimal digit: small enough for a PET image.
_LETTERS: Final = ("7861E", "99622", "9DDB9", "F6666", "99F99", "F8E8F", "F6666", "F666F", "78887")


@cache
def _mark() -> NDArray[np.bool_]:
    """SYNTHETIC in pixels, as a mask."""
    lines = [[f"{int(letter[row], 16):04b}0" for letter in _LETTERS] for row in range(5)]
    return np.array([[dot == "1" for dot in "".join(line)] for line in lines])


def burn(image: Image, value: float) -> None:
    """Write SYNTHETIC into the lower left corner of the picture, in this value."""
    mark = _mark()
    image[-7:-2, 3 : 3 + mark.shape[1]][mark] = value
