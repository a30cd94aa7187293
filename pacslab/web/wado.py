"""WADO-RS: every resource that can be retrieved from studies (PS3.18 10.4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Path, Request, Response

from pacslab.web import bulkdata as bulk
from pacslab.web import collected as collection
from pacslab.web import frames as framing
from pacslab.web import metadata as headers
from pacslab.web import rendered as pictures
from pacslab.web import retrieve as objects
from pacslab.web.context import ROOT
from pacslab.web.described import ACCEPT, RENDERING, TRANSFER_SYNTAX, VIEWPORT, answers
from pacslab.web.routing import InstanceUID, QuickRoute, SeriesUID, StudyUID

router = APIRouter(
    prefix=ROOT, route_class=QuickRoute, tags=["WADO-RS"], default_response_class=Response
)

_STUDY = "/studies/{study}"
_SERIES = _STUDY + "/series/{series}"
_INSTANCE = _SERIES + "/instances/{instance}"
_FRAMES = _INSTANCE + "/frames/{frames}"

FrameList = Annotated[str, Path(description="Frame numbers from 1, separated by commas")]

_METADATA = answers(headers.OFFERS, [ACCEPT])
_OBJECTS = answers(objects.OFFERS, [ACCEPT, TRANSFER_SYNTAX])
_INSTANCE_DATA = answers((*objects.OFFERS, objects.SINGLE), [ACCEPT, TRANSFER_SYNTAX])
_FRAME_DATA = answers(framing.OFFERS, [ACCEPT, TRANSFER_SYNTAX])
_COLLECTED = answers(collection.OFFERS, [ACCEPT, TRANSFER_SYNTAX])
_BULK = answers(bulk.OFFERS, [ACCEPT, TRANSFER_SYNTAX])
_RENDERED = answers(pictures.OFFERS, RENDERING)
_THUMBNAIL = answers(pictures.THUMBNAILS, [ACCEPT, VIEWPORT])

_Endpoint = TypeVar("_Endpoint", bound=Callable[..., Any])


def _route(path: str, name: str, **declared: Any) -> Callable[[_Endpoint], _Endpoint]:
    return router.api_route(path, methods=["GET", "HEAD"], name=name, **declared)


# The busiest resource comes first: routes are tried in order


@_route(_FRAMES, "Retrieve frames", **_FRAME_DATA)
async def frames(
    request: Request, study: StudyUID, series: SeriesUID, instance: InstanceUID, frames: FrameList
) -> Response:
    """Frames of an image, decoded or as they are stored (PS3.18 10.4.1.1.6)."""
    return await framing.frames(request, study, series, instance, frames)


@_route(_FRAMES + "/rendered", "Retrieve rendered frames", **_RENDERED)
async def rendered_frames(
    request: Request, study: StudyUID, series: SeriesUID, instance: InstanceUID, frames: FrameList
) -> Response:
    """Frames as JPEG, PNG or GIF (PS3.18 10.4.1.1.3)."""
    return await pictures.rendered(request, study, series, instance, frames)


@_route(_FRAMES + "/thumbnail", "Retrieve frame thumbnail", **_THUMBNAIL)
async def frame_thumbnail(
    request: Request, study: StudyUID, series: SeriesUID, instance: InstanceUID, frames: FrameList
) -> Response:
    """A small picture of a frame (PS3.18 10.4.1.1.7)."""
    return await pictures.thumbnail(request, study, series, instance, frames)


@_route(_INSTANCE + "/metadata", "Instance metadata", **_METADATA)
async def instance_metadata(
    request: Request, study: StudyUID, series: SeriesUID, instance: InstanceUID
) -> Response:
    """The header of an instance as DICOM JSON or XML (PS3.18 10.4.1.1.2)."""
    return await headers.metadata(request, study, series, instance)


@_route(_SERIES + "/metadata", "Series metadata", **_METADATA)
async def series_metadata(request: Request, study: StudyUID, series: SeriesUID) -> Response:
    """The headers of a series as DICOM JSON or XML (PS3.18 10.4.1.1.2)."""
    return await headers.metadata(request, study, series)


@_route(_STUDY + "/metadata", "Study metadata", **_METADATA)
async def study_metadata(request: Request, study: StudyUID) -> Response:
    """The headers of a study as DICOM JSON or XML (PS3.18 10.4.1.1.2)."""
    return await headers.metadata(request, study)


@_route(_INSTANCE, "Retrieve instance", **_INSTANCE_DATA)
async def instance(
    request: Request, study: StudyUID, series: SeriesUID, instance: InstanceUID
) -> Response:
    """An instance as DICOM object (PS3.18 10.4.1.1.1)."""
    return await objects.retrieve(request, study, series, instance)


@_route(_SERIES, "Retrieve series", **_OBJECTS)
async def series(request: Request, study: StudyUID, series: SeriesUID) -> Response:
    """The instances of a series as DICOM objects (PS3.18 10.4.1.1.1)."""
    return await objects.retrieve(request, study, series)


@_route(_STUDY, "Retrieve study", **_OBJECTS)
async def study(request: Request, study: StudyUID) -> Response:
    """The instances of a study as DICOM objects (PS3.18 10.4.1.1.1)."""
    return await objects.retrieve(request, study)


@_route(_INSTANCE + "/bulkdata/{path:path}", "Bulk data", **_BULK)
async def bulkdata(
    request: Request,
    study: StudyUID,
    series: SeriesUID,
    instance: InstanceUID,
    path: Annotated[str, Path(description="TAG or TAG/ITEM/TAG, items from 0")],
) -> Response:
    """The bytes of one element, at the BulkDataURI of the metadata (PS3.18 10.4.1.1.4)."""
    return await bulk.bulkdata(request, study, series, instance, path)


@_route(_INSTANCE + "/pixeldata", "Pixel data", **_BULK)
async def pixeldata(
    request: Request, study: StudyUID, series: SeriesUID, instance: InstanceUID
) -> Response:
    """The pixel data of an instance (PS3.18 10.4.1.1.5)."""
    return await bulk.pixeldata(request, study, series, instance)


@_route(_SERIES + "/pixeldata", "Series pixel data", **_COLLECTED)
async def series_pixeldata(request: Request, study: StudyUID, series: SeriesUID) -> Response:
    """The pixel data of a series, a part or more for each instance (PS3.18 10.4.1.1.5)."""
    return await collection.collected(request, study, series, pixels_only=True)


@_route(_STUDY + "/pixeldata", "Study pixel data", **_COLLECTED)
async def study_pixeldata(request: Request, study: StudyUID) -> Response:
    """The pixel data of a study, a part or more for each instance (PS3.18 10.4.1.1.5)."""
    return await collection.collected(request, study, pixels_only=True)


@_route(_INSTANCE + "/bulkdata", "Instance bulk data", **_COLLECTED)
async def instance_bulkdata(
    request: Request, study: StudyUID, series: SeriesUID, instance: InstanceUID
) -> Response:
    """All bulk data of an instance (PS3.18 10.4.1.1.5)."""
    return await collection.collected(request, study, series, instance)


@_route(_SERIES + "/bulkdata", "Series bulk data", **_COLLECTED)
async def series_bulkdata(request: Request, study: StudyUID, series: SeriesUID) -> Response:
    """All bulk data of a series (PS3.18 10.4.1.1.5)."""
    return await collection.collected(request, study, series)


@_route(_STUDY + "/bulkdata", "Study bulk data", **_COLLECTED)
async def study_bulkdata(request: Request, study: StudyUID) -> Response:
    """All bulk data of a study (PS3.18 10.4.1.1.5)."""
    return await collection.collected(request, study)


@_route(_INSTANCE + "/rendered", "Rendered instance", **_RENDERED)
async def rendered_instance(
    request: Request, study: StudyUID, series: SeriesUID, instance: InstanceUID
) -> Response:
    """An instance as JPEG, PNG or GIF (PS3.18 10.4.1.1.3)."""
    return await pictures.rendered(request, study, series, instance)


@_route(_SERIES + "/rendered", "Rendered series", **_RENDERED)
async def rendered_series(request: Request, study: StudyUID, series: SeriesUID) -> Response:
    """A series as JPEG, PNG or GIF (PS3.18 10.4.1.1.3)."""
    return await pictures.rendered(request, study, series)


@_route(_STUDY + "/rendered", "Rendered study", **_RENDERED)
async def rendered_study(request: Request, study: StudyUID) -> Response:
    """A study as JPEG, PNG or GIF (PS3.18 10.4.1.1.3)."""
    return await pictures.rendered(request, study)


@_route(_INSTANCE + "/thumbnail", "Instance thumbnail", **_THUMBNAIL)
async def instance_thumbnail(
    request: Request, study: StudyUID, series: SeriesUID, instance: InstanceUID
) -> Response:
    """A small picture of an instance (PS3.18 10.4.1.1.7)."""
    return await pictures.thumbnail(request, study, series, instance)


@_route(_SERIES + "/thumbnail", "Series thumbnail", **_THUMBNAIL)
async def series_thumbnail(request: Request, study: StudyUID, series: SeriesUID) -> Response:
    """A small picture of a series (PS3.18 10.4.1.1.7)."""
    return await pictures.thumbnail(request, study, series)


@_route(_STUDY + "/thumbnail", "Study thumbnail", **_THUMBNAIL)
async def study_thumbnail(request: Request, study: StudyUID) -> Response:
    """A small picture of a study (PS3.18 10.4.1.1.7)."""
    return await pictures.thumbnail(request, study)
