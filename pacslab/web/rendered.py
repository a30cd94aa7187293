"""Rendered representations and thumbnails (PS3.18 10.4.1.1.3, 10.4.1.1.7 and 8.3.5).

Of a series or study a client that takes single images gets the one in the middle, one that takes
image/gif all of them one after another, and one that takes multipart one part for each instance.
What has no pixels is passed over, and so is what is damaged, as long as something is left.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final

from fastapi import Request, Response

from pacslab.archive import Archive
from pacslab.archive.archive import Stored
from pacslab.dicom.instance import transfer_syntax_name
from pacslab.dicom.pixels import Pixels
from pacslab.dicom.rendering import MEDIA_TYPES, Picture, encode, frame_time
from pacslab.errors import NotAcceptableError, NotFoundError, PacslabError, PixelError
from pacslab.web.conditional import cacheable, etag, not_modified
from pacslab.web.context import base_url, context
from pacslab.web.frames import check_range, frame_numbers, images_of
from pacslab.web.images import Images
from pacslab.web.negotiation import (
    UNDECODABLE,
    Offer,
    accepted,
    content_type,
    not_acceptable,
    wishes,
)
from pacslab.web.presentation import Presentation, presentation
from pacslab.web.routing import instance_url
from pacslab.web.streaming import Multipart, Part, Ready, Streamed
from pacslab.web.working import working

log = logging.getLogger(__name__)

THUMBNAILS: Final = tuple(Offer(name) for name in MEDIA_TYPES)
_SEVERAL: Final = tuple(Offer(name, multipart=True) for name in MEDIA_TYPES)
OFFERS: Final = (*THUMBNAILS, *_SEVERAL)
_GIF: Final = "image/gif"
_THUMBNAIL: Final = (128, 128)
_LARGEST: Final = 256 << 20  # pixels of an animation, which has to be in memory as a whole
_ATTEMPTS: Final = 8


async def rendered(
    request: Request,
    study: str,
    series: str | None = None,
    instance: str | None = None,
    frames: str | None = None,
) -> Response:
    """Answer with pictures of a study, series, instance or of frames (PS3.18 10.4.1.1.3).

    Raises QueryError for malformed parameters, NotFoundError, NotAcceptableError, PixelError.
    """
    presentation(request)  # what is malformed fails before anything is done
    numbers = frame_numbers(frames) if frames else ()
    one = instance is not None and len(numbers) < 2
    offers = OFFERS if one else (*_SEVERAL, *THUMBNAILS)
    offer = wishes(accepted(request), offers)[0].offer
    if len(numbers) > 1 and offer in THUMBNAILS and offer.media_type != _GIF:
        raise not_acceptable(_SEVERAL, f"these are {len(numbers)} frames")
    return await working(_rendered, request, (study, series, instance), frames, offer)


def _rendered(
    request: Request,
    uids: tuple[str, str | None, str | None],
    frames: str | None,
    offer: Offer,
) -> Response:
    how = presentation(request)
    numbers = frame_numbers(frames) if frames else ()
    targets = _targets(request, uids, numbers)
    tag = etag(offer, how, frames, *(t.sha256 for t in targets), weak=offer.multipart)
    if answer := not_modified(request, tag):
        return answer
    headers = cacheable(tag)
    kind, images = offer.media_type, images_of(request)
    if not offer.multipart:
        if kind == _GIF:
            data = _animation(images, targets, numbers, how)
        else:
            data = _one(images, targets, numbers, how, kind)
        return Ready(data, {**headers, "content-type": kind})
    parts = _parts(images, targets, numbers, how, kind=kind, root=base_url(request))
    first = next(parts)
    body = Multipart(kind)
    return Streamed(body.chunks(chain([first], parts)), body.content_type, headers)


async def thumbnail(
    request: Request,
    study: str,
    series: str | None = None,
    instance: str | None = None,
    frames: str | None = None,
) -> Response:
    """Answer with one small picture of a study, series, instance or frame (PS3.18 10.4.1.1.7).

    At most 128 pixels wide and high unless ``viewport`` says otherwise. Raises as rendered does.
    """
    kind = wishes(accepted(request), THUMBNAILS)[0].offer.media_type
    return await working(_thumbnail, request, (study, series, instance), frames, kind)


def _thumbnail(
    request: Request, uids: tuple[str, str | None, str | None], frames: str | None, kind: str
) -> Response:
    how = presentation(request, thumbnail=_THUMBNAIL)
    numbers = frame_numbers(frames) if frames else ()
    targets = _targets(request, uids, numbers)
    tag = etag("thumbnail", kind, how, frames, *(t.sha256 for t in targets))
    if answer := not_modified(request, tag):
        return answer
    data = _one(images_of(request), targets, numbers, how, kind)
    return Ready(data, {**cacheable(tag), "content-type": kind})


def _targets(
    request: Request, uids: tuple[str, str | None, str | None], numbers: Sequence[int]
) -> Sequence[Stored]:
    """The instances to be shown. Raises NotFoundError."""
    study, series, instance = uids
    if instance is not None and series is not None:
        image = images_of(request).find(study, series, instance)
        check_range(image, numbers)
        return [image.stored]
    archive: Archive = context(request).archive
    found = list(archive.instances(study, series))
    if not found:
        raise NotFoundError(f"no {f'series {series}' if series else f'study {study}'} here")
    return found


def _one(
    images: Images,
    targets: Sequence[Stored],
    numbers: Sequence[int],
    how: Presentation,
    kind: str,
) -> bytes:
    """One picture: the frame that is asked for, or the one in the middle that can be shown."""
    failure: PacslabError | None = None
    for stored in _from_the_middle(targets)[:_ATTEMPTS]:
        try:
            pixels = _opened(images, stored)
            i = numbers[0] - 1 if numbers else _representative(pixels)
            return encode(how.picture(pixels, i), kind, quality=how.quality)
        except (PixelError, NotFoundError, NotAcceptableError) as error:
            failure = failure or error
    assert failure is not None  # there is at least one target
    raise failure


def _animation(
    images: Images, targets: Sequence[Stored], numbers: Sequence[int], how: Presentation
) -> bytes:
    """All pictures one after another. Raises NotAcceptableError when they are too many."""
    pictures: list[Picture] = []
    size, duration = 0, 100.0
    failure: PacslabError | None = None
    for stored in targets:
        try:
            pixels = _opened(images, stored)
            duration = frame_time(pixels)
            for i in _chosen(pixels, numbers):
                pictures.append(how.picture(pixels, i))
                size += pictures[-1].size
                if size > _LARGEST:
                    raise not_acceptable(
                        [*THUMBNAILS[:1], *_SEVERAL[:1]],
                        "too large for one image/gif: ask for fewer frames or a viewport; or",
                    )
        except (PixelError, NotFoundError) as error:
            failure = failure or error
    if not pictures:
        assert failure is not None
        raise failure
    shape = pictures[0].shape
    alike = [p for p in pictures if p.shape == shape]
    return encode(alike, _GIF, frame_time=duration)


def _parts(
    images: Images,
    targets: Sequence[Stored],
    numbers: Sequence[int],
    how: Presentation,
    *,
    kind: str,
    root: str,
) -> Iterator[Part]:
    """A part for each frame that is asked for, or else for each instance.

    Raises what the first one fails by when there is none that can be shown.
    """
    failure: PacslabError | None = None
    shown = False
    for stored in targets:
        here = instance_url(
            root, stored.study_instance_uid, stored.series_instance_uid, stored.sop_instance_uid
        )
        for number in numbers or (None,):
            try:
                pixels = _opened(images, stored)
                i = _representative(pixels) if number is None else number - 1
                data = encode(how.picture(pixels, i), kind, quality=how.quality)
            except (PixelError, NotFoundError, NotAcceptableError) as error:
                if numbers:
                    raise  # frames are told apart by their order
                log.info("not shown: %s: %s", stored.sop_instance_uid, error.code)
                failure = failure or error
                continue
            shown = True
            location = f"{here}/rendered" if number is None else f"{here}/frames/{number}/rendered"
            yield Part(kind, location, data, len(data))
    if not shown and failure is not None:
        raise failure


def _opened(images: Images, stored: Stored) -> Pixels:
    if stored.transfer_syntax_uid in UNDECODABLE:
        raise not_acceptable(
            [content_type("application/dicom", stored.transfer_syntax_uid)],
            f"pacslab can't decode {transfer_syntax_name(stored.transfer_syntax_uid)}",
        )
    image = images.find(
        stored.study_instance_uid, stored.series_instance_uid, stored.sop_instance_uid
    )
    return images.pixels(image)


def _chosen(pixels: Pixels, numbers: Sequence[int]) -> Sequence[int]:
    return [n - 1 for n in numbers] if numbers else range(pixels.number_of_frames)


def _representative(pixels: Pixels) -> int:
    """The frame that stands for all: the one that says so (0028,6010), or the middle one."""
    count = pixels.number_of_frames
    try:
        named = int(pixels.header.get("RepresentativeFrameNumber") or 0)
    except (TypeError, ValueError):
        named = 0
    return named - 1 if 1 <= named <= count else count // 2


def _from_the_middle(targets: Sequence[Stored]) -> list[Stored]:
    middle = len(targets) // 2
    order = sorted(range(len(targets)), key=lambda i: abs(i - middle))
    return [targets[i] for i in order]
