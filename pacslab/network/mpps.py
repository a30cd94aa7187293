"""Modality Performed Procedure Step as SCP (PS3.4 F.7): what modalities tell of their work."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from pacslab.archive import worklist as table
from pacslab.dicom.header import to_json
from pacslab.dicom.uids import is_uid
from pacslab.errors import NotFoundError
from pacslab.network.services import SUCCESS, Call, StatusError

NO_SUCH_ATTRIBUTE: Final = 0x0105
INVALID_ATTRIBUTE_VALUE: Final = 0x0106
PROCESSING_FAILURE: Final = 0x0110
DUPLICATE_INSTANCE: Final = 0x0111
NO_SUCH_INSTANCE: Final = 0x0112
INVALID_INSTANCE: Final = 0x0117
MISSING_ATTRIBUTE: Final = 0x0120
MISSING_VALUE: Final = 0x0121
NO_LONGER_UPDATED: Final = 0xA710  # Error ID (PS3.4 table F.7.2-2)

_BEGUN: Final = "IN PROGRESS"
_ENDED: Final = ("COMPLETED", "DISCONTINUED")
_STATUS: Final = "PerformedProcedureStepStatus"
_AT_FIRST: Final = (
    "ScheduledStepAttributesSequence",
    "PerformedProcedureStepID",
    "PerformedStationAETitle",
    "PerformedProcedureStepStartDate",
    "PerformedProcedureStepStartTime",
    _STATUS,
    "Modality",
)
_IN_THE_END: Final = ("PerformedProcedureStepEndDate", "PerformedProcedureStepEndTime")
# What stays as it was at first (PS3.4 table F.7.2-1, N-SET: not allowed)
_FIXED: Final = frozenset({
    "ScheduledStepAttributesSequence",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "PerformedProcedureStepID",
    "PerformedStationAETitle",
    "PerformedProcedureStepStartDate",
    "PerformedProcedureStepStartTime",
    "Modality",
    "StudyID",
})  # fmt: skip


def create(call: Call) -> None:
    """Answer N-CREATE: a step that has begun."""
    attributes = call.data_set()
    uid = str(call.message.AffectedSOPInstanceUID or f"2.25.{uuid.uuid4().int}")
    if not is_uid(uid):
        raise StatusError(INVALID_INSTANCE, "the SOP Instance UID isn't a UID")
    _require(attributes, _AT_FIRST)
    if attributes[_STATUS].value != _BEGUN:
        raise StatusError(
            INVALID_ATTRIBUTE_VALUE, f"a step is created {_BEGUN}", **_named([_STATUS])
        )
    try:
        table.step(call.archive.database, uid)
    except NotFoundError:
        pass
    else:
        raise StatusError(DUPLICATE_INSTANCE, "there is such a step already")
    _keep(call, uid, dict(to_json(attributes)))
    call.respond(SUCCESS, AffectedSOPInstanceUID=uid)


def update(call: Call) -> None:
    """Answer N-SET: what became of a step; after its end nothing more does."""
    uid = str(call.message.RequestedSOPInstanceUID)
    changes = call.data_set()
    try:
        status, before = table.step(call.archive.database, uid)
    except NotFoundError:
        raise StatusError(NO_SUCH_INSTANCE, "there is no such step") from None
    if status in _ENDED:
        raise StatusError(
            PROCESSING_FAILURE,
            f"the step is {status}: it may no longer be updated",
            ErrorID=NO_LONGER_UPDATED,
        )
    fixed = [e.keyword for e in changes if e.keyword in _FIXED]
    if fixed:
        raise StatusError(NO_SUCH_ATTRIBUTE, f"{fixed[0]} can't be changed", **_named(fixed))
    after = str(changes.get(_STATUS) or status)
    if after not in (_BEGUN, *_ENDED):
        raise StatusError(
            INVALID_ATTRIBUTE_VALUE, f"{after!r} is no status of a step", **_named([_STATUS])
        )
    whole = {**before, **to_json(changes)}
    if after in _ENDED:
        _require(Dataset.from_json(whole), _IN_THE_END)
    _keep(call, uid, whole)
    call.respond(SUCCESS)


def _require(attributes: Dataset, keywords: Iterable[str]) -> None:
    missing = [k for k in keywords if k not in attributes]
    if missing:
        raise StatusError(MISSING_ATTRIBUTE, f"{missing[0]} is missing", **_named(missing))
    empty = [k for k in keywords if attributes[k].is_empty]
    if empty:
        raise StatusError(MISSING_VALUE, f"{empty[0]} has no value", **_named(empty))


def _named(keywords: Iterable[str]) -> dict[str, Any]:
    """The field that names the attributes to blame, where the response has it (PS3.7 C.5)."""
    return {"AttributeIdentifierList": [BaseTag(tag_for_keyword(k) or 0) for k in keywords]}


def _keep(call: Call, uid: str, attributes: Mapping[str, Any]) -> None:
    data_set = Dataset.from_json(dict(attributes))
    scheduled = (data_set.get("ScheduledStepAttributesSequence") or [Dataset()])[0]
    row: dict[str, Any] = {}
    for keyword in table.STEP_KEYWORDS:
        source = data_set if keyword in data_set else scheduled
        value = source.get(keyword)
        row[keyword] = str(value) if value else None
    table.keep_step(call.archive.database, uid, row, attributes)
