"""The outline says of every real file what pydicom says, or leaves it to pydicom."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from pacslab.dicom import part10
from pacslab.dicom.outline import outline
from pacslab.dicom.part10 import read_part10
from pacslab.errors import PixelError
from tests.conftest import dicom_file, pydicom_files
from tests.making import instance, item, written

_SHOWN = (
    "PixelSpacing", "PixelPaddingValue", "WindowCenter", "WindowWidth", "RescaleSlope",
    "RescaleIntercept", "ModalityLUTSequence", "VOILUTSequence", "RedPaletteColorLookupTableData",
    "RedPaletteColorLookupTableDescriptor", "PresentationLUTShape", "DoseGridScaling", "FrameTime",
    "ImagerPixelSpacing", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
    "SOPClassUID", "SOPInstanceUID", "RepresentativeFrameNumber", "CineRate",
)  # fmt: skip
_REGULAR = ["CT_small.dcm", "MR_small_implicit.dcm", "693_J2KR.dcm", "rtplan.dcm", "liver.dcm"]


def _told(path: Path) -> dict[str, Any]:
    """What an object is read as, or that it can't be."""
    try:
        part = read_part10(path)
    except PixelError:
        return {"error": True}
    header = part.header.to_json_dict(suppress_invalid_tags=True)
    found: dict[str, Any] = {
        "syntax": part.transfer_syntax,
        "keyword": part.keyword,
        "header": header,
        "image": [part.image.get(keyword) for keyword in _SHOWN],
        "table": part.description.get("ExtendedOffsetTable"),
    }
    if part.keyword:
        found |= {"start": part.start, "length": part.length, "vr": part.vr}
        try:
            found["layout"] = part10.layout_of(part)
        except PixelError:
            found["layout"] = None
    part.close()
    return found


@pytest.mark.parametrize("path", pydicom_files(), ids=lambda p: p.name)
def test_every_file_is_read_as_pydicom_reads_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quickly = _told(path)
    monkeypatch.setattr(part10, "outline", lambda _: None)
    assert quickly == _told(path)


@pytest.mark.parametrize("name", _REGULAR)
def test_regular_files_need_no_pydicom(name: str) -> None:
    assert outline(dicom_file(name).read_bytes()) is not None


@pytest.mark.parametrize("syntax", [ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
def test_where_no_place_is_as_it_seems_pydicom_reads(syntax: str) -> None:
    dataset = pydicom.dcmread(io.BytesIO(instance()))
    dataset.file_meta.TransferSyntaxUID = syntax
    file = io.BytesIO()
    little = syntax != ExplicitVRBigEndian
    pydicom.dcmwrite(file, dataset, implicit_vr=False, little_endian=little)
    assert outline(file.getvalue()) is None


def _nested(depth: int) -> bytes:
    """Sequences of undefined length in items of undefined length, ``depth`` of them."""
    inner = item(PatientID="innermost", Rows=99)
    for _ in range(depth):
        outer = Dataset()
        outer.ReferencedStudySequence = [inner, item(PatientID="second")]
        outer["ReferencedStudySequence"].is_undefined_length = True
        outer.is_undefined_length_sequence_item = True
        inner = outer
    dataset = pydicom.dcmread(io.BytesIO(instance(Rows=6)))
    dataset.ReferencedStudySequence = inner.ReferencedStudySequence
    dataset["ReferencedStudySequence"].is_undefined_length = True
    return written(dataset)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_sequences_of_undefined_length_are_passed_over(syntax: str) -> None:
    dataset = pydicom.dcmread(io.BytesIO(_nested(5)))
    dataset.file_meta.TransferSyntaxUID = syntax
    file = io.BytesIO()
    pydicom.dcmwrite(
        file, dataset, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=True
    )
    found = outline(file.getvalue())
    assert found is not None
    assert found.values["Rows"] == 6
    assert file.getvalue()[found.end : found.end + 4] == b"\xe0\x7f\x10\x00"


def test_sequences_that_go_too_deep_are_left_to_pydicom() -> None:
    assert outline(_nested(40)) is None


def test_no_beginning_of_a_file_breaks_it() -> None:
    data = _nested(3)
    whole = outline(data)
    assert whole is not None
    for length in range(0, whole.end, 3):
        found = outline(data[:length])
        assert found is None or found.end <= length
