"""What the made-up patients are made of: bodies of ellipsoids, and what each machine sees."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from pacslab.demo.chance import Chance
from pacslab.demo.ellipsoids import Part, Tissue

T = Tissue
Body = tuple[Part, ...]


def head(chance: Chance, lesion: float) -> Body:
    """A head: scalp, skull, two halves of a brain with ventricles, eyes, perhaps a lesion."""
    side = chance.one_of((-1, 1))
    wide = chance.between(0.4, 1.5)
    place = (side * chance.between(22, 40), chance.between(-45, 35), chance.between(5, 30))
    return _varied(
        chance,
        Part(T.FAT, (0, 0, 0), (78, 98, 118)),
        Part(T.BONE, (0, 0, 4), (73, 93, 108)),
        Part(T.FLUID, (0, 0, 6), (66, 86, 100)),
        Part(T.GREY, (0, 0, 6), (64, 83, 97)),
        Part(T.WHITE, (-26, 0, 10), (29, 68, 70), 0.03),
        Part(T.WHITE, (26, 0, 10), (29, 68, 70), -0.03),
        Part(T.FLUID, (-11 * wide, -8, 14), (6 * wide, 30, 14), -0.12),
        Part(T.FLUID, (11 * wide, -8, 14), (6 * wide, 30, 14), 0.12),
        Part(T.BONE, (0, 12, -62), (52, 60, 16)),
        Part(T.GREY, (0, 52, -52), (46, 28, 26)),
        Part(T.FLUID, (-30, -84, -36), (12, 12, 12)),
        Part(T.FLUID, (30, -84, -36), (12, 12, 12)),
        lesion=Part(T.LESION, place, (lesion, lesion * 0.9, lesion * 0.8)),
    )


def chest(chance: Chance, lesion: float) -> Body:
    """A thorax: lungs, heart, spine, aorta, ribs, perhaps a nodule."""
    side = chance.one_of((-1, 1))
    place = (side * chance.between(60, 95), chance.between(-30, 40), chance.between(-20, 60))
    ribs = [
        Part(T.BONE, (edge * 152, 0, height), (6, 60, 5))
        for height in range(-110, 120, 26)
        for edge in (-1, 1)
    ]
    return _varied(
        chance,
        Part(T.FAT, (0, 0, -20), (178, 118, 250)),
        Part(T.MUSCLE, (0, 0, -20), (164, 106, 240)),
        *ribs,
        Part(T.LUNG, (-76, -2, 5), (62, 84, 128), 0.05),
        Part(T.LUNG, (76, -2, 5), (62, 84, 128), -0.05),
        Part(T.LIVER, (-60, -5, -138), (84, 80, 62)),
        Part(T.SPLEEN, (92, 30, -130), (36, 40, 40)),
        Part(T.BLOOD, (22, -32, -32), (56, 44, 58), 0.3),
        Part(T.MUSCLE, (4, -24, 70), (26, 34, 70)),
        Part(T.BLOOD, (18, 44, 0), (13, 13, 160)),
        Part(T.BONE, (0, 74, 0), (21, 22, 260)),
        Part(T.BONE, (0, 100, 0), (6, 16, 260)),
        Part(T.BONE, (0, -96, 20), (17, 7, 90)),
        lesion=Part(T.LESION, place, (lesion, lesion, lesion)),
    )


def abdomen(chance: Chance, lesion: float) -> Body:
    """An abdomen: liver, spleen, kidneys, spine, vessels, perhaps a lesion in the liver."""
    fat = chance.between(0.82, 0.95)
    place = (-chance.between(55, 95), chance.between(-35, 15), chance.between(-10, 45))
    return _varied(
        chance,
        Part(T.FAT, (0, 0, 0), (172, 122, 260)),
        Part(T.MUSCLE, (0, 0, 0), (172 * fat, 122 * fat, 260)),
        Part(T.FAT, (0, -8, -20), (172 * fat - 14, 122 * fat - 18, 230)),
        Part(T.LIVER, (-66, -14, 30), (70, 72, 78), -0.1),
        Part(T.LIVER, (-4, -44, 44), (56, 34, 40), 0.1),
        Part(T.FLUID, (-44, -52, 4), (15, 24, 16)),
        Part(T.SPLEEN, (98, 28, 40), (28, 44, 46), 0.15),
        Part(T.MUSCLE, (42, -42, 36), (40, 30, 40)),
        Part(T.KIDNEY, (-70, 46, -26), (24, 30, 54), 0.2),
        Part(T.KIDNEY, (70, 46, -22), (24, 30, 54), -0.2),
        Part(T.FAT, (-66, 46, -26), (9, 11, 22)),
        Part(T.FAT, (66, 46, -22), (9, 11, 22)),
        Part(T.BLOOD, (10, 32, 0), (11, 11, 250)),
        Part(T.BLOOD, (-16, 30, 0), (12, 10, 250)),
        Part(T.BONE, (0, 66, 0), (24, 21, 260)),
        Part(T.BONE, (0, 96, 0), (6, 16, 260)),
        Part(T.MUSCLE, (-36, 84, 0), (26, 20, 250)),
        Part(T.MUSCLE, (36, 84, 0), (26, 20, 250)),
        lesion=Part(T.LESION, place, (lesion, lesion, lesion)),
    )


def knee(chance: Chance, lesion: float) -> Body:
    """A knee: the ends of femur and tibia, patella, fibula."""
    place = (chance.between(-12, 12), 0.0, -chance.between(45, 60))
    return _varied(
        chance,
        Part(T.FAT, (0, 0, 0), (68, 70, 220)),
        Part(T.MUSCLE, (0, 4, 10), (58, 58, 210)),
        Part(T.BONE, (0, 0, 90), (19, 19, 90)),
        Part(T.BONE, (-20, 4, 22), (24, 28, 24)),
        Part(T.BONE, (20, 4, 22), (24, 28, 24)),
        Part(T.BONE, (0, 2, -22), (44, 28, 16)),
        Part(T.BONE, (0, 2, -90), (18, 18, 88)),
        Part(T.BONE, (40, 16, -80), (8, 8, 62)),
        Part(T.BONE, (0, -42, 30), (18, 9, 20)),
        lesion=Part(T.LUNG, place, (lesion * 0.6, lesion * 0.6, lesion)),
    )


def breast(chance: Chance, lesion: float) -> Body:
    """A compressed breast whose chest wall is at x = 0 and which points to the left."""
    dense = chance.between(0.35, 1.0)
    glands = [
        Part(
            T.GLAND,
            (chance.between(20, 62), 0.0, chance.between(-38, 38)),
            (chance.between(8, 20) * dense, 18.0, chance.between(5, 13) * dense),
        )
        for _ in range(9)
    ]
    place = (chance.between(30, 60), 0.0, chance.between(-25, 25))
    return _varied(
        chance,
        Part(T.FAT, (-8, 0, 0), (112, 30, 78)),
        *glands,
        Part(T.GLAND, (101, 0, 0), (5, 6, 5)),
        lesion=Part(T.LESION, place, (lesion * 0.5, lesion * 0.5, lesion * 0.5)),
    )


def heart(chance: Chance, lesion: float) -> Body:
    """Four chambers in the view from the apex; ``lesion`` opens and closes the ventricles."""
    beat = lesion
    return _varied(
        chance,
        Part(T.LUNG, (0, 0, 0), (90, 90, 90)),
        Part(T.MUSCLE, (0, 0, 0), (52, 66, 60), 0.06),
        Part(T.BLOOD, (-20, -14, 0), (15 * beat, 34 * beat, 40)),
        Part(T.BLOOD, (20, -14, 0), (17 * beat, 36 * beat, 40)),
        Part(T.BLOOD, (-19, 40, 0), (15, 15 / beat, 40)),
        Part(T.BLOOD, (20, 40, 0), (16, 16 / beat, 40)),
    )


def _varied(chance: Chance, *parts: Part, lesion: Part | None = None) -> Body:
    """The parts grown or shrunk alike by up to 8 %, each way on its own; a lesion as it is."""
    sx, sy, sz = (chance.between(0.92, 1.08) for _ in range(3))
    grown = tuple(
        Part(
            p.tissue,
            (p.centre[0] * sx, p.centre[1] * sy, p.centre[2] * sz),
            (p.axes[0] * sx, p.axes[1] * sy, p.axes[2] * sz),
            p.tilt,
        )
        for p in parts
    )
    return grown if lesion is None or lesion.axes[0] <= 0 else (*grown, lesion)


BODIES: Final[Mapping[str, Callable[[Chance, float], Body]]] = {
    "head": head,
    "chest": chest,
    "abdomen": abdomen,
    "knee": knee,
    "breast": breast,
    "heart": heart,
}

# In the order of Tissue: air, fat, muscle, bone, lung | grey, white, fluid | liver, spleen,
# kidney, blood | gland, lesion
_SEEN: Final[Mapping[str, tuple[int, ...]]] = {
    "CT": (-1000, -100, 50, 750, -840, 38, 28, 6, 60, 50, 38, 42, 30, 58),
    "CT+": (-1000, -100, 60, 760, -830, 42, 30, 6, 112, 125, 185, 190, 40, 70),
    "T1": (0, 900, 380, 70, 25, 450, 640, 130, 520, 360, 380, 150, 400, 270),
    "T2": (0, 680, 240, 60, 25, 560, 400, 1150, 300, 620, 680, 90, 500, 980),
    "FLAIR": (0, 600, 260, 60, 25, 540, 400, 90, 320, 420, 450, 90, 400, 1150),
    "PET": (0, 250, 700, 600, 300, 6500, 3800, 300, 2300, 1900, 3600, 1700, 600, 9000),
    "XRAY": (0, 900, 1050, 2300, 160, 1040, 1030, 1000, 1060, 1060, 1060, 1060, 1050, 1700),
    "SOFTXRAY": (0, 520, 1000, 2300, 160, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1150, 2600),
    "US": (4, 150, 110, 240, 60, 90, 120, 14, 125, 105, 80, 16, 140, 215),
}
SEEN: Final = {name: dict(zip(Tissue, values, strict=True)) for name, values in _SEEN.items()}
"""What a machine sees of each tissue: Hounsfield units, signal, activity, attenuation, echo."""
