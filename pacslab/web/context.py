"""What every handler needs: the archive, and the address under which a client sees us."""

from __future__ import annotations

from dataclasses import dataclass, field

from starlette.requests import HTTPConnection

from pacslab.archive import Archive

ROOT = "/dicom-web"


@dataclass(frozen=True)
class Context:
    """What one HTTP application serves.

    ``token``: the bearer token every request must carry, None for none. ``allow_delete``: whether
    DELETE is served. ``trusted_proxies``: addresses whose forwarded headers are believed.
    ``allowed_origins``: web pages of other origins that may ask (CORS), ``*`` for any; none unless
    given.
    """

    archive: Archive
    token: str | None = None
    allow_delete: bool = False
    trusted_proxies: frozenset[str] = field(default=frozenset({"127.0.0.1", "::1"}))
    allowed_origins: frozenset[str] = frozenset()


def context(connection: HTTPConnection) -> Context:
    """The context of the application that answers."""
    found: Context = connection.app.state.context
    return found


def base_url(connection: HTTPConnection) -> str:
    """The DICOMweb root as the client sees it, without a slash at its end.

    The forwarded prefix, host and scheme have been put into the ASGI scope by the access layer.
    """
    return str(connection.base_url).rstrip("/") + ROOT
