"""Headers from memory are the headers that pydicom gives, whatever was seen before."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from pacslab.dicom import header as headers
from pacslab.dicom.columns import index_row
from pacslab.dicom.filemeta import file_meta
from pacslab.dicom.instance import _MEMOS, parse
from pacslab.dicom.quick import Memo
from pacslab.errors import NotDicomError
from tests.conftest import pydicom_files
from tests.making import instance, item

Both = tuple[dict[str, object], str]


def by_pydicom(data: bytes) -> tuple[headers.Json, Both]:
    header = headers.to_json(parse(data))
    return header, (index_row(header), headers.dumps(header))


def memos() -> dict[bool, Memo]:
    return {implicit: Memo(implicit=implicit) for implicit in (False, True)}


def memo_for(mine: dict[bool, Memo], data: bytes) -> Memo | None:
    syntax = file_meta(data)[1]
    return mine[syntax == ImplicitVRLittleEndian] if syntax in _MEMOS else None


@pytest.mark.filterwarnings("ignore")
def test_every_file_of_pydicom_twice_with_one_memory() -> None:
    mine = memos()
    known = 0
    for path in [*pydicom_files(), *pydicom_files()]:
        known += _is_the_same(mine, path)
    assert known > 200


def _is_the_same(mine: dict[bool, Memo], path: Path) -> bool:
    data = path.read_bytes()
    memo = memo_for(mine, data)
    if memo is None:
        return False
    start, _ = file_meta(data)
    got = memo.read(data, start)
    try:
        header, wanted = by_pydicom(data)
    except NotDicomError:
        assert got is None
        return False
    if got is None:
        memo.learn(data, start, header)
        return False
    assert got == wanted, path.name
    return True


values = st.fixed_dictionaries(
    {},
    optional={
        "SpecificCharacterSet": st.sampled_from(["ISO_IR 100", "ISO_IR 192", "ISO_IR 144", None]),
        "PatientName": st.sampled_from(["Doe^Jane", "Müller^Jörg", "Doe^Jane ", ""]),
        "PatientID": st.sampled_from(["P1", "P 1\\P2", "ü"]),
        "PixelRepresentation": st.sampled_from([0, 1]),
        "SmallestImagePixelValue": st.sampled_from([0, 7]),
        "WindowCenter": st.sampled_from(["40", "40.5", ["40", "80"], ""]),
        "InstanceNumber": st.integers(0, 9),
        "ImageComments": st.sampled_from(["a", "b" * 5000]),
        "ReferencedImageSequence": st.lists(
            st.builds(item, ReferencedSOPInstanceUID=st.sampled_from(["1.2", "1.2.3"])), max_size=2
        ),
        "RequestAttributesSequence": st.lists(
            st.builds(item, RequestedProcedureID=st.sampled_from(["R1", "Rü"])), max_size=2
        ),
        "PixelData": st.sampled_from([bytes(32), b"", bytes(5000), bytes(70000)]),
    },
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(values, min_size=2, max_size=5),
    st.sampled_from([ExplicitVRLittleEndian, ImplicitVRLittleEndian]),
)
def test_a_series_of_anything(told: list[dict[str, object]], syntax: str) -> None:
    """What decides the meaning of an element may change from one instance to the next."""
    mine = memos()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for one in told + told:
            given_values = {"SpecificCharacterSet": "ISO_IR 192", **one}
            if given_values["SpecificCharacterSet"] is None:
                given_values["PatientName"] = given_values["PatientID"] = "plain"
                given_values.pop("RequestAttributesSequence", None)
            data = instance(TransferSyntaxUID=syntax, **given_values)
            memo = memo_for(mine, data)
            assert memo is not None
            start, _ = file_meta(data)
            header, wanted = by_pydicom(data)
            got = memo.read(data, start)
            assert got is None or got == wanted
            memo.learn(data, start, header)
            assert memo.read(data, start) == wanted


def test_a_header_with_nothing_hard_in_it_needs_no_pydicom() -> None:
    data = instance(ReferencedImageSequence=[item(ReferencedSOPInstanceUID="1.2.3")])
    start, _ = file_meta(data)
    assert Memo(implicit=False).read(data, start) == by_pydicom(data)[1]


def test_its_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    from pacslab.dicom import quick

    monkeypatch.setattr(quick, "_MOST", 20_000)
    memo = Memo(implicit=False)
    for i in range(300):
        data = instance(PatientComments=f"{i} " * 40)
        assert memo.read(data, file_meta(data)[0]) is not None
    assert len(memo._young) + len(memo._old) < 200


@pytest.mark.parametrize("cut", [1, 7, 9, 40])
def test_what_breaks_off_is_left_to_pydicom(cut: int) -> None:
    data = instance()[:-cut]
    assert Memo(implicit=False).read(data, file_meta(data)[0]) is None
