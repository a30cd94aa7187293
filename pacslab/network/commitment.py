"""Storage Commitment Push Model as SCP (PS3.4 J.3): asked by N-ACTION, told by N-EVENT-REPORT."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any, Final

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID
from pynetdicom import build_role
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import N_EVENT_REPORT
from pynetdicom.dsutils import encode
from pynetdicom.pdu_primitives import A_ABORT, A_P_ABORT, A_RELEASE
from pynetdicom.presentation import build_context

from pacslab.archive import Archive, commitments
from pacslab.archive.commitments import DUPLICATE_TRANSACTION
from pacslab.dicom.header import to_json
from pacslab.dicom.uids import is_uid
from pacslab.errors import ConflictError, NetworkError, PacslabError
from pacslab.network.contexts import COMMITMENT
from pacslab.network.registry import Peer, Registry
from pacslab.network.requestor import associated
from pacslab.network.sending import paused
from pacslab.network.services import SUCCESS, Call, StatusError
from pacslab.network.tls import Security

log = logging.getLogger(__name__)

INSTANCE: Final = "1.2.840.10008.1.20.1.1"  # the well-known one (PS3.4 J.3.5)
REQUEST: Final = 1  # Action Type ID
COMPLETE: Final = 1  # Event Type IDs
FAILURES_EXIST: Final = 2

NO_SUCH_INSTANCE: Final = 0x0112
INVALID_ARGUMENT: Final = 0x0115
NO_SUCH_ACTION: Final = 0x0123
NO_SUCH_EVENT: Final = 0x0113

_WAIT: Final = 30.0  # s for the answer to a report
_AGAIN: Final = (0.0, 10.0, 60.0, 600.0)  # s before each try to report on an association of ours


class Committer:
    """Answers requests for commitment, and goes on reporting where the first try fails."""

    def __init__(
        self,
        archive: Archive,
        registry: Registry,
        ae_title: str,
        security: Security | None,
        stopping: Callable[[float], bool],
    ) -> None:
        self._archive = archive
        self._registry = registry
        self._ae_title = ae_title
        self._security = security
        self._stopping = stopping  # waits so many seconds for the server's end

    def request(self, call: Call) -> None:
        """Answer N-ACTION, look at every file, and report on the same association or a new one."""
        if str(call.message.RequestedSOPInstanceUID) != INSTANCE:
            raise StatusError(NO_SUCH_INSTANCE, "not the well-known SOP instance")
        if call.message.ActionTypeID != REQUEST:
            raise StatusError(NO_SUCH_ACTION, f"no action {call.message.ActionTypeID}")
        asked = call.data_set()
        transaction = str(asked.get("TransactionUID") or "")
        wanted = _references(asked)
        if not is_uid(transaction) or not wanted:
            raise StatusError(INVALID_ARGUMENT, "Transaction UID or the references are missing")
        database, peer = self._archive.database, call.calling_ae_title
        again = False
        try:
            commitments.requested(database, transaction, "scp", peer)
        except ConflictError:
            again = True
        call.respond(SUCCESS)
        reasons = (
            dict.fromkeys(wanted, DUPLICATE_TRANSACTION)
            if again
            else {one: commitments.failure(self._archive, *one) for one in wanted}
        )
        event = report(transaction, reasons, call.ae_title)
        if not again:
            failed = sum(1 for reason in reasons.values() if reason)
            commitments.result(
                database,
                transaction,
                "scp",
                committed=len(reasons) - failed,
                failed=failed,
                told=dict(to_json(event)),
            )
        if _told_on_the_same(call, event):
            commitments.reported(database, transaction, "scp")
        else:
            self._later(transaction, peer, event)

    def resume(self) -> None:
        """Go on with reports that nobody has confirmed yet."""
        for transaction, peer, told in commitments.unreported(self._archive.database):
            self._later(transaction, peer, Dataset.from_json(told))

    def _later(self, transaction: str, title: str, event: Dataset) -> None:
        peer = self._registry.peers().get(title)
        if peer is None or not peer.port:
            log.warning("%s has no address in the AE registry: no report of %s", title, transaction)
            return
        threading.Thread(target=self._keep_on, args=(transaction, peer, event), daemon=True).start()

    def _keep_on(self, transaction: str, peer: Peer, event: Dataset) -> None:
        for pause in _AGAIN:
            if self._stopping(pause):
                return
            try:
                self._tell(peer, event)
            except PacslabError as error:
                log.warning("%s isn't told of %s: %s", peer.ae_title, transaction, error.message)
            else:
                commitments.reported(self._archive.database, transaction, "scp")
                return

    def _tell(self, peer: Peer, event: Dataset) -> None:
        """Report on an association of ours, where we are SCP all the same (PS3.4 J.3.3)."""
        role = build_role(UID(COMMITMENT), scp_role=True)
        with (
            associated(
                peer.host,
                peer.port,
                [build_context(UID(COMMITMENT))],
                ae_title=peer.ae_title,
                calling_ae_title=self._ae_title,
                timeout=_WAIT,
                security=(self._security or Security()) if peer.tls else None,
                negotiation=[role],
            ) as association,
            paused(association),
        ):
            context_id = int(association.accepted_contexts[0].context_id or 1)
            if not _send(association, context_id, event, lambda: False):
                raise NetworkError("the report wasn't confirmed")


def _told_on_the_same(call: Call, event: Dataset) -> bool:
    return _send(call.association, call.context_id, event, lambda: call.over)


def _send(
    association: Association, context_id: int, event: Dataset, over: Callable[[], bool]
) -> bool:
    """N-EVENT-REPORT, and whether the other side confirms it (PS3.7 10.1.1)."""
    request = N_EVENT_REPORT()
    request.MessageID = 1
    request.AffectedSOPClassUID = COMMITMENT
    request.AffectedSOPInstanceUID = INSTANCE
    request.EventTypeID = FAILURES_EXIST if "FailedSOPSequence" in event else COMPLETE
    syntax = association._accepted_cx[context_id].transfer_syntax[0]
    encoded = encode(event, syntax.is_implicit_VR, syntax.is_little_endian, syntax.is_deflated)
    request.EventInformation = BytesIO(encoded or b"")
    association.dimse.send_msg(request, context_id)
    deadline = time.monotonic() + _WAIT
    while time.monotonic() < deadline and not over():
        number, message = association.dimse.get_msg(block=False)
        if isinstance(message, N_EVENT_REPORT) and message.is_valid_response:
            return message.Status == SUCCESS
        if message is not None:
            # What is asked meanwhile is served meanwhile
            association._serve_request(message, int(number or 0))
        # Looked at only: to answer a release is the reactor's part
        if isinstance(association.dul.peek_next_pdu(), A_RELEASE | A_ABORT | A_P_ABORT):
            return False
        time.sleep(0.001)
    return False


def report(
    transaction: str, reasons: dict[tuple[str, str], int], retrieve_ae_title: str = ""
) -> Dataset:
    """The event information (PS3.4 table J.3-2): reasons by SOP Class and Instance UID, 0 for none.

    Instances without a reason are committed.
    """
    event = Dataset()
    event.TransactionUID = transaction
    if retrieve_ae_title:
        event.RetrieveAETitle = retrieve_ae_title
    done = [_reference(*one) for one, reason in reasons.items() if not reason]
    if done:
        event.ReferencedSOPSequence = Sequence(done)
    failed = []
    for one, reason in reasons.items():
        if reason:
            item = _reference(*one)
            item.FailureReason = reason
            failed.append(item)
    if failed:
        event.FailedSOPSequence = Sequence(failed)
    return event


def request_of(transaction: str, references: Iterable[tuple[str, str]]) -> Dataset:
    """The action information (PS3.4 table J.3-1)."""
    action = Dataset()
    action.TransactionUID = transaction
    action.ReferencedSOPSequence = Sequence([_reference(*one) for one in references])
    return action


def receive(call: Call) -> None:
    """Answer N-EVENT-REPORT: the result of a request of ours, told on an association of theirs."""
    if call.message.EventTypeID not in (COMPLETE, FAILURES_EXIST):
        raise StatusError(NO_SUCH_EVENT, f"no event {call.message.EventTypeID}")
    event = call.data_set()
    known = commitments.result(
        call.archive.database,
        str(event.get("TransactionUID") or ""),
        "scu",
        committed=len(event.get("ReferencedSOPSequence") or []),
        failed=len(event.get("FailedSOPSequence") or []),
        told=dict(to_json(event)),
    )
    if not known:
        raise StatusError(INVALID_ARGUMENT, "no such transaction was asked for by us")
    commitments.reported(call.archive.database, str(event.TransactionUID), "scu")
    call.respond(SUCCESS)


def _reference(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class_uid
    item.ReferencedSOPInstanceUID = sop_instance_uid
    return item


def _references(asked: Dataset) -> list[tuple[str, str]]:
    items: Any = asked.get("ReferencedSOPSequence") or []
    return [
        (str(i.get("ReferencedSOPClassUID", "")), str(i.get("ReferencedSOPInstanceUID", "")))
        for i in items
    ]
