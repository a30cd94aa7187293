"""One C-STORE as SCU (PS3.7 9.1.1): an instance over an association, and the answer to it."""

from __future__ import annotations

import io
import math
import queue
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from pynetdicom.association import Association
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.status import STORAGE_SERVICE_CLASS_STATUS

from pacslab.dicom.instance import Buffer, transfer_syntax_name
from pacslab.errors import NetworkError
from pacslab.network.outbox import NATIVE, Letter, data_set

_LARGEST_PDU: Final = 128 << 10  # bytes, whatever more the peer would take
_PDU_HEADERS: Final = 6
_LOOK: Final = 0.25  # s; whether there still is an association is looked at so often
_AHEAD: Final = 32  # PDUs that wait to be sent; more would only be a copy of the file in memory


class LostError(NetworkError):
    """The association ended, or no answer came, before an instance was answered."""

    code = "lost"


@dataclass(frozen=True, slots=True)
class Delivery:
    """A peer's answer to C-STORE."""

    status: int
    comment: str

    @property
    def ok(self) -> bool:
        """Whether the peer has the instance: success or warning (PS3.4 B.2.3)."""
        return self.status == 0 or self.status >> 12 == 0xB


@dataclass(frozen=True, slots=True)
class Originator:
    """Whose C-MOVE a C-STORE belongs to (PS3.7 9.1.1.1.10 and .11)."""

    ae_title: str
    message_id: int


@contextmanager
def paused(association: Association) -> Iterator[None]:
    """Keep pynetdicom's reactor from taking the answers off the queue before we do."""
    association._reactor_checkpoint.clear()
    while not association._is_paused and association.is_alive():
        time.sleep(0.0001)
    try:
        yield
    finally:
        association._reactor_checkpoint.set()


def deliver(
    association: Association, letter: Letter, originator: Originator | None = None
) -> Delivery:
    """Send one instance over a paused association and wait for the answer.

    Raises LostError when none comes, NetworkError when the peer accepts no transfer syntax that
    the instance can be had in, PixelError when it can't be transcoded, OSError in reading it.
    """
    context_id, syntax = _context(association, letter)
    part10 = letter.load()
    if syntax != letter.transfer_syntax_uid:
        # Only where it must be: the codecs take their time to load
        from pacslab.dicom.transcode import transcode

        part10 = transcode(part10, syntax)
    request = C_STORE()
    request.MessageID = 1
    request.Priority = 2  # low, which nobody heeds (PS3.7 9.1.1.1.6)
    request.AffectedSOPClassUID = letter.sop_class_uid
    request.AffectedSOPInstanceUID = letter.sop_instance_uid
    if originator is not None:
        request.MoveOriginatorApplicationEntityTitle = originator.ae_title
        request.MoveOriginatorMessageID = originator.message_id
    request.DataSet = io.BytesIO()  # says that there is one; its bytes are sent by _transmit
    _transmit(association, request, context_id, part10)
    answer = _answer(association)
    if not isinstance(answer, C_STORE) or answer.Status is None:
        raise LostError(_loss(association))
    _, meaning = STORAGE_SERVICE_CLASS_STATUS.get(answer.Status, ("", "unknown status"))
    comment = ": ".join(x for x in (meaning, answer.ErrorComment) if x)
    return Delivery(int(answer.Status), comment)


def _context(association: Association, letter: Letter) -> tuple[int, str]:
    """The context to send it in: of its own transfer syntax, else of one it can be brought to."""
    accepted = {
        str(c.transfer_syntax[0]): int(c.context_id or 0)
        for c in association.accepted_contexts
        if c.abstract_syntax == letter.sop_class_uid and c.as_scu
    }
    for syntax in (letter.transfer_syntax_uid, *NATIVE):
        if syntax in accepted:
            return accepted[syntax], syntax
    name = transfer_syntax_name(letter.transfer_syntax_uid)
    kind = transfer_syntax_name(letter.sop_class_uid)
    raise NetworkError(f"the peer doesn't accept {kind}, neither as {name} nor uncompressed")


def _transmit(association: Association, request: C_STORE, context_id: int, part10: Buffer) -> None:
    """The command and the data set, in fragments that fit the peer's PDUs (PS3.8 annex E)."""
    largest = min(association.dimse.maximum_pdu_size or _LARGEST_PDU, _LARGEST_PDU)
    largest -= largest % 2
    message = C_STORE_RQ()
    message.primitive_to_message(request)
    for fragment in message.encode_msg(context_id, largest):
        association.dul.send_pdu(fragment)
    size = largest - _PDU_HEADERS
    with data_set(part10) as rest:
        for start in range(0, len(rest), size):
            last = start + size >= len(rest)
            fragment = P_DATA()
            data = bytes(rest[start : start + size])
            # A deflated data set of odd length wants a null byte (PS3.5 A.5); files lack it.
            data += b"\0" * (len(data) % 2)
            fragment.presentation_data_value_list.append(
                (context_id, (b"\x02" if last else b"\x00") + data)
            )
            while association.dul.to_provider_queue.qsize() >= _AHEAD:
                if association.acse.is_aborted() or not association.dul.is_alive():
                    return  # the answer will be that there is none
                time.sleep(0.0005)
            association.dul.send_pdu(fragment)


def _answer(association: Association) -> object:
    """What the peer answers; None when nothing comes, or the association has ended."""
    deadline = time.monotonic() + (association.dimse_timeout or math.inf)
    while time.monotonic() < deadline:
        with suppress(queue.Empty):
            return association.dimse.msg_queue.get(
                timeout=max(0.0, min(_LOOK, deadline - time.monotonic()))
            )[1]
        # Where the peer breaks the protocol, pynetdicom ends it and tells nobody who waits
        if association.acse.is_aborted() or not association.dul.is_alive():
            return None
    return None


def _loss(association: Association) -> str:
    if association.acse.is_aborted("a-abort"):
        return "the peer aborted the association"
    if association.acse.is_aborted() or not association.dul.is_alive():
        return "the connection ended before the answer came"
    return f"no answer within {association.dimse_timeout:g} s"
