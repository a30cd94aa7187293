"""One instance, read: UIDs checked, row, hash, and the file it becomes."""

from __future__ import annotations

import hashlib
import io
import mmap
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian

from pacslab.dicom.instance import data_set_offset, file_prefix, read
from pacslab.errors import InvalidUIDError, MismatchError, NotDicomError
from tests.conftest import dicom_file, pydicom_files
from tests.making import instance, item


def test_a_bare_data_set_becomes_a_part_10_file_with_the_same_row_and_hash() -> None:
    whole = dicom_file("MR_small.dcm").read_bytes()
    bare = whole[data_set_offset(whole) :]
    one = read(whole)
    prefix = file_prefix(one.sop_class_uid, one.sop_instance_uid, one.transfer_syntax_uid)
    other = read(prefix + bare)
    assert (one.sha256, one.size, one.row, one.header) == (
        other.sha256,
        other.size,
        other.row,
        other.header,
    )
    assert one.sha256 == hashlib.sha256(bare).hexdigest()
    again = pydicom.dcmread(io.BytesIO(prefix + bare))
    assert again.file_meta.MediaStorageSOPInstanceUID == one.sop_instance_uid
    assert again == pydicom.dcmread(io.BytesIO(whole))


def test_a_file_without_preamble_gets_one() -> None:
    whole = dicom_file("rtplan.dcm").read_bytes()
    bare = whole[data_set_offset(whole) :]
    found = read(bare)
    stored = found.prefix + bytes(found.data[found.offset :])
    assert stored[128:132] == b"DICM"
    assert pydicom.dcmread(io.BytesIO(stored)).SOPInstanceUID == found.sop_instance_uid


def test_a_part_10_file_is_kept_as_it_came() -> None:
    whole = dicom_file("CT_small.dcm").read_bytes()
    found = read(whole)
    assert found.prefix == b""
    assert found.offset == 0


@pytest.mark.parametrize("syntax", [ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
def test_the_row_does_not_depend_on_the_transfer_syntax(syntax: str) -> None:
    name = "MR_small_bigendian.dcm" if syntax == ExplicitVRBigEndian else "image_dfl.dcm"
    found = read(dicom_file(name).read_bytes())
    expected = pydicom.dcmread(dicom_file(name))
    assert found.transfer_syntax_uid == syntax
    assert found.row["Rows"] == expected.Rows
    assert found.row["SOPInstanceUID"] == expected.SOPInstanceUID


def test_a_mapped_file_reads_as_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "mapped"
    data = instance(Rows=512, PixelData=bytes(4096))
    path.write_bytes(data)
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        one, other = read(data), read(mapped)
    assert (one.sha256, one.row, one.header) == (other.sha256, other.row, other.header)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("SOPInstanceUID", None),
        ("StudyInstanceUID", None),
        ("SeriesInstanceUID", ""),
        ("SOPInstanceUID", "1.2.../../../etc"),
        ("StudyInstanceUID", ".."),
        ("SeriesInstanceUID", "1" * 65),
        ("SOPInstanceUID", "1.2.x"),
        ("SOPClassUID", "nonsense"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_uids_that_are_none_are_refused(keyword: str, value: str | None) -> None:
    data = instance(**{keyword: value})
    with pytest.raises(InvalidUIDError, match="UID"):
        read(data)


@pytest.mark.parametrize(
    "data",
    [b"", b"x", b"hello, world: this is no image", bytes(1000), b"\x89PNG\r\n" + bytes(500),
     bytes(128) + b"DICM", b"PK\x03\x04" + bytes(range(256)) * 4],
)  # fmt: skip
def test_what_is_not_dicom_is_refused_with_a_reason(data: bytes) -> None:
    with pytest.raises(NotDicomError, match="not a DICOM"):
        read(data)


def test_a_dicomdir_is_refused_with_the_remedy() -> None:
    path = next(p for p in pydicom_files() if p.name == "DICOMDIR")
    with pytest.raises(NotDicomError, match="add the folder"):
        read(path.read_bytes())


def test_every_truncation_is_read_or_refused_never_anything_else() -> None:
    data = dicom_file("CT_small.dcm").read_bytes()
    for length in range(0, len(data), 997):
        try:
            read(data[:length])
        except (NotDicomError, InvalidUIDError):
            continue


def test_what_was_announced_must_be_in_it() -> None:
    data = instance()
    found = read(data)
    assert read(data, announced=(found.sop_class_uid, found.sop_instance_uid)) == found
    with pytest.raises(MismatchError, match="announced as"):
        read(data, announced=(found.sop_class_uid, "1.2.3"))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_columns_hold_numbers_only_where_they_are_numbers() -> None:
    row = read(
        instance(
            SeriesNumber="12 ",
            SliceThickness="1e1",
            ImageType=["ORIGINAL", "PRIMARY"],
            PixelSpacing=["0.5", "0.5"],
            StudyDate="1997.04.24",
            InstanceNumber="",
        )
    ).row
    assert row["SeriesNumber"] == 12
    assert row["SliceThickness"] == 10.0
    assert row["ImageType"] == "ORIGINAL\\PRIMARY"
    assert row["PixelSpacing"] == "0.5\\0.5"
    assert row["StudyDate"] == "19970424"
    assert row["InstanceNumber"] is None
    assert row["PatientAge"] is None


def test_text_in_a_column_of_numbers_stays_in_the_header() -> None:
    data = instance(SeriesNumber="12").replace(b"IS\x02\x0012", b"IS\x02\x00A1")
    found = read(data)
    assert found.row["SeriesNumber"] is None
    assert '"A1"' in found.header


def test_private_sequences_survive() -> None:
    found = read(instance(RequestAttributesSequence=[item(RequestedProcedureID="R1")]))
    assert "R1" in found.header
