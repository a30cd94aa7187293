"""C-GET and C-MOVE as SCU (PS3.4 C.4.2, C.4.3): instances of any PACS, here or elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import build_role, evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, StoragePresentationContexts, build_context
from tqdm.auto import tqdm

from pacslab.dicom.instance import file_prefix
from pacslab.dicom.keywords import Level
from pacslab.dicom.uids import is_uid
from pacslab.errors import NetworkError, PacslabError, UsageError
from pacslab.network import node as nodes
from pacslab.network.client_query import find, put
from pacslab.network.contexts import (
    PATIENT_ROOT_GET,
    PATIENT_ROOT_MOVE,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
)
from pacslab.network.node import Node
from pacslab.network.outbox import NATIVE

_MOST_CONTEXTS: Final = 127
# What archives have stored, each to be had as it is
_COMPRESSED: Final = (
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.1.99",
)
Keep = Callable[[bytes, str, tuple[str, str]], int]
"""Keeps Part 10 bytes: with where they come from and the announced UIDs; a C-STORE status."""


@dataclass(frozen=True, slots=True)
class Retrieval:
    """How a C-GET or C-MOVE ended: its status, the counts of its sub-operations, and a reason."""

    status: int
    comment: str
    completed: int
    failed: int
    warnings: int
    failed_uids: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether everything that matched is there (a warning of the receiver is no failure)."""
        return self.status in (0x0000, 0xB000) and self.failed == 0


def identifiers(level: Level, rows: Iterable[Mapping[str, Any]]) -> Iterator[Dataset]:
    """The identifiers that retrieve these entities: one for each parent, with a list of UIDs.

    Rows need the unique key of the level, and those of above (from STUDY on). Raises UsageError.
    """
    parents: dict[tuple[str, ...], dict[str, None]] = {}
    above = [each for each in Level if Level.PATIENT.depth < each.depth < level.depth]
    for row in rows:
        values = [str(row.get(each.unique_key) or "") for each in (*above, level)]
        if not all(values):
            needed = ", ".join(each.unique_key for each in (*above, level))
            raise UsageError(f"to retrieve at level {level} {needed} are needed")
        parents.setdefault(tuple(values[:-1]), {})[values[-1]] = None
    for parent, own in parents.items():
        groups = [[uid] for uid in own] if level in (Level.PATIENT, Level.STUDY) else [list(own)]
        for group in groups:
            asked = Dataset()
            asked.QueryRetrieveLevel = str(level)
            for each, value in zip(above, parent, strict=True):
                put(asked, each.unique_key, value)
            put(asked, level.unique_key, group if len(group) > 1 else group[0])
            yield asked


def move(node: Node, asked: Dataset, destination: str, *, progress: bool = True) -> Retrieval:
    """Have a peer send to a third one, by its AE title, which the peer has to know.

    Raises NetworkError when no answer comes; what failed is told by the result.
    """
    root = PATIENT_ROOT_MOVE if asked.QueryRetrieveLevel == "PATIENT" else STUDY_ROOT_MOVE
    with node.associated([build_context(root)]) as association:
        answers = association.send_c_move(asked, destination, root)
        return _followed(node, association, answers, nodes.MOVE, progress)


def get(node: Node, asked: Dataset, keep: Keep, *, progress: bool = True) -> Retrieval:
    """Have a peer send to us over the same association; ``keep`` takes each instance.

    The peer is asked first which SOP classes there are, since an association has room for few:
    those that it names are proposed in every transfer syntax, so that instances come as they are
    stored. Raises NetworkError when no answer comes; what failed is told by the result.
    """
    root = PATIENT_ROOT_GET if asked.QueryRetrieveLevel == "PATIENT" else STUDY_ROOT_GET
    storage = _storage(_classes(node, asked))
    roles = [
        build_role(UID(uid), scp_role=True) for uid in {str(c.abstract_syntax) for c in storage}
    ]

    def stored(event: Any) -> int:
        request = event.request
        announced = (str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID))
        if not all(map(is_uid, announced)):
            return 0xC000
        head = file_prefix(*announced, str(event.context.transfer_syntax))
        return keep(head + event.encoded_dataset(False), f"C-GET from {node}", announced)

    with node.associated(
        [build_context(root), *storage],
        negotiation=roles,
        handlers=[(evt.EVT_C_STORE, stored)],
    ) as association:
        answers = association.send_c_get(asked, root)
        return _followed(node, association, answers, nodes.GET, progress)


def _followed(
    node: Node,
    association: Association,
    answers: Iterator[tuple[Dataset, Dataset | None]],
    meanings: Mapping[int, tuple[str, str]],
    progress: bool,
) -> Retrieval:
    final, identifier = Dataset(), None
    with tqdm(desc="retrieving", unit="instance", disable=not progress) as bar:
        for status, answer in answers:
            final, identifier = status, answer
            done = _counts(final)
            left = int(final.get("NumberOfRemainingSuboperations") or 0)
            bar.total = sum(done) + left or None
            bar.update(max(0, sum(done) - bar.n))
    why = nodes.told(node, association, final, meanings)
    failed = identifier.get("FailedSOPInstanceUIDList") if identifier is not None else None
    uids = (str(failed),) if isinstance(failed, str) else tuple(map(str, failed or ()))
    code = int(final.Status)
    return Retrieval(code, "" if code == 0 else why, *_counts(final), tuple(u for u in uids if u))


def _counts(status: Dataset) -> tuple[int, int, int]:
    names = ("Completed", "Failed", "Warning")
    completed, failed, warnings = (
        int(status.get(f"NumberOf{name}Suboperations") or 0) for name in names
    )
    return completed, failed, warnings


def _classes(node: Node, asked: Dataset) -> list[str]:
    """The SOP classes of what is asked for, if the peer says so."""
    level = Level(asked.QueryRetrieveLevel)
    keys = {
        each.unique_key: list(value) if not isinstance(value, str) else value
        for each in Level
        if each.depth <= min(level.depth, Level.STUDY.depth)
        and (value := asked.get(each.unique_key))
    }
    classes: dict[str, None] = {}
    try:
        _, rows = find(node, Level.STUDY, keys, columns=["SOPClassesInStudy"])
        for row in rows:
            for uid in (row["SOPClassesInStudy"] or "").split("\\"):
                classes[uid] = None
    except PacslabError:
        return []  # a peer that can do C-GET but not this
    return [uid for uid in classes if is_uid(uid)]


def _storage(classes: list[str]) -> list[PresentationContext]:
    """Storage contexts: of these classes in every syntax; of the usual ones where none is known."""
    made: list[PresentationContext] = []
    for syntax in (*NATIVE, *_COMPRESSED):
        made += [build_context(UID(uid), UID(syntax)) for uid in classes]
    usual = [
        build_context(UID(str(c.abstract_syntax)), [UID(s) for s in NATIVE])
        for c in StoragePresentationContexts
        if c.abstract_syntax not in classes
    ]
    if len(made) > _MOST_CONTEXTS:
        made = made[: max(2 * len(classes), _MOST_CONTEXTS)]
    return [*made, *(usual if not classes else [])][:_MOST_CONTEXTS]


def check(results: Iterable[Retrieval]) -> None:
    """Raise NetworkError where nothing at all could be retrieved, with the peer's reason."""
    several = list(results)
    if several and all(r.status not in (0, 0xB000) and not r.completed for r in several):
        raise NetworkError(f"nothing was retrieved: {several[0].comment}")
