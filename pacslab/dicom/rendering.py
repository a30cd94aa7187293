"""Presentation: from decoded frames to pictures as a reader expects to see them.

The grey-scale pipeline of PS3.4 N.2 in its order: modality LUT, VOI LUT, presentation LUT. For
integers it runs once over the values that occur, and each pixel is then looked up.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset

from pacslab.dicom.part10 import Array
from pacslab.dicom.pixels import Pixels
from pacslab.errors import PixelError

Picture = NDArray[np.uint8]

#: What encode writes (PS3.18 8.7.4, rendered media types).
MEDIA_TYPES = ("image/jpeg", "image/png", "image/gif")

_LARGEST_SIDE = 16384
_BAND = 1 << 14  # pixels


class Window(NamedTuple):
    """A window in modality units; function is LINEAR, LINEAR_EXACT or SIGMOID (PS3.3 C.11.2.1)."""

    center: float
    width: float
    function: str = "LINEAR"


def rescaled_frame(pixels: Pixels, i: int) -> NDArray[np.float64]:
    """Frame i in modality units (HU, Gy, ...) as (rows, columns) float64 (PS3.3 C.11.1).

    Modality LUT or slope and intercept, the frame's own in enhanced multi-frame objects
    (C.7.6.16.2.9), DoseGridScaling in RT Dose (C.8.8.3). Raises PixelError for colour.
    """
    found = pixels.frame(i)
    if found.ndim != 2:
        raise PixelError("A colour image has no modality values. Ask for its rendered frames.")
    return _modality(found, pixels.header, i)


def render(
    pixels: Pixels,
    i: int,
    *,
    window: Window | tuple[float, float] | None = None,
    viewport: tuple[int, int] | None = None,
) -> Picture:
    """Frame i as it is to be shown: uint8, (height, width) or (height, width, 3) in RGB.

    ``window`` replaces the image's own VOI LUT; without either, up to 8 bits are shown as they
    are, and otherwise the values from the 0.5th to the 99.5th percentile, without pixel padding.
    ``viewport`` is the (width, height) into which the picture is fitted with its pixels' aspect
    ratio (PS3.18 8.3.5.1.3); without it, one pixel is one pixel. A window doesn't change colours.
    Raises PixelError when the frame can't be decoded, or window or viewport make no sense.
    """
    found = pixels.frame(i)
    if found.ndim == 3:
        picture = _eight_bits(found, pixels)
    else:
        picture = _grey(pixels, found, i, Window(*window) if window else None)
    return picture if viewport is None else _fit(picture, viewport, _aspect(pixels.header, i))


def _groups(header: Dataset, i: int, name: str) -> Dataset | None:
    """The frame's, or else the shared functional group of that name (PS3.3 C.7.6.16.1)."""
    per_frame = header.get("PerFrameFunctionalGroupsSequence") or []
    shared = header.get("SharedFunctionalGroupsSequence") or []
    for item in [*per_frame[i : i + 1], *shared[:1]]:
        if found := item.get(name):
            return cast(Dataset, found[0])
    return None


def _number(source: Dataset, keyword: str) -> float | None:
    value = source.get(keyword)
    if value is None or value == "":
        return None
    try:
        found = float(value if isinstance(value, str | int | float) else value[0])
    except (TypeError, ValueError, IndexError):
        return None
    return found if np.isfinite(found) else None


def _modality(values: Array, header: Dataset, i: int) -> NDArray[np.float64]:
    source = _groups(header, i, "PixelValueTransformationSequence") or header
    if sequence := source.get("ModalityLUTSequence"):
        entries, first, _ = _lookup_table(sequence[0], header)
        place = np.clip(values.astype(np.int64) - first, 0, len(entries) - 1)
        return entries[place].astype(np.float64)
    slope, intercept = _number(source, "RescaleSlope"), _number(source, "RescaleIntercept")
    if slope is None and intercept is None:
        slope = _number(header, "DoseGridScaling")
    # A slope of 0 would make every image flat: it is a writer's mistake, not an image
    return values * np.float64(slope or 1.0) + np.float64(intercept or 0.0)


def _lookup_table(item: Dataset, header: Dataset) -> tuple[NDArray[np.uint16], int, int]:
    """A LUT item's entries, first value mapped, and bits for each entry (PS3.3 C.11.1.1)."""
    try:
        count, first, bits = (int(v) for v in item["LUTDescriptor"].value)
        data = item["LUTData"].value
    except (KeyError, TypeError, ValueError) as error:
        raise PixelError(
            "A lookup table of the image has no LUTDescriptor or LUTData; pass a window."
        ) from error
    count = count or 1 << 16
    if isinstance(data, bytes):
        little = header.original_encoding[1] is not False
        kind = "u1" if len(data) < 2 * count else "<u2" if little else ">u2"
        entries = np.frombuffer(data[: len(data) // np.dtype(kind).itemsize * 2], kind)
    else:
        entries = np.atleast_1d(np.asarray(data))
    if len(entries) < count:
        raise PixelError(f"A lookup table has {len(entries)} of {count} entries; pass a window.")
    return entries[:count].astype(np.uint16), first, bits


def _eight_bits(colours: Array, pixels: Pixels) -> Picture:
    depth = pixels.layout.bits_stored
    if pixels.layout.samples_per_pixel == 1:  # a palette's colours fill their type
        depth = 8 * colours.dtype.itemsize
    if depth == 8:
        return colours.astype(np.uint8, copy=False)
    top = (1 << depth) - 1
    return (colours >> (depth - 8) if depth > 8 else colours * (255.0 / top)).astype(np.uint8)


def _grey(pixels: Pixels, found: Array, i: int, window: Window | None) -> Picture:
    values, low = found, None
    if found.dtype.kind != "f":
        ends = int(found.min()), int(found.max())
        # Wider than 16 bits goes through the pipeline pixel by pixel
        if ends[1] - ends[0] < 1 << 16:
            values, low = np.arange(ends[0], ends[1] + 1), ends[0]
    modality = _modality(values, pixels.header, i)
    shown = _voi(modality, pixels, i, window)
    if shown is None:
        weights = None if low is None else _counted(found, low, values.size)
        shown = _scaled(modality, *_range(modality, values, weights, pixels.header))
    if (
        pixels.native.photometric_interpretation == "MONOCHROME1"
        or pixels.header.get("PresentationLUTShape") == "INVERSE"
    ):
        shown = 255 - shown
    return shown if low is None else _looked_up(shown, found, low)


def _bands(found: Array, low: int, size: int) -> Iterator[tuple[slice, NDArray[np.intp]]]:
    """The pixels' places in a table that begins at ``low``, some pixels at a time.

    At eight bytes a place those of a whole frame wouldn't fit into a core's cache.
    """
    flat = found.reshape(-1)
    for start in range(0, flat.size, size):
        band = flat[start : start + size]
        wide = band if band.dtype.itemsize >= 8 else band.astype(np.int64)
        yield slice(start, start + size), (wide - low).astype(np.intp, copy=False)


def _looked_up(table: Picture, found: Array, low: int) -> Picture:
    picture = np.empty(found.shape, np.uint8)
    flat = picture.reshape(-1)
    for band, places in _bands(found, low, _BAND):
        np.take(table, places, out=flat[band], mode="clip")  # quicker than to look for errors
    return picture


def _counted(found: Array, low: int, number: int) -> NDArray[np.intp]:
    """How often each of so many values from ``low`` on occurs."""
    total = np.zeros(number, np.intp)
    for _, places in _bands(found, low, max(_BAND, 4 * number)):
        total += np.bincount(places, minlength=number)
    return total


def _voi(
    modality: NDArray[np.float64], pixels: Pixels, i: int, window: Window | None
) -> Picture | None:
    """Modality values to 0-255 by the asked window or what the image says; None if nothing does."""
    header = pixels.header
    source = _groups(header, i, "FrameVOILUTSequence") or header
    if window is None and (sequence := source.get("VOILUTSequence")):
        entries, first, bits = _lookup_table(sequence[0], header)
        place = np.clip(np.rint(modality).astype(np.int64) - first, 0, len(entries) - 1)
        return _scaled(entries[place].astype(np.float64), 0.0, float((1 << bits) - 1))
    if window is None:
        center, width = _number(source, "WindowCenter"), _number(source, "WindowWidth")
        if center is not None and width is not None and width > 0:
            window = Window(center, width, str(source.get("VOILUTFunction") or "LINEAR"))
    if window is not None:
        return _windowed(modality, window)
    layout = pixels.layout
    if layout.bits_stored <= 8 and not layout.signed:
        ends = _modality(np.array([0, (1 << layout.bits_stored) - 1]), header, i)
        return _scaled(modality, float(ends.min()), float(ends.max()))
    return None


def _scaled(values: NDArray[np.float64], low: float, high: float) -> Picture:
    share = (values - low) * (255.0 / (high - low if high > low else 1.0))
    # NaN, of float images, is black
    return (np.nan_to_num(np.clip(share, 0, 255), nan=0.0) + 0.5).astype(np.uint8)


def _range(
    modality: NDArray[np.float64], values: Array, weights: NDArray[np.intp] | None, header: Dataset
) -> tuple[float, float]:
    """The 0.5th and 99.5th percentile of a frame without padding, or its ends if they coincide.

    With weights, values are the frame's levels and how often they occur, else its pixels.
    """
    keep = np.isfinite(modality)
    padding = _number(header, "PixelPaddingValue")
    if padding is None:
        padding = _number(header, "FloatPixelPaddingValue")
    if padding is not None:
        limit = _number(header, "PixelPaddingRangeLimit")
        limit = padding if limit is None else limit
        keep &= (values < min(padding, limit)) | (values > max(padding, limit))
    if weights is None:
        weights = np.ones(modality.shape, np.intp)
    keep &= weights > 0
    if not keep.any():
        return 0.0, 1.0
    kept = modality[keep]
    order = np.argsort(kept, kind="stable")
    kept, total = kept[order], np.cumsum(weights[keep][order])
    low, high = (float(kept[np.searchsorted(total, q * total[-1])]) for q in (0.005, 0.995))
    return (low, high) if high > low else (float(kept[0]), float(kept[-1]))


def _windowed(modality: NDArray[np.float64], window: Window) -> Picture:
    center, width = float(window.center), float(window.width)
    function = window.function.upper().replace("-", "_")
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise PixelError(f"The VOI LUT function {window.function!r} isn't linear, linear-exact or "
                         "sigmoid.")  # fmt: skip
    if not (np.isfinite(center) and np.isfinite(width)) or width <= 0:
        raise PixelError(f"The window {center:g}, {width:g} isn't one: the width is over 0.")
    if function == "SIGMOID":
        power = np.clip(-4 * (modality - center) / width, -700, 700)
        share = 1 / (1 + np.exp(power))
    elif function == "LINEAR_EXACT":
        share = (modality - center) / width + 0.5
    elif width <= 1:  # of LINEAR, for which it is a threshold
        share = (modality > center - 0.5).astype(np.float64)
    else:
        share = (modality - (center - 0.5)) / (width - 1) + 0.5
    return _scaled(share, 0.0, 1.0)


# --- size -----------------------------------------------------------------------------------


def _aspect(header: Dataset, i: int) -> float:
    """A pixel's height divided by its width (PS3.3 C.7.6.3.1.7, 10.7)."""
    measures = _groups(header, i, "PixelMeasuresSequence") or Dataset()
    for source, keyword in (
        (measures, "PixelSpacing"),
        (header, "PixelSpacing"),
        (header, "PixelAspectRatio"),
        (header, "ImagerPixelSpacing"),
        (header, "NominalScannedPixelSpacing"),
    ):
        try:
            vertical, horizontal = (float(v) for v in source.get(keyword) or ())
        except (TypeError, ValueError):
            continue
        if vertical > 0 and horizontal > 0 and 0.02 < vertical / horizontal < 50:
            return vertical / horizontal
    return 1.0


def _fit(picture: Picture, viewport: tuple[int, int], aspect: float) -> Picture:
    if not all(1 <= side <= _LARGEST_SIDE for side in viewport):
        raise PixelError(
            f"The viewport {viewport[0]} x {viewport[1]} can't be drawn; its sides have to be "
            f"1 to {_LARGEST_SIDE} pixels."
        )
    height, width = picture.shape[0] * aspect, float(picture.shape[1])
    scale = min(viewport[0] / width, viewport[1] / height)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    if size == (picture.shape[1], picture.shape[0]):
        return picture
    resized = Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)
    return np.asarray(resized)


# --- files ----------------------------------------------------------------------------------


def frame_time(pixels: Pixels) -> float:
    """How long a frame is shown, in milliseconds (PS3.3 C.7.6.5, Cine Module); 100 if not said."""
    header = pixels.header
    if (time := _number(header, "FrameTime")) and time > 0:
        return time
    vector: Any = header.get("FrameTimeVector")
    if vector is not None and not isinstance(vector, str | int | float) and len(vector) > 1:
        return float(np.mean([float(v) for v in vector[1:]])) or 100.0
    for keyword in ("RecommendedDisplayFrameRate", "CineRate"):
        if (rate := _number(header, keyword)) and rate > 0:
            return 1000.0 / rate
    return 100.0


def encode(
    pictures: Picture | Sequence[Picture],
    media_type: str,
    *,
    quality: int = 90,
    frame_time: float = 100.0,
) -> bytes:
    """Rendered pictures as a file of a rendered media type (PS3.18 8.7.4).

    ``pictures`` is what render returns, several only for an animated ``image/gif``, each shown for
    ``frame_time`` milliseconds; ``quality`` is 1 to 100, for JPEG (PS3.18 8.3.5.1.2).
    Raises PixelError for another media type, number of pictures or quality.
    """
    several = [pictures] if isinstance(pictures, np.ndarray) else list(pictures)
    if media_type not in MEDIA_TYPES:
        raise PixelError(f"{media_type} can't be written; {', '.join(MEDIA_TYPES)} can.")
    if not several or (len(several) > 1 and media_type != "image/gif"):
        raise PixelError(f"{media_type} holds one picture, not {len(several)}; image/gif several.")
    if not 1 <= quality <= 100:
        raise PixelError(f"The quality is 1 to 100, not {quality}.")
    images = [Image.fromarray(np.ascontiguousarray(picture)) for picture in several]
    written = io.BytesIO()
    if media_type == "image/jpeg":
        images[0].save(written, "JPEG", quality=quality)
    elif media_type == "image/png":
        # Level 3 is a third of level 6's time for some percent more of bytes
        images[0].save(written, "PNG", compress_level=3)
    else:
        # GIF counts in hundredths of a second, and browsers slow down below 2 of them
        duration = max(round(frame_time / 10), 2) * 10
        more: dict[str, Any] = {"save_all": True, "append_images": images[1:], "loop": 0}
        images[0].save(written, "GIF", duration=duration, **(more if len(images) > 1 else {}))
    return written.getvalue()
