"""The HTTP application: DICOMweb over one archive."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp

from pacslab.web import capabilities, delete, qido, stow, viewer, wado, wado_uri
from pacslab.web.access import Access
from pacslab.web.compression import Compression
from pacslab.web.context import Context
from pacslab.web.painting import Painters
from pacslab.web.problems import Discreet, install

_VERSION: Final = version("pacslab")


def create_app(context: Context, routers: Sequence[APIRouter] = ()) -> ASGIApp:
    """The application over ``context.archive``, with ``routers`` besides its own.

    ``/health`` answers without a token; the OpenAPI description is at ``/openapi.json``.
    """
    # FastAPI's pages for the description load scripts from elsewhere; the description doesn't.
    app = FastAPI(
        title="pacslab", version=_VERSION, docs_url=None, redoc_url=None, lifespan=_lifespan
    )
    app.state.context = context
    install(app)
    own = (qido, wado, stow, delete, wado_uri, capabilities, viewer)
    for router in (*(module.router for module in own), *routers):
        app.include_router(router)

    @app.api_route("/health", methods=["GET", "HEAD"], tags=["server"])
    async def health() -> JSONResponse:
        """Whether the server answers."""
        return JSONResponse({"status": "ok", "version": _VERSION})

    app.openapi = lambda: _description(app)  # type: ignore[method-assign]
    inside = Discreet(Access(Compression(app), context))
    return _shared(inside, context.allowed_origins) if context.allowed_origins else inside


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    viewer.warn()
    yield
    painters: Painters | None = getattr(app.state, "painters", None)
    if painters is not None:
        painters.close()


def _shared(app: ASGIApp, origins: Iterable[str]) -> ASGIApp:
    """Answers that pages of these origins may read, and preflights, which carry no token."""
    return CORSMiddleware(
        app,
        allow_origins=sorted(origins),
        allow_methods=("GET", "HEAD", "POST", "DELETE"),
        allow_headers=("Accept", "Authorization", "Content-Type", "If-None-Match", "Range"),
        expose_headers=("Content-Location", "Content-Range", "ETag", "Warning"),
    )


def _description(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI description; HEAD, which is GET without its body, isn't told twice."""
    if app.openapi_schema is None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Duplicate Operation ID")
            found = get_openapi(title=app.title, version=app.version, routes=app.routes)
        for operations in found["paths"].values():
            operations.pop("head", None)
            for method, told in operations.items():
                # FastAPI names an operation by any one of its route's methods
                told["operationId"] = f"{told['operationId'].rpartition('_')[0]}_{method}"
        app.openapi_schema = found
    return app.openapi_schema
