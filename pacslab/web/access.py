"""Who may come in, and under which address we are seen: plain ASGI, so that bodies stream."""

from __future__ import annotations

import hmac
import re
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Receive, Scope, Send

from pacslab.web.context import Context
from pacslab.web.problems import problem

_FREE: Final = ("/health", "/viewer", "/viewer/")
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})
_HOST: Final = re.compile(r"[A-Za-z0-9.\-_]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")
_PREFIX: Final = re.compile(r"(/[A-Za-z0-9.\-_~%!$&'()*+,;=:@]+)*")
_FORWARDED: Final = re.compile(r'(?:^|[;,])\s*(proto|host)\s*=\s*("[^"]*"|[^;,\s]+)', re.I)


class Access:
    """Checks the bearer token before anything of a request's body is read (RFC 6750).

    From trusted proxies, ``X-Forwarded-Proto``, ``-Host``, ``-Prefix`` and ``Forwarded`` (RFC
    7239) become part of the address that answers are made with.
    """

    def __init__(self, app: ASGIApp, context: Context) -> None:
        self._app = app
        self._context = context
        self._wanted = f"Bearer {context.token}".encode() if context.token else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer 401."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        client = scope.get("client")
        if client and client[0] in self._context.trusted_proxies:
            _forward(scope, headers)
        _complete(scope)
        if self._wanted is not None and not self._is_free(scope["path"]):
            given = headers.get("authorization", "").encode()
            if not hmac.compare_digest(given, self._wanted):
                await _unauthorized(bool(given))(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _is_free(self, path: str) -> bool:
        return path in _FREE or path.startswith("/viewer/")


def _unauthorized(given: bool) -> ASGIApp:
    detail = (
        "this token isn't the server's: take the one of server.json in the archive's directory"
        if given
        else "no token: send the header 'Authorization: Bearer TOKEN' with the server's token"
    )
    challenge = 'Bearer realm="pacslab"' + (', error="invalid_token"' if given else "")
    return problem(401, detail, "unauthorized", {"WWW-Authenticate": challenge})


def _complete(scope: Scope) -> None:
    """Add our port to a loopback Host without one: some clients (dicomweb-client) leave it out."""
    headers = MutableHeaders(scope=scope)
    server = scope.get("server")
    if headers.get("host") in _LOOPBACK and server and server[1] not in (None, 80):
        headers["host"] += f":{server[1]}"


def _forward(scope: Scope, headers: Headers) -> None:
    """Put the address that the client used into the scope; what isn't one is left aside."""
    forwarded = {
        name.lower(): value.strip('"')
        for name, value in _FORWARDED.findall(headers.get("forwarded", "").split(",")[0])
    }
    scheme = headers.get("x-forwarded-proto", forwarded.get("proto", "")).split(",")[0].strip()
    host = headers.get("x-forwarded-host", forwarded.get("host", "")).split(",")[0].strip()
    prefix = headers.get("x-forwarded-prefix", "").split(",")[0].strip().rstrip("/")
    if scheme in {"http", "https"}:
        scope["scheme"] = scheme
    if host and _HOST.fullmatch(host):
        MutableHeaders(scope=scope)["host"] = host
    if prefix and _PREFIX.fullmatch(prefix):
        scope["root_path"] = prefix + scope.get("root_path", "")
