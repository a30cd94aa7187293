"""An association that someone has with us as acceptor: how it is served, and how it ends."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from pynetdicom import evt
from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.transport import AddressInformation

from pacslab.archive import Archive
from pacslab.archive.journal import Entry, Journal, now
from pacslab.network import contexts, spool, store
from pacslab.network.commands import StoreRequest
from pacslab.network.provider import Provider
from pacslab.network.receiver import Receiver
from pacslab.network.registry import STORE, Grant
from pacslab.network.services import MESSAGES
from pacslab.network.spool import Spool, SpoolingProvider
from pacslab.network.store import Answer
from pacslab.network.summary import AssociationSummary, Notes
from pacslab.network.trace import Trace
from pacslab.network.transport import PromptSocket

log = logging.getLogger(__name__)

_TICK: Final = 0.25  # seconds; whether nothing came for too long is looked at so often


@dataclass(frozen=True)
class Service:
    """What every association of one listener shares."""

    archive: Archive
    network_timeout: float
    unknown_sop_classes: bool
    on_association: Callable[[AssociationSummary], None] | None
    provider: Provider
    stopping: threading.Event
    closed: threading.Event  # nothing may touch the archive any more
    journal: Journal | None = None
    trace: bool = False  # note every PDU and message


class IncomingAssociation(Association):
    """An association with us as acceptor; C-STORE is ours, all else pynetdicom's."""

    def __init__(
        self,
        ae: ApplicationEntity,
        service: Service,
        connection: socket.socket,
        peer: tuple[Any, ...],
    ) -> None:
        super().__init__(ae, MODE_ACCEPTOR)
        self._service = service
        self._host = str(peer[0])
        self._source = ""
        self.notes = Notes(self, peer)
        self.serving = False
        self.grant: Grant | None = None
        self._happened = threading.Event()
        timeout = self.network_timeout
        self.dul = self.receiver = Receiver(self, self)
        self.network_timeout = timeout  # which is kept in the upper layer's timer
        self.acse_timeout = ae.acse_timeout
        self.dimse = SpoolingProvider(self, service.archive.spool)
        self.connection = PromptSocket(self, connection, service.network_timeout)
        self.set_socket(self.connection)
        self._entry = self._begin_entry(peer)
        self.acceptor.maximum_length = ae.maximum_pdu_size
        self.acceptor.ae_title = ae.ae_title
        self.acceptor.address_info = AddressInformation.from_tuple(connection.getsockname())
        self.acceptor.implementation_class_uid = ae.implementation_class_uid
        self.acceptor.implementation_version_name = ae.implementation_version_name
        self.requestor.address_info = AddressInformation.from_tuple(peer)
        self.bind(evt.EVT_REQUESTED, self._choose_contexts)

    def _begin_entry(self, peer: tuple[Any, ...]) -> Entry | None:
        journal = self._service.journal
        if journal is None:
            return None
        entry = journal.association(StartedAt=now(), PeerHost=str(peer[0]), PeerPort=int(peer[1]))
        if self._service.trace:
            self.connection.tap = Trace(journal, entry)
        return entry

    # --- serving --------------------------------------------------------------------------

    def run_reactor(self) -> None:
        """Serve until the association ends, then tell what it was."""
        try:
            super().run_reactor()
        finally:
            self.connection.hang_up()
            self._tell()

    def _bind_defaults(self) -> None:
        # Without pynetdicom's handlers that log every message, which takes its time.
        for event in evt._INTERVENTION_EVENTS:
            self.bind(event, evt.get_default_handler(event))

    def _choose_contexts(self, _: evt.Event) -> None:
        request = self.requestor.primitive
        if request is not None:
            self.grant = self._service.provider.admit(self, self._host)
            if self.grant is None:
                self.kill()
                return
            self.acceptor.supported_contexts = contexts.supported(
                request.presentation_context_definition_list,
                unknown=self._service.unknown_sop_classes,
            )

    def _run_reactor(self) -> None:
        """pynetdicom's loop over what has come for the service user, but that it waits for it."""
        while not self._kill:
            # Whoever sends a request of his own (send_c_store, ...) stops this loop meanwhile
            self._is_paused = True
            self._happened.wait(_TICK)
            self._happened.clear()
            self._reactor_checkpoint.wait()
            self._is_paused = False
            while (message := self.dimse.get_msg())[1] is not None:
                self._serve_request(message[1], message[0])
            if self.is_established and self.acse.is_release_requested():
                self.acse.send_release(is_response=True)
                self.is_released, self.is_established = True, False
                evt.trigger(self, evt.EVT_RELEASED, {})
                self.kill()
            elif self.acse.is_aborted():
                self.dul.receive_pdu(wait=False)
                self.is_aborted, self.is_established = True, False
                evt.trigger(self, evt.EVT_ABORTED, {})
                self.kill()
            elif not self.dul.is_alive():
                self.kill()
            elif self.dul.idle_timer_expired():
                self.abort()
                self.kill()

    def something_happened(self) -> None:
        """Wake the loop: something has come, or the upper layer has ended."""
        self._happened.set()

    def spool_for(self, context_id: int, request: StoreRequest) -> Spool | None:
        """Where a C-STORE's data set goes; None for a presentation context that isn't there."""
        context = self._accepted_cx.get(context_id)
        if context is None:
            return None
        head = spool.head(
            request.sop_class_uid, request.sop_instance_uid, str(context.transfer_syntax[0])
        )
        return Spool(lambda: head, self._service.archive.spool)

    def serve_store(self, context_id: int, request: StoreRequest, data: Spool | None) -> Answer:
        """Store what a C-STORE brought; what to answer."""
        self.serving = True
        self.notes.messages += 1
        try:
            answer = self._answer(request, context_id, data)
        finally:
            # The time that we took isn't time in which the peer was idle.
            self.dul._idle_timer.restart()
            self.serving = False
        if answer.status != store.SUCCESS:
            self.notes.refused += 1
        elif answer.new:
            self.notes.stored += 1
        else:
            self.notes.already_there += 1
        return answer

    def answered(self) -> None:
        """End the association where the server is stopping."""
        if self._service.stopping.is_set() and self.is_established:
            self.notes.end("aborted", "by us: the server stopped")
            self.abort(block=False)

    def respond(self, context_id: int, request: StoreRequest, answer: Answer) -> None:
        """Answer a C-STORE with pynetdicom's messages."""
        response = C_STORE()
        response.MessageIDBeingRespondedTo = request.message_id
        response.AffectedSOPClassUID = request.sop_class_uid
        response.AffectedSOPInstanceUID = request.sop_instance_uid
        response.Status = answer.status
        if answer.comment:
            response.ErrorComment = answer.comment  # type: ignore[assignment]
        self.dimse.send_msg(response, context_id)

    def _serve_request(self, msg: Any, context_id: int) -> None:
        ours = isinstance(msg, C_STORE) and msg.is_valid_request
        if ours and context_id in self._accepted_cx:
            request = StoreRequest(
                msg.MessageID, str(msg.AffectedSOPClassUID), str(msg.AffectedSOPInstanceUID)
            )
            data = msg.DataSet if isinstance(msg.DataSet, Spool) else None
            self.respond(context_id, request, self.serve_store(context_id, request, data))
        else:
            self.serving = True
            self.notes.messages += 1
            try:
                if (
                    isinstance(msg, MESSAGES)
                    and msg.is_valid_request
                    and self.grant is not None
                    and context_id in self._accepted_cx
                ):
                    self._service.provider.serve(self, self.grant, msg, context_id)
                else:
                    super()._serve_request(msg, context_id)
            finally:
                self.dul._idle_timer.restart()
                self.serving = False
        if self._service.stopping.is_set() and self.is_established:
            self.notes.end("aborted", "by us: the server stopped")
            self.abort()

    def _answer(self, request: StoreRequest, context_id: int, data: Spool | None) -> Answer:
        announced = (request.sop_class_uid, request.sop_instance_uid)
        if data is None or announced[0] != self._accepted_cx[context_id].abstract_syntax:
            return Answer(
                store.SOP_CLASS_NOT_SUPPORTED, "not the SOP class of its presentation context"
            )
        if self.grant is None or STORE not in self.grant.rights:
            return Answer(store.NOT_AUTHORIZED, "may not store here")
        if self._service.closed.is_set():
            return Answer(store.OUT_OF_RESOURCES, "the server is stopping: send again later")
        if not self._source:
            self._source = f"C-STORE from {self.notes.calling_ae_title} at {self._host}"
        return store.store(self._service.archive, data, announced, self._source)

    # --- ending ---------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether a message is on its way in, is being served or its answer being sent."""
        inside = self.dimse.message is not None or self.dimse.msg_queue.qsize() > 0
        return self.serving or inside or self.receiver.busy

    def finish(self, deadline: float) -> None:
        """Let what is being stored end, then abort; hang up at the deadline (monotonic s)."""
        while self.is_alive() and time.monotonic() < deadline:
            if self.is_established and not self.busy:
                self.notes.end("aborted", "by us: the server stopped")
                self.abort(block=False)
                self.join(min(0.5, deadline - time.monotonic()))
                break
            if not self.is_established and self.requestor.primitive is None:
                break  # nothing but a connection
            time.sleep(0.005)
        if self.is_alive():
            self.connection.hang_up()
        self._kill = True
        self.dul.kill_dul()

    def _tell(self) -> None:
        told = self.notes.summary(self.connection.received, self.connection.sent)
        log.info(
            "%s at %s %s%s: %d stored, %d already there, %d refused",
            told.calling_ae_title or "a connection",
            told.peer_host,
            told.ending,
            f" ({told.reason})" if told.reason else "",
            told.stored,
            told.already_there,
            told.refused,
        )
        if self._service.journal is not None and self._entry is not None:
            self._service.journal.ended(self._entry, **told.columns())
        if self._service.on_association is not None:
            try:
                self._service.on_association(told)
            except Exception:
                log.exception("an association could not be logged")
