"""The attributes that the index knows: at which level each lives and what QIDO must return of it.

The tables below are the one place where an attribute is named. The schema, the index row, the
match keys of QIDO-RS and C-FIND, the columns of ``Lab.search`` and ``docs/schema.md`` follow from
them. Sources: required return attributes and match keys of PS3.18 tables 10.6.1-5 and 10.6.3-3 to
-5, keys of PS3.4 tables C.6-1 to C.6-4, and attributes that cohort queries ask for most (the
columns of the IDC index among them). VR and tag of each come from pydicom's dictionary (PS3.6).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final

from pydicom.datadict import dictionary_description, dictionary_VM, dictionary_VR, tag_for_keyword


class Level(StrEnum):
    """Query/Retrieve level (PS3.4 C.3), from the patient down to the SOP instance."""

    PATIENT = "PATIENT"
    STUDY = "STUDY"
    SERIES = "SERIES"
    IMAGE = "IMAGE"

    @property
    def depth(self) -> int:
        """0 for the patient, 3 for the SOP instance."""
        return _DEPTHS[self]

    @property
    def unique_key(self) -> str:
        """The attribute that is unique at this level (PS3.4 C.3.4)."""
        return _UNIQUE_KEYS[self]


_UNIQUE_KEYS: Final = {
    Level.PATIENT: "PatientID",
    Level.STUDY: "StudyInstanceUID",
    Level.SERIES: "SeriesInstanceUID",
    Level.IMAGE: "SOPInstanceUID",
}

_DEPTHS: Final = {level: depth for depth, level in enumerate(Level)}

_INTEGERS: Final = frozenset({"IS", "US", "UL", "SS", "SL", "UV", "SV"})
_REALS: Final = frozenset({"DS", "FD", "FL"})


@dataclass(frozen=True, eq=False)
class Attribute:
    """One indexed attribute: its keyword (PS3.6), the level it belongs to, and its uses.

    There is one object of each, so that they are compared and hashed as such, which is quick.

    ``returned``: QIDO-RS and C-FIND give it back unasked at its level. ``fast``: it has an SQL
    index of its own. ``computed``: counted or collected from the levels below when asked for.
    ``sequence``: the sequence that it lies in. Its column, named by the keyword alone, holds the
    value of the sequence's first item: nearly always there is one only, and the header has all.
    """

    keyword: str
    level: Level
    returned: bool = False
    fast: bool = False
    computed: bool = False
    sequence: str = ""

    @cached_property
    def path(self) -> str:
        """The keyword, behind that of the sequence it lies in (PS3.18 8.3.4.1)."""
        return f"{self.sequence}.{self.keyword}" if self.sequence else self.keyword

    @cached_property
    def tag(self) -> int:
        """The tag as a number, 0xGGGGEEEE."""
        tag = tag_for_keyword(self.keyword)
        if tag is None:
            raise LookupError(f"{self.keyword} is no DICOM keyword")
        return tag

    @cached_property
    def vr(self) -> str:
        """The value representation of PS3.6; the first one where several are allowed."""
        return dictionary_VR(self.tag).split(" or ")[0]

    @cached_property
    def multiple(self) -> bool:
        """Whether more than one value is allowed; such a column joins them with a backslash."""
        return dictionary_VM(self.tag) != "1"

    @cached_property
    def python_type(self) -> type[str] | type[int] | type[float]:
        """The type of the column: numbers only where there is always a single one."""
        if not self.multiple and self.vr in _INTEGERS:
            return int
        if not self.multiple and self.vr in _REALS:
            return float
        return str

    @cached_property
    def json_key(self) -> str:
        """The tag as PS3.18 F.2.2 writes it: eight upper-case hexadecimal digits.

        Behind that of its sequence and a dot, where it lies in one.
        """
        return ".".join(f"{tag_for_keyword(part):08X}" for part in self.path.split("."))

    @cached_property
    def shown_tag(self) -> str:
        """The tag as PS3.6 writes it, for people."""
        return " > ".join(f"({key[:4]},{key[4:]})" for key in self.json_key.split("."))

    @cached_property
    def description(self) -> str:
        """The attribute's name in PS3.6, for people."""
        return dictionary_description(self.tag)


def _table(level: Level, *, returned: str = "", other: str = "", fast: str = "") -> list[Attribute]:
    marked = set(fast.split())
    return [
        Attribute(keyword, level, returned=keyword in returned.split(), fast=keyword in marked)
        for keyword in (returned + " " + other).split()
    ]


_PATIENT = _table(
    Level.PATIENT,
    returned="PatientName PatientID PatientBirthDate PatientSex",
    other="""IssuerOfPatientID PatientBirthTime OtherPatientIDs EthnicGroup
        PatientSpeciesDescription PatientComments PatientIdentityRemoved DeidentificationMethod""",
    fast="PatientID PatientBirthDate",
)
_STUDY = _table(
    Level.STUDY,
    returned="""StudyDate StudyTime AccessionNumber ReferringPhysicianName TimezoneOffsetFromUTC
        StudyInstanceUID StudyID""",
    other="StudyDescription PatientAge PatientSize PatientWeight AdmissionID",
    fast="StudyDate AccessionNumber StudyDescription",
)
_SERIES = _table(
    Level.SERIES,
    returned="""Modality SeriesDescription SeriesInstanceUID SeriesNumber
        PerformedProcedureStepStartDate PerformedProcedureStepStartTime""",
    other="""SeriesDate SeriesTime BodyPartExamined Laterality PatientPosition ProtocolName
        Manufacturer ManufacturerModelName DeviceSerialNumber StationName SoftwareVersions
        InstitutionName InstitutionalDepartmentName PerformingPhysicianName OperatorsName
        FrameOfReferenceUID MagneticFieldStrength ContrastBolusAgent""",
    fast="Modality BodyPartExamined SeriesDescription",
)
_REQUEST = [
    Attribute(keyword, Level.SERIES, fast=True, sequence="RequestAttributesSequence")
    for keyword in ("ScheduledProcedureStepID", "RequestedProcedureID")
]
_IMAGE = _table(
    Level.IMAGE,
    returned="SOPClassUID SOPInstanceUID InstanceNumber Rows Columns BitsAllocated NumberOfFrames",
    other="""ImageType ContentDate ContentTime AcquisitionDate AcquisitionTime AcquisitionDateTime
        AcquisitionNumber InstanceCreationDate InstanceCreationTime SamplesPerPixel
        PhotometricInterpretation BitsStored PixelRepresentation PixelSpacing SliceThickness
        SpacingBetweenSlices SliceLocation ImagePositionPatient ImageOrientationPatient
        TemporalPositionIdentifier KVP XRayTubeCurrent Exposure ConvolutionKernel
        ReconstructionDiameter RepetitionTime EchoTime InversionTime FlipAngle EchoTrainLength
        SequenceName ScanningSequence ViewPosition ImageLaterality BurnedInAnnotation
        LossyImageCompression WindowCenter WindowWidth RescaleSlope RescaleIntercept""",
    fast="SOPClassUID",
)

STORED: Final[tuple[Attribute, ...]] = (
    *_PATIENT,
    *_STUDY,
    *_SERIES,
    *_REQUEST,
    *_IMAGE,
)
"""The attributes that have a column, in the order of the columns."""

COMPUTED: Final[tuple[Attribute, ...]] = (
    Attribute("NumberOfPatientRelatedStudies", Level.PATIENT, computed=True),
    Attribute("NumberOfPatientRelatedSeries", Level.PATIENT, computed=True),
    Attribute("NumberOfPatientRelatedInstances", Level.PATIENT, computed=True),
    Attribute("ModalitiesInStudy", Level.STUDY, returned=True, computed=True),
    Attribute("SOPClassesInStudy", Level.STUDY, computed=True),
    Attribute("NumberOfStudyRelatedSeries", Level.STUDY, returned=True, computed=True),
    Attribute("NumberOfStudyRelatedInstances", Level.STUDY, returned=True, computed=True),
    Attribute("NumberOfSeriesRelatedInstances", Level.SERIES, returned=True, computed=True),
    Attribute("AvailableTransferSyntaxUID", Level.IMAGE, returned=True, computed=True),
)
"""The attributes that are counted or collected from what is stored (PS3.4 C.3.4)."""

ATTRIBUTES: Final[dict[str, Attribute]] = {a.path: a for a in (*STORED, *COMPUTED)}
"""Every attribute that can be matched or returned from the index, by keyword.

Those in sequences by their path: Requested Procedure ID outside of one is another attribute.
"""

BY_TAG: Final[dict[int, Attribute]] = {a.tag: a for a in ATTRIBUTES.values() if not a.sequence}

BY_PATH: Final[dict[str, Attribute]] = {a.json_key: a for a in STORED if a.sequence}
"""The attributes in sequences by the tags of their paths, e.g. ``00400275.00401001``."""


def at(level: Level) -> tuple[Attribute, ...]:
    """The stored attributes of one level, in the order of their columns."""
    return tuple(a for a in STORED if a.level is level)


def returned_at(level: Level) -> tuple[Attribute, ...]:
    """What QIDO-RS returns unasked for a level, the level's own attributes only.

    PS3.18 tables 10.6.3-3, -4 and -5; at the study level the patient's are part of it.
    """
    own = {level, Level.PATIENT} if level is Level.STUDY else {level}
    return tuple(a for a in ATTRIBUTES.values() if a.level in own and a.returned)


def returned_if_there(level: Level) -> tuple[Attribute, ...]:
    """What QIDO-RS returns unasked in a sequence, where there is one (PS3.18 table 10.6.3-4)."""
    return tuple(a for a in at(level) if a.sequence)
