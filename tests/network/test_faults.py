"""What pacslab does when the other side does it wrong: as SCU against faulty peers, and as SCP."""

from __future__ import annotations

from typing import Any

import pydicom
import pytest
from pydicom.uid import ImplicitVRLittleEndian

from pacslab.archive import Archive
from pacslab.errors import NetworkError, UsageError
from pacslab.network import client, faults
from pacslab.network.client import SendResult
from pacslab.network.faults import ENDS, REJECTIONS, Fault
from pacslab.network.listener import DicomListener
from tests.making import instance
from tests.network.conftest import HOST, Node


def send(peer: faults.Peer, number: int = 1, **options: Any) -> list[SendResult]:
    batch = [instance(SOPInstanceUID=f"1.2.{i}") for i in range(number)]
    options = {"ae_title": faults.AE_TITLE, "progress": False, "timeout": 30, **options}
    return client.send(batch, HOST, peer.port, **options)


def test_a_peer_without_a_fault_takes_everything() -> None:
    with faults.peer(Fault()) as peer:
        assert all(r.ok for r in send(peer, 3))
        assert peer.instances == ["1.2.0", "1.2.1", "1.2.2"]
        assert peer.associations == 1
        assert peer.address == f"FAULTY@127.0.0.1:{peer.port}"


# --- we as SCU ------------------------------------------------------------------------------


@pytest.mark.parametrize(("result", "source", "reason"), sorted(REJECTIONS))
def test_a_rejection_is_told_with_its_reason(result: int, source: int, reason: int) -> None:
    words = {
        (1, 3): "doesn't know the calling AE title PACSLAB",
        (1, 7): "AE title isn't FAULTY",
        (1, 2): "Application context name not supported",
        (2, 1): "it gives no reason; user name and password may be wrong",
        (2, 2): "Protocol version not supported",
        (3, 1): "congested: try again later",
        (3, 2): "as many associations as it takes",
    }.get((source, reason), "No reason given")
    with faults.peer(faults.Reject(result, source, reason)) as peer:
        with pytest.raises(NetworkError) as caught:
            send(peer)
        assert "rejected the association" in caught.value.message
        assert words.lower() in caught.value.message.lower()


def test_a_rejection_that_there_is_not() -> None:
    with pytest.raises(UsageError):
        faults.Reject(1, 1, 4)


def test_implicit_vr_only_gets_implicit_vr() -> None:
    with faults.peer(faults.ImplicitOnly()) as peer:
        assert all(r.ok for r in send(peer, 2))
        assert peer.instances == ["1.2.0", "1.2.1"]


def test_nothing_accepted_is_told_for_each() -> None:
    with faults.peer(faults.NothingAccepted()) as peer:
        results = send(peer, 2)
    assert not any(r.ok for r in results)
    assert "accepted none of the presentation contexts" in results[0].comment


def test_out_of_resources_is_a_status_and_the_rest_goes_on() -> None:
    with faults.peer(faults.OutOfResources()) as peer:
        results = send(peer, 3)
        assert peer.associations == 1
    assert [r.status for r in results] == ["0xA700"] * 3
    assert all("the disk is full" in r.comment and not r.ok for r in results)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (faults.AbortInTheMidst(), "the peer aborted the association"),
        (faults.AbortInTheMidst(2, 6), "the connection ended"),
        (faults.DropTheConnection(), "the connection ended"),
        (faults.DropBeforeTheAnswer(), "the connection ended"),
        (faults.WrongLength(), "the connection ended"),
    ],
    ids=lambda x: type(x).__name__ if isinstance(x, Fault) else "",
)
def test_a_peer_that_ends_it_every_time_is_given_up(fault: Fault, words: str) -> None:
    with faults.peer(fault) as peer:
        results = send(peer, 5)
        assert peer.associations == 3
    assert not any(r.ok or r.status for r in results)
    assert all(words in r.comment for r in results[:3])
    assert all(r.comment.startswith("not sent: ") for r in results[3:])


def test_waiting_has_an_end() -> None:
    with faults.peer(faults.Wait(600)) as peer:
        (result,) = send(peer, timeout=0.5)
    assert not result.ok
    assert result.comment == "no answer within 0.5 s"


def test_a_short_wait_does_no_harm() -> None:
    with faults.peer(faults.Wait(0.2)) as peer:
        assert send(peer)[0].ok


def test_what_is_no_dicom_is_said_to_be_none() -> None:
    with faults.peer(faults.Rubbish()) as peer, pytest.raises(NetworkError, match="DICOM port"):
        send(peer, timeout=5)


# --- we as SCP ------------------------------------------------------------------------------


@pytest.mark.parametrize("end", sorted(ENDS))
def test_what_was_acknowledged_is_there_and_nothing_else(node: Node, end: str) -> None:
    lost = instance(SOPInstanceUID="1.2.9", Rows=256, Columns=256, PixelData=bytes(256 * 512))
    kept = instance(SOPInstanceUID="1.2.1")
    assert faults.misbehave(HOST, node.port, end, kept, good=2) in ("aborted", "closed")
    summary = node.next_ended()
    assert (summary.stored, summary.already_there) == (1, 1)
    assert summary.ending in ("aborted", "lost")
    faults.misbehave(HOST, node.port, end, lost)
    assert node.next_ended().stored == 0
    assert list(node.stored()) == ["1.2.1"]
    assert list(node.archive.check()) == []
    assert list(node.archive.quarantined()) == []
    assert list(node.archive.files.incoming.iterdir()) == []
    assert node.send(lost)[0].ok


@pytest.mark.parametrize("end", ["no data set", "unknown", "wrong context", "wrong length"])
def test_who_breaks_the_protocol_is_told_so(node: Node, end: str) -> None:
    assert faults.misbehave(HOST, node.port, end, instance()) == "aborted"


def test_who_waits_too_long_is_let_go(archive: Archive) -> None:
    with DicomListener(archive, port=0, network_timeout=0.3) as listener:
        # What it announces never comes
        assert faults.misbehave(HOST, listener.port, "huge", instance()) in ("aborted", "closed")


def test_ends_that_there_are_not(node: Node) -> None:
    with pytest.raises(UsageError, match="no such end"):
        faults.misbehave(HOST, node.port, "politely", instance())
    port = node.port
    node.listener.stop()
    with pytest.raises(NetworkError):
        faults.misbehave(HOST, port, "abort", instance())


def test_implicit_vr_is_what_it_was_sent(node: Node) -> None:
    """The same data set by way of a peer that takes nothing else would be this."""
    data = instance(TransferSyntaxUID=ImplicitVRLittleEndian, SOPInstanceUID="1.2.3")
    assert node.send(data)[0].ok
    (stored,) = node.archive.instances()
    assert pydicom.dcmread(stored.path).original_encoding == (True, True)
