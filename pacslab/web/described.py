"""What the OpenAPI description says of a route beyond its path: media types and parameters.

Everything is made from the constants that the route itself works with, so that the description
can't say something else than what is served.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from pacslab.archive.search import fields_of
from pacslab.dicom.keywords import Level
from pacslab.web.negotiation import Offer

Described = dict[str, Any]


def answers(offers: Iterable[Offer | str], parameters: Iterable[Described] = ()) -> Described:
    """What a route is declared with: the media types that it answers in, and its parameters."""
    declared: Described = {"responses": {200: {"description": "OK", "content": _content(offers)}}}
    found = list(parameters)
    return declared | ({"openapi_extra": {"parameters": found}} if found else {})


def stores(
    taken: Iterable[Offer | str], offers: Iterable[Offer | str], meanings: dict[int, str]
) -> Described:
    """The same of a route that takes a body of one of these media types (PS3.18 10.5)."""
    content = _content(offers)
    responses = {n: {"description": said, "content": content} for n, said in meanings.items()}
    body = {"required": True, "content": _content(taken)}
    return {"responses": responses, "openapi_extra": {"requestBody": body}}


def parameter(name: str, description: str, schema: str = "string") -> Described:
    """A query parameter."""
    return {"name": name, "in": "query", "description": description, "schema": {"type": schema}}


def search_parameters(level: Level) -> list[Described]:
    """The parameters of a search, and every attribute that is a match key at its level."""
    keys = (parameter(a.path, f"{a.shown_tag} {a.vr}") for a in fields_of(level))
    return [*_SEARCH, *keys]


def _content(offers: Iterable[Offer | str]) -> Described:
    return {str(offer): {} for offer in offers}


_SEARCH: Final = (
    parameter("limit", "the most matches of an answer (PS3.18 8.3.4.4)", "integer"),
    parameter("offset", "how many matches are passed over first", "integer"),
    parameter("fuzzymatching", "true or false (PS3.18 8.3.4.2)"),
    parameter("includefield", "attributes to be returned besides, or all (PS3.18 8.3.4.3)"),
)

ACCEPT: Final = parameter("accept", "media types, before those of the Accept header")
TRANSFER_SYNTAX: Final = parameter(
    "transfer-syntax", "of media types that name none; * for what is stored (PS3.18 8.7.8.2)"
)
VIEWPORT: Final = parameter("viewport", "width,height of the picture (PS3.18 8.3.5.1.3)")
RENDERING: Final = (
    ACCEPT,
    VIEWPORT,
    parameter("window", "center,width,function (PS3.18 8.3.5.1.4)"),
    parameter("quality", "of a JPEG, 1 to 100 (PS3.18 8.3.5.1.2)", "integer"),
    parameter("annotation", "checked, without effect (PS3.18 8.3.5.1.1)"),
    parameter("iccprofile", "checked, without effect (PS3.18 8.3.5.1.5)"),
)
