"""What PS3.3 requires of each kind of object, beyond who, when and where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydicom import uid

from pacslab.demo.protocols import Scan

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object: SOP class, modality, and the attributes all of its instances have."""

    sop_class_uid: str
    modality: str
    values: Mapping[str, Any]


def code(value: str, scheme: str, meaning: str) -> list[Values]:
    """A code sequence of one item (PS3.3 table 8.8-1)."""
    return [{"CodeValue": value, "CodingSchemeDesignator": scheme, "CodeMeaning": meaning}]


_GREY: Final = {
    "SamplesPerPixel": 1,
    "PhotometricInterpretation": "MONOCHROME2",
    "BitsAllocated": 16,
    "BitsStored": 12,
    "HighBit": 11,
    "PixelRepresentation": 0,
    "LossyImageCompression": "00",
    "BurnedInAnnotation": "NO",
}
_FRAME: Final = {"PositionReferenceIndicator": ""}
_SUPINE: Final = _FRAME | {"PatientPosition": "HFS"}

# PS3.3 A.26 (DX) and A.27 (MG): the attributes that both have.
_DIGITAL_XRAY: Final = _GREY | {
    "PresentationIntentType": "FOR PRESENTATION",
    "ImageType": ("ORIGINAL", "PRIMARY", ""),
    "PixelIntensityRelationship": "LOG",
    "PixelIntensityRelationshipSign": 1,
    "RescaleIntercept": "0",
    "RescaleSlope": "1",
    "RescaleType": "US",
    "PresentationLUTShape": "IDENTITY",
    "DetectorType": "DIRECT",
    "DetectorConfiguration": "AREA",
    "AcquisitionContextSequence": [],
    "PatientOrientation": ("L", "F"),
    "ImagerPixelSpacing": ("4", "4"),
    "ExposureTime": "12",
    "Exposure": "3",
}

KINDS: Final[Mapping[str, Kind]] = {
    # PS3.3 A.3
    "CT": Kind(
        uid.CTImageStorage,
        "CT",
        _GREY
        | _SUPINE
        | {
            "ImageType": ("ORIGINAL", "PRIMARY", "AXIAL"),
            "AcquisitionNumber": "1",
            "KVP": "120",
            "XRayTubeCurrent": "180",
            "ExposureTime": "500",
            "Exposure": "90",
            "GantryDetectorTilt": "0",
            "RotationDirection": "CW",
            "FilterType": "FLAT",
            "RescaleIntercept": "-1024",
            "RescaleSlope": "1",
            "RescaleType": "HU",
        },
    ),
    # PS3.3 A.4
    "MR": Kind(
        uid.MRImageStorage,
        "MR",
        _GREY
        | _SUPINE
        | {
            "ImageType": ("ORIGINAL", "PRIMARY", "M", "SE"),
            "AcquisitionNumber": "1",
            "MRAcquisitionType": "2D",
            "ScanOptions": "",
            "ImagedNucleus": "1H",
            "NumberOfAverages": "2",
        },
    ),
    # PS3.3 A.21
    "PT": Kind(
        uid.PositronEmissionTomographyImageStorage,
        "PT",
        _GREY
        | _FRAME  # Patient Orientation Code Sequence says how the patient lies
        | {
            "ImageType": ("ORIGINAL", "PRIMARY"),
            "BitsStored": 16,
            "HighBit": 15,
            "Units": "BQML",
            "CountsSource": "EMISSION",
            "SeriesType": ("WHOLE BODY", "IMAGE"),
            "CorrectedImage": ("DECY", "ATTN", "SCAT", "NORM"),
            "DecayCorrection": "START",
            "CollimatorType": "NONE",
            "RandomsCorrectionMethod": "DLYD",
            "AttenuationCorrectionMethod": "measured, CT",
            "ScatterCorrectionMethod": "Model-based",
            "ReconstructionMethod": "OSEM 3i24s",
            "RescaleIntercept": "0",
            "RescaleSlope": "2",
            "FrameReferenceTime": "90000",
            "ActualFrameDuration": "180000",
            "DecayFactor": "1.01",
            "RadiopharmaceuticalInformationSequence": [
                {
                    "RadionuclideCodeSequence": code("77004003", "SCT", "^18^Fluorine"),
                    "RadiopharmaceuticalCodeSequence": code(
                        "35321007", "SCT", "Fluorodeoxyglucose F^18^"
                    ),
                    "Radiopharmaceutical": "FDG",
                    "RadiopharmaceuticalStartTime": "080000",
                    "RadionuclideTotalDose": "280000000",
                    "RadionuclideHalfLife": "6586.2",
                    "RadionuclidePositronFraction": "0.967",
                }
            ],
            "PatientOrientationCodeSequence": [
                code("102538003", "SCT", "recumbent")[0]
                | {"PatientOrientationModifierCodeSequence": code("40199007", "SCT", "supine")}
            ],
            "PatientGantryRelationshipCodeSequence": code("102540008", "SCT", "headfirst"),
        },
    ),
    # PS3.3 A.2
    "CR": Kind(
        uid.ComputedRadiographyImageStorage,
        "CR",
        _GREY
        | {
            "ImageType": ("ORIGINAL", "PRIMARY"),
            "PhotometricInterpretation": "MONOCHROME1",
            "PatientOrientation": ("L", "F"),
            "AcquisitionNumber": "1",
            "KVP": "90",
            "PlateType": "",
        },
    ),
    "DX": Kind(
        uid.DigitalXRayImageStorageForPresentation,
        "DX",
        _DIGITAL_XRAY
        | {
            "ImageLaterality": "U",
            "PositionerType": "NONE",
            "KVP": "125",
            "AnatomicRegionSequence": code("51185008", "SCT", "Chest"),
        },
    ),
    "MG": Kind(
        uid.DigitalMammographyXRayImageStorageForPresentation,
        "MG",
        _DIGITAL_XRAY
        | {
            "KVP": "29",
            "ImagerPixelSpacing": ("1.6", "1.6"),
            "PositionerType": "MAMMOGRAPHIC",
            "OrganExposed": "BREAST",
            "BodyPartThickness": "55",
            "CompressionForce": "110",
            "BreastImplantPresent": "NO",
            "AnatomicRegionSequence": code("76752008", "SCT", "Breast"),
        },
    ),
    # PS3.3 A.6
    "US": Kind(
        uid.UltrasoundImageStorage,
        "US",
        _GREY
        | {
            "ImageType": ("ORIGINAL", "PRIMARY", "ABDOMINAL", "0001"),
            "PatientOrientation": "",
            "BitsAllocated": 8,
            "BitsStored": 8,
            "HighBit": 7,
        },
    ),
    # PS3.3 A.7
    "US cine": Kind(
        uid.UltrasoundMultiFrameImageStorage,
        "US",
        _GREY
        | {
            "ImageType": ("ORIGINAL", "PRIMARY", "", "0001"),
            "PatientOrientation": "",
            "BitsAllocated": 8,
            "BitsStored": 8,
            "HighBit": 7,
            "FrameTime": "50",
            "FrameIncrementPointer": 0x00181063,
            "CineRate": "20",
        },
    ),
}

_VIEWS: Final = {
    "PA": code("399348003", "SCT", "postero-anterior"),
    "LL": code("399173006", "SCT", "left lateral"),
    "CC": code("399162004", "SCT", "cranio-caudal"),
    "MLO": code("399368009", "SCT", "medio-lateral oblique"),
}


def view(scan: Scan) -> Values:
    """How a radiograph was taken (PS3.3 C.8.11.4, C.8.11.7), by its view and side."""
    position = scan.values["ViewPosition"]
    if scan.kind == "CR":
        return {"ViewPosition": position, "PatientOrientation": _orientation(scan)}
    made: Values = {
        "ViewCodeSequence": [{**_VIEWS[position][0], "ViewModifierCodeSequence": []}],
        "PatientOrientation": _orientation(scan),
    }
    if scan.kind == "MG":
        made["ImageLaterality"] = scan.description[0]
    return made | {"ViewPosition": position}


def _orientation(scan: Scan) -> tuple[str, str]:
    if scan.kind == "MG":
        left, oblique = scan.description[0] == "L", scan.values["ViewPosition"] == "MLO"
        away, other = ("A", "R") if left else ("P", "L")
        return away, f"F{other}" if oblique else other
    return ("P", "F") if scan.plane == "sagittal" else ("L", "F")


def region(rows: int, columns: int, pixel: float) -> list[Values]:
    """Where in an ultrasound picture what is measured how (PS3.3 C.8.5.5): 2D tissue, in cm."""
    return [
        {
            "RegionSpatialFormat": 1,
            "RegionDataType": 1,
            "RegionFlags": 0,
            "RegionLocationMinX0": 0,
            "RegionLocationMinY0": 0,
            "RegionLocationMaxX1": columns - 1,
            "RegionLocationMaxY1": rows - 1,
            "PhysicalUnitsXDirection": 3,
            "PhysicalUnitsYDirection": 3,
            "PhysicalDeltaX": pixel / 10,
            "PhysicalDeltaY": pixel / 10,
        }
    ]
