"""A step that looks at pixels: what it says is written and claimed, and nothing else is."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from pacslab.deid.actions import Did
from pacslab.deid.engine import Engine, deidentify
from pacslab.deid.keys import Keys
from pacslab.deid.pixelstep import PixelOutcome
from tests.deid.planting import opened
from tests.making import instance

KEYS = Keys(bytes(32))


def codes(data: bytes) -> set[str]:
    return {item.CodeValue for item in opened(data).DeidentificationMethodCodeSequence}


def test_a_picture_without_text() -> None:
    seen = []

    def look(dataset: Dataset) -> PixelOutcome:
        seen.append((dataset.PatientID, dataset.pixel_array.shape))
        return PixelOutcome(certain=True)

    # What says that it has text is let in, since somebody looks
    data = instance(BurnedInAnnotation="YES", PatientID="ZQ7781234")
    outcome = Engine("basic", KEYS, clean_pixels=look).deidentify(data)
    out = opened(outcome.data)
    assert seen == [(out.PatientID, (4, 4))]
    assert out.BurnedInAnnotation == "NO"
    assert out.PixelData == opened(data).PixelData
    assert codes(outcome.data) == {"113100", "113101"}


def test_a_picture_in_which_text_was_hidden() -> None:
    def hide(dataset: Dataset) -> PixelOutcome:
        new = Dataset()
        new.add_new(0x7FE00010, "OW", bytes(32))
        return PixelOutcome(certain=False, replaced=new, hidden=2, doubts=("faint",))

    outcome = Engine("basic", KEYS, clean_pixels=hide).deidentify(instance())
    out = opened(outcome.data)
    assert out.PixelData == bytes(32)
    assert "BurnedInAnnotation" not in out
    assert outcome.doubts == ("faint",)
    assert codes(outcome.data) == {"113100"}
    assert Did.PIXELS_HIDDEN in {action.did for action in outcome.actions}


def test_another_transfer_syntax() -> None:
    def hide(dataset: Dataset) -> PixelOutcome:
        dataset.PixelData = bytes(32)
        dataset.compress(RLELossless)
        new = Dataset()
        new.add(dataset["PixelData"])
        assert encapsulate([b"1"])[:4] == dataset.PixelData[:4]
        return PixelOutcome(certain=True, replaced=new, transfer_syntax_uid=RLELossless, hidden=1)

    outcome = Engine("basic", KEYS, clean_pixels=hide).deidentify(instance())
    out = opened(outcome.data)
    assert out.file_meta.TransferSyntaxUID == RLELossless
    assert not out.pixel_array.any()


@pytest.mark.parametrize("profile", ["basic", "fake-patient"])
def test_a_data_set_instead_of_bytes(profile: str) -> None:
    dataset = opened(instance(PatientName="Quibblethorpe^Zephyrine"))
    outcome = deidentify(dataset, profile, KEYS)
    assert dataset.PatientName == "Quibblethorpe^Zephyrine"  # stays as it is
    assert outcome.dataset.PatientName != dataset.PatientName
    assert outcome.dataset.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    bare = Dataset()
    bare.update(dataset)
    assert deidentify(bare, profile, KEYS).dataset.PatientName == outcome.dataset.PatientName
