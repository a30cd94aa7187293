"""What is examined, and how: the studies and series of the made-up patients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Scan:
    """A series: the kind of object, the body and what is seen of it, and where its slices lie.

    ``kind`` is a key of :data:`iods.KINDS`. ``slices`` are the fewest and the most; for kinds
    without a volume the number of pictures. ``pixel`` and ``step`` are in mm. ``values`` are
    attributes that only this series has.
    """

    kind: str
    description: str
    body: str
    seen: str
    slices: tuple[int, int]
    plane: str = "axial"
    size: tuple[int, int] = (72, 72)
    pixel: float = 3.5
    step: float = 5.0
    window: tuple[int, int] = (40, 400)
    grain: int = 14
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Protocol:
    """A study: its series, how common it is, who gets it, and what a report calls a lesion.

    ``ages`` are the lowest, the most common and the highest in years; ``lesions`` is the share of
    patients who have one.
    """

    modality: str
    body_part: str
    description: str
    scans: tuple[Scan, ...]
    weight: float
    ages: tuple[int, int, int] = (18, 62, 95)
    sexes: str = "MF"
    lesion: str = "lesion"
    lesions: float = 0.3


_HEAD: Final[Mapping[str, Any]] = {"pixel": 3.25, "size": (80, 80), "step": 6.0}
_TRUNK: Final[Mapping[str, Any]] = {"pixel": 5.0, "size": (80, 80), "step": 7.5}
_SE: Final = {"ScanningSequence": "SE", "SequenceVariant": "SK", "FlipAngle": "90"}
_T1: Final = _SE | {"RepetitionTime": "500", "EchoTime": "9.2", "EchoTrainLength": "1"}
_T2: Final = _SE | {"RepetitionTime": "4200", "EchoTime": "98", "EchoTrainLength": "15"}
_FLAIR: Final = _SE | {
    "ScanningSequence": ("SE", "IR"), "RepetitionTime": "9000", "EchoTime": "110",
    "InversionTime": "2500", "EchoTrainLength": "16",
}  # fmt: skip
_CONTRAST: Final = {"ContrastBolusAgent": "Iohexol 300", "ContrastBolusRoute": "IV"}
_MR: Final[Mapping[str, Any]] = {"grain": 60, "window": (450, 1000)}


def _ct(description: str, body: str, seen: str, *, kernel: str, **more: Any) -> Scan:
    values = {"ConvolutionKernel": kernel} | (_CONTRAST if seen == "CT+" else {})
    return Scan("CT", description, body, seen, values=values, **more)


def _xray(kind: str, description: str, body: str, view: str, plane: str, **more: Any) -> Scan:
    return Scan(
        kind, description, body, more.pop("seen", "XRAY"), (1, 1), plane=plane,
        step=more.pop("step", 14.0), grain=40, window=(2000, 3600),
        values={"ViewPosition": view}, **more,
    )  # fmt: skip


def _film(kind: str, view: str, description: str, plane: str) -> Scan:
    return _xray(kind, description, "chest", view, plane, size=(96, 96), pixel=4.0)


PROTOCOLS: Final = (
    Protocol(
        "DX", "CHEST", "Chest PA and lateral",
        (_film("DX", "PA", "Chest PA", "coronal"), _film("DX", "LL", "Chest lateral", "sagittal")),
        22, ages=(6, 60, 97), lesion="nodule", lesions=0.15,
    ),
    Protocol(
        "CR", "CHEST", "Chest bedside AP", (_film("CR", "AP", "Chest AP", "coronal"),),
        10, ages=(1, 70, 97), lesion="nodule", lesions=0.1,
    ),
    Protocol(
        "CR", "KNEE", "Knee two views",
        (
            _xray("CR", "Knee AP", "knee", "AP", "coronal", size=(104, 72), pixel=2.0, step=6.0),
            _xray("CR", "Knee lat", "knee", "LL", "sagittal", size=(104, 72), pixel=2.0, step=6.0),
        ),
        10, ages=(8, 40, 85), lesion="lytic lesion", lesions=0.08,
    ),
    Protocol(
        "CT", "HEAD", "CT head without contrast",
        (_ct("Head 6.0 soft", "head", "CT", kernel="H31s", slices=(18, 24),
             window=(38, 90), grain=8, **_HEAD),),
        10, ages=(2, 68, 96), lesion="haemorrhage", lesions=0.25,
    ),
    Protocol(
        "CT", "CHEST", "CT thorax with contrast",
        (
            _ct("Thorax 7.5 soft", "chest", "CT+", kernel="B31f", slices=(20, 28), **_TRUNK),
            _ct("Thorax 7.5 lung", "chest", "CT+", kernel="B70f", slices=(20, 28), grain=30,
                window=(-600, 1500), **_TRUNK),
        ),
        8, lesion="nodule", lesions=0.55,
    ),
    Protocol(
        "CT", "ABDOMEN", "CT abdomen portal venous",
        (_ct("Abdomen 7.5 pv", "abdomen", "CT+", kernel="B30f", slices=(20, 30), **_TRUNK),),
        8, lesion="liver lesion", lesions=0.4,
    ),
    Protocol(
        "MR", "HEAD", "MR brain",
        (
            Scan("MR", "t1_se_tra", "head", "T1", (14, 18), values=_T1, **_HEAD, **_MR),
            Scan("MR", "t2_tse_tra", "head", "T2", (14, 18), values=_T2, **_HEAD, **_MR),
            Scan("MR", "t2_flair_sag", "head", "FLAIR", (14, 18), plane="sagittal", values=_FLAIR,
                 **_HEAD, **_MR),
        ),
        10, ages=(4, 48, 92), lesion="white matter lesion", lesions=0.35,
    ),
    Protocol(
        "MR", "ABDOMEN", "MR liver",
        (
            Scan("MR", "t2_tse_cor", "abdomen", "T2", (12, 16), plane="coronal", values=_T2,
                 **_TRUNK, **_MR),
            Scan("MR", "t1_tra", "abdomen", "T1", (16, 20), values=_T1, **_TRUNK, **_MR),
        ),
        5, lesion="liver lesion", lesions=0.5,
    ),
    Protocol(
        "US", "ABDOMEN", "Ultrasound abdomen",
        (Scan("US", "Liver and kidneys", "abdomen", "US", (3, 6), size=(88, 112), pixel=2.4,
              step=18.0),),
        9, ages=(1, 50, 93), lesion="liver lesion", lesions=0.15,
    ),
    Protocol(
        "US", "HEART", "Echocardiography",
        (Scan("US cine", "Four chambers", "heart", "US", (12, 18), size=(88, 96), pixel=1.7),),
        6, ages=(16, 66, 95), lesions=0.0,
    ),
    Protocol(
        "MG", "BREAST", "Screening mammography",
        tuple(
            _xray("MG", f"{side} {view}", "breast", view, "coronal", seen="SOFTXRAY",
                  size=(112, 72), pixel=1.6, step=4.0)
            for side in "RL" for view in ("CC", "MLO")
        ),
        8, ages=(40, 56, 78), sexes="F", lesion="mass", lesions=0.2,
    ),
    Protocol(
        "PT", "CHEST", "PET/CT thorax FDG",
        (
            _ct("CT AC 7.5", "chest", "CT", kernel="B19f", slices=(24, 24), **_TRUNK),
            Scan("PT", "PET AC", "chest", "PET", (24, 24), size=(64, 64), pixel=6.25, step=7.5,
                 window=(4000, 8000), grain=300),
        ),
        4, ages=(30, 65, 88), lesion="FDG-avid nodule", lesions=0.8,
    ),
)  # fmt: skip
"""Weights and ages after the mix of a general hospital, not after any real one."""

EQUIPMENT: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "CT": (("SIEMENS", "SOMATOM Definition AS+"), ("Siemens Healthineers", "SOMATOM Force"),
           ("GE MEDICAL SYSTEMS", "Revolution CT"), ("Philips", "Brilliance 64"),
           ("TOSHIBA", "Aquilion ONE")),
    "MR": (("SIEMENS", "Skyra"), ("SIEMENS", "Avanto"), ("Philips Medical Systems", "Ingenia"),
           ("GE MEDICAL SYSTEMS", "SIGNA Artist")),
    "CR": (("FUJIFILM Corporation", "FCR Capsula"), ("Agfa", "CR 30-X")),
    "DX": (("Philips Medical Systems", "DigitalDiagnost"), ("SIEMENS", "Ysio Max"),
           ("Carestream Health", "DRX-Evolution")),
    "US": (("GE Healthcare", "LOGIQ E9"), ("Philips Medical Systems", "EPIQ 7C"),
           ("SAMSUNG MEDISON CO., LTD.", "RS85")),
    "MG": (("HOLOGIC, Inc.", "Selenia Dimensions"), ("SIEMENS", "MAMMOMAT Inspiration")),
    "PT": (("SIEMENS", "Biograph64_mCT"), ("GE MEDICAL SYSTEMS", "Discovery 710")),
}  # fmt: skip
"""Manufacturer and model by modality; one maker is spelled in several ways, as everywhere."""
