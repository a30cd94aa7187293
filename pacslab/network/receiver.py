"""pynetdicom's upper layer, but that it waits instead of polling, and serves C-STORE by itself.

pynetdicom looks every millisecond whether something came, in one thread, and whether a message is
complete, in another: 2.5 ms an instance in which nothing is done. Here the thread that reads the
connection sleeps until there is something to read or to send, and a C-STORE request is read,
stored and answered in it (:mod:`commands`), without ever changing hands. Negotiation, release,
abort and every other message go pynetdicom's own way, through its state machine (PS3.8 9.2).
"""

from __future__ import annotations

import logging
import queue
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

from pynetdicom.dul import DULServiceProvider
from pynetdicom.pdu import A_ABORT_RQ

from pacslab.network import commands
from pacslab.network.commands import StoreRequest
from pacslab.network.spool import Spool
from pacslab.network.store import Answer
from pacslab.network.transport import PromptSocket

log = logging.getLogger(__name__)

_TICK: Final = 0.25  # seconds; timers are looked at so often
_P_DATA: Final = 0x04
_TRANSFER: Final = "Sta6"  # association established (PS3.8 table 9-3)
_CLOSING: Final = "Sta13"  # waiting for the connection to be closed


class StoreUser(Protocol):
    """Who serves the C-STORE requests: the association."""

    def spool_for(self, context_id: int, request: StoreRequest) -> Spool | None:
        """Where the data set goes; None for a presentation context that isn't there."""

    def serve_store(self, context_id: int, request: StoreRequest, spool: Spool) -> Answer:
        """Store it; what to answer."""

    def respond(self, context_id: int, request: StoreRequest, answer: Answer) -> None:
        """Answer with pynetdicom's messages, where the quick way won't do."""

    def answered(self) -> None:
        """Decide whether there may be another one."""

    def something_happened(self) -> None:
        """Look at what has come for the service user."""


@dataclass(slots=True)
class _Arriving:
    """A C-STORE request whose data set is on its way."""

    context_id: int
    request: StoreRequest
    spool: Spool


class Receiver(DULServiceProvider):
    """The upper layer of an association with us as acceptor, in one thread that never polls."""

    def __init__(self, association: Any, user: StoreUser) -> None:
        super().__init__(association)
        self.daemon = True  # a peer that is stuck must not keep the process alive
        self._user = user
        self._arriving: _Arriving | None = None
        self._bell, self._ringer = socket.socketpair()
        self._bell.setblocking(False)
        self._ringer.setblocking(False)

    @property
    def busy(self) -> bool:
        """Whether something is on its way in or out."""
        queues: tuple[queue.Queue[Any], ...] = (self._recv_pdu, self.to_provider_queue)
        return self._arriving is not None or any(q.qsize() for q in queues)

    # --- asked by other threads -------------------------------------------------------------

    def send_pdu(self, primitive: Any) -> None:
        """Send a primitive, from any thread."""
        super().send_pdu(primitive)
        self._ring()

    def kill_dul(self) -> None:
        """End the thread, whatever it waits for."""
        super().kill_dul()
        self._ring()

    def stop_dul(self) -> bool:
        """End the thread if the association has ended; whether it has."""
        if self.state_machine.current_state != "Sta1":
            self._ring()
            return False
        self.kill_dul()
        self.join(_TICK)
        return not self.is_alive()

    # --- the thread -------------------------------------------------------------------------

    def run_reactor(self) -> None:
        """Read, serve and send until the association has ended."""
        self._idle_timer.start()
        self.assoc._dul_ready.set()
        try:
            while not self._kill_thread:
                self._act()
                if self.artim_timer.expired:
                    self.event_queue.put("Evt18")
                elif not self._process_recv_primitive() and self._listen():
                    self._is_transport_event()
                    self._idle_timer.restart()
        except Exception:
            log.exception("an association is aborted, since it can't go on")
            self._give_up()
        finally:
            self._forget()
            self._bell.close()
            self._ringer.close()
            self._user.something_happened()

    def _act(self) -> None:
        """Let pynetdicom's state machine act on every event that waits."""
        if self.event_queue.empty():
            return
        with suppress(queue.Empty):
            while True:
                self.state_machine.do_action(self.event_queue.get(block=False))
        self._user.something_happened()

    def _listen(self) -> bool:
        """Wait for the peer, for something to send, or for a timer; whether it was the peer."""
        if self.state_machine.current_state == _CLOSING:
            return True
        spoke, rang = cast(PromptSocket, self.socket).wait(self._bell, _TICK)
        if rang:
            self._bell.recv(64)
        return spoke

    def _read_pdu_data(self) -> None:
        connection = cast(PromptSocket, self.socket)
        pdu = connection.pdu()
        if pdu is not None and pdu[0] == _P_DATA and self._is_store(pdu):
            connection.take(len(pdu))
            return
        self._forget()
        super()._read_pdu_data()

    def _is_store(self, pdu: memoryview) -> bool:
        """Take a PDU that belongs to a C-STORE request; False for what pynetdicom has to read."""
        if self.state_machine.current_state != _TRANSFER or self.assoc.dimse.message is not None:
            return False
        ours = self._arriving is not None
        try:
            for context_id, control, fragment in commands.fragments(pdu):
                if control & commands.COMMAND:
                    if self._begin(context_id, control, fragment):
                        ours = True
                    elif ours:
                        raise ValueError("another command behind a data set")
                    else:
                        return False
                elif self._arriving is None or self._arriving.context_id != context_id:
                    raise ValueError("a data set without its command")
                else:
                    self._arriving.spool.write(fragment)
                    if control & commands.LAST:
                        self._serve(self._arriving)
        except ValueError as error:
            if ours:  # pynetdicom hasn't seen what came before
                log.warning("the peer broke the protocol: %s", error)
                self._forget()
                self.event_queue.put("Evt19")
            return ours
        return True

    def _begin(self, context_id: int, control: int, fragment: memoryview) -> bool:
        if self._arriving is not None:
            raise ValueError("a command in the midst of a data set")
        request = commands.store_request(bytes(fragment)) if control & commands.LAST else None
        spool = None if request is None else self._user.spool_for(context_id, request)
        if request is None or spool is None:
            return False
        self._arriving = _Arriving(context_id, request, spool)
        return True

    def _serve(self, arrived: _Arriving) -> None:
        context_id, request = arrived.context_id, arrived.request
        answer = self._user.serve_store(context_id, request, arrived.spool)
        self._arriving = None
        response = commands.store_response(context_id, request, answer.status, answer.comment)
        most = self.assoc.dimse.maximum_pdu_size
        if most and len(response) - 6 > most:
            self._user.respond(context_id, request, answer)
        else:
            cast(PromptSocket, self.socket).send(response)
        self._user.answered()

    def _forget(self) -> None:
        """Let go of a data set that isn't going to be complete."""
        if self._arriving is not None:
            self._arriving.spool.close()
            self._arriving = None

    def _give_up(self) -> None:
        """An A-ABORT past the state machine, of which nobody knows in which state it is."""
        pdu = A_ABORT_RQ()
        pdu.source, pdu.reason_diagnostic = 2, 0
        with suppress(Exception):
            cast(PromptSocket, self.socket).send(pdu.encode())
        self.assoc.is_aborted, self.assoc.is_established = True, False
        self.assoc._kill = True

    def _ring(self) -> None:
        with suppress(OSError):  # rung already, or nobody is there any more
            self._ringer.send(b"!")
