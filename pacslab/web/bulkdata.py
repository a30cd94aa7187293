"""Bulk data by the address that metadata gives it, and pixel data (PS3.18 10.4.1.1.4 and .5).

Native pixel data is sent from the file as it lies there; compressed pixel data decoded, as the
value that a native object would have, unless the client takes it compressed: then each frame is a
part, and a video is one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Final

from fastapi import Request, Response

from pacslab.archive.archive import Stored
from pacslab.errors import NotFoundError
from pacslab.web.conditional import (
    RangeNotSatisfiable,
    Span,
    cacheable,
    etag,
    not_modified,
    span,
    unsatisfiable,
)
from pacslab.web.context import base_url, context
from pacslab.web.frames import Form, chosen, frame_parts, images_of
from pacslab.web.images import Image, Images
from pacslab.web.negotiation import (
    ANY,
    COMPRESSED,
    EXPLICIT_LITTLE,
    OCTETS,
    Offer,
    Wish,
    accepted,
    content_type,
    media_type_of,
    not_acceptable,
    wishes,
)
from pacslab.web.routing import instance_url
from pacslab.web.streaming import (
    Multipart,
    Part,
    Streamed,
    gathered,
    read,
    ready_or_streamed,
)
from pacslab.web.values import (
    PIXEL_DATA,
    PLAIN,
    Value,
    element,
    opened,
    pixel_data,
    pixel_tag,
    video,
    wish_for,
)
from pacslab.web.working import working

OFFERS: Final = (
    *PLAIN,
    *(Offer(name, multipart=True) for name in COMPRESSED),
    *(Offer(name) for name in COMPRESSED),
)


async def bulkdata(request: Request, study: str, series: str, instance: str, path: str) -> Response:
    """Answer with the bytes at ``TAG`` or ``TAG/ITEM/TAG`` of an instance, little endian.

    Range gives a part of them. Raises NotFoundError, NotAcceptableError, PixelError.
    """
    path = path.strip("/").upper()
    wanted = wishes(accepted(request), OFFERS if path in PIXEL_DATA else PLAIN)
    function = _of_pixels if path in PIXEL_DATA else _of_element
    return await working(function, request, (study, series, instance), path, wanted)


async def pixeldata(request: Request, study: str, series: str, instance: str) -> Response:
    """Answer with an instance's pixel data (PS3.18 10.4.1.1.5), whichever element it is.

    Raises as bulkdata does.
    """
    wanted = wishes(accepted(request), OFFERS)
    return await working(_of_pixels, request, (study, series, instance), None, wanted)


def _of_pixels(
    request: Request, uids: tuple[str, str, str], path: str | None, wanted: Sequence[Wish]
) -> Response:
    images = images_of(request)
    image = images.find(*uids)
    held = pixel_tag(images.pixels(image))
    if path not in (None, held):
        raise NotFoundError(f"no bulk data at {path} of {uids[2]}: its pixels are in {held}")
    location = f"{instance_url(base_url(request), *uids)}/bulkdata/{held}"
    wish, compressed = wish_for(image.stored.transfer_syntax_uid, wanted)
    if compressed:
        return _compressed(request, images, image, wish, location)
    tag = _tag(image.stored, held, wish.offer)
    if answer := not_modified(request, tag):
        return answer
    return _answer(request, pixel_data(images, image), wish.offer, tag, location=location)


def _of_element(
    request: Request, uids: tuple[str, str, str], path: str, wanted: Sequence[Wish]
) -> Response:
    fitting = [w for w in wanted if w.transfer_syntax in (None, ANY, EXPLICIT_LITTLE)]
    if not fitting:
        raise not_acceptable(PLAIN, "this value isn't compressed")
    archive = context(request).archive
    study, series, instance = uids
    stored = archive.instance(instance, study, series)
    tag = _tag(stored, path, fitting[0].offer)
    if answer := not_modified(request, tag):
        return answer
    location = f"{instance_url(base_url(request), *uids)}/bulkdata/{path}"
    value = element(opened(archive, stored), stored, path)
    return _answer(request, value, fitting[0].offer, tag, location=location)


def _tag(stored: Stored, *parts: object) -> str:
    weak = any(isinstance(part, Offer) and part.multipart for part in parts)
    return etag(stored.sha256, *parts, weak=weak)


def _answer(
    request: Request,
    value: Value,
    offer: Offer,
    tag: str,
    *,
    location: str,
    kind: str = content_type(OCTETS, EXPLICIT_LITTLE),
) -> Response:
    headers = {**cacheable(tag), "accept-ranges": "bytes"}
    try:
        asked = span(request, value.length, tag)
    except RangeNotSatisfiable:
        return unsatisfiable(value.length)
    whole = Span(0, value.length, value.length)
    sent = asked or whole
    length = sent.stop - sent.start
    partly = {} if asked is None else {"content-range": asked.content_range}
    status = 206 if asked else 200
    chunks = value.chunks(sent.start, sent.stop)
    if not offer.multipart:
        headers = {**headers, **partly, "content-location": location}
        return ready_or_streamed(chunks, kind, headers, length=length, status_code=status)
    # Here a client that can't do without multipart (dicomweb-client) gets its range as a part
    body = Multipart(offer.media_type)
    head = body.head(Part(kind, location, b"", length, headers=partly))
    tail = b"\r\n" + body.tail
    return ready_or_streamed(
        gathered(chain([head], chunks, [tail])),
        body.content_type,
        headers,
        length=len(head) + length + len(tail),
        status_code=status,
    )


def _compressed(
    request: Request, images: Images, image: Image, wish: Wish, location: str
) -> Response:
    held, offer = image.stored.transfer_syntax_uid, wish.offer
    is_video = media_type_of(held).startswith("video/")
    form = Form(offer.media_type, held, True) if is_video else chosen(image, [wish])[1]
    tag = _tag(image.stored, offer, form.content_type)
    if answer := not_modified(request, tag):
        return answer
    if is_video:
        value = video(image)
        return _answer(request, value, offer, tag, location=location, kind=form.content_type)
    if not offer.multipart and image.frames > 1:
        raise not_acceptable(
            [Offer(form.media_type, multipart=True)], f"these are {image.frames} frames"
        )
    headers = cacheable(tag)
    parts = frame_parts(images, image, range(1, image.frames + 1), form, location)
    first = next(parts)
    if not offer.multipart:
        chunks = gathered(read(first.source, first.length))
        return ready_or_streamed(chunks, form.content_type, headers, length=first.length)
    body = Multipart(form.media_type)
    return Streamed(body.chunks(chain([first], parts)), body.content_type, headers)
