"""WADO-URI: one object or picture by query parameters, for older viewers (PS3.18 9)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from fastapi import APIRouter, Request, Response

from pacslab.dicom.pixels import Pixels
from pacslab.dicom.rendering import MEDIA_TYPES, encode, frame_time
from pacslab.dicom.uids import is_uid
from pacslab.errors import NotFoundError, QueryError
from pacslab.web.conditional import cacheable, etag, not_modified
from pacslab.web.described import answers, parameter
from pacslab.web.frames import check_range, images_of
from pacslab.web.images import Image, Images
from pacslab.web.negotiation import (
    ANY,
    DICOM,
    EXPLICIT_LITTLE,
    FORBIDDEN,
    Offer,
    not_acceptable,
    parse,
    wishes,
)
from pacslab.web.presentation import Presentation, read_parameter
from pacslab.web.retrieve import retrieve_one
from pacslab.web.routing import QuickRoute
from pacslab.web.working import working

router = APIRouter(route_class=QuickRoute, tags=["WADO-URI"], default_response_class=Response)

_OFFERS: Final = (*(Offer(name) for name in MEDIA_TYPES), Offer(DICOM))
_UIDS: Final = ("studyUID", "seriesUID", "objectUID")
PARAMETERS: Final = {
    "requestType": "WADO, required (PS3.18 9.1.2.1)",
    "studyUID": "required",
    "seriesUID": "required",
    "objectUID": "the SOP Instance UID, required",
    "contentType": "media types, the most wanted first (PS3.18 9.1.2.2)",
    "charset": "without effect: an object keeps its own (PS3.18 9.1.2.3)",
    "anonymize": "yes isn't served: 406 (PS3.18 9.4.1.2.1)",
    "annotation": "without effect (PS3.18 9.4.1.2.2)",
    "transferSyntax": "of application/dicom; * for what is stored (PS3.18 9.4.1.2.3)",
    "rows": "the most rows of a picture",
    "columns": "the most columns of a picture",
    "region": "left,top,right,bottom in shares of the sides, 0 to 1",
    "windowCenter": "with windowWidth",
    "windowWidth": "with windowCenter",
    "frameNumber": "from 1",
    "imageQuality": "of a JPEG, 1 to 100",
    "presentationSeriesUID": "isn't served: 406",
    "presentationUID": "isn't served: 406",
}
"""The parameters that are known, and what they do; others are passed over (PS3.18 8.3.1)."""
_LARGEST_GIF: Final = 1024  # frames


@router.api_route(
    "/wado",
    methods=["GET", "HEAD"],
    name="WADO-URI",
    **answers(_OFFERS, (parameter(name, said) for name, said in PARAMETERS.items())),
)
async def wado(request: Request) -> Response:
    """An instance, or a frame of it as a picture (PS3.18 9.4).

    Raises QueryError for parameters that are missing or malformed, NotFoundError,
    NotAcceptableError, PixelError.
    """
    said: Mapping[str, str] = request.query_params
    if said.get("requestType") != "WADO":
        raise QueryError("requestType=WADO is missing (PS3.18 9.4.1)")
    for name in _UIDS:
        if not is_uid(said.get(name)):
            raise QueryError(f"{name} is missing or isn't a UID")
    study, series, instance = (said[name] for name in _UIDS)
    if said.get("anonymize", "yes") != "yes":
        raise QueryError("anonymize has one value, yes (PS3.18 9.4.1.2.1)")
    if "anonymize" in said:
        raise not_acceptable([DICOM], "nothing is de-identified on the way: use pacslab deidentify")
    if said.get("presentationUID") or said.get("presentationSeriesUID"):
        raise not_acceptable(MEDIA_TYPES, "presentation states aren't applied")
    wanted = said.get("contentType")
    kind = wishes(parse(wanted), _OFFERS)[0].offer.media_type if wanted else ""
    image = None
    if kind != DICOM:  # an object is sent even when its header can't describe an image
        image = await working(_image, images_of(request), study, series, instance)
    kind = kind or _default(said, image)
    if kind == DICOM:
        return await retrieve_one(request, study, series, instance, (_transfer_syntax(said),))
    if "transferSyntax" in said:
        raise QueryError("transferSyntax goes with contentType=application/dicom (PS3.18 9.4.2.4)")
    if image is None:
        raise not_acceptable([DICOM], f"{instance} has no pixel data to be shown")
    how, region = _presentation(said)
    number = _whole("frameNumber", said["frameNumber"], 10**9) if "frameNumber" in said else None
    check_range(image, [number or 1])
    tag = etag(image.stored.sha256, kind, how, region, number)
    if answer := not_modified(request, tag):
        return answer
    data = await working(_picture, images_of(request), image, number, how, region=region, kind=kind)
    return Response(data, headers={"content-type": kind, **cacheable(tag)})


def _image(images: Images, study: str, series: str, instance: str) -> Image | None:
    try:
        return images.find(study, series, instance)
    except NotFoundError:
        return None  # an object without pixels; that it isn't there at all is found out later


def _default(said: Mapping[str, str], image: Image | None) -> str:
    """The media type for who names none (PS3.18 tables 8.7.2-1 and 8.7.4-1)."""
    if image is None or (image.frames > 1 and "frameNumber" not in said):
        return DICOM
    return MEDIA_TYPES[0]


def _transfer_syntax(said: Mapping[str, str]) -> str:
    syntax = said.get("transferSyntax", EXPLICIT_LITTLE)
    if syntax != ANY and not is_uid(syntax):
        raise QueryError(f"transferSyntax={syntax[:80]!r} isn't a UID")
    if syntax in FORBIDDEN:
        raise not_acceptable([EXPLICIT_LITTLE], f"transfer syntax {syntax} isn't used on the web")
    return syntax


def _presentation(
    said: Mapping[str, str],
) -> tuple[Presentation, tuple[float, float, float, float] | None]:
    """How the picture is to look, and the region of it in shares of its sides (9.4.2.2)."""
    rows, columns = (
        _whole(name, said[name], 16384) if name in said else None for name in ("rows", "columns")
    )
    viewport = None if rows is None and columns is None else (columns or 16384, rows or 16384)
    window = None
    if ("windowCenter" in said) != ("windowWidth" in said):
        raise QueryError("windowCenter and windowWidth are given together or not at all")
    if "windowCenter" in said:
        window = read_parameter("window", f"{said['windowCenter']},{said['windowWidth']}").window
    quality = 90
    if "imageQuality" in said:
        quality = read_parameter("quality", said["imageQuality"]).quality
    return Presentation(viewport, None, window, quality), _region(said.get("region"))


def _region(text: str | None) -> tuple[float, float, float, float] | None:
    if text is None:
        return None
    try:
        left, top, right, bottom = (float(part) for part in text.split(","))
    except ValueError:
        left, top, right, bottom = 1.0, 1.0, 0.0, 0.0
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise QueryError("region is left,top,right,bottom, each from 0 to 1, in rising order")
    return left, top, right, bottom


def _whole(name: str, text: str, largest: int) -> int:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= largest:
        raise QueryError(f"{name}={text[:80]!r}: give a whole number from 1 to {largest}")
    return int(text)


def _picture(
    images: Images,
    image: Image,
    number: int | None,
    how: Presentation,
    *,
    region: tuple[float, float, float, float] | None,
    kind: str,
) -> bytes:
    pixels = images.pixels(image)
    if region is not None:
        how = _in_pixels(how, region, pixels)
    if kind == "image/gif" and number is None:
        if image.frames > _LARGEST_GIF:
            raise not_acceptable(MEDIA_TYPES, f"{image.frames} frames: give a frameNumber; or")
        shown = [how.picture(pixels, i) for i in range(image.frames)]
        return encode(shown, kind, frame_time=frame_time(pixels))
    return encode(how.picture(pixels, (number or 1) - 1), kind, quality=how.quality)


def _in_pixels(
    how: Presentation, region: tuple[float, float, float, float], pixels: Pixels
) -> Presentation:
    columns, rows = pixels.layout.columns, pixels.layout.rows
    left, top, right, bottom = region
    width, height = (right - left) * columns, (bottom - top) * rows
    return replace(
        how,
        region=(left * columns, top * rows, width, height),
        viewport=how.viewport or (max(round(width), 1), max(round(height), 1)),
    )
