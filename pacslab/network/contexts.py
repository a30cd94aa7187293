"""Which presentation contexts we accept (PS3.8 9.3.2.2, PS3.4 B.5)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pydicom._uid_dict import UID_dictionary
from pydicom.uid import UID
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    _NON_PATIENT_OBJECT_CLASSES,
    _STORAGE_CLASSES,
    Verification,
)

VERIFICATION: Final = str(Verification)
PATIENT_ROOT_FIND: Final = "1.2.840.10008.5.1.4.1.2.1.1"
PATIENT_ROOT_MOVE: Final = "1.2.840.10008.5.1.4.1.2.1.2"
PATIENT_ROOT_GET: Final = "1.2.840.10008.5.1.4.1.2.1.3"
STUDY_ROOT_FIND: Final = "1.2.840.10008.5.1.4.1.2.2.1"
STUDY_ROOT_MOVE: Final = "1.2.840.10008.5.1.4.1.2.2.2"
STUDY_ROOT_GET: Final = "1.2.840.10008.5.1.4.1.2.2.3"
WORKLIST_FIND: Final = "1.2.840.10008.5.1.4.31"
PERFORMED_STEP: Final = "1.2.840.10008.3.1.2.3.3"
COMMITMENT: Final = "1.2.840.10008.1.20.1"

FIND: Final = frozenset({PATIENT_ROOT_FIND, STUDY_ROOT_FIND})
MOVE: Final = frozenset({PATIENT_ROOT_MOVE, STUDY_ROOT_MOVE})
GET: Final = frozenset({PATIENT_ROOT_GET, STUDY_ROOT_GET})
PATIENT_ROOT: Final = frozenset({PATIENT_ROOT_FIND, PATIENT_ROOT_MOVE, PATIENT_ROOT_GET})

#: SOP classes whose messages have data sets of our own making: in syntaxes that need no codec.
SERVICES: Final = FIND | MOVE | GET | {WORKLIST_FIND, PERFORMED_STEP, COMMITMENT}
_OF_SERVICES: Final = frozenset({
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.2",
})  # fmt: skip
_NO_INSTANCES: Final = frozenset({
    "1.2.840.10008.1.3.10",  # a DICOMDIR
    "1.2.840.10008.1.20.1",  # Storage Commitment, which has "Storage" in its name only
    "1.2.840.10008.1.20.2",
})  # fmt: skip
_NOT_READABLE: Final = frozenset({
    "1.2.840.10008.1.20",  # Papyrus 3
    "1.2.840.10008.1.2.6.1",  # RFC 2557 MIME encapsulation
    "1.2.840.10008.1.2.6.2",  # XML encoding
    "1.2.840.10008.1.2.4.95",  # JPIP references, the data set deflated
    "1.2.840.10008.1.2.4.205",
})  # fmt: skip

#: Storage SOP classes (PS3.4 B.5), retired ones too. Those of non-patient objects (PS3.4 GG) are
#: left out: they belong to no study, by which the archive is ordered.
STORAGE: Final = (
    frozenset(_STORAGE_CLASSES.values())
    | {
        uid
        for uid, (name, kind, *_) in UID_dictionary.items()
        if kind == "SOP Class" and "Storage" in name
    }
) - _NO_INSTANCES - frozenset(_NON_PATIENT_OBJECT_CLASSES.values())  # fmt: skip

#: Every transfer syntax that pydicom knows and whose data sets can be read.
TRANSFER_SYNTAXES: Final = (
    frozenset(uid for uid, (_, kind, *_) in UID_dictionary.items() if kind == "Transfer Syntax")
    - _NOT_READABLE
)


def is_storage(sop_class_uid: str, *, unknown: bool) -> bool:
    """Whether instances of this SOP class are stored; of classes no one knows, if ``unknown``."""
    if sop_class_uid in STORAGE:
        return True
    return unknown and sop_class_uid not in UID_dictionary


def supported(
    proposed: Iterable[PresentationContext], *, unknown: bool
) -> list[PresentationContext]:
    """What we support of the proposed contexts, transfer syntaxes in the requestor's order.

    It has its data in the syntax that it names first, as a rule; any other choice would make it
    decode or transcode.
    """
    wanted: dict[str, list[str]] = {}
    for context in proposed:
        abstract = str(context.abstract_syntax)
        known = _syntaxes_for(abstract, unknown)
        syntaxes = wanted.setdefault(abstract, [])
        syntaxes += [str(s) for s in context.transfer_syntax if s in known and s not in syntaxes]
    return [_context(a, t) for a, t in wanted.items() if t]


def _syntaxes_for(abstract: str, unknown: bool) -> frozenset[str]:
    if abstract in SERVICES:
        return _OF_SERVICES
    ours = abstract == VERIFICATION or is_storage(abstract, unknown=unknown)
    return TRANSFER_SYNTAXES if ours else frozenset()


def _context(abstract: str, syntaxes: list[str]) -> PresentationContext:
    made = build_context(UID(abstract), [UID(s) for s in syntaxes])
    if abstract not in SERVICES or abstract == COMMITMENT:
        # Who asks for the other role gets it (PS3.7 D.3.3.4): C-GET stores at its requestor, and
        # a storage commitment may be reported on an association of the other side's
        made.scu_role = made.scp_role = True
    return made
