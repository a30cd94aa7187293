"""An association that someone has with us as acceptor: how it is served, and how it ends."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pynetdicom import evt
from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.transport import AddressInformation

from pacslab.archive import Archive
from pacslab.network import contexts, store
from pacslab.network.spool import Spool, SpoolingProvider
from pacslab.network.summary import AssociationSummary, Notes
from pacslab.network.transport import PromptSocket

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Service:
    """What every association of one listener shares."""

    archive: Archive
    network_timeout: float
    unknown_sop_classes: bool
    on_association: Callable[[AssociationSummary], None] | None
    stopping: threading.Event
    closed: threading.Event  # nothing may touch the archive any more


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
        self.notes = Notes(self, peer)
        self.serving = False
        self.dul.daemon = True  # a peer that is stuck must not keep the process alive
        self.dimse = SpoolingProvider(self, service.archive.spool)
        self.connection = PromptSocket(self, connection, service.network_timeout)
        self.set_socket(self.connection)
        self.acceptor.maximum_length = ae.maximum_pdu_size
        self.acceptor.ae_title = ae.ae_title
        self.acceptor.address_info = AddressInformation.from_tuple(connection.getsockname())
        self.acceptor.implementation_class_uid = ae.implementation_class_uid
        self.acceptor.implementation_version_name = ae.implementation_version_name
        self.requestor.address_info = AddressInformation.from_tuple(peer)
        self.bind(evt.EVT_REQUESTED, self._choose_contexts)

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
            self.acceptor.supported_contexts = contexts.supported(
                request.presentation_context_definition_list,
                unknown=self._service.unknown_sop_classes,
            )

    def _serve_request(self, msg: Any, context_id: int) -> None:
        self.serving = True
        self.notes.messages += 1
        try:
            ours = isinstance(msg, C_STORE) and msg.is_valid_request
            if ours and context_id in self._accepted_cx:
                self.dimse.send_msg(self._c_store(msg, context_id), context_id)
            else:
                super()._serve_request(msg, context_id)
        finally:
            # The time that we took isn't time in which the peer was idle.
            self.dul._idle_timer.restart()
            self.serving = False
        if self._service.stopping.is_set() and self.is_established:
            self.notes.end("aborted", "by us: the server stopped")
            self.abort()

    def _c_store(self, request: C_STORE, context_id: int) -> C_STORE:
        answer = self._answer(request, context_id)
        if answer.status != store.SUCCESS:
            self.notes.refused += 1
        elif answer.new:
            self.notes.stored += 1
        else:
            self.notes.already_there += 1
        response = C_STORE()
        response.MessageIDBeingRespondedTo = request.MessageID
        response.AffectedSOPClassUID = request.AffectedSOPClassUID
        response.AffectedSOPInstanceUID = request.AffectedSOPInstanceUID
        response.Status = answer.status
        if answer.comment:
            response.ErrorComment = answer.comment  # type: ignore[assignment]
        return response

    def _answer(self, request: C_STORE, context_id: int) -> store.Answer:
        spool = request.DataSet
        announced = (str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID))
        negotiated = self._accepted_cx[context_id].abstract_syntax
        if not isinstance(spool, Spool) or announced[0] != negotiated:
            return store.Answer(
                store.SOP_CLASS_NOT_SUPPORTED, "not the SOP class of its presentation context"
            )
        if self._service.closed.is_set():
            return store.Answer(store.OUT_OF_RESOURCES, "the server is stopping: send again later")
        source = f"C-STORE from {self.notes.calling_ae_title} at {self._host}"
        return store.store(self._service.archive, spool, announced, source)

    # --- ending ---------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether a message is on its way in, is being served or its answer being sent."""
        waiting = (self.dul._recv_pdu, self.dimse.msg_queue, self.dul.to_provider_queue)
        return self.serving or self.dimse.message is not None or any(q.qsize() for q in waiting)

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
        told = self.notes.summary()
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
        if self._service.on_association is not None:
            try:
                self._service.on_association(told)
            except Exception:
                log.exception("an association could not be logged")
