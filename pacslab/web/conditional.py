"""Conditional and partial requests: ETag, If-None-Match, Range (RFC 9110 13 and 14)."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

CACHE: Final = "private, no-cache"
"""Patients' data: kept by the client alone, and used again only after asking (RFC 9111 5.2.2)."""

_VERSION: Final = version("pacslab")
_RANGE: Final = re.compile(r"(\d*)-(\d*)")


class RangeNotSatisfiable(Exception):  # noqa: N818 - it is named as RFC 9110 names it
    """A Range behind the end."""


def cacheable(tag: str) -> dict[str, str]:
    """The header fields of an answer that may be kept and asked for again with this tag."""
    return {"etag": tag, "cache-control": CACHE, "vary": "Accept"}


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes from ``start`` up to, not including, ``stop`` of ``total``."""

    start: int
    stop: int
    total: int

    @property
    def content_range(self) -> str:
        """The value of the Content-Range field."""
        return f"bytes {self.start}-{self.stop - 1}/{self.total}"


def etag(*parts: object, weak: bool = False) -> str:
    """The entity tag of what these parts determine; weak where only the meaning is the same.

    A multipart is weak: its boundary is another each time. Another version of pacslab makes other
    tags, since it may decode or write differently.
    """
    text = "\0".join(map(str, (_VERSION, *parts)))
    digest = hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
    return f'W/"{digest}"' if weak else f'"{digest}"'


def not_modified(request: Request, tag: str) -> Response | None:
    """The answer 304 when the client has this already, else None (RFC 9110 13.1.2)."""
    held = request.headers.get("if-none-match")
    if held is None:
        return None
    tags = {one.strip().removeprefix("W/") for one in held.split(",")}
    # What a compressing layer has made of a tag is still the same to us
    if held.strip() != "*" and tag.removeprefix("W/") not in {
        one.replace('-gzip"', '"') for one in tags
    }:
        return None
    return Response(status_code=304, headers=cacheable(tag))


def span(request: Request, total: int, tag: str) -> Span | None:
    """The one range of bytes that is asked for; None when the whole is to be sent.

    Several ranges, other units and an If-Range that doesn't hold any more give the whole (RFC 9110
    14.2). Raises RangeNotSatisfiable.
    """
    asked = request.headers.get("range", "")
    unit, _, ranges = asked.partition("=")
    found = _RANGE.fullmatch(ranges.strip())
    if unit.strip().lower() != "bytes" or found is None or not any(found.groups()):
        return None
    if request.headers.get("if-range", tag) != tag:
        return None
    first, last = found.groups()
    if not first:
        start, stop = max(total - int(last), 0), total
    else:
        start, stop = int(first), min(int(last) + 1, total) if last else total
        if last and int(last) < int(first):
            return None
    if start >= stop:
        raise RangeNotSatisfiable
    return Span(start, stop, total)


def unsatisfiable(total: int) -> Response:
    """The answer 416 to a range behind the end (RFC 9110 15.5.17)."""
    return Response(status_code=416, headers={"content-range": f"bytes */{total}"})
