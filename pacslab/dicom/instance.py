"""One SOP instance, read once from the bytes it came as: the only way into the archive."""

from __future__ import annotations

import io
import re
import struct
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, TypeAlias, cast

from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from pacslab.dicom import buffers
from pacslab.dicom import header as headers
from pacslab.dicom.keywords import STORED, Attribute
from pacslab.dicom.uids import is_uid
from pacslab.errors import InvalidUIDError, MismatchError, NotDicomError

Buffer: TypeAlias = buffers.Buffer
Value: TypeAlias = str | int | float | None

IMPLEMENTATION_CLASS_UID: Final = "2.25.237684309519527464137012309219117246461"
IMPLEMENTATION_VERSION_NAME: Final = "PACSLAB"

_PREAMBLE: Final = 132  # 128 bytes of anything, then DICM (PS3.10 7.1)
_LONG_VR: Final = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN",
                             b"UR", b"UT", b"UV"})  # fmt: skip
_DICOMDIR: Final = "1.2.840.10008.1.3.10"


@dataclass(frozen=True, slots=True)
class Instance:
    """A SOP instance as the archive takes it; equal content gives equal instances.

    ``prefix`` + ``data[offset:]`` is the Part 10 file: what came as a Part 10 file is kept as it
    came (``prefix`` empty, ``offset`` 0); a bare data set, as C-STORE carries it, gets a preamble
    and file meta information of ours (PS3.10 7.1). ``sha256`` and ``size`` (in bytes) are the data
    set's alone, so that they don't depend on the way it came. ``row`` maps every keyword of
    :data:`keywords.STORED` to its value; ``header`` is the DICOM JSON text (PS3.18 Annex F).
    """

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    sha256: str
    size: int
    row: Mapping[str, Value]
    header: str
    prefix: bytes
    data: Buffer
    offset: int


def read(data: Buffer, *, announced: tuple[str, str] | None = None) -> Instance:
    """Read one SOP instance from the bytes of a Part 10 file or of a bare data set.

    ``announced`` are SOP Class and SOP Instance UID as the sender named them. Values of more than
    64 KiB aren't read, so that a mapped file of any size costs little memory. Raises NotDicomError
    for bytes that no data set with a SOP class can be read from, InvalidUIDError for UIDs that are
    missing or aren't UIDs (PS3.5 9.1), MismatchError when the data set isn't what was announced.
    """
    dataset = parse(data)
    header = headers.to_json(dataset)
    row = index_row(header)
    syntax = _transfer_syntax(dataset)
    sop_class, study, series, uid = _checked_uids(row)
    if announced is not None and announced != (sop_class, uid):
        raise MismatchError(
            f"announced as SOP class {announced[0]}, instance {announced[1]}, but the data set "
            f"says {sop_class}, {uid}: send it with the UIDs that stand in it"
        )
    start = data_set_offset(data)
    prefix = b"" if start > _PREAMBLE else file_prefix(sop_class, uid, syntax)
    digest = buffers.sha256(data, start)
    return Instance(
        study_instance_uid=study,
        series_instance_uid=series,
        sop_instance_uid=uid,
        sop_class_uid=sop_class,
        transfer_syntax_uid=syntax,
        sha256=digest,
        size=len(data) - start,
        row=row,
        header=headers.dumps(header),
        prefix=prefix,
        data=data,
        offset=start if prefix else 0,
    )


def parse(data: Buffer) -> FileDataset:
    """The data set with its file meta information; values over 64 KiB stay unread.

    Raises NotDicomError when there is no data set in it, or it breaks off before its end.
    """
    source = io.BytesIO(data) if isinstance(data, bytes) else cast(BinaryIO, data)
    source.seek(0)
    if len(data) < 8:
        raise NotDicomError("not a DICOM file: it is empty" if not data else "not a DICOM file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = dcmread(source, force=True, defer_size=headers.DEFER_SIZE)
    except Exception as error:  # pydicom raises whatever the bytes provoke
        raise NotDicomError(f"not a DICOM file, or a damaged one: {error}") from error
    if "SOPClassUID" not in dataset and "SOPInstanceUID" not in dataset:
        if dataset.file_meta.get("MediaStorageSOPClassUID") == _DICOMDIR:
            raise NotDicomError(
                "a DICOMDIR is a table of contents and no instance: add the folder it stands in"
            )
        raise NotDicomError("not a DICOM file: no SOP Class UID can be read from it")
    return dataset


def index_row(header: headers.Json) -> dict[str, Value]:
    """The index's columns from a header; None where the attribute is absent or empty.

    Several values are joined with a backslash, as the data set has them. Text that isn't a number
    in a column of numbers gives None: it stays visible in the header.
    """
    return {a.keyword: _column(a, _element(header, a.json_key)) for a in STORED}


def file_prefix(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> bytes:
    """Preamble and file meta information for a bare data set (PS3.10 7.1), in bytes."""
    elements = b"".join(
        (
            b"\x02\x00\x01\x00OB\x00\x00\x02\x00\x00\x00\x00\x01",
            _meta_text(0x0002, b"UI", sop_class_uid),
            _meta_text(0x0003, b"UI", sop_instance_uid),
            _meta_text(0x0010, b"UI", transfer_syntax_uid),
            _meta_text(0x0012, b"UI", IMPLEMENTATION_CLASS_UID),
            _meta_text(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME),
        )
    )
    length = struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(elements))
    return bytes(128) + b"DICM" + length + elements


def data_set_offset(data: Buffer) -> int:
    """Where the data set starts: behind preamble and group 2, in bytes.

    Read element by element, since the group length (0002,0000) of real files may be wrong.
    """
    position = _PREAMBLE if data[128:_PREAMBLE] == b"DICM" else 0
    while data[position : position + 2] == b"\x02\x00" and position + 8 <= len(data):
        vr = data[position + 4 : position + 6]
        if vr in _LONG_VR:
            (length,) = struct.unpack("<I", data[position + 8 : position + 12])
            position += 12 + length
        elif vr.isalpha():
            (length,) = struct.unpack("<H", data[position + 6 : position + 8])
            position += 8 + length
        else:  # implicit VR, which PS3.10 forbids here and some writers use
            (length,) = struct.unpack("<I", data[position + 4 : position + 8])
            position += 8 + length
    return min(position, len(data))


def _transfer_syntax(dataset: FileDataset) -> str:
    declared = dataset.file_meta.get("TransferSyntaxUID")
    if declared and is_uid(str(declared)):
        return str(declared)
    implicit, little = dataset.original_encoding
    if not little:
        return str(ExplicitVRBigEndian)
    return str(ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian)


def _checked_uids(row: Mapping[str, Value]) -> list[str]:
    """SOP class, study, series and SOP instance UID, each of them a UID."""
    uids = []
    for keyword in ("SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        uid = row[keyword]
        if not is_uid(uid):
            raise InvalidUIDError(f"{_spaced(keyword)} {_shown(uid)}")
        uids.append(str(uid))
    return uids


def _spaced(keyword: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=SOP)(?=[A-Z])", " ", keyword)


def _shown(value: Value) -> str:
    if value is None:
        return "is missing"
    text = str(value)
    shown = repr(text if len(text) <= 70 else text[:70] + "...")
    return f"isn't a UID: {shown} (digits and dots, at most 64 characters)"


def _element(header: Mapping[str, Any], key: str) -> dict[str, Any] | None:
    """An element; of one in a sequence the first item's."""
    outer, _, inner = key.partition(".")
    element: dict[str, Any] | None = header.get(outer)
    if not inner or element is None:
        return element
    items = element.get("Value")
    return _element(items[0] or {}, inner) if items else None


def _column(attribute: Attribute, element: dict[str, Any] | None) -> Value:
    values = element.get("Value") if element else None
    if not values:
        return None
    texts = [_text(v) for v in values]
    if attribute.python_type is str:
        joined = "\\".join(texts)
        return _date(joined) if attribute.vr == "DA" else joined or None
    try:
        number: int | float = int(values[0]) if attribute.python_type is int else float(values[0])
    except (TypeError, ValueError, OverflowError):
        return None
    # SQLite's integers have 64 bits; what is longer was no number but a mistake.
    return number if abs(number) < 2**63 else None


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        groups = [value.get(g, "") for g in ("Alphabetic", "Ideographic", "Phonetic")]
        return "=".join(groups).rstrip("=")
    return str(value).strip()


def _date(text: str) -> str | None:
    """A date as PS3.5 writes it; the form of ACR-NEMA (1997.04.24) is understood too."""
    old = re.fullmatch(r"(\d{4})[.\-/](\d{2})[.\-/](\d{2})", text)
    return "".join(old.groups()) if old else text or None


def _meta_text(element: int, vr: bytes, text: str) -> bytes:
    value = text.encode("ascii")
    value += (b"\0" if vr == b"UI" else b" ") * (len(value) % 2)
    return struct.pack("<HH2sH", 2, element, vr, len(value)) + value


def transfer_syntax_name(uid: str) -> str:
    """The name that PS3.6 gives a transfer syntax; the UID itself when it has none."""
    return str(UID(uid).name)
