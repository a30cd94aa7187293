"""Frames of an instance, decoded or as they are stored (PS3.18 10.4.1.1.6)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

from fastapi import Request, Response

from pacslab.dicom.transcode import TARGETS
from pacslab.errors import NotFoundError, PixelError, QueryError
from pacslab.web.conditional import cacheable, etag, not_modified
from pacslab.web.context import base_url, context
from pacslab.web.images import Image, Images, encoded_frame, read_at_once
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
    EAGER,
    Multipart,
    Part,
    Ready,
    Streamed,
    gathered,
    read,
    ready_or_streamed,
)
from pacslab.web.working import working

_TYPES: Final = (OCTETS, *(name for name in COMPRESSED if name.startswith("image/")))
_SEVERAL: Final = tuple(Offer(name, multipart=True) for name in _TYPES)
OFFERS: Final = (*_SEVERAL, *(Offer(name) for name in _TYPES))

_EAGER: Final = 32  # frames that are decoded before the first byte, so that errors are answers
_MOST: Final = 100_000


@dataclass(frozen=True, slots=True)
class Form:
    """What frames are sent as: a media type with its transfer syntax, and whether as stored."""

    media_type: str
    transfer_syntax_uid: str
    stored: bool

    @property
    def content_type(self) -> str:
        """The Content-Type of each."""
        return content_type(self.media_type, self.transfer_syntax_uid)


async def frames(request: Request, study: str, series: str, instance: str, frames: str) -> Response:
    """Answer with the frames of a comma-separated list of numbers from 1, in the list's order.

    application/octet-stream decoded unless another transfer syntax is asked for; compressed media
    types by their own. One frame can be had without multipart. Raises QueryError for a malformed
    list, NotFoundError for frames outside of the image, NotAcceptableError, PixelError.
    """
    numbers = frame_numbers(frames)
    wanted = wishes(accepted(request), OFFERS if len(numbers) == 1 else _SEVERAL)
    root = base_url(request)
    images = images_of(request)
    uids = (study, series, instance)
    image = images.known(*uids)
    if image is not None and len(numbers) == 1 and image.size <= EAGER:
        check_range(image, numbers)
        offer, form = chosen(image, wanted)
        tag = _tag(image, frames, offer, form)
        answer = not_modified(request, tag) or _at_once(
            image, numbers[0], offer, form, location=f"{instance_url(root, *uids)}/frames", tag=tag
        )
        if answer:
            return answer
    return await working(_answer, request, uids, frames, wanted)


def _tag(image: Image, frames: str, offer: Offer, form: Form) -> str:
    return etag(image.stored.sha256, frames, offer, form.content_type, weak=offer.multipart)


def _answer(
    request: Request, uids: tuple[str, str, str], frames: str, wanted: Sequence[Wish]
) -> Response:
    images = images_of(request)
    image = images.find(*uids)
    numbers = frame_numbers(frames)
    check_range(image, numbers)
    offer, form = chosen(image, wanted)
    tag = _tag(image, frames, offer, form)
    if answer := not_modified(request, tag):
        return answer
    headers = cacheable(tag)
    location = instance_url(base_url(request), *uids) + "/frames"
    parts = frame_parts(images, image, numbers, form, location)
    first = next(parts)
    if not offer.multipart:
        chunks = gathered(read(first.source, first.length, first.start))
        return ready_or_streamed(chunks, form.content_type, headers, length=first.length)
    body = Multipart(form.media_type)
    if len(numbers) <= _EAGER or isinstance(first.source, Path):
        known = [first, *parts]
        length = body.length(known)
        return ready_or_streamed(body.chunks(known), body.content_type, headers, length=length)
    return Streamed(body.chunks(chain([first], parts)), body.content_type, headers)


def frame_numbers(text: str) -> tuple[int, ...]:
    """The numbers of a frame list, from 1 (PS3.18 5.1.2.2.2). Raises QueryError."""
    if not re.fullmatch(r"[0-9]{1,9}(,[0-9]{1,9})*", text):
        raise QueryError(f"frames/{text[:80]}: give numbers from 1, separated by commas")
    numbers = tuple(int(n) for n in text.split(","))
    if 0 in numbers:
        raise QueryError("there is no frame 0: frames are numbered from 1")
    if len(numbers) > _MOST:
        raise QueryError(f"more than {_MOST} frames in one request: ask for them in several")
    return numbers


def check_range(image: Image, numbers: Sequence[int]) -> None:
    """Raise NotFoundError for a frame that the image hasn't."""
    outside = [n for n in numbers if n > image.frames]
    if outside:
        raise NotFoundError(
            f"no frame {outside[0]}: {image.stored.sop_instance_uid} has {image.frames}"
        )


def images_of(request: Request) -> Images:
    """The application's images, made when first asked for."""
    state = request.app.state
    try:
        found: Images = state.images
    except AttributeError:
        found = state.images = Images(context(request).archive)
    return found


def chosen(image: Image, wanted: Sequence[Wish]) -> tuple[Offer, Form]:
    """The first wish that can be had. Raises NotAcceptableError."""
    for wish in wanted:
        if form := chosen_form(image.stored.transfer_syntax_uid, wish):
            return wish.offer, form
    held = image.stored.transfer_syntax_uid
    kind = media_type_of(held)
    offers: list[Offer | str] = [] if kind.startswith("video/") else [*_SEVERAL[:1]]
    if kind.startswith("image/"):
        offers.append(content_type(str(Offer(kind, multipart=True)), held))
    why = "these frames can't be had as asked for"
    if kind.startswith("video/"):
        why = f"the frames of a video can't be told apart: ask for bulkdata/7FE00010 as {kind}"
        offers = [kind]
    raise not_acceptable(offers, why)


def chosen_form(held: str, wish: Wish) -> Form | None:
    """What a wish comes to for frames that are stored in the transfer syntax ``held``."""
    kind, wanted = wish.offer.media_type, wish.transfer_syntax
    compressed = media_type_of(held)
    if compressed.startswith("video/"):
        return None
    if kind == OCTETS:
        wanted = wanted or EXPLICIT_LITTLE
        if wanted == EXPLICIT_LITTLE or (wanted == ANY and compressed == OCTETS):
            return None if compressed == "image/jxl" else Form(kind, EXPLICIT_LITTLE, False)
        wanted = held if wanted == ANY else wanted
    else:
        fitting = COMPRESSED[kind]
        if wanted in (None, ANY):
            if held not in fitting and not wish.named:
                return None
            wanted = held if held in fitting else fitting[0]
        if wanted not in fitting:
            return None
    if wanted == held and compressed != OCTETS:
        return Form(kind, held, True)
    if media_type_of(str(wanted)) == OCTETS or wanted not in TARGETS:
        return None
    return Form(kind, str(wanted), False)


def _at_once(
    image: Image, number: int, offer: Offer, form: Form, *, location: str, tag: str
) -> Response | None:
    """The answer with one native frame, when it is in the system's memory."""
    if form.transfer_syntax_uid != EXPLICIT_LITTLE or image.start is None:
        return None
    head = tail = b""
    kind = form.content_type
    if offer.multipart:
        body = Multipart(form.media_type)
        head = body.head(Part(kind, f"{location}/{number}", b"", image.size))
        tail, kind = b"\r\n" + body.tail, body.content_type
    whole = bytearray(len(head) + image.size + len(tail))
    with memoryview(whole) as view:
        if not read_at_once(image, number - 1, view[len(head) : len(head) + image.size]):
            return None
    whole[: len(head)] = head
    whole[len(whole) - len(tail) :] = tail
    return Ready(whole, {"content-type": kind, **cacheable(tag)})


def frame_parts(
    images: Images, image: Image, numbers: Sequence[int], form: Form, location: str
) -> Iterator[Part]:
    """Each frame as a part: its place in the file, or its bytes. Raises PixelError."""
    kind = form.content_type
    for number in numbers:
        here = f"{location}/{number}"
        begin = image.place(number - 1)
        if begin is not None and form.transfer_syntax_uid == EXPLICIT_LITTLE:
            yield Part(kind, here, image.stored.path, image.size, begin)
            continue
        data = frame_bytes(images, image, number - 1, form)
        yield Part(kind, here, data, len(data))


def frame_bytes(images: Images, image: Image, i: int, form: Form) -> bytes:
    """Frame i (from 0) in this form. Raises PixelError when it can't be had."""
    pixels = images.pixels(image)
    if form.stored:
        return pixels.stored_frame(i)
    if form.transfer_syntax_uid == EXPLICIT_LITTLE:
        return pixels.decoded_frame(i)
    try:
        return encoded_frame(pixels, i, form.transfer_syntax_uid)
    except PixelError as error:
        raise not_acceptable([_SEVERAL[0]], error.message) from error
