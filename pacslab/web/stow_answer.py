"""What STOW-RS answers: the Store Instances Response Module and its status (PS3.18 10.5.3)."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable
from typing import Any, Final

from fastapi import Response

from pacslab.archive import Receipt
from pacslab.errors import OutOfResourcesError, PacslabError, UnsupportedMediaTypeError
from pacslab.web import xml
from pacslab.web.negotiation import Offer
from pacslab.web.routing import instance_url

log = logging.getLogger(__name__)

DICOM_JSON: Final = "application/dicom+json"
OFFERS: Final = (Offer(DICOM_JSON), Offer("application/json"), Offer(xml.MEDIA_TYPE))


def answer_of(
    receipts: Iterable[Receipt], root: str, media_type: str, accept_post: dict[str, str]
) -> Response:
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
    headers |= accept_post if status == UnsupportedMediaTypeError.http_status else {}
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
