"""Data sets in JSON or XML, bulk data in other parts, as Part 10 files (PS3.18 10.5.2)."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from pacslab.dicom.uids import is_uid
from pacslab.errors import NotDicomError, PacslabError, UsageError
from pacslab.web import xml
from pacslab.web.multipart import Part, parameters
from pacslab.web.negotiation import COMPRESSED
from pacslab.web.stow_answer import DICOM_JSON

_ITEM: Final = b"\xfe\xff\x00\xe0"


def _of_json(part: Part) -> list[dict[str, Any]]:
    try:
        told = json.loads(bytes(part.data[:]))
    except ValueError as error:
        raise UsageError(f"the DICOM JSON can't be parsed: {error}") from error
    listed = told if isinstance(told, list) else [told]
    if not all(isinstance(one, dict) for one in listed):
        raise UsageError("the DICOM JSON is no data set and no array of them (PS3.18 F.2)")
    return listed


def _of_xml(part: Part) -> list[dict[str, Any]]:
    return [xml.read(bytes(part.data[:]))]


_Reader = Callable[[Part], list[dict[str, Any]]]
READERS: Final[Mapping[str, _Reader]] = {
    DICOM_JSON: _of_json,
    "application/json": _of_json,
    xml.MEDIA_TYPE: _of_xml,
}
"""What reads the data sets of a part, by its media type. They raise UsageError."""


def part10(header: dict[str, Any], bulk: Mapping[str, Sequence[Part]]) -> bytes:
    """A data set in DICOM JSON as a Part 10 file. Raises NotDicomError."""

    def fetch(uri: str) -> bytes:
        if uri not in bulk:
            raise NotDicomError(f"no part has the Content-Location {uri}, which is asked for")
        return b"".join(part.data[:] for part in bulk[uri])

    # File meta information has no place in a data set; some clients send it all the same.
    inside = {tag: element for tag, element in header.items() if not tag.startswith("0002")}
    try:
        dataset = Dataset.from_json(inside, fetch)
        frames = bulk.get(header.get("7FE00010", {}).get("BulkDataURI", ""), ())
        syntax = _transfer_syntax(frames)
        if syntax.is_compressed and syntax != DeflatedExplicitVRLittleEndian:
            dataset.PixelData = _encapsulated([part.data[:] for part in frames])
            dataset["PixelData"].is_undefined_length = True
            dataset["PixelData"].VR = "OB"
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = syntax
        meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", "")
        meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", "")
        dataset.file_meta = meta
        written = io.BytesIO()
        dcmwrite(written, dataset, enforce_file_format=True)
    except PacslabError:
        raise
    except Exception as error:  # pydicom raises whatever the values provoke
        raise NotDicomError(f"not a data set: {error}") from error
    return written.getvalue()


def _transfer_syntax(frames: Sequence[Part]) -> UID:
    """The one that the pixel data's part names, or its media type's default (table 8.7.3-5)."""
    if not frames:
        return ExplicitVRLittleEndian
    content_type = frames[0].headers.get("content-type", "")
    kind = content_type.split(";")[0].strip().lower()
    named = parameters(content_type).get("transfer-syntax")
    return UID(named or COMPRESSED.get(kind, (ExplicitVRLittleEndian,))[0])


def _encapsulated(frames: list[bytes]) -> bytes:
    """Frames as PS3.5 A.4 has them; one part may hold them so already."""
    if len(frames) == 1 and frames[0].startswith(_ITEM):
        return frames[0]
    return encapsulate(frames)


def uid_of(header: Mapping[str, Any], tag: str) -> str:
    """A UID of a data set that may be malformed; empty where there is none to read."""
    match header.get(tag):
        case {"Value": [str(uid), *_]} if is_uid(uid):
            return uid
    return ""
