"""Bulk data by the address that metadata gives it, and pixel data (PS3.18 10.4.1.1.4 and .5).

Native pixel data is sent from the file as it lies there; compressed pixel data decoded, as the
value that a native object would have, unless the client takes it compressed: then each frame is a
part, and a video is one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from fastapi import Request, Response

from pacslab.archive import Archive
from pacslab.archive.archive import Stored
from pacslab.dicom.header import bulk_value
from pacslab.dicom.instance import parse
from pacslab.dicom.part10 import items, read_part10
from pacslab.dicom.pixels import Pixels
from pacslab.dicom.transcode import transcode
from pacslab.errors import NotFoundError, PacslabError, PixelError
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
from pacslab.web.frames import Form, chosen, chosen_form, frame_parts, images_of
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
    Chunks,
    Multipart,
    Part,
    Streamed,
    gathered,
    read,
    ready_or_streamed,
)
from pacslab.web.working import working

PIXEL_DATA: Final = frozenset({"7FE00008", "7FE00009", "7FE00010"})
_BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"

_PLAIN: Final = (Offer(OCTETS), Offer(OCTETS, multipart=True))
OFFERS: Final = (
    *_PLAIN,
    *(Offer(name, multipart=True) for name in COMPRESSED),
    *(Offer(name) for name in COMPRESSED),
)


@dataclass(frozen=True, slots=True)
class Value:
    """A value's bytes, as they are to be sent, in pieces from any place on."""

    length: int
    stored: Stored
    source: bytes | Pixels | int
    """The bytes, the image they are decoded from, or where they begin in the file."""

    def chunks(self, start: int, stop: int) -> Chunks:
        """The bytes from ``start`` up to ``stop``."""
        return gathered(self._pieces(start, stop))

    def _pieces(self, start: int, stop: int) -> Iterator[bytes]:
        if isinstance(self.source, int):
            yield from read(self.stored.path, stop - start, self.source + start)
        elif isinstance(self.source, bytes):
            yield self.source[start:stop]
        else:
            size = self.source.native.frame_bits // 8
            for i in range(start // size, self.source.number_of_frames):
                if i * size >= stop:
                    return
                yield self.source.decoded_frame(i)[max(start - i * size, 0) : stop - i * size]
            yield b"\0" * (stop - max(start, size * self.source.number_of_frames))


async def bulkdata(request: Request, study: str, series: str, instance: str, path: str) -> Response:
    """Answer with the bytes at ``TAG`` or ``TAG/ITEM/TAG`` of an instance, little endian.

    Range gives a part of them. Raises NotFoundError, NotAcceptableError, PixelError.
    """
    path = path.strip("/").upper()
    wanted = wishes(accepted(request), OFFERS if path in PIXEL_DATA else _PLAIN)
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
    layout = images.pixels(image).layout
    held = "7FE00010"
    if layout.floating:
        held = "7FE00008" if layout.bits_allocated == 32 else "7FE00009"
    if path not in (None, held):
        raise NotFoundError(f"no bulk data at {path} of {uids[2]}: its pixels are in {held}")
    location = f"{instance_url(base_url(request), *uids)}/bulkdata/{held}"
    wish, compressed = _wish(image.stored.transfer_syntax_uid, wanted)
    if compressed:
        return _compressed(request, images, image, wish, location)
    tag = _tag(image.stored, held, wish.offer)
    if answer := not_modified(request, tag):
        return answer
    return _answer(request, _pixel_data(images, image), wish.offer, tag, location=location)


def _of_element(
    request: Request, uids: tuple[str, str, str], path: str, wanted: Sequence[Wish]
) -> Response:
    fitting = [w for w in wanted if w.transfer_syntax in (None, ANY, EXPLICIT_LITTLE)]
    if not fitting:
        raise not_acceptable(_PLAIN, "this value isn't compressed")
    archive = context(request).archive
    study, series, instance = uids
    stored = archive.instance(instance, study, series)
    tag = _tag(stored, path, fitting[0].offer)
    if answer := not_modified(request, tag):
        return answer
    location = f"{instance_url(base_url(request), *uids)}/bulkdata/{path}"
    value = _element(archive, stored, path)
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


def _element(archive: Archive, stored: Stored, path: str) -> Value:
    data = archive.data(stored)
    if stored.transfer_syntax_uid == _BIG_ENDIAN:
        data = transcode(data, EXPLICIT_LITTLE)
    try:
        found = bulk_value(parse(data), path)
    except LookupError as error:
        raise NotFoundError(f"{error.args[0]} of {stored.sop_instance_uid}") from None
    except PacslabError:
        raise
    except Exception as error:  # pydicom raises whatever a damaged value provokes
        raise PacslabError(
            f"{path} of {stored.sop_instance_uid} can't be read ({error}): ask for the whole "
            "instance as it is stored"
        ) from error
    return Value(len(found), stored, found)


def _pixel_data(images: Images, image: Image) -> Value:
    """The value of the pixel data element in a native object. Raises PixelError."""
    if image.start is not None:
        part = read_part10(image.stored.path)
        try:
            length = min(part.length or 0, image.identity[2] - image.start)
        finally:
            part.close()
        return Value(length, image.stored, image.start)
    pixels = images.pixels(image)
    native = pixels.native
    if native.frame_bits % 8:
        # Frames that don't begin on a byte follow each other without padding (PS3.5 8.1.1)
        data = transcode(image.stored.path, EXPLICIT_LITTLE)
        part = read_part10(data)
        try:
            whole = bytes(part.data[part.start : part.end])
        finally:
            part.close()
        return Value(len(whole), image.stored, whole)
    pixels.decoded_frame(0)  # what can't be decoded shall fail before the first byte
    length = native.frame_bits // 8 * pixels.number_of_frames
    return Value(length + length % 2, image.stored, pixels)


def _wish(held: str, wanted: Sequence[Wish]) -> tuple[Wish, bool]:
    """The first wish for pixel data that can be had, and whether that is compressed."""
    kind = media_type_of(held)
    video = kind.startswith("video/")
    for wish in wanted:
        syntax = wish.transfer_syntax
        if wish.offer.media_type == OCTETS:
            if syntax in (None, EXPLICIT_LITTLE) or (syntax == ANY and kind == OCTETS):
                if not video:
                    return wish, False
            elif syntax in (ANY, held) and kind != OCTETS:
                return wish, True
        elif held in COMPRESSED[wish.offer.media_type]:
            if syntax in (None, ANY, held):
                return wish, True
        elif not video and wish.named and chosen_form(held, wish):
            return wish, True
    offers: list[Offer | str] = [] if video else list(_PLAIN)
    if kind != OCTETS:
        offers.append(Offer(kind, multipart=True))
    raise not_acceptable(offers, "this pixel data can't be had as asked for")


def _compressed(
    request: Request, images: Images, image: Image, wish: Wish, location: str
) -> Response:
    held, offer = image.stored.transfer_syntax_uid, wish.offer
    video = media_type_of(held).startswith("video/")
    form = Form(offer.media_type, held, True) if video else chosen(image, [wish])[1]
    tag = _tag(image.stored, offer, form.content_type)
    if answer := not_modified(request, tag):
        return answer
    if video:
        value = _video(image)
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


def _video(image: Image) -> Value:
    """The stream of a video, which is one frame of the encapsulation (PS3.5 A.4.8)."""
    part = read_part10(image.stored.path)
    try:
        stream = list(items(part.data, part.start, None))[1:]  # behind the offset table
        if not stream:
            raise PixelError("The video is empty. Send the object to the archive again.")
        if len(stream) == 1:
            start, stop = stream[0]
            return Value(stop - start, image.stored, start)
        whole = b"".join(bytes(part.data[start:stop]) for start, stop in stream)
        return Value(len(whole), image.stored, whole)
    finally:
        part.close()
