"""Each hiding place is found on the raw file, alone where it can be, and none in what comes out."""

from __future__ import annotations

import base64
import io
import warnings
from functools import cache

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit

from pacslab.deid.audit import bulk
from pacslab.deid.audit.auditor import Auditor, harvested
from pacslab.deid.audit.finding import Finding, Kind, Severity, attribute_of, masked
from pacslab.deid.audit.originals import Original
from pacslab.deid.audit.spelling import plain
from pacslab.deid.audit.wanted import Wanted, common
from pacslab.deid.engine import Engine
from pacslab.deid.keys import Keys
from tests.deid.planting import CLASSES, STRICT, found_in, planted
from tests.making import instance

KEYS = Keys(bytes(range(32)))

EVERYWHERE = {
    "preamble", "PrivateInformation", "SourceApplicationEntityTitle", "PatientName", "PatientID",
    "PatientBirthDate", "OtherPatientNames", "PatientAddress", "PatientTelephoneNumbers",
    "PatientComments", "AccessionNumber", "StudyDate", "StudyInstanceUID", "SOPInstanceUID",
    "StudyDescription", "ImageComments", "LUTExplanation", "TextValue", "BodyPartExamined",
    "(0009,1001)", "(0009,1002).PatientName", "(0009,1003)", "(0011,1001)", "(0019,1099)",
    "(0019,1024)", "OtherPatientIDsSequence.PatientID", "AnatomicRegionSequence.CodeMeaning",
    "OriginalAttributesSequence.ModifiedAttributesSequence.PatientName",
    "OriginalAttributesSequence.SourceOfPreviousValues",
    "ReferencedImageSequence.ReferencedSOPInstanceUID",
    "RequestAttributesSequence.ScheduledProcedureStepDescription",
}  # fmt: skip
"""Where both ways of looking find something in every planted object."""

SOURCE_ONLY = {"SoftwareVersions", "LossyImageCompressionMethod", "ContentLabel",
               "TransmitCoilName"}  # fmt: skip
"""Names that look like nothing: only the source tells."""

PICTURES = {"OverlayData", "OverlayDescription", "OverlayComments", "CurveData",
            "IconImageSequence.PixelData"}  # fmt: skip
OF_A_CLASS = {
    "SR": {"ContentSequence.TextValue", "ContentSequence.PersonName", "ContentSequence.UID"},
    "PR": {"GraphicAnnotationSequence.TextObjectSequence.UnformattedTextValue"},
    "DOC": {"EncapsulatedDocument", "DocumentTitle"},
    "RTSTRUCT": {"StructureSetLabel", "StructureSetROISequence.ROIName"},
    "ECG": {"WaveformSequence.WaveformData"},
    "EMR": {"PerFrameFunctionalGroupsSequence.FrameContentSequence.FrameComments"},
}


@cache
def raw(kind: str) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return planted(kind)


def source() -> tuple[str, dict[str, set[Original]]]:
    everybody: dict[str, set[Original]] = {}
    for kind in CLASSES:
        person, _, found = harvested(raw(kind))
        everybody.setdefault(person, set()).update(found)
    (person,) = everybody
    return person, everybody


PERSON, EVERYBODY = source()


def audited(data: bytes, before: bytes | None = None) -> tuple[Finding, ...]:
    auditor = Auditor(EVERYBODY if before is not None else None)
    return auditor.audit(data, person=PERSON if before is not None else None, source=before)


def places(findings: tuple[Finding, ...], check: str) -> set[str]:
    return {attribute_of(f.path) for f in findings if f.check == check}


@pytest.mark.parametrize("kind", CLASSES)
def test_every_place_is_found(kind: str) -> None:
    found = audited(raw(kind), raw(kind))
    alone, against = places(found, "alone"), places(found, "against")
    wanted = EVERYWHERE - {"TextValue"} if kind == "SR" else EVERYWHERE
    assert wanted - alone == set()
    assert (wanted | SOURCE_ONLY) - against - {"PrivateInformation"} == set()
    behind = {"DataSetTrailingPadding", "behind the data set"}
    assert alone & behind
    assert against & behind
    if kind in {"CT", "MR", "US", "DX", "PT", "SC", "SM", "EMR"}:
        assert PICTURES - alone == set()
        assert PICTURES - against == set()
        assert any(place.startswith("PixelData") for place in alone)
        assert any(place.startswith("PixelData") for place in against)
    assert OF_A_CLASS.get(kind, set()) - (alone | against) == set()
    assert found_in("".join(f.detail + f.path for f in found).encode(), STRICT) == []


@pytest.mark.parametrize("profile", ["basic", "research", "public"])
@pytest.mark.parametrize("kind", CLASSES)
def test_nothing_is_found_in_what_comes_out(kind: str, profile: str) -> None:
    out = Engine(profile, KEYS).deidentify(raw(kind)).data
    found = audited(out, raw(kind))
    assert [f for f in found if f.check == "against"] == []
    left = {f.kind for f in found if f.severity is not Severity.LOW}
    assert left <= {Kind.PIXELS}  # nobody has looked at the pixels


@pytest.mark.parametrize("kind", ["CT", "PR", "SC"])
def test_options_that_are_claimed_are_no_findings(kind: str) -> None:
    out = Engine("fake-patient", KEYS).deidentify(raw(kind)).data
    assert [f for f in audited(out, raw(kind)) if f.check == "against"] == []
    # The same data without the claim
    mute = out.replace(b"113110", b"113199").replace(b"113106", b"113198")
    kinds = {f.kind for f in audited(mute, raw(kind)) if f.check == "against"}
    assert {Kind.UID, Kind.DATE} <= kinds


def test_pixels_are_looked_at_to_the_bit() -> None:
    details = " ".join(f.detail for f in audited(raw("US")) if f.path == "7FE00010")
    assert "behind the last frame" in details
    assert "bits that no sample uses" in details
    inside = [f.detail for f in audited(raw("SC")) if f.path.startswith("7FE00010/")]
    assert {d.split(":")[0] for d in inside} == {
        "codestream, comment", "codestream, APP1", "codestream, behind the end"
    }  # fmt: skip


def test_negative_samples_hide_nothing() -> None:
    pixels = (np.arange(16, dtype="<i2") - 8).tobytes()
    data = instance(PixelRepresentation=1, PixelData=pixels)
    assert "bits that" not in " ".join(f.detail for f in audited(data))


def test_a_plain_jpeg_is_all_picture() -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.arange(16, dtype="u1").reshape(4, 4)).save(buffer, "JPEG")
    data = instance(
        TransferSyntaxUID=JPEGBaseline8Bit, BitsAllocated=8, BitsStored=8, HighBit=7,
        PixelData=encapsulate([buffer.getvalue()]),
    )  # fmt: skip
    assert [f for f in audited(data) if f.kind is Kind.HIDDEN] == []


def test_what_pydicom_cant_read_is_a_finding() -> None:
    broken = raw("CT")[:700]
    assert audited(broken)
    assert {f.kind for f in audited(b"\0" * 10)} & {Kind.UNREADABLE, Kind.CLAIM}


MULLER = [Original(Kind.NAME, "Müller-Øvergård^Jürgen Åke^^Dr", True),
          Original(Kind.NAME, "Long^Axis", True),
          Original(Kind.NAME, "Yamada^Tarou=山田^太郎=やまだ^たろう", True),
          Original(Kind.ID, "AB-12345.6", True), Original(Kind.DATE, "19430207", True),
          Original(Kind.PHONE, "+49 (30) 555-0199"), Original(Kind.PLACE, "47 Wisteria Lane"),
          Original(Kind.UID, "1.2.3.4.5.6789")]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("MULLER", Kind.NAME), ("mueller", Kind.NAME), ("Juergen", Kind.NAME),
        ("J\u00fcrgen", Kind.NAME), ("Ju\u0308rgen", Kind.NAME), ("overgard", Kind.NAME),
        ("xxOvergardxx", Kind.NAME), ("negreuj", Kind.NAME), ("nachher 山田 vorher", Kind.NAME),
        ("Axis, Long", Kind.NAME), ("ＹＡＭＡＤＡ", Kind.NAME),
        (base64.b64encode("Herr Jürgen Müller".encode()).decode(), Kind.NAME),
        (b"Jurgen Muller".hex(), Kind.NAME), ("J%C3%BCrgen", Kind.NAME),
        ("ab123456", Kind.ID), ("AB 12345-6", Kind.ID), ("no. AB-12345.6.", Kind.ID),
        ("1943-02-07", Kind.DATE), ("7.2.1943", Kind.DATE), ("07/02/1943", Kind.DATE),
        ("02071943", Kind.DATE), ("7th of February 1943", Kind.DATE), ("FEB 7, 1943", Kind.DATE),
        ("030/5550199", Kind.PHONE), ("47, WISTERIA LANE", Kind.PLACE),
        ("see 1.2.3.4.5.6789!", Kind.UID),
    ],
)  # fmt: skip
def test_other_spellings(text: str, kind: Kind) -> None:
    assert kind in Wanted(MULLER).in_text(text)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8", "utf-16-le", "utf-16-be", "iso8859_9"])
def test_other_encodings(encoding: str) -> None:
    wanted = Wanted(MULLER)
    text = "by Jürgen Müller".encode(encoding)
    assert Kind.NAME in wanted.in_bytes(b"\0\1\2" + text)
    if encoding != "utf-16-be":
        noise = np.random.default_rng(7).integers(0, 4096, 40_000, dtype="<u2").tobytes()
        assert Kind.NAME in bulk.search(noise[:40_000] + text + noise[40_000:], [wanted])
    for eastern in ("shift_jis", "iso2022_jp", "euc_jp"):
        found = wanted.in_bytes("山田太郎".encode(eastern))
        assert Kind.NAME in found or eastern == "euc_jp"


@pytest.mark.parametrize(
    "text", ["LONG AXIS 4 CH", "AXIS", "19430208", "219430207", "1.2.3.4.5.67891", "AB-12345.67",
             "1234567", "Wisteria", "2.25.1943020719430207"]
)  # fmt: skip
def test_what_only_resembles(text: str) -> None:
    expected = {Kind.NAME} if text.startswith("LONG") else set()
    assert Wanted(MULLER).in_text(text) <= expected


def test_noise_holds_nothing() -> None:
    noise = np.random.default_rng(11).integers(0, 256, 500_000, dtype="u1").tobytes()
    assert bulk.search(noise, [Wanted(MULLER), Wanted(MULLER, sure=True)]) == set()


def test_others_names_are_other_peoples_too() -> None:
    others = Wanted(MULLER, sure=True)
    assert others.in_text("Jürgen") == set()
    assert others.in_text("Juergen Mueller") == {Kind.NAME}


letters = st.text(st.characters(categories=["Lu", "Ll"], max_codepoint=0x17F), min_size=6,
                  max_size=12)  # fmt: skip


@given(letters, letters, st.text(max_size=20), st.text(max_size=20))
def test_any_name_is_found_in_any_text(family: str, given_: str, before: str, after: str) -> None:
    assume(not common(plain(family)))
    wanted = Wanted([Original(Kind.NAME, f"{family}^{given_}", True)])
    for form in (f"{given_} {family}", f"{family}, {given_}", family.upper(), family.lower()):
        assert Kind.NAME in wanted.in_text(f"{before} {form} {after}")


@given(st.text(max_size=60))
def test_masks_hold_no_letter_and_no_digit(text: str) -> None:
    shape = masked(text).split("... (")[0]
    assert set(shape) <= set("xX9 ^.,-/:@+()")
