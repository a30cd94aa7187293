"""All bulk data, or all pixel data, of a study, a series or an instance (PS3.18 10.4.1.1.5).

A multipart with a part for each value, at the address that the metadata gives it. What is known
before the first byte (a file that is gone, a video for who takes no video) is left out with
status 206 and a Warning that names it. What only decoding shows to be damaged is sent as it is
stored, in a part that says so by its media type and a Warning of its own; asked for alone, it gets
its own error.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from fastapi import Request, Response
from pydicom.uid import DeflatedExplicitVRLittleEndian

from pacslab.archive import Archive
from pacslab.archive.archive import Stored
from pacslab.dicom.header import BULK_PREFIX
from pacslab.dicom.part10 import read_part10
from pacslab.errors import NotFoundError, PacslabError
from pacslab.web.conditional import cacheable, etag, not_modified
from pacslab.web.context import base_url, context
from pacslab.web.frames import chosen, frame_parts, images_of
from pacslab.web.images import Images
from pacslab.web.negotiation import (
    COMPRESSED,
    EXPLICIT_LITTLE,
    OCTETS,
    Offer,
    Wish,
    accepted,
    content_type,
    media_type_of,
    wishes,
)
from pacslab.web.retrieve import left_out_warning, warning
from pacslab.web.routing import instance_url
from pacslab.web.streaming import Multipart, Part, Streamed
from pacslab.web.values import PIXEL_DATA, element, opened, pixel_data, video, wish_for
from pacslab.web.working import working

log = logging.getLogger(__name__)

OFFERS: Final = tuple(Offer(name, multipart=True) for name in (OCTETS, *COMPRESSED))
_OCTETS: Final = content_type(OCTETS, EXPLICIT_LITTLE)
# As a key with its quotation marks this can't stand inside a JSON string
_ADDRESS: Final = re.compile(rb'"BulkDataURI":"' + BULK_PREFIX.encode() + rb'([0-9A-F/]+)"')
# Bytes of an image that are decoded before its first part begins. Of a larger one a frame that
# can't be decoded breaks the answer off
_DECODED_AT_ONCE: Final = 64 << 20

Uids = tuple[str, str | None, str | None]


@dataclass(frozen=True, slots=True)
class _Instance:
    """An instance, the paths of its bulk data, and what it is decoded to."""

    stored: Stored
    paths: tuple[str, ...]
    wanted: tuple[Wish, ...]


async def collected(
    request: Request,
    study: str,
    series: str | None = None,
    instance: str | None = None,
    *,
    pixels_only: bool = False,
) -> Response:
    """Answer with all bulk data of a study, series or instance, in multipart/related.

    Raises NotFoundError where there is none, NotAcceptableError, and PixelError for one damaged
    instance.
    """
    wanted = wishes(accepted(request), OFFERS)
    return await working(_answer, request, (study, series, instance), wanted, pixels_only)


def _answer(request: Request, uids: Uids, wanted: tuple[Wish, ...], pixels_only: bool) -> Response:
    archive, root = context(request).archive, base_url(request)
    found, left_out = _plan(archive, uids, wanted, pixels_only)
    digests = (one.stored.sha256 for one in found)
    tag = etag(wanted, pixels_only, *digests, weak=True)
    if answer := not_modified(request, tag):
        return answer
    headers = cacheable(tag)
    if left_out:
        headers["warning"] = left_out_warning(left_out, len(found))
    alone = uids[2] is not None
    parts = _parts(images_of(request), archive, found, root, alone=alone)
    first = next(parts, None)
    body = Multipart(wanted[0].offer.media_type)
    chunks = body.chunks(chain([first] if first else [], parts))
    status = 206 if left_out else 200
    return Streamed(chunks, body.content_type, headers, status_code=status)


def _plan(
    archive: Archive, uids: Uids, wanted: tuple[Wish, ...], pixels_only: bool
) -> tuple[list[_Instance], list[tuple[Stored, PacslabError]]]:
    """Whose bulk data is sent, and whose isn't and why. Raises what the only one fails by."""
    found: list[_Instance] = []
    left_out: list[tuple[Stored, PacslabError]] = []
    known = False
    for stored, text in archive.metadata(*uids):
        known = True
        paths = tuple(path.decode() for path in _ADDRESS.findall(text))
        if pixels_only:
            paths = tuple(path for path in paths if path in PIXEL_DATA)
        if not paths:
            continue
        try:
            if not stored.path.is_file():
                raise NotFoundError(f"its file is gone: run 'pacslab check {archive.directory}'")
            if any(path in PIXEL_DATA for path in paths):
                wish_for(stored.transfer_syntax_uid, wanted)
            found.append(_Instance(stored, paths, wanted))
        except PacslabError as error:
            left_out.append((stored, error))
    if not found:
        if left_out:
            raise left_out[0][1]
        what = uids[2] or uids[1] or uids[0]
        kind = "pixel data" if pixels_only else "bulk data: all of it is in the metadata"
        raise NotFoundError(f"{what} has no {kind}" if known else f"no {what} in this archive")
    return found, left_out


def _parts(
    images: Images, archive: Archive, found: Sequence[_Instance], root: str, *, alone: bool
) -> Iterator[Part]:
    for one in found:
        stored = one.stored
        at = instance_url(
            root, stored.study_instance_uid, stored.series_instance_uid, stored.sop_instance_uid
        )
        dataset = None
        for path in one.paths:
            location = f"{at}/bulkdata/{path}"
            if path in PIXEL_DATA:
                yield from _of_pixels(images, one, location, alone=alone)
                continue
            try:
                dataset = dataset or opened(archive, stored)
                part = element(dataset, stored, path).part(_OCTETS, location)
            except PacslabError as error:
                if alone:
                    raise
                log.warning("unreadable %s of %s: %s", path, stored.sop_instance_uid, error.code)
                part = _empty(location, warning(error.message))
            yield part


def _of_pixels(images: Images, one: _Instance, location: str, *, alone: bool) -> Iterator[Part]:
    stored = one.stored
    held = stored.transfer_syntax_uid
    made: Iterable[Part]
    try:
        image = images.find(
            stored.study_instance_uid, stored.series_instance_uid, stored.sop_instance_uid
        )
        wish, compressed = wish_for(held, one.wanted)
        kind = media_type_of(held)
        if not compressed:
            made = [pixel_data(images, image).made(_DECODED_AT_ONCE).part(_OCTETS, location)]
        elif kind.startswith("video/"):
            made = [video(image).part(content_type(kind, held), location)]
        else:
            form = chosen(image, [wish])[1]
            frames = frame_parts(images, image, range(1, image.frames + 1), form, location)
            if stored.path.stat().st_size > _DECODED_AT_ONCE:
                made = chain([next(frames)], frames)
            else:
                made = list(frames)
    except PacslabError as error:
        if alone:
            raise
        log.warning("sent as stored: pixels of %s: %s", stored.sop_instance_uid, error.code)
        made = [_as_stored(stored, location, warning(error.message))]
    yield from made


def _as_stored(stored: Stored, location: str, said: str) -> Part:
    """Pixel data that can't be decoded as its bytes, with the warning that they are just that."""
    held = stored.transfer_syntax_uid
    kind = content_type(OCTETS, EXPLICIT_LITTLE if media_type_of(held) == OCTETS else held)
    try:
        part = read_part10(stored.path)
    except (PacslabError, OSError):
        return _empty(location, said)
    try:
        length = len(part.data[part.start : part.end])
        more = {"Warning": said}
        if held == DeflatedExplicitVRLittleEndian:  # where they lie is inside of what is deflated
            return Part(kind, location, bytes(part.data[part.start :]), length, headers=more)
        return Part(kind, location, stored.path, length, part.start, more)
    finally:
        part.close()


def _empty(location: str, said: str) -> Part:
    """In place of what can't be read at all: a part without bytes that says why."""
    return Part(_OCTETS, location, b"", 0, headers={"Warning": said})
