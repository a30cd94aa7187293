"""What an association was, told when it has ended: for the log, and for who wonders why."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import A_ABORT, A_ASSOCIATE, A_P_ABORT, A_RELEASE

_RESULTS: Final = {
    0: "accepted",
    1: "user rejection",
    2: "no reason",
    3: "abstract syntax not supported",
    4: "transfer syntaxes not supported",
}


@dataclass(frozen=True, slots=True)
class ContextSummary:
    """A presentation context as proposed, and what became of it (PS3.8 9.3.3.2).

    ``transfer_syntax_uid`` is the one that was accepted, empty when none was.
    """

    context_id: int
    abstract_syntax_uid: str
    proposed_transfer_syntax_uids: tuple[str, ...]
    result: str
    transfer_syntax_uid: str


@dataclass(frozen=True, slots=True)
class AssociationSummary:
    """An association that has ended.

    ``ending`` is released, aborted, rejected or lost (the connection ended without a word, or
    nothing ever came); ``reason`` says more. ``messages`` counts requests; ``stored`` the
    instances that were new, ``already_there`` those that weren't. Times are UTC, bytes those of
    the connection.
    """

    calling_ae_title: str
    called_ae_title: str
    peer_host: str
    peer_port: int
    started: datetime
    ended: datetime
    ending: str
    reason: str
    messages: int
    stored: int
    already_there: int
    refused: int
    bytes_received: int
    bytes_sent: int
    contexts: tuple[ContextSummary, ...]

    def columns(self) -> dict[str, Any]:
        """As a row of the index's table ``associations``."""
        contexts = [asdict(context) for context in self.contexts]
        return {
            "EndedAt": self.ended.isoformat(timespec="microseconds"),
            "CallingAETitle": self.calling_ae_title,
            "CalledAETitle": self.called_ae_title,
            "Ending": self.ending,
            "Reason": self.reason,
            "Messages": self.messages,
            "Stored": self.stored,
            "AlreadyThere": self.already_there,
            "Refused": self.refused,
            "BytesReceived": self.bytes_received,
            "BytesSent": self.bytes_sent,
            "Contexts": json.dumps(contexts),
        }


class Notes:
    """What is taken down about an association while it lasts."""

    def __init__(self, association: Association, peer: tuple[Any, ...]) -> None:
        self._association = association
        self._peer = peer
        self._started = datetime.now(UTC)
        self._ending = ""
        self._reason = ""
        self.messages = self.stored = self.already_there = self.refused = 0
        association.bind(evt.EVT_ACSE_RECV, self._received)
        association.bind(evt.EVT_ACSE_SENT, self._sent)

    @property
    def calling_ae_title(self) -> str:
        """Who calls; empty as long as nobody has said."""
        request = self._association.requestor.primitive
        return _printable(request.calling_ae_title) if request is not None else ""

    def end(self, ending: str, reason: str) -> None:
        """Take down how it ends; what was the first cause stays."""
        if not self._ending:
            self._ending, self._reason = ending, reason

    def summary(self, bytes_received: int, bytes_sent: int) -> AssociationSummary:
        """All of it, now that it has ended."""
        request = self._association.requestor.primitive
        self.end("lost", "the connection ended" if request else "no association was requested")
        return AssociationSummary(
            calling_ae_title=self.calling_ae_title,
            called_ae_title=_printable(request.called_ae_title) if request is not None else "",
            peer_host=str(self._peer[0]),
            peer_port=int(self._peer[1]),
            started=self._started,
            ended=datetime.now(UTC),
            ending=self._ending,
            reason=self._reason,
            messages=self.messages,
            stored=self.stored,
            already_there=self.already_there,
            refused=self.refused,
            bytes_received=bytes_received,
            bytes_sent=bytes_sent,
            contexts=self._contexts(),
        )

    def _received(self, event: evt.Event) -> None:
        primitive = event.primitive  # type: ignore[attr-defined]
        if isinstance(primitive, A_ABORT):
            self.end("aborted", "by the peer")
        elif isinstance(primitive, A_P_ABORT):
            self.end("lost", "the connection ended, or broke the protocol")

    def _sent(self, event: evt.Event) -> None:
        primitive = event.primitive  # type: ignore[attr-defined]
        if isinstance(primitive, A_ASSOCIATE) and primitive.result:
            self.end("rejected", f"{primitive.reason_str}, {primitive.source_str}")
        elif isinstance(primitive, A_ABORT | A_P_ABORT):
            self.end("aborted", "by us")
        elif isinstance(primitive, A_RELEASE):
            self.end("released", "")

    def _contexts(self) -> tuple[ContextSummary, ...]:
        request = self._association.requestor.primitive
        if request is None:
            return ()
        accepted, rejected = self._association._accepted_cx, self._association._rejected_cx
        done = {c.context_id: c for c in (*accepted.values(), *rejected)}
        told = []
        for context in request.presentation_context_definition_list:
            answer = done.get(context.context_id)
            result = None if answer is None else answer.result
            told.append(
                ContextSummary(
                    int(context.context_id or 0),
                    str(context.abstract_syntax),
                    tuple(str(s) for s in context.transfer_syntax),
                    "not negotiated" if result is None else _RESULTS.get(result, str(result)),
                    str(answer.transfer_syntax[0]) if answer is not None and result == 0 else "",
                )
            )
        return tuple(told)


def _printable(ae_title: str | None) -> str:
    return "".join(c if c.isprintable() else "?" for c in (ae_title or "").strip())
