"""Many instances that differ in little, as Part 10 files: what they share is encoded once."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, Final

from pydicom.charset import convert_encodings
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from pacslab.dicom.instance import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

_PIXEL_DATA: Final = 0x7FE00010


class Template:
    """The attributes that instances share; ``file`` adds those in which one differs.

    Attributes are mappings of DICOM keyword to value; a list of mappings is a sequence. Writing a
    whole data set with pydicom for every slice took four times as long.
    """

    def __init__(self, shared: Mapping[str, Any]) -> None:
        self._encodings = convert_encodings(list(shared.get("SpecificCharacterSet", ())) or None)
        self._shared = self._encoded(shared)
        self._sop_class_uid = shared["SOPClassUID"]

    def file(self, pixels: bytes = b"", **own: Any) -> bytes:
        """A Part 10 file (PS3.10 7.1) in Explicit VR Little Endian, elements in order of tag."""
        encoded = {**self._shared, **self._encoded(own)}
        if pixels:
            wide = own.get("BitsAllocated", 16) == 16
            pixels += b"\0" * (len(pixels) % 2)
            encoded[_PIXEL_DATA] = (
                struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW" if wide else b"OB", 0, len(pixels))
                + pixels
            )
        meta = self._meta(own["SOPInstanceUID"])
        return b"".join((bytes(128), b"DICM", meta, *(encoded[tag] for tag in sorted(encoded))))

    def _meta(self, sop_instance_uid: str) -> bytes:
        values = {
            "FileMetaInformationVersion": b"\0\1",
            "MediaStorageSOPClassUID": self._sop_class_uid,
            "MediaStorageSOPInstanceUID": sop_instance_uid,
            "TransferSyntaxUID": ExplicitVRLittleEndian,
            "ImplementationClassUID": IMPLEMENTATION_CLASS_UID,
            "ImplementationVersionName": IMPLEMENTATION_VERSION_NAME,
        }
        group = b"".join(self._encoded(values).values())
        return struct.pack("<HH2sHI", 0x0002, 0x0000, b"UL", 4, len(group)) + group

    def _encoded(self, values: Mapping[str, Any]) -> dict[int, bytes]:
        made = {}
        for keyword, value in values.items():
            tag = tag_for_keyword(keyword)
            if tag is None:
                raise LookupError(f"{keyword} is no DICOM keyword")
            vr = dictionary_VR(tag)
            made[tag] = self._element(tag, "US" if " or " in vr else vr, value)
        return made

    def _element(self, tag: int, vr: str, value: Any) -> bytes:
        if vr == "SQ":
            value = Sequence([_item(item) for item in value])
        buffer = DicomBytesIO()
        buffer.is_little_endian, buffer.is_implicit_VR = True, False
        element = DataElement(tag, vr, list(value) if isinstance(value, tuple) else value)
        write_data_element(buffer, element, self._encodings)
        return buffer.getvalue()


def _item(values: Mapping[str, Any]) -> Dataset:
    made = Dataset()
    for keyword, value in values.items():
        of_items = isinstance(value, list)
        setattr(made, keyword, Sequence([_item(one) for one in value]) if of_items else value)
    return made
