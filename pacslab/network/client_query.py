"""C-FIND as SCU (PS3.4 C.4.1, K.6): questions to any PACS, worklists too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from pydicom import config
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pynetdicom.presentation import build_context

from pacslab.dicom.keywords import Level, returned_at
from pacslab.dicom.matching import level_of
from pacslab.errors import NetworkError, UsageError
from pacslab.network import node as nodes
from pacslab.network.contexts import PATIENT_ROOT_FIND, STUDY_ROOT_FIND, WORKLIST_FIND
from pacslab.network.identifiers import UTF_8
from pacslab.network.node import Node

WORKLIST: Final = "WORKLIST"
_STEP: Final = "ScheduledProcedureStepSequence"
_CODE: Final = "RequestedProcedureCodeSequence"
_NUMBERS: Final = frozenset({"IS", "US", "UL", "SS", "SL"})
_STEP_KEYS: Final = (
    "ScheduledStationAETitle",
    "ScheduledProcedureStepStartDate",
    "ScheduledProcedureStepStartTime",
    "Modality",
    "ScheduledPerformingPhysicianName",
    "ScheduledProcedureStepDescription",
    "ScheduledStationName",
    "ScheduledProcedureStepLocation",
    "ScheduledProcedureStepID",
)
_WORKLIST_KEYS: Final = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientWeight",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyInstanceUID",
    "RequestedProcedureID",
    "RequestedProcedureDescription",
)


def find(
    node: Node,
    level: Level | str,
    keys: Mapping[str, object] | None = None,
    *,
    columns: Iterable[str] = (),
    limit: int | None = None,
) -> tuple[list[str], Iterator[dict[str, Any]]]:
    """Ask a peer: the columns, and a row for each match as it comes, by DICOM keyword.

    ``level`` is PATIENT, STUDY, SERIES, IMAGE (INSTANCE), or WORKLIST, whose steps' attributes
    stand beside the others. ``keys`` match as in PS3.4 C.2.2.2; ``columns`` are further attributes
    to be returned, in place of the usual ones. With ``limit`` the search is cancelled after so
    many. Raises UsageError for what is no keyword, NetworkError with the peer's reason.
    """
    keys = dict(keys or {})
    worklist = str(level).upper() == WORKLIST
    depth = None if worklist else level_of(level)
    usual = _usual(depth)
    names = list(dict.fromkeys([*keys, *(list(columns) or usual)]))
    asked = _worklist(names, keys) if depth is None else _identifier(depth, names, keys)
    root = STUDY_ROOT_FIND
    if depth is None:
        root = WORKLIST_FIND
    elif depth is Level.PATIENT:
        root = PATIENT_ROOT_FIND
    return names, _matches(node, asked, root, names, limit)


def _matches(
    node: Node, asked: Dataset, root: str, names: list[str], limit: int | None
) -> Iterator[dict[str, Any]]:
    negotiation = [] if root == WORKLIST_FIND else [nodes.relational(root, 3)]
    with node.associated([build_context(root)], negotiation=negotiation) as association:
        number = 0
        for status, answer in association.send_c_find(asked, root, msg_id=1):
            code = status.get("Status")
            if code in (0xFF00, 0xFF01):
                if answer is not None and (limit is None or number < limit):
                    number += 1
                    yield row(answer, names)
                    if number == limit:
                        association.send_c_cancel(1, query_model=root)
            elif code not in (0x0000, 0xB001, 0xFE00):
                why = nodes.told(node, association, status, nodes.FIND)
                raise NetworkError(f"{node} answered C-FIND with {why}")


def _usual(level: Level | None) -> list[str]:
    if level is None:
        return [*_WORKLIST_KEYS, *_STEP_KEYS]
    above = [each.unique_key for each in Level if each.depth < level.depth]
    if level is Level.STUDY:
        above = []
    return [*above, *(a.keyword for a in returned_at(level) if not a.sequence)]


def _identifier(level: Level, names: Iterable[str], keys: Mapping[str, object]) -> Dataset:
    asked = Dataset()
    asked.SpecificCharacterSet = UTF_8
    asked.QueryRetrieveLevel = str(level)
    for name in names:
        put(asked, name, keys.get(name))
    return asked


def _worklist(names: Iterable[str], keys: Mapping[str, object]) -> Dataset:
    asked, step = Dataset(), Dataset()
    asked.SpecificCharacterSet = UTF_8
    for name in names:
        put(step if name in _STEP_KEYS or name.startswith("Scheduled") else asked, name,
            keys.get(name))  # fmt: skip
    add_sequence(asked, _STEP, step)
    return asked


def add_sequence(into: Dataset, keyword: str, item: Dataset) -> None:
    """Add a sequence with this one item."""
    setattr(into, keyword, Sequence([item]))


def put(into: Dataset, keyword: str, value: object) -> None:
    """Add a key; None asks for the value only. Raises UsageError for what is no keyword."""
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise UsageError(f"{keyword!r} is no DICOM keyword: write it as PatientName, StudyDate")
    vr = dictionary_VR(tag).split(" or ")[0]
    if vr == "SQ":
        into.add(DataElement(tag, vr, Sequence()))
        return
    if value is not None and not isinstance(value, str) and isinstance(value, Iterable):
        value = [str(v) for v in value]
    elif value is not None:
        value = str(value)
    if value and vr in _NUMBERS - {"IS"}:
        value = int(str(value))
    into.add(DataElement(tag, vr, value, validation_mode=config.IGNORE))


def row(answer: Dataset, names: Iterable[str]) -> dict[str, Any]:
    """An answer as a row; elements of a scheduled step stand beside the others."""
    steps = answer.get(_STEP) or [Dataset()]
    told: dict[str, Any] = {}
    for name in names:
        element = answer.get_item(name) if name in answer else None
        source = answer if element is not None else steps[0]
        told[name] = plain(source.get(name))
    return told


def plain(value: Any) -> Any:
    """A value for a table: text and numbers; several ones joined by a backslash; None for none."""
    if value is None or value == "":
        return None
    if isinstance(value, MultiValue | list):
        return "\\".join(str(v) for v in value) or None
    if isinstance(value, Sequence):
        return [plain_item(item) for item in value] or None
    if isinstance(value, bool | float) or type(value).__name__ == "IS":
        return int(value) if type(value).__name__ == "IS" else float(value)
    return int(value) if isinstance(value, int) else str(value)


def plain_item(item: Dataset) -> dict[str, Any]:
    """An item of a sequence by keyword."""
    return {element.keyword: plain(element.value) for element in item if element.keyword}
