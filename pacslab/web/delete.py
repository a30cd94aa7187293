"""DELETE for studies, series and instances: off by default, and never for good."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from pacslab.errors import ForbiddenError
from pacslab.web.context import ROOT, context
from pacslab.web.routing import InstanceUID, QuickRoute, SeriesUID, StudyUID

router = APIRouter(
    prefix=ROOT, route_class=QuickRoute, tags=["DELETE"], default_response_class=Response
)


@router.delete("/studies/{study}", status_code=204, name="Delete a study")
async def study(request: Request, study: StudyUID) -> Response:
    """Take a study out; its files go to quarantine, from where they can be added again."""
    return await _delete(request, study, None, None)


@router.delete("/studies/{study}/series/{series}", status_code=204, name="Delete a series")
async def series(request: Request, study: StudyUID, series: SeriesUID) -> Response:
    """Take a series out; its files go to quarantine."""
    return await _delete(request, study, series, None)


@router.delete(
    "/studies/{study}/series/{series}/instances/{instance}",
    status_code=204,
    name="Delete an instance",
)
async def instance(
    request: Request, study: StudyUID, series: SeriesUID, instance: InstanceUID
) -> Response:
    """Take an instance out; its file goes to quarantine."""
    return await _delete(request, study, series, instance)


async def _delete(
    request: Request, study: str, series: str | None, instance: str | None
) -> Response:
    here = context(request)
    if not here.allow_delete:
        raise ForbiddenError(
            "this server doesn't delete: start it with --allow-delete (PACSLAB_ALLOW_DELETE=1)"
        )
    peer = request.client.host if request.client else "unknown"
    source = f"DELETE from {peer}"
    await run_in_threadpool(here.archive.remove, study, series, instance, source=source)
    return Response(status_code=204)
