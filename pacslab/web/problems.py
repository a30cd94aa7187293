"""Errors as JSON problems (RFC 9457): what is wrong and what to do about it."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Iterator, Mapping
from http import HTTPStatus

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

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


async def _unexpected(_: Request, __: Exception) -> Response:
    # Discreet logs it; the exception's text may quote a header, so it isn't for the client
    detail = "something went wrong in the server: its log says what, at this time"
    return problem(500, detail, "unexpected")


class Discreet:
    """Logs what nobody has foreseen, without the texts of the exceptions.

    They may quote a header, that is, a patient. The server under us would log them as they are, so
    they end here. What was half sent then is broken off by that server.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application."""
        try:
            await self._app(scope, receive, send)
        except Exception as error:
            what = f"{scope.get('method', scope['type'])} {scope.get('path', '')}"
            log.error("%s failed\n%s", what, "".join(_where(error)))


def _where(error: BaseException) -> Iterator[str]:
    """A traceback by type, file and line only, its causes first."""
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None:
        yield from _where(before)
    for frame in traceback.extract_tb(error.__traceback__):
        yield f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}\n'
    kind = type(error)
    yield f"{kind.__module__}.{kind.__qualname__}\n"
