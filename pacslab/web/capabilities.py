"""Retrieve Capabilities: what is served, in WADL or OpenAPI (PS3.18 8.9 and Annex H).

Both are made from the routes themselves: FastAPI makes the OpenAPI description of them, and the
WADL document is that description as the tree that Annex H asks for.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from xml.sax.saxutils import escape, quoteattr

from fastapi import APIRouter, Request, Response

from pacslab.web.context import ROOT, base_url
from pacslab.web.described import ACCEPT, answers
from pacslab.web.negotiation import Offer, accepted, wishes
from pacslab.web.routing import QuickRoute, allowed
from pacslab.web.streaming import Ready

WADL: Final = "application/vnd.sun.wadl+xml"
_OFFERS: Final = (
    Offer(WADL),
    Offer("application/json"),
    Offer("application/vnd.oai.openapi+json"),
    Offer("application/xml"),
)
_HEAD: Final = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<application xmlns="http://wadl.dev.java.net/2009/02"'
    ' xmlns:xs="http://www.w3.org/2001/XMLSchema">'
)

router = APIRouter(route_class=QuickRoute, tags=["Capabilities"], default_response_class=Response)


@router.api_route(
    ROOT, methods=["GET", "HEAD", "OPTIONS"], name="Capabilities", **answers(_OFFERS, [ACCEPT])
)
@router.api_route(ROOT + "/", methods=["GET", "HEAD", "OPTIONS"], include_in_schema=False)
async def capabilities(request: Request) -> Response:
    """The services, resources and media types (PS3.18 8.9); GET is an extension."""
    kind = wishes(accepted(request), _OFFERS)[0].offer.media_type
    description: Mapping[str, Any] = request.app.openapi()
    root = base_url(request)
    headers = {
        "content-type": kind,
        "allow": ", ".join(allowed(request.app, request.scope)),
        "vary": "Accept",
    }
    if kind in (WADL, "application/xml"):
        return Ready(wadl(description, root).encode(), headers)
    server = [{"url": root.removesuffix(ROOT)}]
    text = json.dumps({**description, "servers": server}, ensure_ascii=False, separators=(",", ":"))
    return Ready(text.encode(), headers)


@dataclass
class _Resource:
    """One resource of the tree: its methods as OpenAPI has them, and what is below it."""

    methods: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    below: dict[str, _Resource] = field(default_factory=dict)


def wadl(description: Mapping[str, Any], root: str) -> str:
    """An OpenAPI description as WADL: the tree below the DICOMweb root (PS3.18 Annex H)."""
    tree = _Resource()
    for path, operations in description["paths"].items():
        if path != ROOT and path.startswith(ROOT):
            at = tree
            for step in path.removeprefix(ROOT).strip("/").split("/"):
                at = at.below.setdefault(step, _Resource())
            at.methods = operations
    inside = "".join(_resource(step, one) for step, one in tree.below.items())
    return f"{_HEAD}<resources base={quoteattr(root + '/')}>{inside}</resources></application>"


def _resource(step: str, resource: _Resource) -> str:
    template = _template(step) if step.startswith("{") else ""
    methods = "".join(_method(name, told) for name, told in resource.methods.items())
    below = "".join(_resource(name, one) for name, one in resource.below.items())
    return f"<resource path={quoteattr(step)}>{template}{methods}{below}</resource>"


def _template(step: str) -> str:
    name = quoteattr(step.strip("{}"))
    return f'<param name={name} style="template" type="xs:string" required="true"/>'


def _method(name: str, told: Mapping[str, Any]) -> str:
    responses = told["responses"]
    kinds = list(dict.fromkeys(k for one in responses.values() for k in one.get("content", ())))
    asked = _accept(kinds) + "".join(_query(told.get("parameters", ())))
    asked += _representations(told.get("requestBody", {}).get("content", ()))
    answered = "".join(
        f'<response status="{status}">{_representations(one.get("content", ()))}</response>'
        for status, one in responses.items()
        if str(status).isdigit()
    )
    title = quoteattr(told.get("summary", ""))
    text = escape(told.get("description", ""))
    return (
        f"<method name={quoteattr(name.upper())} id={quoteattr(told['operationId'])}>"
        f'<doc title={title} xml:lang="en">{text}</doc>'
        f"<request>{asked}</request>{answered}</method>"
    )


def _accept(kinds: Iterable[str]) -> str:
    options = "".join(f"<option value={quoteattr(kind)}/>" for kind in kinds)
    return f'<param name="Accept" style="header">{options}</param>' if options else ""


def _query(parameters: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for one in parameters:
        if one["in"] == "query":
            kind = one.get("schema", {}).get("type", "string")
            yield (
                f'<param name={quoteattr(one["name"])} style="query" type="xs:{kind}">'
                f"<doc>{escape(one.get('description', ''))}</doc></param>"
            )


def _representations(kinds: Iterable[str]) -> str:
    return "".join(f"<representation mediaType={quoteattr(kind)}/>" for kind in kinds)
