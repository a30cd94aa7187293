"""PDUs over a plain connection, with no protocol in between: for peers that break it on purpose."""

from __future__ import annotations

import socket
import threading
from types import TracebackType
from typing import Final, Self

from pydicom.uid import UID, ImplicitVRLittleEndian
from pynetdicom.pdu import (
    A_ABORT_RQ,
    A_ASSOCIATE_AC,
    A_ASSOCIATE_RJ,
    A_ASSOCIATE_RQ,
    A_RELEASE_RP,
)
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
)
from pynetdicom.presentation import PresentationContext, build_context

from pacslab.dicom.filemeta import IMPLEMENTATION_CLASS_UID, file_meta
from pacslab.dicom.instance import read
from pacslab.network.commands import StoreRequest

ASSOCIATE_RQ, ASSOCIATE_AC, DATA, RELEASE_RQ, ABORT = 1, 2, 4, 5, 7
"""Types of PDUs (PS3.8 9.3.1)."""

IMPLICIT: Final = str(ImplicitVRLittleEndian)

_TIMEOUT: Final = 60.0
_APPLICATION_CONTEXT: Final = UID("1.2.840.10008.3.1.1.1")
_MAXIMUM: Final = 128 << 10


class Wire:
    """A connection over which whole PDUs come and go; ``closing`` ends who waits on purpose."""

    def __init__(self, connection: socket.socket, closing: threading.Event) -> None:
        connection.settimeout(_TIMEOUT)
        self._connection = connection
        self.closing = closing
        self.asked: StoreRequest | None = None

    def send(self, pdu: bytes) -> None:
        """Send it all. Raises OSError."""
        self._connection.sendall(pdu)

    def read(self) -> bytes | None:
        """The next PDU; None where the connection has ended."""
        head = self._exactly(6)
        if head is None:
            return None
        body = self._exactly(int.from_bytes(head[2:], "big"))
        return None if body is None else head + body

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _exactly(self, number: int) -> bytes | None:
        found = b""
        while len(found) < number:
            try:
                part = self._connection.recv(min(number - len(found), 1 << 18))
            except OSError:
                return None
            if not part:
                return None
            found += part
        return found


def request(called: str, calling: str, sop_class: str, transfer_syntax: str) -> bytes:
    """An A-ASSOCIATE-RQ with one presentation context, number 1."""
    context = build_context(sop_class, transfer_syntax)
    context.context_id = 1
    primitive = _primitive(called, calling)
    primitive.presentation_context_definition_list = [context]
    return A_ASSOCIATE_RQ(primitive).encode()


def acceptance(asked: A_ASSOCIATE_RQ, *, only: str = "") -> bytes:
    """The A-ASSOCIATE-AC for a request: each context with its first transfer syntax, or ``only``.

    A context that hasn't that one isn't accepted.
    """
    wanted = asked.to_primitive()
    primitive = _primitive(wanted.called_ae_title or "", wanted.calling_ae_title or "")
    primitive.result = 0
    primitive.result_source = 1
    results = []
    for proposed in wanted.presentation_context_definition_list:
        known = [str(s) for s in proposed.transfer_syntax]
        good = not only or only in known
        answer = PresentationContext()
        answer.context_id = proposed.context_id
        answer.transfer_syntax = [UID(only if only in known else known[0])]
        answer.result = 0 if good else 4
        results.append(answer)
    primitive.presentation_context_definition_results_list = results
    return A_ASSOCIATE_AC(primitive).encode()


def rejection(result: int, source: int, reason: int) -> bytes:
    """An A-ASSOCIATE-RJ (PS3.8 table 9-21)."""
    pdu = A_ASSOCIATE_RJ()
    pdu.result, pdu.source, pdu.reason_diagnostic = result, source, reason
    return pdu.encode()


def abort(source: int, reason: int) -> bytes:
    """An A-ABORT (PS3.8 table 9-26)."""
    pdu = A_ABORT_RQ()
    pdu.source, pdu.reason_diagnostic = source, reason
    return pdu.encode()


def release_response() -> bytes:
    """An A-RELEASE-RP."""
    return A_RELEASE_RP().encode()


def storing(part10: bytes) -> tuple[str, str, str, bytes]:
    """SOP Class, SOP Instance and transfer syntax UID of a Part 10 file, and its data set."""
    instance = read(part10)
    data = part10[file_meta(part10)[0] :]
    return (
        instance.sop_class_uid,
        instance.sop_instance_uid,
        instance.transfer_syntax_uid,
        data + b"\0" * (len(data) % 2),
    )


def _primitive(called: str, calling: str) -> A_ASSOCIATE:
    primitive = A_ASSOCIATE()
    primitive.application_context_name = _APPLICATION_CONTEXT
    primitive.called_ae_title = called
    primitive.calling_ae_title = calling
    longest = MaximumLengthNotification()
    longest.maximum_length_received = _MAXIMUM
    who = ImplementationClassUIDNotification()
    who.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
    primitive.user_information = [longest, who]
    return primitive
