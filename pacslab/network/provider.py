"""Every service but Storage and Verification, put together: who is let in, and who serves what."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any, Final

from pynetdicom import evt
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
from pynetdicom.pdu_primitives import UserIdentityNegotiation

from pacslab.archive import Archive
from pacslab.errors import PacslabError
from pacslab.network import commitment, contexts, mpps, services, worklist
from pacslab.network.commitment import Committer
from pacslab.network.find import find
from pacslab.network.registry import MOVE, QUERY, STORE, WORKLIST, Grant, Registry
from pacslab.network.retrieve import get, move
from pacslab.network.services import Call, Service
from pacslab.network.tls import Security

log = logging.getLogger(__name__)

_UNKNOWN_CALLER: Final = (1, 1, 3)  # result, source, diagnostic (PS3.8 table 9-21)
_NO_REASON: Final = (1, 2, 1)
_FIND_FIELDS: Final = frozenset({1, 3, 6, 7})  # as in Call.negotiated
_RETRIEVE_FIELDS: Final = frozenset({1})
_NAME_AND_PASSWORD: Final = (1, 2)  # types of user identity (PS3.7 D.3.3.7.1)


class Provider:
    """The services of one listener, besides Storage and Verification."""

    def __init__(
        self,
        archive: Archive,
        registry: Registry,
        ae_title: str,
        *,
        security: Security | None,
        stopping: threading.Event,
    ) -> None:
        self._archive = archive
        self._registry = registry
        self._ae_title = ae_title
        self._stopping = stopping.is_set
        self._committer = Committer(archive, registry, ae_title, security, stopping.wait)
        self._services: Mapping[tuple[type, str], Service] = {
            **{(C_FIND, uid): Service(QUERY, find) for uid in contexts.FIND},
            **{(C_GET, uid): Service(MOVE, get) for uid in contexts.GET},
            **{
                (C_MOVE, uid): Service(MOVE, lambda call: move(call, security))
                for uid in contexts.MOVE
            },
            (C_FIND, contexts.WORKLIST_FIND): Service(WORKLIST, worklist.find),
            (N_CREATE, contexts.PERFORMED_STEP): Service(WORKLIST, mpps.create),
            (N_SET, contexts.PERFORMED_STEP): Service(WORKLIST, mpps.update),
            (N_ACTION, contexts.COMMITMENT): Service(STORE, self._committer.request),
            (N_EVENT_REPORT, contexts.COMMITMENT): Service(STORE, commitment.receive),
        }

    def resume(self) -> None:
        """Go on with what a listener before this one left: reports of storage commitment."""
        self._committer.resume()

    def admit(self, association: Association, host: str) -> Grant | None:
        """What a requested association may do; where that is nothing, it is rejected here."""
        request = association.requestor.primitive
        title = str(request.calling_ae_title).strip() if request is not None else ""
        try:
            grant = self._registry.grant(title, host)
        except (PacslabError, OSError) as error:
            log.error("nobody is let in: %s", error)
            grant = None
        if grant is None:
            log.warning("%s at %s is unknown: add it to %s", title, host, self._registry.path)
            association.acse.send_reject(*_UNKNOWN_CALLER)
            return None
        if not _identified(association, grant):
            log.warning("%s at %s didn't say the right user and password", title, host)
            association.acse.send_reject(*_NO_REASON)
            return None
        association.bind(evt.EVT_SOP_EXTENDED, _extended)
        # To be asked is enough for pynetdicom to answer with a window of one (PS3.7 D.3.3.3)
        association.bind(evt.EVT_ASYNC_OPS, lambda _: (1, 1))
        return grant

    def serve(self, association: Association, grant: Grant, message: Any, context_id: int) -> None:
        """Serve one request (:data:`services.MESSAGES`) and answer it; never raises."""
        call = Call(
            association,
            message,
            context_id,
            self._archive,
            self._registry,
            grant,
            self._ae_title,
            self._stopping,
        )
        services.serve(call, self._services)


def _identified(association: Association, grant: Grant) -> bool:
    """Whether who calls is who its entry says; what it says without being asked is believed."""
    said = association.requestor.user_identity
    if grant.peer is not None and grant.peer.user:
        if said is None or said.user_identity_type not in _NAME_AND_PASSWORD:
            return False
        user = (said.primary_field or b"").decode("utf-8", "replace")
        password = (said.secondary_field or b"").decode("utf-8", "replace")
        if not grant.peer.knows(user, password):
            return False
        if said.positive_response_requested:
            answer = UserIdentityNegotiation()
            answer.server_response = b""
            association.acceptor.add_negotiation_item(answer)
    return True


def _extended(event: Any) -> dict[str, bytes]:
    """What is agreed to of what the requestor asks for (PS3.4 C.5.1.1, C.5.2.1)."""
    answers: dict[str, bytes] = {}
    for uid, asked in event.app_info.items():
        known = _FIND_FIELDS if uid in contexts.FIND else _RETRIEVE_FIELDS
        if uid in contexts.FIND | contexts.MOVE | contexts.GET and asked:
            answers[str(uid)] = bytes(
                wish == 1 and number in known for number, wish in enumerate(asked, 1)
            )
    return answers
