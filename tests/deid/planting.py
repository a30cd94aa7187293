"""Objects of ten SOP classes with a patient who doesn't exist in every place where one can hide."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image
from pydicom import dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

from tests.making import item

ROOT = "1.2.826.0.1.3680043.9.7777"
NAME = "Quibblethörpe^Zephyrine^^Dr"
OTHER_SPELLINGS = ("QUIBBLETHORPE", "Quibblethoerpe", "Z. Quibblethörpe", "Zephyrine")
PATIENT_ID = "ZQ7781234"
ALWAYS = ("quibbleth", "zephyrine", PATIENT_ID.lower(), "zq-778-1234", "19430217", "5550199",
          "wisteria", "17 february 1943", "17.02.1943", "z. q")  # fmt: skip
"""What must be nowhere, whatever the profile, in lower case."""
STRICT = (*ALWAYS, "brackenbury", "ottokar", ROOT, "acc9931177", "20210314", "99887766")
"""And what must be nowhere unless the profile keeps institutions, dates or UIDs."""

CLASSES = {
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "US": "1.2.840.10008.5.1.4.1.1.3.1",
    "SC": "1.2.840.10008.5.1.4.1.1.7",
    "DX": "1.2.840.10008.5.1.4.1.1.1.1",
    "PT": "1.2.840.10008.5.1.4.1.1.128",
    "SR": "1.2.840.10008.5.1.4.1.1.88.33",
    "PR": "1.2.840.10008.5.1.4.1.1.11.1",
    "DOC": "1.2.840.10008.5.1.4.1.1.104.1",
    "SM": "1.2.840.10008.5.1.4.1.1.77.1.6",
    "RTSTRUCT": "1.2.840.10008.5.1.4.1.1.481.3",
    "ECG": "1.2.840.10008.5.1.4.1.1.9.1.1",
    "EMR": "1.2.840.10008.5.1.4.1.1.4.1",
}
"""What the objects are, by a short name."""
SYNTAXES = {
    "DX": ImplicitVRLittleEndian,
    "PT": ExplicitVRBigEndian,
    "SR": DeflatedExplicitVRLittleEndian,
    "SC": JPEGBaseline8Bit,
    "SM": JPEGBaseline8Bit,
}


def planted(kind: str) -> bytes:
    """A Part 10 file of a SOP class, full of identifiers."""
    syntax = SYNTAXES.get(kind, ExplicitVRLittleEndian)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = CLASSES[kind]
    meta.MediaStorageSOPInstanceUID = f"{ROOT}.1.{[*CLASSES].index(kind)}"
    meta.SourceApplicationEntityTitle = "QUIBBLETHORPE"
    meta.PrivateInformationCreatorUID = f"{ROOT}.66"
    meta.PrivateInformation = b"Zephyrine Quibblethoerpe"
    dataset = FileDataset(
        "",
        {},
        file_meta=meta,
        preamble=b"Quibblethorpe ".ljust(128, b"Z"),
        is_implicit_VR=syntax == ImplicitVRLittleEndian,
        is_little_endian=syntax != ExplicitVRBigEndian,
    )
    dataset.SOPClassUID = CLASSES[kind]
    dataset.SOPInstanceUID = f"{ROOT}.1.{[*CLASSES].index(kind)}"
    dataset.Modality = "DOC" if kind == "DOC" else kind
    _people(dataset)
    _nested(dataset)
    _private(dataset)
    _texts(dataset)
    _content(dataset, kind)
    if kind in {"CT", "MR", "US", "DX", "PT", "SC", "SM", "EMR"}:
        _picture(dataset, kind)
        _overlays(dataset)
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return _beside(buffer.getvalue(), syntax)


def searched(data: bytes) -> bytes:
    """Everything in a file in lower case, deflated data inflated."""
    out = data.lower()
    if DeflatedExplicitVRLittleEndian.encode() in data[:400]:
        start = 144 + struct.unpack("<I", data[140:144])[0]
        out += zlib.decompress(data[start:], -zlib.MAX_WBITS).lower()
    return out + out.replace(b"\0", b"")  # UTF-16


def found_in(data: bytes, needles: tuple[str, ...]) -> list[str]:
    """Which identifiers stand in these bytes."""
    where = searched(data)
    return [n for n in needles if n.encode() in where or n.encode("utf-16-le") in where]


def _people(dataset: Dataset) -> None:
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName = NAME
    dataset.PatientID = PATIENT_ID
    dataset.IssuerOfPatientID = "Saint Ottokar Infirmary"
    dataset.PatientBirthDate = "19430217"
    dataset.PatientSex = "F"
    dataset.PatientAge = "078Y"
    dataset.PatientWeight = "71.5"
    dataset.OtherPatientNames = "Brackenbury^Zephyrine"
    dataset.OtherPatientIDsSequence = [item(PatientID="99887766", TypeOfPatientID="TEXT")]
    dataset.PatientAddress = "47 Wisteria Lane\\Springfield"
    dataset.PatientTelephoneNumbers = "+49 30 5550199"
    dataset.ReferringPhysicianName = "Brackenbury^Oswald"
    dataset.OperatorsName = "Brackenbury^Oswald"
    dataset.InstitutionName = "Saint Ottokar Infirmary"
    dataset.InstitutionAddress = "1 Ottokar Square"
    dataset.StationName = "OTTOKAR1"
    dataset.DeviceSerialNumber = "99887766"
    dataset.AccessionNumber = "ACC9931177"
    dataset.StudyID = "99887766"
    for keyword in ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"):
        setattr(dataset, keyword, "20210314")
    for keyword in ("StudyTime", "SeriesTime", "AcquisitionTime", "ContentTime"):
        setattr(dataset, keyword, "101112.5")
    dataset.StudyInstanceUID = f"{ROOT}.2"
    dataset.SeriesInstanceUID = f"{ROOT}.3"
    dataset.FrameOfReferenceUID = f"{ROOT}.4"
    dataset.InstanceNumber = 1
    dataset.SeriesNumber = 1


def _nested(dataset: Dataset) -> None:
    inner = item(PatientName=NAME, PatientID=PATIENT_ID, StudyDate="20210314")
    dataset.OriginalAttributesSequence = [
        item(
            ModifiedAttributesSequence=[inner],
            ModifyingSystem="Ottokar",
            AttributeModificationDateTime="20210314",
            SourceOfPreviousValues="Saint Ottokar Infirmary",
            ReasonForTheAttributeModification="COERCE",
        )
    ]
    dataset.ReferencedImageSequence = [
        item(ReferencedSOPClassUID=CLASSES["CT"], ReferencedSOPInstanceUID=f"{ROOT}.9")
    ]
    dataset.RequestAttributesSequence = [
        item(
            RequestedProcedureID="ACC9931177",
            ScheduledProcedureStepDescription="CT of Zephyrine Quibblethörpe",
        )
    ]
    code = item(
        CodeValue="T-1", CodingSchemeDesignator="99X", CodeMeaning="Lung of Z. Quibblethörpe"
    )
    dataset.AnatomicRegionSequence = [code]
    dataset.ProcedureCodeSequence = [code]
    dataset.InstitutionCodeSequence = [
        item(CodeValue="O", CodingSchemeDesignator="99X", CodeMeaning="Ottokar")
    ]
    dataset.OperatorIdentificationSequence = [
        item(PersonIdentificationCodeSequence=[
            item(CodeValue="B", CodingSchemeDesignator="99X", CodeMeaning="Oswald Brackenbury")
        ])
    ]  # fmt: skip


def _private(dataset: Dataset) -> None:
    block = dataset.private_block(0x0009, "ACME 1.1", create=True)
    block.add_new(0x01, "LO", "Quibblethörpe")
    block.add_new(0x02, "SQ", Sequence([item(PatientName=NAME)]))
    block.add_new(0x03, "UN", b"Zephyrine Quibblethorpe")
    # No creator at all, and one that is on the safe list but not with this element
    dataset.add(DataElement(0x00111001, "LO", "Quibblethoerpe"))
    false = dataset.private_block(0x0019, "GEMS_ACQU_01", create=True)
    false.add_new(0x99, "LO", "Quibblethorpe")
    false.add_new(0x23, "DS", "1.5")
    false.add_new(0x24, "LO", "Zephyrine")  # safe as DS, not as text


def _texts(dataset: Dataset) -> None:
    dataset.StudyDescription = "Chest, Z. Quibblethörpe, 17 February 1943"
    dataset.SeriesDescription = "ZQ-778-1234 LONG AXIS"
    dataset.ProtocolName = "Brackenbury protocol"
    dataset.PatientComments = "Call +49 30 5550199, 47 Wisteria Lane"
    dataset.ImageComments = f"born 17.02.1943, see {ROOT}.2 of QUIBBLETHORPE"
    # Not listed in Table E.1-1, so that a library by the table leaves them
    dataset.SoftwareVersions = "v1 Quibblethoerpe"
    dataset.LossyImageCompressionMethod = "ZEPHYRINE"
    dataset.ContentLabel = "QUIBBLETHORPE"
    dataset.LUTExplanation = f"for {ROOT}.2"
    dataset.BodyPartExamined = "CHEST\0Quibblethorpe!"
    dataset.add(DataElement(0x0018115E, "DS", "1"))
    dataset.TextValue = "Root text of Zephyrine Quibblethörpe"
    dataset.add(DataElement(0x00181251, "UN", b"Quibblethorpe "))
    dataset.NamesOfIntendedRecipientsOfResults = "Brackenbury^Oswald"


def _content(dataset: Dataset, kind: str) -> None:
    if kind == "SR":
        concept = [item(CodeValue="1", CodingSchemeDesignator="99X", CodeMeaning="Finding")]
        tree = [
            ("TEXT", "TextValue", "Mrs. Quibblethörpe was seen by Oswald Brackenbury"),
            ("PNAME", "PersonName", "Brackenbury^Oswald"),
            ("UIDREF", "UID", f"{ROOT}.5"),
            ("DATE", "Date", "20210314"),
            ("DATETIME", "DateTime", "20210314101112+0100"),
        ]
        dataset.ContentSequence = [
            item(
                RelationshipType="CONTAINS",
                ValueType=value_type,
                ConceptNameCodeSequence=concept,
                **{keyword: value},
            )
            for value_type, keyword, value in tree
        ]
        dataset.ValueType = "CONTAINER"
        dataset.VerifyingObserverSequence = [
            item(
                VerifyingObserverName="Brackenbury^Oswald",
                VerifyingOrganization="Saint Ottokar Infirmary",
                VerificationDateTime="20210314",
                VerifyingObserverIdentificationCodeSequence=[],
            )
        ]
    elif kind == "PR":
        dataset.GraphicAnnotationSequence = [
            item(
                GraphicLayer="A",
                TextObjectSequence=[item(UnformattedTextValue="Quibblethörpe, 17.02.1943")],
            )
        ]
        dataset.ContentCreatorName = "Brackenbury^Oswald"
    elif kind == "DOC":
        dataset.MIMETypeOfEncapsulatedDocument = "application/pdf"
        dataset.EncapsulatedDocument = b"%PDF-1.4 Zephyrine Quibblethorpe"
        dataset.EncapsulatedDocumentLength = 32
        dataset.DocumentTitle = "Letter about Quibblethörpe"
    elif kind == "RTSTRUCT":
        dataset.StructureSetLabel = "Quibblethorpe"
        dataset.StructureSetROISequence = [
            item(
                ROINumber=1, ROIName="GTV Quibblethörpe", ReferencedFrameOfReferenceUID=f"{ROOT}.4"
            )
        ]
        dataset.ApprovalStatus = "UNAPPROVED"
        dataset.ReviewerName = "Brackenbury^Oswald"
    elif kind == "ECG":
        dataset.WaveformSequence = [
            item(
                NumberOfWaveformChannels=1,
                WaveformBitsAllocated=16,
                WaveformData=b"Quibblethorpe was here ".ljust(64, b"\1"),
            )
        ]
        dataset.WaveformSequence[0]["WaveformData"].VR = "OW"
    elif kind == "EMR":
        dataset.PerFrameFunctionalGroupsSequence = [
            item(
                FrameContentSequence=[
                    item(FrameAcquisitionDateTime="20210314", FrameComments="Quibblethörpe")
                ],
                DerivationImageSequence=[
                    item(SourceImageSequence=[item(ReferencedSOPInstanceUID=f"{ROOT}.9")])
                ],
            )
            for _ in range(3)
        ]


def _picture(dataset: Dataset, kind: str) -> None:
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = 32, 32
    dataset.PixelSpacing = [0.5, 0.5]
    dataset.ImagePositionPatient = [1.5, -2.25, 3]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME" if kind == "SM" else "AXIAL"]
    dataset.PixelRepresentation = 0
    dataset.IconImageSequence = [
        item(Rows=4, Columns=4, SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2",
             BitsAllocated=8, BitsStored=8, HighBit=7, PixelRepresentation=0,
             PixelData=b"Quibblethorpe!!!")
    ]  # fmt: skip
    dataset.IconImageSequence[0]["PixelData"].VR = "OW"
    if dataset.file_meta.TransferSyntaxUID == JPEGBaseline8Bit:
        dataset.BitsAllocated = dataset.BitsStored = 8
        dataset.HighBit = 7
        dataset.PixelData = encapsulate([_jpeg()])
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
        return
    frames = 3 if kind in {"US", "EMR"} else 1
    dataset.NumberOfFrames = frames
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    little = dataset.file_meta.TransferSyntaxUID != ExplicitVRBigEndian
    pixels = np.arange(frames * 1024, dtype="<u2" if little else ">u2") % 4096
    hidden = np.frombuffer("Quibblethorpe".ljust(1024).encode(), "u1")
    pixels[:1024] |= ((hidden & 0x0F).astype(pixels.dtype)) << 12
    dataset.PixelData = pixels.tobytes() + b"after the last frame: Quibblethorpe "
    dataset["PixelData"].VR = "OW"


def _jpeg() -> bytes:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x010E] = "Zephyrine Quibblethorpe"
    pixels = Image.fromarray(np.arange(1024, dtype="u1").reshape(32, 32))
    pixels.save(buffer, "JPEG", comment=b"Quibblethorpe", exif=exif.tobytes())
    return buffer.getvalue() + b"Quibblethorpe behind the end"


def _overlays(dataset: Dataset) -> None:
    dataset.add(DataElement(0x60000010, "US", 32))
    dataset.add(DataElement(0x60000011, "US", 32))
    dataset.add(DataElement(0x60000022, "LO", "Quibblethorpe"))
    dataset.add(DataElement(0x60003000, "OW", b"Quibblethorpe!".ljust(128, b"\0")))
    dataset.add(DataElement(0x60004000, "LT", "Quibblethorpe"))
    dataset.add(DataElement(0x50003000, "OW", b"Quibblethorpe!"))


def _beside(data: bytes, syntax: UID) -> bytes:
    if syntax == DeflatedExplicitVRLittleEndian:
        return data + b"behind the data set: Quibblethorpe"
    tag = struct.pack(">HH" if syntax == ExplicitVRBigEndian else "<HH", 0xFFFC, 0xFFFC)
    text = b"behind the data set: Quibblethorpe"
    if syntax == ImplicitVRLittleEndian:
        return data + tag + struct.pack("<I", len(text)) + text
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    return data + tag + b"OB\0\0" + struct.pack(f"{order}I", len(text)) + text


def opened(data: bytes) -> Any:
    """The object as pydicom reads it."""
    return dcmread(io.BytesIO(data))
