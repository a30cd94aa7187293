"""One SOP instance, read once from the bytes it came as: the only way into the archive."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO, Final, cast

from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.uid import (
    UID,
    AllTransferSyntaxes,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from pacslab.dicom import buffers
from pacslab.dicom import header as headers
from pacslab.dicom.buffers import Buffer
from pacslab.dicom.columns import Value, index_row
from pacslab.dicom.filemeta import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    PREAMBLE,
    data_set_offset,
    file_meta,
    file_prefix,
)
from pacslab.dicom.quick import Memo
from pacslab.dicom.uids import is_uid
from pacslab.errors import InvalidUIDError, MismatchError, NotDicomError

__all__ = [
    "IMPLEMENTATION_CLASS_UID",
    "IMPLEMENTATION_VERSION_NAME",
    "Buffer",
    "Instance",
    "Value",
    "data_set_offset",
    "file_prefix",
    "index_row",
    "parse",
    "read",
    "transfer_syntax_name",
]

_IMPLICIT: Final = Memo(implicit=True)
_EXPLICIT: Final = Memo(implicit=False)
_MEMOS: Final = {
    str(syntax): _IMPLICIT if syntax.is_implicit_VR else _EXPLICIT
    for syntax in AllTransferSyntaxes
    if syntax.is_little_endian and not syntax.is_deflated and "Deflate" not in syntax.name
}
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
    start, declared = file_meta(data)
    memo = _MEMOS.get(declared)
    known = memo.read(data, start) if memo is not None else None
    if known is not None:
        syntax, (row, header) = declared, known
    else:
        dataset = parse(data)
        told = headers.to_json(dataset)
        syntax, row, header = _transfer_syntax(dataset), index_row(told), headers.dumps(told)
        if memo is not None and syntax == declared:
            memo.learn(data, start, told)
    sop_class, study, series, uid = _checked_uids(row)
    if announced is not None and announced != (sop_class, uid):
        raise MismatchError(
            f"announced as SOP class {announced[0]}, instance {announced[1]}, but the data set "
            f"says {sop_class}, {uid}: send it with the UIDs that stand in it"
        )
    prefix = b"" if start > PREAMBLE else file_prefix(sop_class, uid, syntax)
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
        header=header,
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


def transfer_syntax_name(uid: str) -> str:
    """The name that PS3.6 gives a transfer syntax; the UID itself when it has none."""
    return str(UID(uid).name)
