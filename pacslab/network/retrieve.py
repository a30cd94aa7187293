"""C-MOVE and C-GET as SCP (PS3.4 C.4.2, C.4.3): what is retrieved, and each sub-operation."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from pydicom.dataset import Dataset
from pynetdicom.association import Association

from pacslab.archive import Archive
from pacslab.archive.archive import Stored
from pacslab.dicom.keywords import Level
from pacslab.dicom.matching import Query
from pacslab.errors import ForbiddenError, NetworkError, PacslabError, QueryError
from pacslab.network import contexts
from pacslab.network.find import IDENTIFIER_MISMATCH, check_hierarchy, level_in
from pacslab.network.identifiers import failed_list
from pacslab.network.outbox import Letter, bundles
from pacslab.network.requestor import associated
from pacslab.network.sending import LostError, Originator, deliver, paused
from pacslab.network.services import CANCELLED, PENDING, SUCCESS, Call, StatusError
from pacslab.network.tls import Security

log = logging.getLogger(__name__)

NO_COUNT: Final = 0xA701
NO_SUBOPERATIONS: Final = 0xA702
UNKNOWN_DESTINATION: Final = 0xA801
SOME_FAILED: Final = 0xB000
_TIMEOUT: Final = 60.0  # s, for each answer of the destination
_QUIET: Final = 0.1  # s between pending responses, of which one for each instance would be much
_MOST: Final = 65535  # of an US


@dataclass
class Tally:
    """The sub-operations of a retrieval so far (PS3.7 9.1.3, 9.1.4)."""

    remaining: int
    completed: int = 0
    warnings: int = 0
    failed: list[str] = field(default_factory=list)
    _told: float = 0.0

    def fields(self, *, remaining: bool) -> dict[str, Any]:
        """The counts as a response has them; what remains is told until the end only."""
        counts = {
            "NumberOfCompletedSuboperations": self.completed,
            "NumberOfFailedSuboperations": len(self.failed),
            "NumberOfWarningSuboperations": self.warnings,
        }
        if remaining:
            counts["NumberOfRemainingSuboperations"] = self.remaining
        return {name: min(count, _MOST) for name, count in counts.items()}

    def failure(self, uid: str, why: str) -> None:
        """Count an instance that the other side doesn't have now."""
        log.warning("%s isn't retrieved: %s", uid, why)
        self.failed.append(uid)
        self.remaining -= 1

    def due(self) -> bool:
        """Whether it is time for a pending response."""
        now = time.monotonic()
        if now - self._told < _QUIET:
            return False
        self._told = now
        return True


def move(call: Call, security: Security | None) -> None:
    """Answer C-MOVE: the instances go to its destination on an association of our own."""
    title = str(call.message.MoveDestination or "").strip()
    destination = call.registry.destination(title)
    if destination is None:
        raise StatusError(UNKNOWN_DESTINATION, "the move destination isn't in the AE registry")
    if call.registry.destination(title, call.grant.peer) is None:
        raise ForbiddenError(f"{call.calling_ae_title} may not move to {title}")
    letters = _letters(call)
    tally = Tally(len(letters))
    originator = Originator(call.calling_ae_title, int(call.message.MessageID))
    for bundle in bundles(letters):
        left = deque(letters[number] for number in bundle.numbers)
        try:
            with (
                associated(
                    destination.host,
                    destination.port,
                    bundle.contexts,
                    ae_title=title,
                    calling_ae_title=call.ae_title,
                    timeout=_TIMEOUT,
                    security=(security or Security()) if destination.tls else None,
                ) as association,
                paused(association),
            ):
                _perform(call, association, left, tally, originator)
        except NetworkError as error:
            _give_up(left, tally, error)
        if call.cancelled:
            break
    _finish(call, tally)


def get(call: Call) -> None:
    """Answer C-GET: the instances go back on the same association."""
    left = deque(_letters(call))
    tally = Tally(len(left))
    try:
        _perform(call, call.association, left, tally, None)
    except LostError as error:
        _give_up(left, tally, error)
    _finish(call, tally)


def _perform(
    call: Call,
    association: Association,
    left: deque[Letter],
    tally: Tally,
    originator: Originator | None,
) -> None:
    """A C-STORE for each, until cancelled. Raises LostError when no answer comes."""
    while left and not call.cancelled:
        letter = left[0]
        try:
            delivery = deliver(association, letter, originator)
        except LostError:
            raise
        except (PacslabError, OSError) as error:
            tally.failure(letter.sop_instance_uid, str(error))
        else:
            if not delivery.ok:
                why = f"0x{delivery.status:04X} {delivery.comment}"
                tally.failure(letter.sop_instance_uid, why)
            else:
                tally.remaining -= 1
                tally.warnings += delivery.status != SUCCESS
                tally.completed += delivery.status == SUCCESS
        left.popleft()
        if tally.remaining and tally.due():
            call.respond(PENDING, **tally.fields(remaining=True))


def _give_up(left: deque[Letter], tally: Tally, error: PacslabError) -> None:
    for letter in left:
        tally.failure(letter.sop_instance_uid, error.message)
    left.clear()


def _finish(call: Call, tally: Tally) -> None:
    """The final response (PS3.4 tables C.4-2 and C.4-3)."""
    if call.over:
        return
    failed = failed_list(tally.failed) if tally.failed else None
    if call.cancelled and tally.remaining:
        call.respond(CANCELLED, failed, **tally.fields(remaining=True))
    elif tally.failed and not (tally.completed or tally.warnings):
        call.respond(
            NO_SUBOPERATIONS,
            failed,
            comment="none of the instances could be sent: see the log",
            **tally.fields(remaining=False),
        )
    elif tally.failed or tally.warnings:
        call.respond(SOME_FAILED, failed or failed_list(()), **tally.fields(remaining=False))
    else:
        call.respond(SUCCESS, **tally.fields(remaining=False))


def _letters(call: Call) -> list[Letter]:
    identifier = call.data_set()
    query = parse(
        identifier,
        patient_root=call.abstract_syntax in contexts.PATIENT_ROOT,
        relational=call.negotiated(1),
    )
    try:
        return [_letter(call.archive, stored) for stored in chosen(call.archive, query)]
    except QueryError:
        raise
    except PacslabError as error:
        raise StatusError(NO_COUNT, f"the matches can't be counted: {error.message}") from error


def parse(identifier: Dataset, *, patient_root: bool, relational: bool) -> Query:
    """What an identifier asks to be sent (PS3.4 C.4.2.2.1): unique keys, UIDs at its level.

    Raises StatusError, and QueryError for UIDs that aren't any.
    """
    level = level_in(identifier, patient_root)
    if not relational:
        check_hierarchy(identifier, level, patient_root)
    keys: dict[str, Any] = {}
    for depth in Level:
        value = identifier.get(depth.unique_key)
        if depth.depth > level.depth or not value:
            continue
        values = [str(value)] if isinstance(value, str) else [str(v) for v in value]
        if any(c in v for v in values for c in "*?"):
            raise StatusError(IDENTIFIER_MISMATCH, f"{depth.unique_key}: no wildcards here")
        keys[depth.unique_key] = values
    if level.unique_key not in keys:
        raise StatusError(IDENTIFIER_MISMATCH, f"{level.unique_key} is missing")
    return Query.build(level, keys)


def chosen(archive: Archive, query: Query) -> Iterator[Stored]:
    """The stored instances of what a query matches, each once, in the order of the archive."""
    if query.level is Level.PATIENT:
        query = Query(Level.STUDY, query.matches)
    levels = [level for level in list(Level)[1:] if level.depth <= query.level.depth]
    for row in list(archive.search(query, ())):
        yield from archive.instances(*(row[level.unique_key] for level in levels))


def _letter(archive: Archive, stored: Stored) -> Letter:
    load: Callable[[], Any] = lambda: archive.data(stored)  # noqa: E731
    uid = stored.sop_instance_uid
    return Letter(uid, load, stored.sop_class_uid, uid, stored.transfer_syntax_uid)
