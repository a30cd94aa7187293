"""Storage Commitment as SCU (PS3.4 J.3): whether a peer answers for what it was sent."""

from __future__ import annotations

import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import evt
from pynetdicom.presentation import build_context

from pacslab.archive import Archive, commitments
from pacslab.dicom.header import to_json
from pacslab.errors import NetworkError
from pacslab.network import node as nodes
from pacslab.network.commitment import INSTANCE, REQUEST, request_of
from pacslab.network.contexts import COMMITMENT
from pacslab.network.node import Node

_ANSWER: Final = 10.0  # s
_POLL: Final = 0.2  # s
_REASONS: Final = {
    0x0110: "processing failure",
    0x0112: "no such object instance",
    0x0213: "resource limitation",
    0x0122: "referenced SOP class not supported",
    0x0119: "class-instance conflict",
    0x0131: "duplicate transaction UID",
}


@dataclass(frozen=True, slots=True)
class Commitment:
    """What a peer says of one instance: ``committed``, ``failed`` and why, or ``pending``."""

    SOPClassUID: str
    SOPInstanceUID: str
    TransactionUID: str
    Status: str
    Reason: str = ""


def commit(
    node: Node,
    references: Iterable[tuple[str, str]],
    *,
    archive: Archive | None = None,
    wait: float = 60.0,
) -> list[Commitment]:
    """Ask a peer to commit to instances, by SOP Class and Instance UID; a row for each.

    The result may come on this association, or on one of the peer's to our own server, which
    keeps it in ``archive``. What isn't told within ``wait`` s is pending. Raises NetworkError where
    the request isn't taken.
    """
    wanted = list(dict.fromkeys(references))
    if not wanted:
        return []
    transaction = f"2.25.{uuid.uuid4().int}"
    if archive is not None:
        commitments.requested(archive.database, transaction, "scu", node.ae_title)
    events: queue.Queue[Dataset] = queue.Queue()
    answering: list[threading.Thread] = []

    def take(event: Any) -> tuple[int, None]:
        answering.append(threading.current_thread())
        events.put(event.event_information)
        return 0x0000, None

    with node.associated(
        [build_context(UID(COMMITMENT))], handlers=[(evt.EVT_N_EVENT_REPORT, take)]
    ) as association:
        action = request_of(transaction, wanted)
        status, _ = association.send_n_action(action, REQUEST, UID(COMMITMENT), UID(INSTANCE))
        if status.get("Status") != 0:
            why = nodes.told(node, association, status, {})
            raise NetworkError(f"{node} doesn't take the request for commitment: {why}")
        event = _awaited(events, transaction, wait, archive, lambda: association.is_established)
        for thread in answering:
            thread.join(_ANSWER)  # pynetdicom answers in it: not to be overtaken by the release
    if event is None:
        return [Commitment(*one, transaction, "pending", "not told yet") for one in wanted]
    if archive is not None:
        _keep(archive, transaction, event)
    return _told(event, wanted, transaction)


def _awaited(
    events: queue.Queue[Dataset],
    transaction: str,
    wait: float,
    archive: Archive | None,
    lasts: Callable[[], bool],
) -> Dataset | None:
    deadline = time.monotonic() + wait
    while time.monotonic() < deadline:
        try:
            event = events.get(timeout=_POLL)
        except queue.Empty:
            told = commitments.told(archive.database, transaction) if archive is not None else None
            if told is not None:
                return Dataset.from_json(told)
            if archive is None and not lasts():
                return None  # there is no other way for it to come
        else:
            if str(event.get("TransactionUID")) == transaction:
                return event
    return None


def _keep(archive: Archive, transaction: str, event: Dataset) -> None:
    commitments.result(
        archive.database,
        transaction,
        "scu",
        committed=len(event.get("ReferencedSOPSequence") or []),
        failed=len(event.get("FailedSOPSequence") or []),
        told=dict(to_json(event)),
    )
    commitments.reported(archive.database, transaction, "scu")


def _told(event: Dataset, wanted: Iterable[tuple[str, str]], transaction: str) -> list[Commitment]:
    done = {str(i.ReferencedSOPInstanceUID) for i in event.get("ReferencedSOPSequence") or []}
    failed = {
        str(i.ReferencedSOPInstanceUID): int(i.get("FailureReason") or 0)
        for i in event.get("FailedSOPSequence") or []
    }
    rows = []
    for sop_class, uid in wanted:
        if uid in done and uid not in failed:
            rows.append(Commitment(sop_class, uid, transaction, "committed"))
        else:
            code = failed.get(uid, 0)
            why = f"0x{code:04X}: {_REASONS.get(code, 'unknown')}" if code else "not mentioned"
            rows.append(Commitment(sop_class, uid, transaction, "failed", why))
    return rows
