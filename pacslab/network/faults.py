"""The fault lab: peers that do on purpose what real ones do by mistake.

For lessons and tests. A :class:`Peer` is a storage SCP on this machine that follows a script:

    with faults.peer(faults.OutOfResources()) as peer:
        lab.send("ct/", peer.address)

:func:`misbehave` is the other side, an SCU whose association takes a bad end.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from pynetdicom.pdu import A_ASSOCIATE_RQ

from pacslab.errors import NetworkError, UsageError
from pacslab.network import commands
from pacslab.network.commands import StoreRequest
from pacslab.network.wire import (
    ABORT,
    ASSOCIATE_AC,
    ASSOCIATE_RQ,
    DATA,
    IMPLICIT,
    RELEASE_RQ,
    Wire,
    abort,
    acceptance,
    rejection,
    release_response,
    request,
    storing,
)

AE_TITLE: Final = "FAULTY"

REJECTIONS: Final = {
    (1, 1, 1): "no reason given",
    (1, 1, 2): "application context name not supported",
    (1, 1, 3): "calling AE title not recognised",
    (1, 1, 7): "called AE title not recognised",
    (2, 1, 1): "no reason given, try again",
    (1, 2, 1): "no reason given, by the association control",
    (1, 2, 2): "protocol version not supported",
    (2, 3, 1): "temporary congestion",
    (2, 3, 2): "local limit exceeded",
}
"""Every rejection that PS3.8 table 9-21 knows: result, source and reason, and what it means."""


class Fault:
    """A peer that does everything right: what each script departs from."""

    def associate(self, wire: Wire, asked: A_ASSOCIATE_RQ) -> bool:
        """Answer an association request; whether it goes on."""
        wire.send(acceptance(asked))
        return True

    def receiving(self, wire: Wire) -> bool:
        """A piece of a data set has come; whether it goes on."""
        return True

    def answer(self, wire: Wire, context: int, asked: StoreRequest) -> bool:
        """An instance is complete; whether it goes on."""
        wire.send(commands.store_response(context, asked, 0))
        return True


@dataclass(frozen=True)
class Reject(Fault):
    """Rejects every association, for one of the reasons of PS3.8 table 9-21."""

    result: int = 1
    source: int = 1
    reason: int = 1

    def __post_init__(self) -> None:
        if (self.result, self.source, self.reason) not in REJECTIONS:
            raise UsageError(f"no such rejection: take one of {sorted(REJECTIONS)}")

    def associate(self, wire: Wire, asked: A_ASSOCIATE_RQ) -> bool:
        """Say no."""
        wire.send(rejection(self.result, self.source, self.reason))
        return False


class ImplicitOnly(Fault):
    """Takes Implicit VR Little Endian and no other transfer syntax."""

    def associate(self, wire: Wire, asked: A_ASSOCIATE_RQ) -> bool:
        """Accept the contexts that have it."""
        wire.send(acceptance(asked, only=IMPLICIT))
        return True


class NothingAccepted(Fault):
    """Takes the association, but none of its presentation contexts."""

    def associate(self, wire: Wire, asked: A_ASSOCIATE_RQ) -> bool:
        """Accept nothing."""
        wire.send(acceptance(asked, only="1.2.3.4"))
        return True


@dataclass(frozen=True)
class OutOfResources(Fault):
    """Answers every C-STORE with a status, Out of Resources unless told otherwise."""

    status: int = 0xA700
    comment: str = "the disk is full"

    def answer(self, wire: Wire, context: int, asked: StoreRequest) -> bool:
        """Refuse it."""
        wire.send(commands.store_response(context, asked, self.status, self.comment))
        return True


@dataclass(frozen=True)
class AbortInTheMidst(Fault):
    """Aborts the association when the first data set is under way; as service provider or user."""

    source: int = 0
    reason: int = 0

    def receiving(self, wire: Wire) -> bool:
        """Abort."""
        wire.send(abort(self.source, self.reason))
        return False


class DropTheConnection(Fault):
    """Hangs up without a word when the first data set is under way."""

    def receiving(self, wire: Wire) -> bool:
        """Hang up."""
        return False


class DropBeforeTheAnswer(Fault):
    """Takes an instance, and hangs up instead of answering."""

    def answer(self, wire: Wire, context: int, asked: StoreRequest) -> bool:
        """Hang up."""
        return False


@dataclass(frozen=True)
class Wait(Fault):
    """Lets so many seconds go by before each answer."""

    seconds: float = 30

    def answer(self, wire: Wire, context: int, asked: StoreRequest) -> bool:
        """Answer late, unless the peer is closed meanwhile."""
        wire.closing.wait(self.seconds)
        return super().answer(wire, context, asked)


class WrongLength(Fault):
    """Answers with a PDU whose value says to be longer than the PDU."""

    def answer(self, wire: Wire, context: int, asked: StoreRequest) -> bool:
        """Send it."""
        good = commands.store_response(context, asked, 0)
        wire.send(good[:6] + (len(good)).to_bytes(4, "big") + good[10:])
        return True


class Rubbish(Fault):
    """Answers an association request with something that isn't DICOM."""

    def associate(self, wire: Wire, asked: A_ASSOCIATE_RQ) -> bool:
        """Send it."""
        wire.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        return False


class Peer:
    """A storage SCP on a free port of the loopback address that follows a script.

    ``associations`` counts the connections it has had, ``instances`` what it has been sent whole.
    """

    def __init__(self, fault: Fault) -> None:
        self._fault = fault
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._closing = threading.Event()
        self.associations = 0
        self.instances: list[str] = []
        self._thread = threading.Thread(target=self._serve, name="faulty", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listening.getsockname()[1])

    @property
    def address(self) -> str:
        """As :meth:`Lab.send` takes it."""
        return f"{AE_TITLE}@127.0.0.1:{self.port}"

    def close(self) -> None:
        """Stop it."""
        self._closing.set()
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.associations += 1
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with suppress(OSError, ValueError), Wire(connection, self._closing) as wire:
            while (pdu := wire.read()) is not None:
                if not self._on(wire, pdu):
                    return

    def _on(self, wire: Wire, pdu: bytes) -> bool:
        if pdu[0] == ASSOCIATE_RQ:
            asked = A_ASSOCIATE_RQ()
            asked.decode(pdu)
            return self._fault.associate(wire, asked)
        if pdu[0] == RELEASE_RQ:
            wire.send(release_response())
            return False
        if pdu[0] != DATA:
            return False
        for context, control, fragment in commands.fragments(memoryview(pdu)):
            if control & commands.COMMAND:
                wire.asked = commands.store_request(bytes(fragment))
            elif wire.asked is not None:
                goes_on = self._fault.receiving(wire)
                if goes_on and control & commands.LAST:
                    self.instances.append(wire.asked.sop_instance_uid)
                    goes_on = self._fault.answer(wire, context, wire.asked)
                if not goes_on:
                    return False
        return True


@contextmanager
def peer(fault: Fault) -> Iterator[Peer]:
    """A peer that follows a script, closed in the end."""
    made = Peer(fault)
    try:
        yield made
    finally:
        made.close()


ENDS: Final = {
    "abort": "aborts when half of the data set is sent",
    "drop": "hangs up when half of the data set is sent",
    "wrong length": "sends a PDU whose value says to be longer than the PDU",
    "wrong context": "sends the data set in a presentation context that wasn't accepted",
    "no data set": "sends another command where the data set should come",
    "huge": "announces a PDU of 4 GB",
    "unknown": "sends a PDU of a type that there isn't",
}
"""The ends that :func:`misbehave` can bring about."""


def misbehave(
    host: str,
    port: int,
    end: str,
    part10: bytes,
    *,
    good: int = 0,
    called: str = "PACSLAB",
    timeout: float = 60,
) -> str:
    """Store an instance ``good`` times as one should, then let the association end badly.

    ``part10`` is a Part 10 file. How the other side took it: ``aborted`` when it said so in DICOM,
    ``closed`` when it hung up. Raises UsageError for an end that isn't one of :data:`ENDS`,
    NetworkError where no association is to be had.
    """
    if end not in ENDS:
        raise UsageError(f"no such end: {end!r}; take one of {', '.join(ENDS)}")
    sop_class, uid, syntax, data = storing(part10)
    try:
        connection = socket.create_connection((host, port), timeout)
    except OSError as error:
        raise NetworkError(f"{host}, port {port}: {error.strerror or error}") from error
    with Wire(connection, threading.Event()) as wire:
        wire.send(request(called, AE_TITLE, sop_class, syntax))
        answer = wire.read()
        if answer is None or answer[0] != ASSOCIATE_AC:
            raise NetworkError(f"{called} at {host}, port {port} took no association")
        command = commands.store_command(StoreRequest(1, sop_class, uid))
        for _ in range(good):
            wire.send(commands.data_pdu(1, commands.COMMAND | commands.LAST, command))
            wire.send(commands.data_pdu(1, commands.LAST, data))
            wire.read()
        whole = commands.data_pdu(1, commands.LAST, data)
        with suppress(OSError):  # the other side may be quicker than we are
            if end == "huge":
                wire.send(b"\x04\0\xff\xff\xff\xff" + bytes(64))
            elif end == "unknown":
                wire.send(b"\x4f\0\0\0\0\x04\0\0\0\0")
            else:
                wire.send(commands.data_pdu(1, commands.COMMAND | commands.LAST, command))
            if end in ("abort", "drop"):
                wire.send(commands.data_pdu(1, 0, data[: len(data) // 4 * 2]))
                if end == "abort":
                    wire.send(abort(0, 0))
                return "closed"
            if end == "wrong length":
                wire.send(whole[:6] + (len(whole) + 8).to_bytes(4, "big") + whole[10:])
            elif end == "wrong context":
                wire.send(commands.data_pdu(99, commands.LAST, data))
            elif end == "no data set":
                wire.send(commands.data_pdu(1, commands.COMMAND | commands.LAST, command))
            said = wire.read()
            return "aborted" if said is not None and said[0] == ABORT else "closed"
        return "closed"
