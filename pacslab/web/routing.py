"""Routes that are in the OpenAPI description and cost no more than starlette's."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Final

from fastapi import Path, Request, Response
from fastapi.routing import APIRoute
from starlette.applications import Starlette
from starlette.routing import Match
from starlette.types import Scope

from pacslab.dicom.uids import is_uid
from pacslab.errors import QueryError

StudyUID = Annotated[str, Path(description="Study Instance UID (0020,000D)")]
SeriesUID = Annotated[str, Path(description="Series Instance UID (0020,000E)")]
InstanceUID = Annotated[str, Path(description="SOP Instance UID (0008,0018)")]

_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class QuickRoute(APIRoute):
    """A route whose endpoint gets the request and the path's parameters as they stand.

    FastAPI's dependencies, validation and serialisation would cost more than a frame takes.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The endpoint itself, behind the check that UIDs are UIDs. Raises QueryError."""
        endpoint = self.endpoint

        async def handle(request: Request) -> Response:
            parameters = request.path_params
            for name in ("study", "series", "instance"):
                uid = parameters.get(name)
                if uid is not None and not is_uid(uid):
                    raise QueryError(f"{uid[:70]!r} isn't a UID: digits and dots, at most 64")
            response: Response = await endpoint(request, **parameters)
            return response

        return handle


def instance_url(root: str, study: str, series: str, instance: str) -> str:
    """The address of an instance below the DICOMweb root (PS3.18 10.1)."""
    return f"{root}/studies/{study}/series/{series}/instances/{instance}"


def allowed(app: Starlette, scope: Scope) -> list[str]:
    """The methods of a path, of all routes that it matches (RFC 9110 10.2.1)."""
    found = (
        method
        for method in _METHODS
        if any(r.matches({**scope, "method": method})[0] is Match.FULL for r in app.routes)
    )
    return list(found)
