"""Who may come in, and under which address we are seen: plain ASGI, so that bodies stream."""

from __future__ import annotations

import hmac
import re
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Receive, Scope, Send

from pacslab.web import passes
from pacslab.web.context import Context
from pacslab.web.problems import problem

_FREE: Final = ("/health", "/viewer", "/viewer/")
_POLICY_VIOLATION: Final = 1008  # RFC 6455 7.4.1
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
        self._wanted = context.token.encode() if context.token else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer 401; a web socket is closed before it opens."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        client = scope.get("client")
        if client and client[0] in self._context.trusted_proxies:
            _forward(scope, headers)
        _complete(scope)
        if self._wanted is not None and not _is_free(scope):
            given = headers.get("authorization", "")
            token = _credentials(given)
            lent = scope.get("method") in passes.METHODS and passes.good(token, self._wanted)
            if not lent and not hmac.compare_digest(token, self._wanted):
                if scope["type"] == "websocket":
                    await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
                else:
                    await _unauthorized(bool(given))(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _is_free(scope: Scope) -> bool:
    """Whether a request needs no token, by the path that it will be routed by."""
    path = _routed(scope["path"], scope.get("root_path", ""))
    return path in _FREE or path.startswith("/viewer/")


def _routed(path: str, root: str) -> str:
    """The path without the prefix, which is how starlette finds the route.

    The token check has to see what the router sees: with another path than that, a prefix
    ``/viewer`` would make ``/viewer/dicom-web`` free.
    """
    below = root and (path == root or path.startswith(root + "/"))
    return path[len(root) :] if below else path


def _credentials(header: str) -> bytes:
    """The token of an Authorization header; the scheme's name is in any case (RFC 9110 11.1)."""
    scheme, _, token = header.partition(" ")
    return token.strip().encode() if scheme.lower() == "bearer" else b""


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
    said = headers.get("x-forwarded-proto", forwarded.get("proto", ""))
    scheme = said.split(",")[0].strip().lower()
    host = headers.get("x-forwarded-host", forwarded.get("host", "")).split(",")[0].strip()
    prefix = headers.get("x-forwarded-prefix", "").split(",")[0].strip().rstrip("/")
    if scheme in {"http", "https"}:
        scope["scheme"] = scheme
    if host and _HOST.fullmatch(host):
        MutableHeaders(scope=scope)["host"] = host
    if prefix and _PREFIX.fullmatch(prefix):
        # Most proxies take the prefix off the path, some leave it on; ASGI wants it on, once.
        own = scope.get("root_path", "")
        rest = _routed(_routed(scope["path"], own), prefix)
        scope["root_path"] = prefix + own
        scope["path"] = prefix + own + rest
