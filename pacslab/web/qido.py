"""QIDO-RS: search for studies, series and instances (PS3.18 10.6)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from pydicom.datadict import tag_for_keyword
from starlette.concurrency import run_in_threadpool

from pacslab.archive import Archive
from pacslab.archive.search import fields_of
from pacslab.dicom.keywords import ATTRIBUTES, BY_TAG, Attribute, Level, returned_at
from pacslab.dicom.matching import Query
from pacslab.errors import QueryError
from pacslab.web import xml
from pacslab.web.answers import data_set
from pacslab.web.context import ROOT, base_url, context
from pacslab.web.negotiation import Offer, accepted, wishes
from pacslab.web.routing import QuickRoute, SeriesUID, StudyUID
from pacslab.web.streaming import Chunks, Streamed

router = APIRouter(prefix=ROOT, route_class=QuickRoute, tags=["QIDO-RS"])

JSON: Final = "application/dicom+json"
_OFFERS: Final = (
    Offer(JSON),
    Offer("application/json"),
    Offer(xml.MEDIA_TYPE, multipart=True),
)
_BOUNDARY: Final = "pacslab-search-answer"
_AT_ONCE: Final = 200  # results from which an answer is streamed
_PATHS: Final = {Level.STUDY: 1, Level.SERIES: 2, Level.IMAGE: 3}


@dataclass(frozen=True)
class Search:
    """A search as asked: the query, what is returned of each match, and what is said besides.

    ``fields`` come from the index; ``paths`` are tags, or tags of nested elements, from the
    header; ``whole`` asks for all of it (``includefield=all``).
    """

    query: Query
    fields: tuple[Attribute, ...]
    paths: tuple[tuple[str, ...], ...]
    whole: bool
    warnings: tuple[str, ...]


@router.api_route("/studies", methods=["GET", "HEAD"], name="Search for studies")
async def studies(request: Request) -> Response:
    """Studies that match (PS3.18 10.6.1)."""
    return await _answer(request, Level.STUDY)


@router.api_route("/series", methods=["GET", "HEAD"], name="Search for series")
async def series(request: Request) -> Response:
    """Series of any study that match."""
    return await _answer(request, Level.SERIES)


@router.api_route("/instances", methods=["GET", "HEAD"], name="Search for instances")
async def instances(request: Request) -> Response:
    """Instances of any study that match."""
    return await _answer(request, Level.IMAGE)


@router.api_route("/studies/{study}/series", methods=["GET", "HEAD"], name="Series of a study")
async def series_of_study(request: Request, study: StudyUID) -> Response:
    """Series of a study that match."""
    return await _answer(request, Level.SERIES, study)


@router.api_route("/studies/{study}/instances", methods=["GET", "HEAD"], name="Study's instances")
async def instances_of_study(request: Request, study: StudyUID) -> Response:
    """Instances of a study that match."""
    return await _answer(request, Level.IMAGE, study)


@router.api_route(
    "/studies/{study}/series/{series}/instances",
    methods=["GET", "HEAD"],
    name="Instances of a series",
)
async def instances_of_series(request: Request, study: StudyUID, series: SeriesUID) -> Response:
    """Instances of a series that match."""
    return await _answer(request, Level.IMAGE, study, series)


async def _answer(
    request: Request, level: Level, study: str | None = None, series: str | None = None
) -> Response:
    offer = wishes(accepted(request), _OFFERS)[0].offer
    search = parse(request.query_params.multi_items(), level, study, series)
    archive = context(request).archive
    return await run_in_threadpool(_found, archive, search, base_url(request), offer)


def parse(
    parameters: Sequence[tuple[str, str]],
    level: Level,
    study: str | None = None,
    series: str | None = None,
) -> Search:
    """The search that these query parameters ask for (PS3.18 8.3.4). Raises QueryError."""
    keys: dict[str, str] = {}
    asked: list[str] = []
    numbers: dict[str, int] = {}
    fuzzy = False
    for name, value in parameters:
        if name == "includefield":
            asked += [f.strip() for f in value.split(",") if f.strip()]
        elif name in {"limit", "offset"}:
            numbers[name] = _number(name, value)
        elif name == "fuzzymatching":
            if value.lower() not in {"true", "false"}:
                raise QueryError(f"fuzzymatching={value}: give true or false")
            fuzzy = value.lower() == "true"
        elif name != "accept":
            if name in keys:
                raise QueryError(f"{name} is given twice: separate UIDs by commas")
            keys[name] = value
    pairs: list[tuple[str, object]] = list(keys.items())
    pairs += [("StudyInstanceUID", study)] if study else []
    pairs += [("SeriesInstanceUID", series)] if series else []
    query = Query.build(
        level, pairs, limit=numbers.get("limit"), offset=numbers.get("offset", 0), fuzzy=fuzzy
    )
    fields, paths, whole = _fields(asked, level, study, series)
    warnings = []
    if fuzzy:
        warnings.append("The fuzzymatching parameter is not supported. Only literal matching has "
                        "been performed.")  # fmt: skip
    return Search(query, fields, paths, whole, tuple(warnings))


def _number(name: str, value: str) -> int:
    if not re.fullmatch(r"\d{1,9}", value):
        raise QueryError(f"{name}={value}: give a whole number, 0 or more")
    return int(value)


def _fields(
    asked: Sequence[str], level: Level, study: str | None, series: str | None
) -> tuple[tuple[Attribute, ...], tuple[tuple[str, ...], ...], bool]:
    """What is returned (PS3.18 tables 10.6.3-3 to -5), and what ``includefield`` adds.

    Without a study in the path the levels above are part of the answer.
    """
    fields = dict.fromkeys(returned_at(level))
    if level is not Level.STUDY and study is None:
        fields |= dict.fromkeys(returned_at(Level.STUDY))
    if level is Level.IMAGE and series is None:
        fields |= dict.fromkeys(returned_at(Level.SERIES))
    fields |= dict.fromkeys(ATTRIBUTES[k.unique_key] for k in _PATHS if k.depth <= level.depth)
    paths: dict[tuple[str, ...], None] = {}
    whole = False
    here = fields_of(level)
    for name in asked:
        if name.lower() == "all":
            whole = True
            fields |= dict.fromkeys(here)
            continue
        path = tuple(_tag(part, name) for part in name.split("."))
        attribute = BY_TAG.get(int(path[0], 16)) if len(path) == 1 else None
        if attribute in here:
            fields[attribute] = None
        else:
            paths[path] = None
    return tuple(fields), tuple(paths), whole


def _tag(part: str, name: str) -> str:
    if re.fullmatch(r"[0-9A-Fa-f]{8}", part):
        return part.upper()
    tag = tag_for_keyword(part)
    if tag is None:
        raise QueryError(f"includefield={name}: {part!r} is no DICOM keyword and no tag")
    return f"{tag:08X}"


def _found(archive: Archive, search: Search, root: str, offer: Offer) -> Response:
    query = search.query
    rows = archive.search(query, search.fields)
    first = list(islice(rows, _AT_ONCE))
    warnings = list(search.warnings)
    if query.limit is not None and len(first) == min(query.limit, _AT_ONCE):
        left = archive.count(query) - query.offset - query.limit
        if left > 0:
            warnings.append(f"There are {left} additional results that can be requested")
    headers = {"Warning": ", ".join(f'299 pacslab "{w}"' for w in warnings)} if warnings else {}
    write = _json if not offer.multipart else _xml
    media_type = (
        f'multipart/related; type="{xml.MEDIA_TYPE}"; boundary={_BOUNDARY}'
        if offer.multipart
        else JSON
    )
    if len(first) < _AT_ONCE:
        body = b"".join(write(_described(archive, search, root, row) for row in first))
        return Response(body, headers=headers, media_type=media_type)

    def all_rows() -> Iterator[dict[str, Any]]:
        try:
            yield from (_described(archive, search, root, row) for row in first)
            yield from (_described(archive, search, root, row) for row in rows)
        finally:
            rows.close()  # type: ignore[attr-defined]

    return Streamed(write(all_rows()), media_type, headers)


def _described(
    archive: Archive, search: Search, root: str, row: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """One match as a data set, in ascending order of tags."""
    found = data_set(row, search.fields)
    level = search.query.level
    uids = [row[k.unique_key] for k, depth in _PATHS.items() if depth <= _PATHS[level]]
    names = ("studies", "series", "instances")
    url = root + "".join(f"/{n}/{u}" for n, u in zip(names, uids, strict=False))
    found["00081190"] = {"vr": "UR", "Value": [url]}
    found["00080056"] = {"vr": "CS", "Value": ["ONLINE"]}
    if search.paths or (search.whole and level is Level.IMAGE):
        header = _header(archive, root, uids)
        if search.whole and level is Level.IMAGE:
            found = {**header, **found}
        for path in search.paths:
            if path[0] in header:
                found[path[0]] = _narrow(header[path[0]], path[1:], found.get(path[0]))
    return dict(sorted(found.items()))


def _header(archive: Archive, root: str, uids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The header of the first instance of a match, its bulk data by absolute addresses."""
    found = archive.metadata(*uids)
    try:
        stored, text = next(found)
    finally:
        found.close()  # type: ignore[attr-defined]
    at = (
        f"{root}/studies/{stored.study_instance_uid}/series/{stored.series_instance_uid}"
        f"/instances/{stored.sop_instance_uid}/"
    )
    relative, absolute = b'"BulkDataURI":"', f'"BulkDataURI":{json.dumps(at)[:-1]}'.encode()
    header: dict[str, dict[str, Any]] = json.loads(text.replace(relative, absolute))
    return header


def _narrow(
    element: dict[str, Any], path: Sequence[str], before: dict[str, Any] | None
) -> dict[str, Any]:
    """A sequence with only the elements at ``path`` in its items, joined to what was there."""
    if not path or element["vr"] != "SQ":
        return element
    items = []
    for i, item in enumerate(element.get("Value", [])):
        kept = dict(before["Value"][i]) if before and i < len(before.get("Value", [])) else {}
        if path[0] in item:
            kept[path[0]] = _narrow(item[path[0]], path[1:], kept.get(path[0]))
        items.append(kept)
    return {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}


def _json(data_sets: Iterator[dict[str, Any]]) -> Chunks:
    opening = "["
    for batch in iter(lambda: list(islice(data_sets, _AT_ONCE)), []):
        texts = (json.dumps(d, ensure_ascii=False, separators=(",", ":")) for d in batch)
        yield (opening + ",".join(texts)).encode("utf-8", "replace")
        opening = ","
    yield b"[]" if opening == "[" else b"]"


def _xml(data_sets: Iterator[dict[str, Any]]) -> Chunks:
    for found in data_sets:
        head = f"--{_BOUNDARY}\r\nContent-Type: {xml.MEDIA_TYPE}\r\n\r\n".encode()
        yield head + xml.document(found) + b"\r\n"
    yield f"--{_BOUNDARY}--\r\n".encode()
