"""STOW-RS: store instances (PS3.18 10.5)."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from pacslab.archive import Archive, Receipt, Status
from pacslab.dicom.instance import Buffer, read
from pacslab.dicom.uids import is_uid
from pacslab.errors import (
    NotDicomError,
    OutOfResourcesError,
    PacslabError,
    UnsupportedMediaTypeError,
    UsageError,
)
from pacslab.web import xml
from pacslab.web.context import ROOT, base_url, context
from pacslab.web.multipart import Part, boundary, parameters, parts, whole
from pacslab.web.negotiation import COMPRESSED, Offer, accepted, wishes
from pacslab.web.problems import problem
from pacslab.web.routing import QuickRoute, StudyUID, instance_url

log = logging.getLogger(__name__)
router = APIRouter(prefix=ROOT, route_class=QuickRoute, tags=["STOW-RS"])

DICOM: Final = "application/dicom"
DICOM_JSON: Final = "application/dicom+json"
_ANY: Final = f'multipart/related; type="{DICOM}", multipart/related; type="{DICOM_JSON}", {DICOM}'
_TAKEN: Final = f"send one of {_ANY}"
_ACCEPT_POST: Final = {"Accept-Post": _ANY}  # W3C Linked Data Platform 7.1
_OFFERS: Final = (Offer(DICOM_JSON), Offer("application/json"), Offer(xml.MEDIA_TYPE))
_ITEM: Final = b"\xfe\xff\x00\xe0"
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


@router.post("/studies", name="Store instances")
async def store(request: Request) -> Response:
    """Store instances of any study (PS3.18 10.5.1)."""
    return await _store(request, None)


@router.post("/studies/{study}", name="Store instances of a study")
async def store_in_study(request: Request, study: StudyUID) -> Response:
    """Store instances of one study; those of another fail (PS3.18 10.5.1)."""
    return await _store(request, study)


async def _store(request: Request, study: str | None) -> Response:
    offer = wishes(accepted(request), _OFFERS)[0].offer
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
            elif inner == DICOM_JSON:
                await _take_json(found, done)
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
    return _response(done.receipts, base_url(request), offer.media_type)


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


async def _take_files(found: AsyncIterator[Part], done: _Stored) -> None:
    async for part in found:
        kind = part.headers.get("content-type", DICOM).split(";")[0].strip().lower()
        if kind == DICOM:
            await done.add(part.data)
        else:
            why = UnsupportedMediaTypeError(f"a part of type {kind}: {_TAKEN}")
            done.receipts.append(Receipt(Status.REFUSED, error=why))


async def _take_json(found: AsyncIterator[Part], done: _Stored) -> None:
    """Data sets in DICOM JSON, and bulk data in parts with a Content-Location (PS3.18 8.6.1.2)."""
    headers: list[dict[str, Any]] = []
    bulk: dict[str, list[Part]] = {}
    async for part in found:
        kind = part.headers.get("content-type", DICOM_JSON).split(";")[0].strip().lower()
        if kind in {DICOM_JSON, "application/json"}:
            headers += _data_sets(part)
        else:
            bulk.setdefault(part.headers.get("content-location", ""), []).append(part)
    for header in headers:
        try:
            data = await run_in_threadpool(_file, header, bulk)
        except PacslabError as error:
            uid, sop_class = _uid(header, "00080018"), _uid(header, "00080016")
            done.receipts.append(Receipt(Status.REFUSED, "", "", uid, sop_class, error))
        else:
            await done.add(data)


def _uid(header: Mapping[str, Any], tag: str) -> str:
    """A UID of a data set that may be malformed; empty where there is none to read."""
    match header.get(tag):
        case {"Value": [str(uid), *_]} if is_uid(uid):
            return uid
    return ""


def _data_sets(part: Part) -> list[dict[str, Any]]:
    try:
        told = json.loads(bytes(part.data[:]))
    except ValueError as error:
        raise UsageError(f"the DICOM JSON can't be parsed: {error}") from error
    listed = told if isinstance(told, list) else [told]
    if not all(isinstance(one, dict) for one in listed):
        raise UsageError("the DICOM JSON is no data set and no array of them (PS3.18 F.2)")
    return listed


def _file(header: dict[str, Any], bulk: Mapping[str, Sequence[Part]]) -> bytes:
    """A data set in DICOM JSON as a Part 10 file."""

    def fetch(uri: str) -> bytes:
        if uri not in bulk:
            raise NotDicomError(f"no part has the Content-Location {uri}, which is asked for")
        return b"".join(part.data[:] for part in bulk[uri])

    # File meta information has no place in a data set; some clients send it all the same.
    inside = {tag: element for tag, element in header.items() if not tag.startswith("0002")}
    try:
        dataset = Dataset.from_json(inside, fetch)
        frames = bulk.get(header.get("7FE00010", {}).get("BulkDataURI", ""), ())
        syntax = _transfer_syntax(frames)
        if syntax.is_compressed and syntax != DeflatedExplicitVRLittleEndian:
            dataset.PixelData = _encapsulated([part.data[:] for part in frames])
            dataset["PixelData"].is_undefined_length = True
            dataset["PixelData"].VR = "OB"
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = syntax
        meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", "")
        meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", "")
        dataset.file_meta = meta
        written = io.BytesIO()
        dcmwrite(written, dataset, enforce_file_format=True)
    except PacslabError:
        raise
    except Exception as error:  # pydicom raises whatever the values provoke
        raise NotDicomError(f"not a data set in DICOM JSON: {error}") from error
    return written.getvalue()


def _transfer_syntax(frames: Sequence[Part]) -> UID:
    """The one that the pixel data's part names, or its media type's default (table 8.7.3-5)."""
    if not frames:
        return ExplicitVRLittleEndian
    content_type = frames[0].headers.get("content-type", "")
    kind = content_type.split(";")[0].strip().lower()
    named = parameters(content_type).get("transfer-syntax")
    return UID(named or COMPRESSED.get(kind, (ExplicitVRLittleEndian,))[0])


def _encapsulated(frames: list[bytes]) -> bytes:
    """Frames as PS3.5 A.4 has them; one part may hold them so already."""
    if len(frames) == 1 and frames[0].startswith(_ITEM):
        return frames[0]
    return encapsulate(frames)


def _response(receipts: Iterable[Receipt], root: str, media_type: str) -> Response:
    """The Store Instances Response Module (PS3.18 table I.2-1) and its status (table 10.5.3-1)."""
    stored, failed, others = [], [], []
    studies: set[str] = set()
    reasons: list[PacslabError] = []
    for receipt in receipts:
        item = _reference(receipt)
        if receipt.error is not None:
            log.warning("STOW-RS refused an instance: %s", receipt.error.code)
            reason = {"00081197": {"vr": "US", "Value": [receipt.error.dimse_status]}}
            if receipt.sop_instance_uid:
                failed.append(item | reason)
            else:
                others.append(reason)  # of which instance can't be said
            reasons.append(receipt.error)
            continue
        uids = (receipt.study_instance_uid, receipt.series_instance_uid)
        url = instance_url(root, *uids, receipt.sop_instance_uid)
        studies.add(receipt.study_instance_uid)
        stored.append(item | {"00081190": {"vr": "UR", "Value": [url]}})
    answer: dict[str, Any] = {}
    if len(studies) == 1:
        answer["00081190"] = {"vr": "UR", "Value": [f"{root}/studies/{studies.pop()}"]}
    if failed:
        answer["00081198"] = {"vr": "SQ", "Value": failed}
    if stored:
        answer["00081199"] = {"vr": "SQ", "Value": stored}
    if others:
        answer["0008119A"] = {"vr": "SQ", "Value": others}
    status = 200 if not reasons else 202 if stored else _status_of_failure(reasons)
    headers = {"Warning": ", ".join(_warnings(reasons))} if reasons else {}
    headers |= _ACCEPT_POST if status == UnsupportedMediaTypeError.http_status else {}
    if media_type == xml.MEDIA_TYPE:
        return Response(xml.document(answer), status, headers, media_type)
    body = json.dumps(answer, separators=(",", ":"))
    return Response(body, status, headers, DICOM_JSON)


def _status_of_failure(reasons: list[PacslabError]) -> int:
    for kind in (OutOfResourcesError, UnsupportedMediaTypeError):
        if all(isinstance(r, kind) for r in reasons):
            return kind.http_status
    return 409


def _reference(receipt: Receipt) -> dict[str, Any]:
    pairs = (("00081150", receipt.sop_class_uid), ("00081155", receipt.sop_instance_uid))
    return {tag: {"vr": "UI", "Value": [uid]} if uid else {"vr": "UI"} for tag, uid in pairs}


def _warnings(reasons: list[PacslabError]) -> list[str]:
    """The first few reasons in words: the response module has numbers only."""
    texts = dict.fromkeys(r.message.replace('"', "'") for r in reasons)
    # Parts of what was sent are quoted in it, and a header field takes no control characters.
    plain = (re.sub(r"[^ -~]|\\", "?", text) for text in texts)
    return [f'299 pacslab "{text[:300]}"' for text in list(plain)[:3]]
