"""WADO-RS: every resource that can be retrieved from studies (PS3.18 10.4)."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from pacslab.web import bulkdata as bulk
from pacslab.web import frames as framing
from pacslab.web import metadata as headers
from pacslab.web import rendered as pictures
from pacslab.web import retrieve as objects
from pacslab.web.context import ROOT
from pacslab.web.routing import InstanceUID, QuickRoute, SeriesUID, StudyUID

router = APIRouter(prefix=ROOT, route_class=QuickRoute, tags=["WADO-RS"])

_STUDY = "/studies/{study}"
_SERIES = _STUDY + "/series/{series}"
_INSTANCE = _SERIES + "/instances/{instance}"
_FRAMES = _INSTANCE + "/frames/{frames}"

FrameList = Annotated[str, Path(description="Frame numbers from 1, separated by commas")]

# The busiest resource comes first: routes are tried in order


@router.api_route(_FRAMES, methods=["GET", "HEAD"], name="Retrieve frames")
async def frames(
    request: Request, study: StudyUID, series: SeriesUID, instance: InstanceUID, frames: FrameList
) -> Response:
    """Frames of an image, decoded or as they are stored (PS3.18 10.4.1.1.6)."""
    return await framing.frames(request, study, series, instance, frames)


@router.api_route(_FRAMES + "/rendered", methods=["GET", "HEAD"], name="Retrieve rendered frames")
async def rendered_frames(
    request: Request, study: StudyUID, series: SeriesUID, instance: InstanceUID, frames: FrameList
) -> Response:
    """Frames as JPEG, PNG or GIF (PS3.18 10.4.1.1.3)."""
    return await pictures.rendered(request, study, series, instance, frames)


@router.api_route(_FRAMES + "/thumbnail", methods=["GET", "HEAD"], name="Retrieve frame thumbnail")
async def frame_thumbnail(
    request: Request, study: StudyUID, series: SeriesUID, instance: InstanceUID, frames: FrameList
) -> Response:
    """A small picture of a frame (PS3.18 10.4.1.1.7)."""
    return await pictures.thumbnail(request, study, series, instance, frames)


@router.api_route(_INSTANCE + "/metadata", methods=["GET", "HEAD"], name="Instance metadata")
async def instance_metadata(
    request: Request, study: StudyUID, series: SeriesUID, instance: InstanceUID
) -> Response:
    """The header of an instance as DICOM JSON or XML (PS3.18 10.4.1.1.2)."""
    return await headers.metadata(request, study, series, instance)


@router.api_route(_SERIES + "/metadata", methods=["GET", "HEAD"], name="Series metadata")
async def series_metadata(request: Request, study: StudyUID, series: SeriesUID) -> Response:
    """The headers of a series as DICOM JSON or XML (PS3.18 10.4.1.1.2)."""
    return await headers.metadata(request, study, series)


@router.api_route(_STUDY + "/metadata", methods=["GET", "HEAD"], name="Study metadata")
async def study_metadata(request: Request, study: StudyUID) -> Response:
    """The headers of a study as DICOM JSON or XML (PS3.18 10.4.1.1.2)."""
    return await headers.metadata(request, study)


@router.api_route(_INSTANCE, methods=["GET", "HEAD"], name="Retrieve instance")
async def instance(
    request: Request, study: StudyUID, series: SeriesUID, instance: InstanceUID
) -> Response:
    """An instance as DICOM object (PS3.18 10.4.1.1.1)."""
    return await objects.retrieve(request, study, series, instance)


@router.api_route(_SERIES, methods=["GET", "HEAD"], name="Retrieve series")
async def series(request: Request, study: StudyUID, series: SeriesUID) -> Response:
    """The instances of a series as DICOM objects (PS3.18 10.4.1.1.1)."""
    return await objects.retrieve(request, study, series)


@router.api_route(_STUDY, methods=["GET", "HEAD"], name="Retrieve study")
async def study(request: Request, study: StudyUID) -> Response:
    """The instances of a study as DICOM objects (PS3.18 10.4.1.1.1)."""
    return await objects.retrieve(request, study)


@router.api_route(_INSTANCE + "/bulkdata/{path:path}", methods=["GET", "HEAD"], name="Bulk data")
async def bulkdata(
    request: Request,
    study: StudyUID,
    series: SeriesUID,
    instance: InstanceUID,
    path: Annotated[str, Path(description="TAG or TAG/ITEM/TAG, items from 0")],
) -> Response:
    """The bytes of one element, at the BulkDataURI of the metadata (PS3.18 10.4.1.1.4)."""
    return await bulk.bulkdata(request, study, series, instance, path)


@router.api_route(_INSTANCE + "/pixeldata", methods=["GET", "HEAD"], name="Pixel data")
async def pixeldata(
    request: Request, study: StudyUID, series: SeriesUID, instance: InstanceUID
) -> Response:
    """The pixel data of an instance (PS3.18 10.4.1.1.5)."""
    return await bulk.pixeldata(request, study, series, instance)


@router.api_route(_INSTANCE + "/rendered", methods=["GET", "HEAD"], name="Rendered instance")
async def rendered_instance(
    request: Request, study: StudyUID, series: SeriesUID, instance: InstanceUID
) -> Response:
    """An instance as JPEG, PNG or GIF (PS3.18 10.4.1.1.3)."""
    return await pictures.rendered(request, study, series, instance)


@router.api_route(_SERIES + "/rendered", methods=["GET", "HEAD"], name="Rendered series")
async def rendered_series(request: Request, study: StudyUID, series: SeriesUID) -> Response:
    """A series as JPEG, PNG or GIF (PS3.18 10.4.1.1.3)."""
    return await pictures.rendered(request, study, series)


@router.api_route(_STUDY + "/rendered", methods=["GET", "HEAD"], name="Rendered study")
async def rendered_study(request: Request, study: StudyUID) -> Response:
    """A study as JPEG, PNG or GIF (PS3.18 10.4.1.1.3)."""
    return await pictures.rendered(request, study)


@router.api_route(_INSTANCE + "/thumbnail", methods=["GET", "HEAD"], name="Instance thumbnail")
async def instance_thumbnail(
    request: Request, study: StudyUID, series: SeriesUID, instance: InstanceUID
) -> Response:
    """A small picture of an instance (PS3.18 10.4.1.1.7)."""
    return await pictures.thumbnail(request, study, series, instance)


@router.api_route(_SERIES + "/thumbnail", methods=["GET", "HEAD"], name="Series thumbnail")
async def series_thumbnail(request: Request, study: StudyUID, series: SeriesUID) -> Response:
    """A small picture of a series (PS3.18 10.4.1.1.7)."""
    return await pictures.thumbnail(request, study, series)


@router.api_route(_STUDY + "/thumbnail", methods=["GET", "HEAD"], name="Study thumbnail")
async def study_thumbnail(request: Request, study: StudyUID) -> Response:
    """A small picture of a study (PS3.18 10.4.1.1.7)."""
    return await pictures.thumbnail(request, study)
