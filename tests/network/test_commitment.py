"""Storage Commitment Push Model as SCP: what is committed, and how the result is told."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, MRImageStorage
from pynetdicom import AE, evt
from pynetdicom.association import Association

from pacslab.archive import commitments
from pacslab.network.commitment import INSTANCE, request_of
from pacslab.network.contexts import COMMITMENT
from pacslab.network.registry import Peer, Registry
from tests.network.conftest import HOST, Node
from tests.network.test_find import fill

CT, MR = str(CTImageStorage), str(MRImageStorage)
STORED, OTHER, GONE = "1.2.3.1.1.1", "1.2.3.1.1.2", "1.2.3.2.1.1"
Events = queue.Queue[tuple[int, Dataset, str]]


@pytest.fixture
def filled(node: Node) -> Node:
    fill(node.archive)
    return node


def _taking(events: Events, answering: list[threading.Thread]) -> list[Any]:
    def take(event: evt.Event) -> tuple[int, None]:
        answering.append(threading.current_thread())
        events.put((event.request.EventTypeID, event.event_information, str(event.assoc.mode)))
        return 0, None

    return [(evt.EVT_N_EVENT_REPORT, take)]


@contextmanager
def associated(node: Node, events: Events, title: str = "MODALITY") -> Iterator[Association]:
    ae = AE(title)
    ae.add_requested_context(COMMITMENT)
    answering: list[threading.Thread] = []
    association = ae.associate(HOST, node.port, evt_handlers=_taking(events, answering))
    assert association.is_established
    yield association
    for thread in answering:
        thread.join(60)  # a release must not overtake the answer
    association.release()


def asked(association: Association, transaction: str, *references: tuple[str, str]) -> Dataset:
    action = request_of(transaction, references)
    status, _ = association.send_n_action(action, 1, COMMITMENT, INSTANCE)
    return status


def test_what_is_there_is_committed_on_the_same_association(filled: Node) -> None:
    events: Events = queue.Queue()
    with associated(filled, events) as association:
        assert asked(association, "1.2.77", (CT, STORED), (CT, OTHER)).Status == 0
        kind, told, mode = events.get(timeout=60)
    assert (kind, mode) == (1, "requestor")
    assert told.TransactionUID == "1.2.77"
    assert told.RetrieveAETitle == "PACSLAB"
    assert "FailedSOPSequence" not in told
    committed = [i.ReferencedSOPInstanceUID for i in told.ReferencedSOPSequence]
    assert committed == [STORED, OTHER]


def test_why_something_is_not_committed(filled: Node) -> None:
    archive = filled.archive
    archive.instance(GONE).path.unlink()
    altered = archive.instance(OTHER).path
    data = altered.read_bytes()
    altered.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    events: Events = queue.Queue()
    references = [(CT, STORED), (CT, OTHER), (CT, GONE), (MR, STORED + "9"), (CT, "1.2.9")]
    with associated(filled, events) as association:
        assert asked(association, "1.2.78", *references, (MR, "1.2.3.1.2.1")).Status == 0
        kind, told, _ = events.get(timeout=60)
    assert kind == 2
    assert [i.ReferencedSOPInstanceUID for i in told.ReferencedSOPSequence] == [STORED]
    assert {i.ReferencedSOPInstanceUID: i.FailureReason for i in told.FailedSOPSequence} == {
        OTHER: 0x0110,
        GONE: 0x0110,
        STORED + "9": 0x0112,
        "1.2.9": 0x0112,
        "1.2.3.1.2.1": 0x0119,
    }


def test_a_transaction_is_asked_for_once(filled: Node) -> None:
    events: Events = queue.Queue()
    with associated(filled, events) as association:
        asked(association, "1.2.79", (CT, STORED))
        assert events.get(timeout=60)[0] == 1
        asked(association, "1.2.79", (CT, STORED))
        kind, told, _ = events.get(timeout=60)
    assert kind == 2
    assert told.FailedSOPSequence[0].FailureReason == 0x0131


def test_requests_that_are_not_taken(filled: Node) -> None:
    events: Events = queue.Queue()
    action = request_of("1.2.80", [(CT, STORED)])
    with associated(filled, events) as association:

        def send(data_set: Dataset, kind: int = 1, instance: str = INSTANCE) -> int:
            return int(association.send_n_action(data_set, kind, COMMITMENT, instance)[0].Status)

        assert send(action, kind=2) == 0x0123
        assert send(action, instance="1.2.3") == 0x0112
        assert send(request_of("1.2.80", [])) == 0x0115
        assert send(request_of("", [(CT, STORED)])) == 0x0115
    assert events.empty()
    assert list(commitments.listed(filled.archive.database)) == []


def test_who_has_gone_is_told_on_a_new_association(filled: Node) -> None:
    events: Events = queue.Queue()
    ae = AE("MODALITY")
    ae.add_supported_context(COMMITMENT, scu_role=True, scp_role=True)
    server = ae.start_server((HOST, 0), block=False, evt_handlers=_taking(events, []))
    try:
        registry = Registry(filled.archive.directory / "peers.toml")
        registry.put(Peer("MODALITY", HOST, server.server_address[1]))
        gone = AE("MODALITY")
        gone.add_requested_context(COMMITMENT)
        association = gone.associate(
            HOST, filled.port, evt_handlers=[(evt.EVT_N_EVENT_REPORT, _hang_up)]
        )
        asked(association, "1.2.81", (CT, STORED))
        kind, told, mode = events.get(timeout=60)
    finally:
        server.shutdown()
    assert (kind, told.TransactionUID, mode) == (1, "1.2.81", "acceptor")


def _hang_up(event: evt.Event) -> tuple[int, None]:
    event.assoc.abort()
    return 0, None


def test_what_could_not_be_told_is_told_by_the_next_server(
    filled: Node, serve: Callable[..., Node]
) -> None:
    gone = AE("MODALITY")
    gone.add_requested_context(COMMITMENT)
    association = gone.associate(
        HOST, filled.port, evt_handlers=[(evt.EVT_N_EVENT_REPORT, _hang_up)]
    )
    asked(association, "1.2.84", (CT, STORED))
    assert filled.next_ended().ending == "aborted"
    assert [t for t, _, _ in commitments.unreported(filled.archive.database)] == ["1.2.84"]
    events: Events = queue.Queue()
    ae = AE("MODALITY")
    ae.add_supported_context(COMMITMENT, scu_role=True, scp_role=True)
    server = ae.start_server((HOST, 0), block=False, evt_handlers=_taking(events, []))
    try:
        registry = Registry(filled.archive.directory / "peers.toml")
        registry.put(Peer("MODALITY", HOST, server.server_address[1]))
        serve()
        kind, told, _ = events.get(timeout=60)
        _reported(filled)
    finally:
        server.shutdown()
    assert (kind, told.TransactionUID) == (1, "1.2.84")


def test_what_was_told_is_kept(filled: Node) -> None:
    events: Events = queue.Queue()
    with associated(filled, events) as association:
        asked(association, "1.2.82", (CT, STORED))
        events.get(timeout=60)
        row = _reported(filled)
    assert (row["Peer"], row["Committed"], row["Failed"]) == ("MODALITY", 1, 0)
    assert commitments.unreported(filled.archive.database) == []


def _reported(node: Node) -> dict[str, Any]:
    """The only commitment, once its report was confirmed."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        (row,) = commitments.listed(node.archive.database)
        if row["ReportedAt"] is not None:
            return row
        time.sleep(0.01)
    raise AssertionError("the report was not confirmed")


def test_the_result_of_a_request_of_ours_is_taken(filled: Node) -> None:
    from pynetdicom import build_role

    database = filled.archive.database
    commitments.requested(database, "1.2.83", "scu", "PACS")
    event = request_of("1.2.83", [(CT, STORED)])
    ae = AE("PACS")
    ae.add_requested_context(COMMITMENT)
    association = ae.associate(HOST, filled.port, ext_neg=[build_role(COMMITMENT, scp_role=True)])
    status, _ = association.send_n_event_report(event, 1, COMMITMENT, INSTANCE)
    assert status.Status == 0
    status, _ = association.send_n_event_report(event, 9, COMMITMENT, INSTANCE)
    assert status.Status == 0x0113
    event.TransactionUID = "1.2.99"
    status, _ = association.send_n_event_report(event, 1, COMMITMENT, INSTANCE)
    assert status.Status == 0x0115
    association.release()
    told = commitments.told(database, "1.2.83")
    assert told is not None
    assert Dataset.from_json(told).ReferencedSOPSequence[0].ReferencedSOPInstanceUID == STORED
