"""The viewer's page and what it is made of: static files, which need no token."""

from __future__ import annotations

import logging
from typing import Final

from fastapi import APIRouter, Request, Response
from starlette.responses import FileResponse, RedirectResponse

from pacslab.errors import NotFoundError
from pacslab.web import fingerprint
from pacslab.web.context import base_url, context

log = logging.getLogger(__name__)

router = APIRouter(include_in_schema=False)

_POLICY: Final = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; connect-src 'self' blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self' "
)
_LOOPBACK: Final = "http://localhost:* http://127.0.0.1:*"
_REMEDY: Final = "run 'pip install -e .' in the checkout, or install pacslab anew"
_FOR_EVER: Final = "public, max-age=31536000, immutable"


def warn() -> None:
    """Say in the log that there is no viewer, or that it is older than its sources."""
    if (state := fingerprint.state()) != "fresh":
        log.warning("the viewer's build is %s: %s", state, _REMEDY)


@router.api_route("/viewer", methods=["GET", "HEAD"])
async def without_slash(request: Request) -> Response:
    """Relative addresses need the slash."""
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(f"{_root(request)}/viewer/{query}", 308)


@router.api_route("/viewer/{path:path}", methods=["GET", "HEAD"])
async def file(request: Request, path: str = "") -> Response:
    """The page, or one of its files. Raises NotFoundError, also where nothing was built."""
    found = (fingerprint.DIST / (path or "index.html")).resolve()
    if not found.is_relative_to(fingerprint.DIST) or not found.is_file():
        if fingerprint.state() == "missing":
            raise NotFoundError(f"the viewer isn't built: {_REMEDY}")
        raise NotFoundError("the viewer has no such file")
    origins = " ".join(sorted(context(request).allowed_origins))
    return FileResponse(
        found,
        headers={
            "Cache-Control": _FOR_EVER if path.startswith("assets/") else "no-cache",
            "Content-Security-Policy": f"{_POLICY}{_LOOPBACK} {origins}".rstrip(),
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        },
    )


def _root(request: Request) -> str:
    return base_url(request).removesuffix("/dicom-web")
