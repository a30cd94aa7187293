"""Errors as JSON problems (RFC 9457): what is wrong and what to do about it."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from pacslab.errors import PacslabError
from pacslab.web.routing import allowed

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"


def problem(
    status: int, detail: str, code: str = "error", headers: Mapping[str, str] | None = None
) -> Response:
    """A problem as an answer: ``type``, ``title``, ``status``, ``detail`` and our own ``code``."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }
    text = json.dumps(body, ensure_ascii=False)
    return Response(text, status, dict(headers or {}), MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Make every error of the application a problem."""
    app.add_exception_handler(PacslabError, _of_ours)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(Exception, _unexpected)


async def _of_ours(_: Request, error: Exception) -> Response:
    assert isinstance(error, PacslabError)
    return problem(error.http_status, error.message, error.code)


async def _of_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = str(error.detail)
    if error.status_code == 404:
        detail = f"there is no {request.url.path} here"
    headers = dict(error.headers or {})
    if error.status_code == 405:
        methods = allowed(request.app, request.scope)
        headers = {"Allow": ", ".join(methods)}
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=headers)  # RFC 9110 9.3.7
        detail = f"{request.method} isn't served at {request.url.path}, but {', '.join(methods)}"
    return problem(error.status_code, detail, "http", headers)


async def _of_validation(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = "; ".join(f"{'.'.join(map(str, f['loc']))}: {f['msg']}" for f in error.errors())
    return problem(400, faults, "validation")


async def _unexpected(request: Request, error: Exception) -> Response:
    # The exception's text may quote a header, that is, a patient; so it isn't for the client.
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    detail = "something went wrong in the server: its log says what, at this time"
    return problem(500, detail, "unexpected")
