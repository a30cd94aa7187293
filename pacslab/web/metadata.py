"""Metadata of studies, series and instances, streamed from the index (PS3.18 10.4.1.1.2)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Final

from fastapi import Request, Response

from pacslab.archive import Archive
from pacslab.dicom.header import BULK_PREFIX
from pacslab.errors import NotFoundError
from pacslab.web import xml
from pacslab.web.conditional import cacheable, etag, not_modified
from pacslab.web.context import base_url, context
from pacslab.web.negotiation import Offer, accepted, wishes
from pacslab.web.streaming import Chunks, Multipart, Part, Ready, Streamed, gathered
from pacslab.web.working import working

JSON: Final = "application/dicom+json"
XML: Final = xml.MEDIA_TYPE
OFFERS: Final = (Offer(JSON), Offer("application/json"), Offer(XML, multipart=True))

Writer = Callable[[Iterator[bytes]], tuple[str, Chunks]]

# As a key with its quotation marks this can't stand inside a JSON string
_RELATIVE: Final = f'"BulkDataURI":"{BULK_PREFIX}'.encode()
_CHUNK: Final = 1 << 18
# The first byte has to come soon; but what is made by then goes out in one piece
_SECONDS: Final = 0.02
_AT_ONCE: Final = 2 << 20


async def metadata(
    request: Request, study: str, series: str | None = None, instance: str | None = None
) -> Response:
    """Answer with the headers of a study, a series or an instance as DICOM JSON (Annex F).

    BulkDataURI are absolute, below the address that the client used. No file is opened.
    Raises NotFoundError, NotAcceptableError.
    """
    kind = wishes(accepted(request), OFFERS)[0].offer.media_type
    write = _xml if kind == XML else _array
    return await working(_answer, request, (study, series, instance), write)


def _answer(request: Request, uids: tuple[str, str | None, str | None], write: Writer) -> Response:
    archive, root = context(request).archive, base_url(request)
    # The revision grows with every change of the archive: it is read in no time, while the
    # digests of all instances would take as long as the answer
    tag = etag(archive.revision(), root, *uids, write.__name__, weak=write is _xml)
    kind, chunks = write(_documents(archive, root, *uids))
    made, ended = [], False
    size, until = 0, time.monotonic() + _SECONDS
    for chunk in chunks:
        made.append(chunk)
        size += len(chunk)
        if size > _AT_ONCE or time.monotonic() > until:
            break
    else:
        ended = True
        if not made:
            raise NotFoundError(f"nothing of {uids[2] or uids[1] or uids[0]} in this archive")
    headers = cacheable(tag)
    if answer := not_modified(request, tag):
        chunks.close()
        return answer
    if ended:
        return Ready(b"".join(made), {"content-type": kind, **headers})
    return Streamed(_resumed(b"".join(made), chunks), kind, headers)


def _resumed(first: bytes, rest: Chunks) -> Chunks:
    try:
        yield first
        yield from rest
    finally:
        rest.close()


def _documents(
    archive: Archive, root: str, study: str, series: str | None, instance: str | None
) -> Chunks:
    """Each instance's header with absolute BulkDataURI, as JSON text."""
    at = series_of = ""
    root = json.dumps(root)[1:-1]  # it comes from the client's Host field
    for stored, text in archive.metadata(study, series, instance):
        if series_of != stored.series_instance_uid:
            series_of = stored.series_instance_uid
            at = (
                f'"BulkDataURI":"{root}/studies/{stored.study_instance_uid}/series/{series_of}'
                "/instances/"
            )
        absolute = f"{at}{stored.sop_instance_uid}/{BULK_PREFIX}".encode()
        yield text.replace(_RELATIVE, absolute)


def _array(documents: Iterator[bytes]) -> tuple[str, Chunks]:
    return JSON, _joined(documents)


def _joined(documents: Iterator[bytes]) -> Chunks:
    """The documents as one JSON array, in chunks; nothing at all when there are none."""
    waiting: list[bytes] = []
    size, opening = 0, b"["
    for document in documents:
        waiting.append(document)
        size += len(document)
        if size >= _CHUNK:
            yield opening + b",".join(waiting)
            waiting, size, opening = [], 0, b","
    if waiting:
        yield opening + b",".join(waiting) + b"]"
    elif opening == b",":
        yield b"]"


def _xml(documents: Iterator[bytes]) -> tuple[str, Chunks]:
    """A part for each document, in the Native DICOM Model (PS3.19 A.1)."""
    body = Multipart(XML)
    first = next(documents, None)
    if first is None:
        return body.content_type, gathered([])
    parts = (
        Part(XML, "", made, len(made))
        for made in (xml.document(json.loads(text)) for text in chain([first], documents))
    )
    return body.content_type, body.chunks(parts)
