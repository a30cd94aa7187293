"""Pictures that are known to show who they are of: labels of slides, burned-in annotation."""

from __future__ import annotations

from pydicom.dataset import Dataset

from pacslab.deid import raw
from pacslab.errors import DeidentificationError


def refuse(dataset: Dataset) -> None:
    """Raise DeidentificationError for an image that says that identifiers are in its pixels."""
    kinds = raw.text(dataset, 0x00080008).upper().split("\\")
    if len(kinds) > 2 and kinds[2].strip() == "LABEL":
        raise DeidentificationError(
            "the image is the picture of a slide's label: leave it out, its pixels say who it is of"
        )
    if raw.text(dataset, 0x00480010).upper() == "YES":
        raise DeidentificationError(
            "the slide's label is in the image (Specimen Label in Image is YES): install "
            "pacslab[pixels], which blanks it, or leave the image out"
        )
    if raw.text(dataset, 0x00280301).upper() == "YES":
        raise DeidentificationError(
            "text is burned into the image (Burned In Annotation is YES): install pacslab[pixels], "
            "which finds it, or set 'burned_in: keep' in a profile of your own"
        )
