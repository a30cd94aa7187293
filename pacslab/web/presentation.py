"""How a picture is asked to look: the query parameters of rendering (PS3.18 8.3.5.1)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from fastapi import Request
from PIL import Image

from pacslab.dicom.pixels import Pixels
from pacslab.dicom.rendering import Picture, Window, render
from pacslab.errors import QueryError

_LARGEST: Final = 16384
_FUNCTIONS: Final = ("linear", "linear-exact", "sigmoid")
_PROFILES: Final = ("no", "yes", "srgb", "adobergb", "rommrgb", "displayp3")
_ANNOTATIONS: Final = ("patient", "technique")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Presentation:
    """What a client says about a picture; None where it says nothing.

    ``viewport`` is (width, height) in pixels; ``region`` the part of the image that is fitted into
    it, (x, y, width, height) in its pixels, flipped where width or height is negative.
    """

    viewport: tuple[int, int] | None = None
    region: tuple[float, float, float, float] | None = None
    window: Window | None = None
    quality: int = 90

    def picture(self, pixels: Pixels, i: int) -> Picture:
        """Frame i (from 0) shown so. Raises PixelError, and QueryError for a region outside."""
        if self.region is None or self.viewport is None:
            return render(pixels, i, window=self.window, viewport=self.viewport)
        return _cut(render(pixels, i, window=self.window), self.region, self.viewport)


def presentation(request: Request, *, thumbnail: tuple[int, int] | None = None) -> Presentation:
    """The presentation that a request asks for; of thumbnails only the viewport (8.3.5.1.3).

    ``annotation`` and ``iccprofile`` are checked and have no effect. Raises QueryError for values
    that break their syntax.
    """
    said = request.query_params
    if "annotation" in said:
        _checked("annotation", said["annotation"], _annotation)
    if "iccprofile" in said:
        _checked("iccprofile", said["iccprofile"], _profile)
    viewport, region = thumbnail, None
    if "viewport" in said:
        viewport, region = _checked("viewport", said["viewport"], _viewport)
    if thumbnail is not None:
        if region is not None:
            raise QueryError("viewport of a thumbnail is a width and a height: viewport=128,128")
        return Presentation(viewport)
    return Presentation(
        viewport,
        region,
        _checked("window", said["window"], _window) if "window" in said else None,
        _checked("quality", said["quality"], _quality) if "quality" in said else 90,
    )


def read_parameter(name: str, text: str) -> Presentation:
    """What one parameter, ``window`` or ``quality``, makes of a presentation. Raises QueryError."""
    if name == "window":
        return Presentation(window=_checked(name, text, _window))
    return Presentation(quality=_checked(name, text, _quality))


def _checked(name: str, text: str, read: Callable[[str], _T]) -> _T:
    try:
        return read(text)
    except ValueError as error:
        raise QueryError(f"{name}={text[:80]!r}: {error}") from None


def _viewport(
    text: str,
) -> tuple[tuple[int, int], tuple[float, float, float, float] | None]:
    parts = [part.strip() for part in text.split(",")]
    if len(parts) not in (2, 6) or not all(p.isascii() and p.isdigit() for p in parts[:2]):
        raise ValueError("give width,height or width,height,x,y,region width,region height")
    width, height = int(parts[0]), int(parts[1])
    if not (1 <= width <= _LARGEST and 1 <= height <= _LARGEST):
        raise ValueError(f"its sides are 1 to {_LARGEST} pixels")
    if len(parts) == 2 or not any(parts[2:]):
        return (width, height), None
    # What is left empty is the image's corner, or its other end
    x, y = (_number(p) if p else 0.0 for p in parts[2:4])
    w, h = (_number(p) if p else math.inf for p in parts[4:])
    if w == 0 or h == 0:
        raise ValueError("the region is empty")
    return (width, height), (x, y, w, h)


def _window(text: str) -> Window:
    parts = [part.strip() for part in text.split(",")]
    if len(parts) not in (2, 3):
        raise ValueError("give center,width,function")
    function = parts[2].lower() if len(parts) == 3 else "linear"
    if function not in _FUNCTIONS:
        raise ValueError(f"the function is one of {', '.join(_FUNCTIONS)}")
    center, width = _number(parts[0]), _number(parts[1])
    if width <= 0:
        raise ValueError("the width is over 0")
    return Window(center, width, function.upper().replace("-", "_"))


def _quality(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= 100:
        raise ValueError("give a whole number from 1 to 100")
    return int(text)


def _annotation(text: str) -> None:
    if not all(one.strip() in _ANNOTATIONS for one in text.split(",")):
        raise ValueError(f"give one or more of {', '.join(_ANNOTATIONS)}")


def _profile(text: str) -> None:
    if text not in _PROFILES:
        raise ValueError(f"give one of {', '.join(_PROFILES)}")


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"{text!r} isn't a number") from None
    if not math.isfinite(number):
        raise ValueError(f"{text!r} isn't a number that can be used")
    return number


def _cut(
    picture: Picture, region: tuple[float, float, float, float], viewport: tuple[int, int]
) -> Picture:
    """A region of a picture, fitted into the viewport and flipped where it is negative."""
    rows, columns = picture.shape[:2]
    x, y, w, h = region
    left, top = max(round(x), 0), max(round(y), 0)
    right, bottom = round(min(x + abs(w), columns)), round(min(y + abs(h), rows))
    if right <= left or bottom <= top:
        raise QueryError(f"the region lies outside of the image of {columns} x {rows} pixels")
    part = picture[top:bottom, left:right]
    part = part[:: -1 if h < 0 else 1, :: -1 if w < 0 else 1]
    scale = min(viewport[0] / part.shape[1], viewport[1] / part.shape[0])
    size = (max(round(part.shape[1] * scale), 1), max(round(part.shape[0] * scale), 1))
    fitted = Image.fromarray(np.ascontiguousarray(part)).resize(size, Image.Resampling.BICUBIC)
    return np.asarray(fitted)
