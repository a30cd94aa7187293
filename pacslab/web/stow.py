"""STOW-RS: store instances (PS3.18 10.5)."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from pacslab.archive import Archive, Receipt, Status
from pacslab.dicom.instance import Buffer, read
from pacslab.errors import (
    OutOfResourcesError,
    PacslabError,
    UnsupportedMediaTypeError,
    UsageError,
)
from pacslab.web import xml
from pacslab.web.context import ROOT, base_url, context
from pacslab.web.described import stores
from pacslab.web.multipart import Part, boundary, parameters, parts, whole
from pacslab.web.negotiation import Offer, accepted, wishes
from pacslab.web.problems import problem
from pacslab.web.routing import QuickRoute, StudyUID
from pacslab.web.stow_answer import DICOM_JSON, OFFERS, answer_of
from pacslab.web.stow_data_sets import READERS, part10, uid_of

log = logging.getLogger(__name__)
router = APIRouter(
    prefix=ROOT, route_class=QuickRoute, tags=["STOW-RS"], default_response_class=Response
)

DICOM: Final = "application/dicom"
_BODIES: Final = (
    *(Offer(kind, multipart=True) for kind in (DICOM, DICOM_JSON, xml.MEDIA_TYPE)),
    Offer(DICOM),
)
_ANY: Final = ", ".join(map(str, _BODIES))
_TAKEN: Final = f"send one of {_ANY}"
_ACCEPT_POST: Final = {"Accept-Post": _ANY}  # W3C Linked Data Platform 7.1
_MEANINGS: Final = {
    200: "all are stored",
    202: "some are stored, the others are told with their reasons",
    409: "none is stored",
}
_DECLARED: Final = stores(_BODIES, OFFERS, _MEANINGS)
_BATCH: Final = 64
_BATCH_BYTES: Final = 32 << 20


@dataclass
class _Stored:
    """What became of the instances so far."""

    archive: Archive
    study: str | None
    source: str
    receipts: list[Receipt] = field(default_factory=list)
    _waiting: list[Buffer] = field(default_factory=list)
    _size: int = 0

    async def add(self, data: Buffer) -> None:
        """Take one instance; several small ones are committed together."""
        self._waiting.append(data)
        self._size += len(data)
        if len(self._waiting) >= _BATCH or self._size > _BATCH_BYTES:
            await self.finish()

    async def finish(self) -> None:
        """Store what waits."""
        batch, self._waiting, self._size = self._waiting, [], 0
        if batch:
            self.receipts += await run_in_threadpool(self._add, batch)

    def _add(self, batch: list[Buffer]) -> list[Receipt]:
        receipts = self.archive.add_many(batch, source=self.source, study_instance_uid=self.study)
        return [_named(r, data) for r, data in zip(receipts, batch, strict=True)]


@router.post("/studies", name="Store instances", **_DECLARED)
async def store(request: Request) -> Response:
    """Store instances of any study (PS3.18 10.5.1)."""
    return await _store(request, None)


@router.post("/studies/{study}", name="Store instances of a study", **_DECLARED)
async def store_in_study(request: Request, study: StudyUID) -> Response:
    """Store instances of one study; those of another fail (PS3.18 10.5.1)."""
    return await _store(request, study)


async def _store(request: Request, study: str | None) -> Response:
    offer = wishes(accepted(request), OFFERS)[0].offer
    archive = context(request).archive
    peer = request.client.host if request.client else "unknown"
    done = _Stored(archive, study, f"STOW-RS from {peer}")
    content_type = request.headers.get("content-type", "")
    kind = content_type.split(";")[0].strip().lower()
    directory = archive.spool
    try:
        if kind == DICOM:
            if data := await whole(request.stream(), directory):
                await done.add(data)
        elif kind == "multipart/related":
            found = parts(request.stream(), boundary(content_type), directory)
            inner = parameters(content_type).get("type", DICOM).lower()
            if inner == DICOM:
                await _take_files(found, done)
            elif inner in (DICOM_JSON, xml.MEDIA_TYPE):
                await _take_data_sets(found, done, inner)
            else:
                raise UnsupportedMediaTypeError(f"{inner} can't be stored: {_TAKEN}")
        else:
            raise UnsupportedMediaTypeError(f"{kind or 'no Content-Type'}: {_TAKEN}")
    except UnsupportedMediaTypeError as error:
        return problem(error.http_status, error.message, error.code, _ACCEPT_POST)
    except ClientDisconnect:
        log.info("STOW-RS: the sender went away before the end of its body")
        raise UsageError("the body breaks off: send it again as a whole") from None
    except OSError as error:
        raise OutOfResourcesError(
            f"no room for what was sent ({error.strerror}): what was stored before stays"
        ) from error
    finally:
        # What came whole before the body broke off is stored: the sender may have gone.
        await done.finish()
    if not done.receipts:
        raise UsageError(f"the body holds no instance: {_TAKEN}")
    return answer_of(done.receipts, base_url(request), offer.media_type, _ACCEPT_POST)


def _named(receipt: Receipt, data: Buffer) -> Receipt:
    """A receipt with the UIDs that can be read of what was refused: it has to be told which."""
    if receipt.error is None or receipt.sop_instance_uid:
        return receipt
    try:
        found = read(data)
    except PacslabError:
        return receipt
    return replace(
        receipt, sop_instance_uid=found.sop_instance_uid, sop_class_uid=found.sop_class_uid
    )


async def _take_data_sets(found: AsyncIterator[Part], done: _Stored, inner: str) -> None:
    """Data sets in JSON or XML, and bulk data in parts with a Content-Location (PS3.18 8.6.1.2)."""
    headers: list[dict[str, Any]] = []
    bulk: dict[str, list[Part]] = {}
    async for part in found:
        kind = part.headers.get("content-type", inner).split(";")[0].strip().lower()
        if kind in READERS:
            headers += READERS[kind](part)
        else:
            bulk.setdefault(part.headers.get("content-location", ""), []).append(part)
    for header in headers:
        try:
            data = await run_in_threadpool(part10, header, bulk)
        except PacslabError as error:
            uid, sop_class = uid_of(header, "00080018"), uid_of(header, "00080016")
            done.receipts.append(Receipt(Status.REFUSED, "", "", uid, sop_class, error))
        else:
            await done.add(data)


async def _take_files(found: AsyncIterator[Part], done: _Stored) -> None:
    async for part in found:
        kind = part.headers.get("content-type", DICOM).split(";")[0].strip().lower()
        if kind == DICOM:
            await done.add(part.data)
        else:
            why = UnsupportedMediaTypeError(f"a part of type {kind}: {_TAKEN}")
            done.receipts.append(Receipt(Status.REFUSED, error=why))
