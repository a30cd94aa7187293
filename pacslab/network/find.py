"""C-FIND as SCP at patient and study root (PS3.4 C.4.1): the archive's search, as in QIDO-RS."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataset import Dataset

from pacslab.archive.search import fields_of
from pacslab.dicom.keywords import BY_PATH, BY_TAG, Attribute, Level
from pacslab.dicom.matching import Query, level_of
from pacslab.errors import QueryError
from pacslab.network import contexts, identifiers
from pacslab.network.services import CANCELLED, PENDING, SUCCESS, Call, StatusError

IDENTIFIER_MISMATCH: Final = 0xA900
PENDING_UNSUPPORTED: Final = 0xFF01
_HEADERS: Final = 50
_LEVELS: Final = {
    True: (Level.PATIENT, Level.STUDY, Level.SERIES, Level.IMAGE),
    False: (Level.STUDY, Level.SERIES, Level.IMAGE),
}
_OURS: Final = frozenset({
    "00080005",  # Specific Character Set
    "00080052",  # Query/Retrieve Level
    "00080054",  # Retrieve AE Title
    "00080056",  # Instance Availability
})  # fmt: skip


@dataclass(frozen=True)
class Find:
    """An identifier as understood: the query, and what is returned of each match.

    ``fields`` come from the index, ``paths`` from the header of the first instance.
    ``unsupported`` says that a key can be neither matched nor returned.
    """

    query: Query
    fields: tuple[Attribute, ...]
    paths: tuple[str, ...]
    unsupported: bool
    availability: bool
    character_sets: tuple[str, ...]


def find(call: Call) -> None:
    """Answer C-FIND: a pending response for each match, then the final one."""
    asked = parse(
        call.data_set(),
        patient_root=call.abstract_syntax in contexts.PATIENT_ROOT,
        relational=call.negotiated(1),
        fuzzy=call.negotiated(3),
        empty_value_matching=call.negotiated(6),
        multiple_value_matching=call.negotiated(7),
    )
    pending = PENDING_UNSUPPORTED if asked.unsupported else PENDING
    with closing(_answers(call, asked)) as answers:
        for answer in answers:
            if call.cancelled:
                call.respond(CANCELLED)
                return
            call.respond(pending, answer)
            call.wait_for_room()
    # Who cancels after the last match is still told so
    call.respond(CANCELLED if call.cancelled else SUCCESS)


def parse(identifier: Dataset, *, patient_root: bool, relational: bool, **matching: bool) -> Find:
    """The question of an identifier (PS3.4 C.4.1.2). Raises StatusError and QueryError.

    ``matching`` are the kinds of matching that were agreed on, as in :meth:`Query.build`.
    """
    level = level_in(identifier, patient_root)
    if not relational:
        check_hierarchy(identifier, level, patient_root)
    there = set(fields_of(level))
    matched: list[tuple[str, object]] = []
    fields: dict[Attribute, None] = {}
    paths: list[str] = []
    unsupported = False
    for path, text in identifiers.keys_of(identifier):
        if path.endswith("0000"):
            continue  # a group's length
        attribute = _attribute(path)
        if path in _OURS and attribute is None:
            continue
        if attribute is None:
            # What isn't indexed can't be matched, but the header has it
            paths.append(path)
            unsupported = unsupported or bool(text.strip())
            continue
        matched.append((attribute.path, text))
        if attribute in there:
            fields[attribute] = None
        else:
            unsupported = True
    character_sets = identifier.get("SpecificCharacterSet") or ()
    return Find(
        Query.build(level, matched, **matching),
        tuple(fields),
        tuple(paths),
        unsupported,
        "InstanceAvailability" in identifier,
        (character_sets,) if isinstance(character_sets, str) else tuple(character_sets),
    )


def level_in(identifier: Dataset, patient_root: bool) -> Level:
    """The Query/Retrieve Level of an identifier, if its root has it. Raises StatusError."""
    name = identifier.get("QueryRetrieveLevel")
    tag = tag_for_keyword("QueryRetrieveLevel") or 0
    if not name:
        raise StatusError(IDENTIFIER_MISMATCH, "Query/Retrieve Level is missing", tag)
    try:
        level = level_of(str(name))
    except QueryError as error:
        raise StatusError(IDENTIFIER_MISMATCH, error.message, tag) from None
    if level not in _LEVELS[patient_root]:
        raise StatusError(IDENTIFIER_MISMATCH, f"study root has no level {level}", tag)
    return level


def check_hierarchy(identifier: Dataset, level: Level, patient_root: bool) -> None:
    """The unique keys of the levels above, one value each (PS3.4 C.4.1.2.1). Raises StatusError."""
    for above in _LEVELS[patient_root]:
        if above.depth >= level.depth:
            return
        value = str(identifier.get(above.unique_key) or "")
        if not value or any(c in value for c in "*?\\[,"):
            raise StatusError(
                IDENTIFIER_MISMATCH,
                f"{above.unique_key} must have one value, or negotiate relational",
                tag_for_keyword(above.unique_key) or 0,
            )


def _attribute(path: str) -> Attribute | None:
    return BY_PATH.get(path) if "." in path else BY_TAG.get(int(path, 16))


def _answers(call: Call, asked: Find) -> Generator[Dataset]:
    with closing(_rows(call, asked)) as rows:
        for row, header in rows:
            answer = identifiers.narrowed(header, asked.paths) if asked.paths else Dataset()
            for path in asked.paths:
                _empty(answer, path)
            for attribute in asked.fields:
                identifiers.put(answer, attribute, row.get(attribute.keyword))
            answer.QueryRetrieveLevel = str(asked.query.level)
            answer.RetrieveAETitle = call.ae_title
            if asked.availability:
                answer.InstanceAvailability = "ONLINE"
            yield identifiers.with_character_set(answer, asked.character_sets)


def _rows(call: Call, asked: Find) -> Generator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each match, with the header of its first instance where something of it is wanted."""
    level = asked.query.level
    with closing(call.archive.search(asked.query, asked.fields)) as rows:  # type: ignore[type-var]
        if not asked.paths or level is Level.PATIENT:
            for row in rows:
                yield row, {}
            return
        for batch in iter(lambda: list(islice(rows, _HEADERS)), []):
            uids = [row[level.unique_key] for row in batch]
            found = call.archive.first_headers(level, uids)
            headers = {uid: text for uid, _, text in found}
            for row in batch:
                yield row, json.loads(headers.get(row[level.unique_key], b"{}"))


def _empty(answer: Dataset, path: str) -> None:
    """A key that is asked for and has no value is returned without one (PS3.4 C.2.2.1.3)."""
    tag = int(path.partition(".")[0], 16)
    if tag not in answer:
        vr = "SQ" if "." in path else "UN"
        if keyword_for_tag(tag):
            vr = dictionary_VR(tag).split(" or ")[0]
        identifiers.add(answer, tag, vr, None if vr != "SQ" else [])
