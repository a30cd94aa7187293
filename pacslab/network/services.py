"""Requests other than C-STORE and C-ECHO as SCP: one that is served, and how it is answered."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

from pydicom.dataset import Dataset
from pydicom.tag import BaseTag
from pydicom.uid import UID
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import (
    C_FIND,
    C_GET,
    C_MOVE,
    N_ACTION,
    N_CREATE,
    N_EVENT_REPORT,
    N_SET,
)
from pynetdicom.dsutils import decode, encode

from pacslab.archive import Archive
from pacslab.errors import ForbiddenError, PacslabError
from pacslab.network.registry import Grant, Registry
from pacslab.network.store import error_comment

log = logging.getLogger(__name__)

SUCCESS: Final = 0x0000
SOP_CLASS_NOT_SUPPORTED: Final = 0x0122
UNRECOGNIZED_OPERATION: Final = 0x0211
UNABLE_TO_PROCESS: Final = 0xC000
CANCELLED: Final = 0xFE00
PENDING: Final = 0xFF00

MESSAGES: Final = (C_FIND, C_MOVE, C_GET, N_ACTION, N_CREATE, N_SET, N_EVENT_REPORT)
_COMPOSITE: Final = (C_FIND, C_MOVE, C_GET)
_AHEAD: Final = 64  # PDUs of answers that wait to be sent

# Where the data set of a message stands (PS3.7 9.3 and 10.3): in a request, and in its response
_DATA_SETS: Final[Mapping[type, tuple[str, str]]] = {
    C_FIND: ("Identifier", "Identifier"),
    C_MOVE: ("Identifier", "Identifier"),
    C_GET: ("Identifier", "Identifier"),
    N_ACTION: ("ActionInformation", "ActionReply"),
    N_CREATE: ("AttributeList", "AttributeList"),
    N_SET: ("ModificationList", "AttributeList"),
    N_EVENT_REPORT: ("EventInformation", "EventReply"),
}


class StatusError(PacslabError):
    """A request that is answered with a certain status, and the elements that are to blame."""

    code = "status"

    def __init__(self, status: int, message: str, *offending: int, **fields: Any) -> None:
        super().__init__(message)
        self.dimse_status = status
        self.offending = offending
        self.fields = fields


@dataclass(frozen=True)
class Call:
    """A request that is being served: who asks what of whom, and the way to answer."""

    association: Association
    message: Any
    context_id: int
    archive: Archive
    registry: Registry
    grant: Grant
    ae_title: str
    stopping: Callable[[], bool]

    @property
    def abstract_syntax(self) -> str:
        """The SOP class of its presentation context."""
        return str(self.association._accepted_cx[self.context_id].abstract_syntax)

    @property
    def calling_ae_title(self) -> str:
        """Who asks."""
        return str(self.association.requestor.ae_title).strip()

    def negotiated(self, number: int) -> bool:
        """Whether a field of the extended negotiation was agreed on (PS3.4 C.5.1.1, C.5.2.1).

        1 relational queries and retrieval, 3 fuzzy matching of person names, 6 matching of empty
        values, 7 of multiple values.
        """
        answered = self.association.acceptor.sop_class_extended.get(UID(self.abstract_syntax), b"")
        return answered[number - 1 : number] == b"\x01"

    @property
    def cancelled(self) -> bool:
        """Whether C-CANCEL has come, or nobody is there any more for whom it would be done."""
        asked = self.message.MessageID in self.association.dimse.cancel_req
        return asked or self.over

    @property
    def over(self) -> bool:
        """Whether the association has ended, or the server is about to."""
        association = self.association
        gone = association.acse.is_aborted() or not association.dul.is_alive()
        return gone or not association.is_established or self.stopping()

    def data_set(self) -> Dataset:
        """The request's data set, its texts decoded. Raises StatusError where it can't be read."""
        syntax = self.association._accepted_cx[self.context_id].transfer_syntax[0]
        sent = getattr(self.message, _DATA_SETS[type(self.message)][0])
        if sent is None:
            return Dataset()
        sent.seek(0)
        try:
            read = decode(sent, syntax.is_implicit_VR, syntax.is_little_endian, syntax.is_deflated)
            read.decode()
            for _ in read.iterall():
                pass
        except Exception as error:
            # Its text may quote the data set, and with it the patient
            log.warning("a data set can't be read: %s", type(error).__name__)
            raise StatusError(_unreadable(self.message), "the data set can't be read") from None
        return read

    def respond(
        self,
        status: int,
        data_set: Dataset | None = None,
        *,
        comment: str = "",
        offending: tuple[int, ...] = (),
        **fields: Any,
    ) -> None:
        """Send a response; ``fields`` are further ones of the command (PS3.7 annex E)."""
        response = type(self.message)()
        response.MessageIDBeingRespondedTo = self.message.MessageID
        for name in ("SOPClassUID", "SOPInstanceUID"):
            uid = getattr(self.message, f"Affected{name}", None)
            uid = uid or getattr(self.message, f"Requested{name}", None)
            if uid is not None and hasattr(response, f"Affected{name}"):
                setattr(response, f"Affected{name}", uid)
        for name in ("EventTypeID", "ActionTypeID"):
            if hasattr(response, name) and hasattr(self.message, name):
                setattr(response, name, getattr(self.message, name))
        for name, value in fields.items():
            setattr(response, name, value)
        response.Status = status
        if comment and hasattr(response, "ErrorComment"):
            response.ErrorComment = error_comment(comment)
        if offending and hasattr(response, "OffendingElement"):
            response.OffendingElement = [BaseTag(tag) for tag in offending]
        if data_set is not None:
            place = _DATA_SETS[type(self.message)][1]
            setattr(response, place, BytesIO(self._encoded(data_set)))
        association = self.association
        association.dimse.send_msg(response, self.context_id)

    def wait_for_room(self) -> None:
        """Wait until the answers that were given are on their way, but for a few."""
        association = self.association
        while association.dul.to_provider_queue.qsize() >= _AHEAD and not self.over:
            time.sleep(0.0005)

    def _encoded(self, data_set: Dataset) -> bytes:
        syntax = self.association._accepted_cx[self.context_id].transfer_syntax[0]
        encoded = encode(
            data_set, syntax.is_implicit_VR, syntax.is_little_endian, syntax.is_deflated
        )
        if encoded is None:
            raise StatusError(UNABLE_TO_PROCESS, "the answer can't be encoded")
        return encoded


Handler = Callable[[Call], None]


@dataclass(frozen=True)
class Service:
    """What serves a kind of message in a SOP class, and the right that it takes."""

    right: str
    handle: Handler


def serve(call: Call, services: Mapping[tuple[type, str], Service]) -> None:
    """Serve a request and answer it, whatever happens; never raises."""
    association, message = call.association, call.message
    association.dimse.cancel_req = {}
    try:
        _served(call, services)
    except PacslabError as error:
        status = error.dimse_status
        if isinstance(message, _COMPOSITE) and type(error).dimse_status == 0x0110:
            # Processing failure is no status of theirs (PS3.4 tables C.4-1 to C.4-3)
            status = status if isinstance(error, StatusError) else UNABLE_TO_PROCESS
        log.info("%s answered with 0x%04X", type(message).__name__, status)
        offending = error.offending if isinstance(error, StatusError) else ()
        fields = error.fields if isinstance(error, StatusError) else {}
        call.respond(status, comment=error.message, offending=offending, **fields)
    except Exception as error:
        where = "".join(traceback.format_tb(error.__traceback__))
        log.error("%s failed: %s\n%s", type(message).__name__, type(error).__name__, where)
        if not call.over:
            call.respond(_unable(message), comment="internal error: see the server's log")
    finally:
        association.dimse.cancel_req = {}


def _served(call: Call, services: Mapping[tuple[type, str], Service]) -> None:
    message = call.message
    asked = getattr(message, "AffectedSOPClassUID", None) or getattr(
        message, "RequestedSOPClassUID", None
    )
    service = services.get((type(message), call.abstract_syntax))
    if service is None:
        raise StatusError(UNRECOGNIZED_OPERATION, "no such operation in this SOP class")
    if str(asked) != call.abstract_syntax:
        raise StatusError(SOP_CLASS_NOT_SUPPORTED, "not the SOP class of its presentation context")
    if service.right not in call.grant.rights:
        raise ForbiddenError(f"{call.calling_ae_title} may not {service.right} here")
    service.handle(call)


def _unable(message: Any) -> int:
    return UNABLE_TO_PROCESS if isinstance(message, _COMPOSITE) else 0x0110


def _unreadable(message: Any) -> int:
    return 0xA900 if isinstance(message, _COMPOSITE) else 0x0110
