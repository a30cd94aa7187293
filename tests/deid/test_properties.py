"""Any nested data set, any character set: the name is nowhere, reruns are equal, keys differ."""

from __future__ import annotations

import warnings
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from pacslab.deid.engine import Engine
from pacslab.deid.keys import Keys
from tests.deid.planting import opened
from tests.making import written

KEYS, OTHER = Keys(bytes(32)), Keys(bytes(range(32)))
PROFILES = ("basic", "research", "public", "fake-patient")
# Character set, Python's name for it, a family and a given name that nobody has.
SCRIPTS = (
    ((), "ascii", "Quibblethorpe", "Zephyrine"),
    (("ISO_IR 100",), "latin-1", "Quibblethörpe", "Zéphyrine"),
    (("ISO_IR 144",), "iso8859_5", "Квибблеторпов", "Зефирина"),
    (("ISO_IR 126",), "iso8859_7", "Κουιμπλεθορπος", "Ζεφυρινη"),
    (("GB18030",), "gb18030", "鑫淼焱", "垚犇骉"),
    (("", "ISO 2022 IR 87"), "iso2022_jp", "鷹司橋本", "龍之介丸"),
    (("", "ISO 2022 IR 149"), "euc_kr", "독고황보", "남궁선우"),
    (("ISO_IR 192",), "utf-8", "Quibblethörpe", "Зефирина"),
)
_TEXTS = (0x00081030, 0x00104000, 0x00181020, 0x00204000, 0x00282000, 0x0040A160, 0x00700006,
          0x00080070, 0x00180010, 0x00081090, 0x0018115E, 0x00080104)  # fmt: skip
_SEQUENCES = (0x00400275, 0x00081140, 0x0040A730, 0x00082218, 0x04000561, 0x00400555, 0x00081250)
_UIDS = (0x00080018, 0x00081155, 0x0020000D, 0x00209161, 0x00041511)
_VRS = {0x00081030: "LO", 0x00104000: "LT", 0x00181020: "LO", 0x00204000: "LT", 0x00282000: "OB",
        0x0040A160: "UT", 0x00700006: "ST", 0x00080070: "LO", 0x00180010: "LO",
        0x00081090: "LO", 0x0018115E: "DS", 0x00080104: "LO"}  # fmt: skip


@st.composite
def data_sets(draw: Any, names: tuple[str, str], depth: int = 0) -> Dataset:
    """Data sets with texts around a name, UIDs, private attributes, and such data sets inside."""
    made = Dataset()
    family, given_name = names
    words = st.sampled_from(
        (family, given_name, f"{given_name} {family}", f"{family}^{given_name}", "LONG AXIS",
         family.upper(), f"a {family}, b")
    )  # fmt: skip
    for tag in draw(st.sets(st.sampled_from(_TEXTS), max_size=5)):
        vr = _VRS[tag]
        if vr in {"OB", "DS"}:
            made.add(DataElement(tag, vr, bytes(16) if vr == "OB" else "1.5"))
        else:
            made.add(DataElement(tag, vr, draw(words)))
    for tag in draw(st.sets(st.sampled_from(_UIDS), max_size=2)):
        made.add(DataElement(tag, "UI", f"1.2.826.0.1.{draw(st.integers(1, 999))}.7"))
    if draw(st.booleans()):
        made.PatientName = f"{family}^{given_name}"
    if draw(st.booleans()):
        block = made.private_block(0x0009, "ACME", create=True)
        block.add_new(1, "LO", draw(words))
    if depth < 3:
        for tag in draw(st.sets(st.sampled_from(_SEQUENCES), max_size=2)):
            items = draw(st.lists(data_sets(names, depth + 1), max_size=2))
            made.add(DataElement(tag, "SQ", Sequence(items)))
            made[tag].is_undefined_length = draw(st.booleans())
    return made


@st.composite
def objects(draw: Any) -> tuple[bytes, str, str]:
    """A Part 10 file, the character set's name for Python, and the family name in it."""
    charset, encoding, family, given_name = draw(st.sampled_from(SCRIPTS))
    syntax = draw(
        st.sampled_from((ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian))
    )
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    inside = draw(data_sets((family, given_name)))
    made = FileDataset(
        "",
        inside,
        file_meta=meta,
        preamble=bytes(128),
        is_implicit_VR=syntax == ImplicitVRLittleEndian,
        is_little_endian=syntax != ExplicitVRBigEndian,
    )
    if charset:
        made.SpecificCharacterSet = list(charset)
    made.PatientName = f"{family}^{given_name}"
    made.PatientID = draw(st.sampled_from(("", "ZQ7781234")))
    made.SOPClassUID = meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    made.SOPInstanceUID = meta.MediaStorageSOPInstanceUID = "1.2.826.0.1.3680043.9.7777.1"
    made.StudyInstanceUID = "1.2.826.0.1.3680043.9.7777.2"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return written(made), encoding, family


@given(objects(), st.sampled_from(PROFILES))
@settings(max_examples=60, deadline=None)
def test_any_object(made: tuple[bytes, str, str], profile: str) -> None:
    data, encoding, family = made
    name = family.encode(encoding)
    assert name in data
    outcome = Engine(profile, KEYS).deidentify(data)
    for spelled in (family, family.upper(), family.lower()):
        assert spelled.encode(encoding, "ignore") not in outcome.data
        assert spelled.encode() not in outcome.data
    out = opened(outcome.data)
    list(out.iterall())  # all of it can be read
    assert Engine(profile, KEYS).deidentify(data) == outcome


@given(objects(), st.sampled_from(("basic", "research", "public")))
@settings(max_examples=15, deadline=None)
def test_another_key_another_everything(made: tuple[bytes, str, str], profile: str) -> None:
    one, other = (opened(Engine(profile, k).deidentify(made[0]).data) for k in (KEYS, OTHER))
    assert one.PatientID != other.PatientID
    assert str(one.PatientName) != str(other.PatientName)
    pairs = [{str(e.value) for e in d.iterall() if e.VR == "UI" and e.value} for d in (one, other)]
    assert {uid for uid in pairs[0] & pairs[1] if not uid.startswith("1.2.840.10008.")} == set()
