"""Whole studies, series and instances as DICOM objects (PS3.18 10.4, Retrieve Transaction).

What is sent of an instance, in the order of what the client wants most: the stored bytes when it
takes any transfer syntax or just that one, else a copy in the one it takes. An instance that can't
be had so doesn't harm its neighbours: what is known before the first byte (a file that is gone, no
codec) is left out with status 206 and a Warning that names it; what only decoding shows to be
damaged is sent as it is stored, in a part that says so by its transfer syntax and a Warning of its
own. Asked for alone, each gets its own error.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final

from fastapi import Request, Response

from pacslab.archive import Archive
from pacslab.archive.archive import Stored
from pacslab.dicom.transcode import TARGETS, obstacle, transcode
from pacslab.errors import NotFoundError, PacslabError, PixelError
from pacslab.web.conditional import cacheable, etag, not_modified
from pacslab.web.context import base_url, context
from pacslab.web.files import FromFiles, Slice
from pacslab.web.negotiation import (
    ANY,
    DICOM,
    EXPLICIT_LITTLE,
    UNDECODABLE,
    Offer,
    Wish,
    accepted,
    content_type,
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
    zipped,
)
from pacslab.web.working import working

log = logging.getLogger(__name__)

_MULTIPART: Final = Offer(DICOM, multipart=True)
SINGLE: Final = Offer(DICOM)
_ZIP: Final = Offer("application/zip")
OFFERS: Final = (_MULTIPART, _ZIP)


@dataclass(frozen=True, slots=True)
class Copy:
    """An instance and the transfer syntax that it is to be sent in, with its file's size."""

    stored: Stored
    transfer_syntax_uid: str
    size: int

    @property
    def as_stored(self) -> bool:
        """Whether the file's bytes are it."""
        return self.transfer_syntax_uid == self.stored.transfer_syntax_uid


async def retrieve(
    request: Request, study: str, series: str | None = None, instance: str | None = None
) -> Response:
    """Answer with the DICOM objects of a study, a series or one instance (PS3.18 10.4.1.1.1).

    multipart/related; application/dicom alone for one instance only; application/zip as an extra.
    Raises NotFoundError, NotAcceptableError, and PixelError for one damaged instance.
    """
    offers = (_MULTIPART, *([SINGLE] if instance else ()), _ZIP)
    wanted = wishes(accepted(request), offers)
    # The first one wanted decides how it is packed; all that are packed so, its transfer syntaxes
    offer = wanted[0].offer
    syntaxes = _syntaxes([w for w in wanted if w.offer == offer])
    return await working(_answer, request, (study, series, instance), offer, syntaxes)


def _answer(
    request: Request,
    uids: tuple[str, str | None, str | None],
    offer: Offer,
    syntaxes: tuple[str, ...],
) -> Response:
    archive = context(request).archive
    copies, left_out = _plan(archive, uids, syntaxes)
    tag = _tag(offer, copies)
    if answer := not_modified(request, tag):
        return answer
    headers = cacheable(tag)
    if left_out:
        headers["warning"] = left_out_warning(left_out, len(copies))
    if offer == SINGLE:
        return _single(archive, copies[0], headers)
    status = 206 if left_out else 200
    root = base_url(request)
    parts = _parts(archive, copies, root)
    if offer == _ZIP:
        headers["content-disposition"] = f'attachment; filename="{uids[1] or uids[0]}.zip"'
        files = ((_name(part), part) for part in parts)
        return Streamed(zipped(files), _ZIP.media_type, headers, status_code=status)
    body = Multipart(DICOM)
    if len(copies) == 1:
        # What can't be decoded fails here, before the first byte
        parts = [_part(archive, copies[0], root)]
    elif not all(c.as_stored for c in copies):
        return Streamed(body.chunks(parts), body.content_type, headers, status_code=status)
    parts = list(parts)
    length = body.length(parts)
    if length <= EAGER:
        return Ready(body.body(parts), {"content-type": body.content_type, **headers}, status)
    return FromFiles(
        body.pieces(parts), body.content_type, headers, length=length, status_code=status
    )


async def retrieve_one(
    request: Request, study: str, series: str, instance: str, syntaxes: tuple[str, ...]
) -> Response:
    """Answer with one instance as application/dicom in the first of these that can be had.

    Raises as retrieve does.
    """
    return await working(_answer, request, (study, series, instance), SINGLE, syntaxes)


def _tag(offer: Offer, copies: Sequence[Copy]) -> str:
    # Of two files with the same data set the meta information may differ, and so the size
    digests = ((c.stored.sha256, c.transfer_syntax_uid, c.size) for c in copies)
    return etag(offer, *chain.from_iterable(digests), weak=offer.multipart)


def _syntaxes(wanted: Sequence[Wish]) -> tuple[str, ...]:
    """The transfer syntaxes that are accepted, in order (PS3.18 8.7.8.2)."""
    named = [w.transfer_syntax or EXPLICIT_LITTLE for w in wanted]
    return tuple(dict.fromkeys(named))


def _plan(
    archive: Archive, uids: tuple[str, str | None, str | None], syntaxes: tuple[str, ...]
) -> tuple[list[Copy], list[tuple[Stored, PacslabError]]]:
    """What is sent of each instance, and what isn't and why. Raises what the only one fails by."""
    copies: list[Copy] = []
    left_out: list[tuple[Stored, PacslabError]] = []
    # A list: a client that reads for an hour must not keep a transaction open as long
    for stored in list(archive.instances(*uids)):
        try:
            size = stored.path.stat().st_size
            copies.append(Copy(stored, _chosen(stored, syntaxes), size))
        except OSError:
            error = NotFoundError(
                f"the file of {stored.sop_instance_uid} is gone or can't be read: run "
                f"'pacslab check {archive.directory}'"
            )
            left_out.append((stored, error))
        except PacslabError as error:
            left_out.append((stored, error))
    if not copies:
        if left_out:
            raise left_out[0][1]
        raise NotFoundError(f"no {_what(*uids)} in this archive")
    return copies, left_out


def _what(study: str, series: str | None, instance: str | None) -> str:
    if instance:
        return f"instance {instance} in series {series} of study {study}"
    return f"series {series} in study {study}" if series else f"study {study}"


def _chosen(stored: Stored, syntaxes: tuple[str, ...]) -> str:
    """The transfer syntax an instance is sent in. Raises NotAcceptableError."""
    held, why = stored.transfer_syntax_uid, []
    for wanted in syntaxes:
        if wanted in (held, ANY):
            return held
        if wanted == EXPLICIT_LITTLE:
            # Permitted for what can only be had in lossy compressed form (PS3.18 8.7.3.4)
            return held if held in UNDECODABLE else wanted
        if wanted in TARGETS and held not in UNDECODABLE:
            try:
                reason = obstacle(stored.path, wanted)
            except PixelError as error:
                reason = error.message
            if not reason:
                return wanted
            why.append(f"{wanted} ({reason})")
        else:
            why.append(wanted)
    offers = [content_type(DICOM, uid) for uid in dict.fromkeys((EXPLICIT_LITTLE, held, ANY))]
    raise not_acceptable(offers, f"{stored.sop_instance_uid} can't be had as {', '.join(why)}")


def _single(archive: Archive, copy: Copy, headers: dict[str, str]) -> Response:
    kind = content_type(DICOM, copy.transfer_syntax_uid)
    if copy.as_stored:
        return FromFiles([Slice(copy.stored.path, 0, copy.size)], kind, headers, length=copy.size)
    return Ready(_transcoded(archive, copy), {**headers, "content-type": kind})


def _parts(archive: Archive, copies: Sequence[Copy], root: str) -> Iterable[Part]:
    for copy in copies:
        try:
            yield _part(archive, copy, root)
        except PacslabError as error:
            log.warning("sent as stored: %s: %s", copy.stored.sop_instance_uid, error.code)
            stored = replace(copy, transfer_syntax_uid=copy.stored.transfer_syntax_uid)
            yield replace(_part(archive, stored, root), headers={"Warning": warning(error.message)})


def _part(archive: Archive, copy: Copy, root: str) -> Part:
    stored = copy.stored
    location = instance_url(
        root, stored.study_instance_uid, stored.series_instance_uid, stored.sop_instance_uid
    )
    kind = content_type(DICOM, copy.transfer_syntax_uid)
    if copy.as_stored:
        return Part(kind, location, stored.path, copy.size)
    data = _transcoded(archive, copy)
    return Part(kind, location, data, len(data))


def _transcoded(archive: Archive, copy: Copy) -> bytes:
    return transcode(archive.data(copy.stored), copy.transfer_syntax_uid)


def _name(part: Part) -> str:
    """A part's name in a zip file: its series and itself."""
    _, series, _, instance = part.location.rsplit("/", 3)
    return f"{series}/{instance}.dcm"


def left_out_warning(left_out: Sequence[tuple[Stored, PacslabError]], sent: int) -> str:
    """A Warning field that names the first few that aren't sent."""
    said = "; ".join(f"{stored.sop_instance_uid}: {e.message}" for stored, e in left_out[:3])
    return warning(f"{len(left_out)} of {sent + len(left_out)} instances left out: {said}")


def warning(text: str) -> str:
    """A Warning field (PS3.18 8.4.2): one line, without what a field can't hold."""
    plain = re.sub(r"[^ -~]", "?", text.replace("\\", "/").replace('"', "'").replace("’", "'"))
    return f'299 pacslab "{plain[:1500]}"'
