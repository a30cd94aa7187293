"""A series of made-up images: pixels, where they lie, and what PS3.3 requires with them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pacslab.demo import ellipsoids
from pacslab.demo.bodies import BODIES, SEEN
from pacslab.demo.chance import Chance, uid
from pacslab.demo.ellipsoids import Grid, Part, Tissue
from pacslab.demo.encoding import Template
from pacslab.demo.iods import KINDS, region, view
from pacslab.demo.protocols import Scan

Values = dict[str, Any]

_COMMENT: Final = "SYNTHETIC phantom, not a person"
_DEPTH: Final = 24  # slices that a radiograph is projected through


def images(
    study: tuple[object, ...], number: int, scan: Scan, lesion: float, known: Values
) -> Iterator[bytes]:
    """The Part 10 files of series ``number`` of a study.

    ``study`` is the key that everything made for it derives from: its patient's body is the same
    in all studies. ``lesion`` is half a diameter in mm, ``known`` what study and series have said.
    """
    kind = KINDS[scan.kind]
    chance = Chance(*study, number)
    rows, columns = scan.size
    shared = known | {
        **kind.values,
        "SOPClassUID": kind.sop_class_uid,
        "Modality": kind.modality,
        "ImageComments": _COMMENT,
        "Rows": rows,
        "Columns": columns,
        "WindowCenter": str(scan.window[0]),
        "WindowWidth": str(scan.window[1]),
    }
    make = {"CT": _volume, "MR": _volume, "PT": _volume, "US": _pictures, "US cine": _cine}
    made = make.get(scan.kind, _radiograph)(study, scan, lesion, chance, shared)
    for index, (pixels, own) in enumerate(made, 1):
        if index == 1:
            template = Template(shared)
        yield template.file(
            np.ascontiguousarray(pixels).tobytes(),
            SOPInstanceUID=uid(*study, number, index),
            InstanceNumber=str(index),
            **own,
        )


_Made = Iterator[tuple[NDArray[np.uint16] | NDArray[np.uint8], Values]]


def _body(study: tuple[object, ...], scan: Scan, lesion: float) -> tuple[Part, ...]:
    patient = study[:-1]
    return BODIES[scan.body](Chance(*patient, "body", scan.body), lesion)


def _volume(
    study: tuple[object, ...], scan: Scan, lesion: float, chance: Chance, shared: Values
) -> _Made:
    grid = Grid(scan.plane, chance.whole(*scan.slices), *scan.size, scan.pixel, scan.step)
    tissues = ellipsoids.voxels(_body(study, scan, lesion), grid)
    pixels = ellipsoids.slices(tissues, SEEN[scan.seen], scan.grain, chance)
    offset = 1024 if scan.kind == "CT" else 0
    pixels = np.clip(pixels + np.int16(offset), 0, 4095 if scan.kind != "PT" else 32767)
    ellipsoids.stamp(pixels, min(scan.window[0] + scan.window[1] // 2 + offset, 4095), 0)
    shared |= scan.values
    shared |= {
        "FrameOfReferenceUID": uid(*study, "frame of reference"),
        "ImageOrientationPatient": grid.orientation,
        "PixelSpacing": (_decimal(scan.pixel), _decimal(scan.pixel)),
        "SliceThickness": _decimal(scan.step),
    }
    if scan.kind == "CT":
        shared["ReconstructionDiameter"] = _decimal(scan.pixel * scan.size[0])
        shared["KVP"] = chance.one_of(("80", "100", "120", "140"), (1, 3, 8, 1))
    elif scan.kind == "MR":
        field = shared["MagneticFieldStrength"]
        shared["SpacingBetweenSlices"] = _decimal(scan.step)
        shared["ImagingFrequency"] = _decimal(42.576 * float(field))
    else:
        shared["NumberOfSlices"] = grid.slices
    for index in range(grid.slices):
        position = grid.position(index)
        own: Values = {
            "ImagePositionPatient": tuple(map(_decimal, position)),
            "SliceLocation": _decimal(position[("sagittal", "coronal", "axial").index(scan.plane)]),
        }
        if scan.kind == "PT":
            own["ImageIndex"] = index + 1
        yield pixels[index].astype("<u2"), own


def _radiograph(
    study: tuple[object, ...], scan: Scan, lesion: float, chance: Chance, shared: Values
) -> _Made:
    rows, columns = scan.size
    body = _body(study, scan, lesion)
    if scan.kind == "MG":
        if scan.values["ViewPosition"] == "MLO":
            body = (*body, Part(Tissue.MUSCLE, (0, 0, 62), (34, 26, 62)))
        # The chest wall is at the edge of the picture: of the whole width the left half is taken.
        grid = Grid(scan.plane, _DEPTH, rows, columns * 2, scan.pixel, scan.step)
        tissues = ellipsoids.voxels(body, grid)[:, :, columns:]
        if scan.description[0] == "R":
            tissues = tissues[:, :, ::-1]
    else:
        grid = Grid(scan.plane, _DEPTH, rows, columns, scan.pixel, scan.step)
        tissues = ellipsoids.voxels(body, grid)
    pixels = ellipsoids.projection(tissues, SEEN[scan.seen], scan.grain, chance)
    ellipsoids.stamp(pixels, 4095, 0)
    if shared["PhotometricInterpretation"] == "MONOCHROME1":
        pixels = np.int16(4095) - pixels
    shared |= view(scan)
    shared["ImagerPixelSpacing"] = (_decimal(scan.pixel), _decimal(scan.pixel))
    yield pixels.astype("<u2"), {}


def _pictures(
    study: tuple[object, ...], scan: Scan, lesion: float, chance: Chance, shared: Values
) -> _Made:
    count = chance.whole(*scan.slices)
    grid = Grid("axial", count, *scan.size, scan.pixel, scan.step)
    tissues = ellipsoids.voxels(_body(study, scan, lesion), grid)
    pixels = ellipsoids.echoes(tissues, SEEN[scan.seen], chance)
    ellipsoids.stamp(pixels, 255, 0)
    shared |= {"SequenceOfUltrasoundRegions": region(*scan.size, scan.pixel)}
    shared |= {"WindowCenter": "128", "WindowWidth": "256"}
    for picture in pixels:
        yield picture, {"BitsAllocated": 8}


def _cine(
    study: tuple[object, ...], scan: Scan, lesion: float, chance: Chance, shared: Values
) -> _Made:
    count = chance.whole(*scan.slices)
    grid = Grid("axial", 1, *scan.size, scan.pixel, scan.step)
    frames = []
    for frame in range(count):
        # A triangle wave: contraction and relaxation, once in the whole of the cine.
        beat = 0.72 + 0.5 * abs(frame / count - 0.5)
        tissues = ellipsoids.voxels(_body(study, scan, beat), grid)
        frames.append(ellipsoids.echoes(tissues, SEEN[scan.seen], Chance(*study, "frame", frame)))
    pixels = np.concatenate(frames)
    ellipsoids.stamp(pixels, 255, 0)
    shared |= {"SequenceOfUltrasoundRegions": region(*scan.size, scan.pixel)}
    shared |= {"WindowCenter": "128", "WindowWidth": "256", "NumberOfFrames": str(count)}
    yield pixels, {"BitsAllocated": 8}


def _decimal(value: float) -> str:
    """As a DS value, at most 16 characters (PS3.5 6.2)."""
    return f"{value:.8g}"
