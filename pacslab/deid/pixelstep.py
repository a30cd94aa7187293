"""What a step that looks at pixels gets and gives; who finds text in them is another module."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from pydicom.dataset import Dataset


@dataclass(frozen=True, slots=True)
class PixelOutcome:
    """What became of an image's pixels.

    ``replaced`` holds the elements that take the place of the old ones (Pixel Data and whatever
    describes it), None where the pixels stay to the bit; ``transfer_syntax_uid`` is theirs where
    it is another. ``certain`` says that every frame was looked at and is free of text, so that
    Burned In Annotation may say NO; ``doubts`` say what a person has to look at.
    """

    certain: bool
    replaced: Dataset | None = None
    transfer_syntax_uid: str | None = None
    hidden: int = 0
    doubts: tuple[str, ...] = ()


CleanPixels: TypeAlias = Callable[[Dataset], PixelOutcome]
"""Gets the object with its header de-identified, file meta information included."""
