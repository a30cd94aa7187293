"""QIDO-RS: search for studies, series and instances (PS3.18 10.6)."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any, Final, TypeVar

from fastapi import APIRouter, Request, Response

from pacslab.archive import Archive
from pacslab.archive.search import fields_of
from pacslab.dicom.keywords import (
    ATTRIBUTES,
    BY_TAG,
    Attribute,
    Level,
    returned_at,
    returned_if_there,
)
from pacslab.dicom.matching import Query, path_of
from pacslab.errors import QueryError
from pacslab.web import xml
from pacslab.web.answers import DataSet, absolute, data_set, including
from pacslab.web.context import ROOT, base_url, context
from pacslab.web.described import answers, search_parameters
from pacslab.web.negotiation import Offer, accepted, wishes
from pacslab.web.routing import QuickRoute, SeriesUID, StudyUID
from pacslab.web.streaming import Chunks, Streamed

router = APIRouter(
    prefix=ROOT, route_class=QuickRoute, tags=["QIDO-RS"], default_response_class=Response
)

JSON: Final = "application/dicom+json"
_OFFERS: Final = (
    Offer(JSON),
    Offer("application/json"),
    Offer(xml.MEDIA_TYPE, multipart=True),
)
# Starlette's thread pool takes as long to begin as most searches take; more threads than there are
# cores would wait for each other.
_SEARCHING: Final = ThreadPoolExecutor(max(2, min(4, os.cpu_count() or 2)), "search")
_AT_ONCE: Final = 200  # results from which an answer is streamed
_HEADERS: Final = 50  # headers that are looked up at once
_Endpoint = TypeVar("_Endpoint", bound=Callable[..., Any])
_MATCHING: Final = frozenset({"fuzzymatching", "emptyvaluematching", "multiplevaluematching"})
_PATHS: Final = {Level.STUDY: 1, Level.SERIES: 2, Level.IMAGE: 3}


@dataclass(frozen=True)
class Search:
    """A search as asked: the query, and what is returned of each match.

    ``fields`` come from the index; ``paths`` are tags, or tags of nested elements, from the
    header; ``whole`` asks for all of it (``includefield=all``).
    """

    query: Query
    fields: tuple[Attribute, ...]
    paths: tuple[tuple[str, ...], ...]
    whole: bool


def _route(path: str, level: Level, name: str) -> Callable[[_Endpoint], _Endpoint]:
    declared = answers(_OFFERS, search_parameters(level))
    return router.api_route(path, methods=["GET", "HEAD"], name=name, **declared)


@_route("/studies", Level.STUDY, "Search for studies")
async def studies(request: Request) -> Response:
    """Studies that match (PS3.18 10.6.1)."""
    return await _answer(request, Level.STUDY)


@_route("/series", Level.SERIES, "Search for series")
async def series(request: Request) -> Response:
    """Series of any study that match."""
    return await _answer(request, Level.SERIES)


@_route("/instances", Level.IMAGE, "Search for instances")
async def instances(request: Request) -> Response:
    """Instances of any study that match."""
    return await _answer(request, Level.IMAGE)


@_route("/studies/{study}/series", Level.SERIES, "Series of a study")
async def series_of_study(request: Request, study: StudyUID) -> Response:
    """Series of a study that match."""
    return await _answer(request, Level.SERIES, study)


@_route("/studies/{study}/instances", Level.IMAGE, "Study's instances")
async def instances_of_study(request: Request, study: StudyUID) -> Response:
    """Instances of a study that match."""
    return await _answer(request, Level.IMAGE, study)


@_route("/studies/{study}/series/{series}/instances", Level.IMAGE, "Instances of a series")
async def instances_of_series(request: Request, study: StudyUID, series: SeriesUID) -> Response:
    """Instances of a series that match."""
    return await _answer(request, Level.IMAGE, study, series)


async def _answer(
    request: Request, level: Level, study: str | None = None, series: str | None = None
) -> Response:
    offer = wishes(accepted(request), _OFFERS)[0].offer
    search = parse(request.query_params.multi_items(), level, study, series)
    archive = context(request).archive
    root = base_url(request)
    if not (search.paths or search.whole):
        few = archive.few(search.query, search.fields)
        if few is not None:
            return _found(archive, search, root, offer, iter(few))
    rows = archive.search(search.query, search.fields)
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_SEARCHING, _found, archive, search, root, offer, rows)


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
    wanted: dict[str, bool] = {}
    for name, value in parameters:
        if name == "includefield":
            asked += [f.strip() for f in value.split(",") if f.strip()]
        elif name in {"limit", "offset"}:
            if name in numbers:
                raise QueryError(f"{name} is given twice")
            numbers[name] = _number(name, value)
        elif name in _MATCHING:
            if value.lower() not in {"true", "false"}:
                raise QueryError(f"{name}={value}: give true or false")
            wanted[name] = value.lower() == "true"
        elif (name or value) and name != "accept":  # some clients write ?&, or an & at the end
            if name in keys:
                raise QueryError(f"{name} is given twice: separate UIDs by commas")
            keys[name] = value
    pairs: list[tuple[str, object]] = list(keys.items())
    pairs += [("StudyInstanceUID", study)] if study else []
    pairs += [("SeriesInstanceUID", series)] if series else []
    query = Query.build(
        level,
        pairs,
        limit=numbers.get("limit"),
        offset=numbers.get("offset", 0),
        fuzzy=wanted.get("fuzzymatching", False),
        empty_value_matching=wanted.get("emptyvaluematching", False),
        multiple_value_matching=wanted.get("multiplevaluematching", False),
    )
    fields, paths, whole = _fields(tuple(asked), level, study is None, series is None)
    return Search(query, fields, paths, whole)


def _number(name: str, value: str) -> int:
    if not re.fullmatch(r"\d{1,9}", value):
        raise QueryError(f"{name}={value}: give a whole number, 0 or more")
    return int(value)


@lru_cache(maxsize=256)
def _fields(
    asked: tuple[str, ...], level: Level, any_study: bool, any_series: bool
) -> tuple[tuple[Attribute, ...], tuple[tuple[str, ...], ...], bool]:
    """What is returned (PS3.18 tables 10.6.3-3 to -5), and what ``includefield`` adds.

    Without a study in the path the levels above are part of the answer.
    """
    fields = dict.fromkeys(returned_at(level))
    if level is not Level.STUDY and any_study:
        fields |= dict.fromkeys(returned_at(Level.STUDY))
    if level is Level.IMAGE and any_series:
        fields |= dict.fromkeys(returned_at(Level.SERIES) + returned_if_there(Level.SERIES))
    fields |= dict.fromkeys(returned_if_there(level))
    fields |= dict.fromkeys(ATTRIBUTES[k.unique_key] for k in _PATHS if k.depth <= level.depth)
    paths: dict[tuple[str, ...], None] = {}
    whole = False
    here = fields_of(level)
    for name in asked:
        if name.lower() == "all":
            whole = True
            # What is collected of a whole study would be collected anew for each of its parts
            fields |= dict.fromkeys(a for a in here if a.level is level or not a.computed)
            continue
        path = path_of(name)
        attribute = BY_TAG.get(int(path[0], 16)) if len(path) == 1 else None
        if attribute in here:
            fields[attribute] = None
        else:
            paths[path] = None
    return tuple(fields), tuple(paths), whole


def _found(
    archive: Archive, search: Search, root: str, offer: Offer, rows: Iterator[dict[str, Any]]
) -> Response:
    query = search.query
    first = list(islice(rows, _AT_ONCE))
    headers = {}
    if query.limit is not None and len(first) == min(query.limit, _AT_ONCE):
        left = archive.count(query) - query.offset - query.limit
        if left > 0:
            told = f"There are {left} additional results that can be requested"
            headers["Warning"] = f'299 pacslab "{told}"'
    media_type, write = _xml() if offer.multipart else (JSON, _json)
    if len(first) < _AT_ONCE:
        body = b"".join(write(_described(archive, search, root, first)))
        return Response(body, headers=headers, media_type=media_type)

    def all_rows() -> Iterator[dict[str, Any]]:
        try:
            yield from first
            yield from rows
        finally:
            rows.close()  # type: ignore[attr-defined]

    return Streamed(write(_described(archive, search, root, all_rows())), media_type, headers)


def _described(
    archive: Archive, search: Search, root: str, rows: Iterable[dict[str, Any]]
) -> Iterator[DataSet]:
    """The matches as data sets, each in ascending order of tags."""
    level = search.query.level
    keys = [k.unique_key for k, depth in _PATHS.items() if depth <= _PATHS[level]]
    whole = search.whole and level is Level.IMAGE
    told = (
        _with_headers(archive, level, rows, root)
        if whole or search.paths
        else ((row, {}) for row in rows)
    )
    for row, header in told:
        found = data_set(row, search.fields)
        parts = zip(("studies", "series", "instances"), (row[k] for k in keys), strict=False)
        url = root + "".join(f"/{name}/{uid}" for name, uid in parts)
        found["00081190"] = {"vr": "UR", "Value": [url]}
        found["00080056"] = {"vr": "CS", "Value": ["ONLINE"]}
        if whole:
            sequences = {k: header[k] for k, e in found.items() if e["vr"] == "SQ" and k in header}
            found = {**header, **found, **sequences}
        if search.paths:
            found = including(header, search.paths, found)
        yield dict(sorted(found.items()))


def _with_headers(
    archive: Archive, level: Level, rows: Iterable[dict[str, Any]], root: str
) -> Iterator[tuple[dict[str, Any], DataSet]]:
    """Each match with the header of its first instance; with none if that has just been removed."""
    rows = iter(rows)
    for batch in iter(lambda: list(islice(rows, _HEADERS)), []):
        uids = [row[level.unique_key] for row in batch]
        with closing(archive.first_headers(level, uids)) as told:
            ahead = next(told, None)
            for row in batch:  # both are in ascending order
                header: DataSet = {}
                if ahead is not None and ahead[0] == row[level.unique_key]:
                    header = absolute(ahead[1], ahead[2], root)
                    ahead = next(told, None)
                yield row, header


def _json(data_sets: Iterator[DataSet]) -> Chunks:
    opening = "["
    for batch in iter(lambda: list(islice(data_sets, _AT_ONCE)), []):
        texts = (json.dumps(d, ensure_ascii=False, separators=(",", ":")) for d in batch)
        yield (opening + ",".join(texts)).encode("utf-8", "replace")
        opening = ","
    yield b"[]" if opening == "[" else b"]"


def _xml() -> tuple[str, Callable[[Iterator[DataSet]], Chunks]]:
    """The media type of an XML answer, and what writes it."""
    # Another one each time: who stores an object shall not be able to write it into it
    limit = secrets.token_hex(16)

    def write(data_sets: Iterator[DataSet]) -> Chunks:
        for found in data_sets:
            head = f"--{limit}\r\nContent-Type: {xml.MEDIA_TYPE}\r\n\r\n".encode()
            yield head + xml.document(found) + b"\r\n"
        yield f"--{limit}--\r\n".encode()

    return f'multipart/related; type="{xml.MEDIA_TYPE}"; boundary={limit}', write
