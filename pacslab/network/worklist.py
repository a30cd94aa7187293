"""Modality Worklist as SCP (PS3.4 K.6): C-FIND over the table of scheduled procedure steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from pacslab.archive import worklist as table
from pacslab.dicom import worklist
from pacslab.dicom.worklist import SEQUENCE
from pacslab.network import identifiers
from pacslab.network.services import CANCELLED, PENDING, SUCCESS, Call

_PENDING_UNSUPPORTED: Final = 0xFF01
_CHARACTER_SET: Final = "SpecificCharacterSet"


def find(call: Call) -> None:
    """Answer C-FIND: a pending response for each step that isn't done yet, then the final one."""
    asked = call.data_set()
    keys = dict(_keys(asked))
    matches = worklist.conditions(keys)
    unsupported = any(text for keyword, text in keys.items() if keyword not in worklist.COLUMNS)
    for row in table.entries(call.archive.database):
        if call.cancelled:
            call.respond(CANCELLED)
            return
        if row["ScheduledProcedureStepStatus"] in worklist.DONE:
            continue
        if worklist.fulfils(row, matches):
            call.respond(_PENDING_UNSUPPORTED if unsupported else PENDING, answer(asked, row))
            call.wait_for_room()
    call.respond(SUCCESS)


def answer(asked: Dataset, row: Mapping[str, Any]) -> Dataset:
    """A step, with the keys that were asked for; of an empty step sequence, with all of it."""
    made = _answer(asked, row)
    character_sets = asked.get(_CHARACTER_SET) or ()
    several = (character_sets,) if isinstance(character_sets, str) else tuple(character_sets)
    return identifiers.with_character_set(made, several)


def _answer(asked: Dataset, row: Mapping[str, Any]) -> Dataset:
    made = Dataset()
    for element in asked:
        keyword = element.keyword
        if keyword == _CHARACTER_SET:
            continue
        if keyword == SEQUENCE:
            items = list(element.value or [])
            wanted = items[0] if items and len(items[0]) else _all_of_a_step()
            made.ScheduledProcedureStepSequence = Sequence([_answer(wanted, row)])
        elif keyword in worklist.COLUMNS:
            identifiers.put(made, worklist.attribute(keyword), row[keyword])
        else:
            identifiers.add(made, element.tag, element.VR, [] if element.VR == "SQ" else None)
    return made


def _all_of_a_step() -> Dataset:
    wanted = Dataset()
    for keyword in worklist.STEP:
        identifiers.put(wanted, worklist.attribute(keyword), None)
    return wanted


def _keys(asked: Dataset) -> Iterator[tuple[str, str]]:
    for path, text in identifiers.keys_of(asked):
        tags = path.split(".")
        keyword = identifiers.keyword(tags[-1])
        inside = len(tags) > 1 and identifiers.keyword(tags[0]) != SEQUENCE
        if keyword not in (_CHARACTER_SET, SEQUENCE):
            # Of other sequences nothing is known: what is asked there can't be matched
            yield (path if inside else keyword), text.strip()
