"""What goes over the wire, PDU by PDU and message by message, decoded for people.

Only command sets and negotiation are told, never a data set: it may name patients.
"""

from __future__ import annotations

import json
import logging
from io import BytesIO
from typing import Any, Final

from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pynetdicom.dsutils import decode
from pynetdicom.pdu import A_ABORT_RQ, A_ASSOCIATE_AC, A_ASSOCIATE_RJ, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import A_ASSOCIATE

from pacslab.archive.journal import Entry, Journal, now
from pacslab.network import commands

log = logging.getLogger(__name__)

TYPES: Final = {
    1: "A-ASSOCIATE-RQ",
    2: "A-ASSOCIATE-AC",
    3: "A-ASSOCIATE-RJ",
    4: "P-DATA-TF",
    5: "A-RELEASE-RQ",
    6: "A-RELEASE-RP",
    7: "A-ABORT",
}
"""The PDUs by their type (PS3.8 9.3.1)."""

MESSAGES: Final = {
    0x0001: "C-STORE",
    0x0010: "C-GET",
    0x0020: "C-FIND",
    0x0021: "C-MOVE",
    0x0030: "C-ECHO",
    0x0100: "N-EVENT-REPORT",
    0x0110: "N-GET",
    0x0120: "N-SET",
    0x0130: "N-ACTION",
    0x0140: "N-CREATE",
    0x0150: "N-DELETE",
}
"""The messages by their Command Field, without its highest bit (PS3.7 E.1)."""

_CANCEL: Final = 0x0FFF
_RESPONSE: Final = 0x8000
_RESULTS: Final = (
    "accepted",
    "user rejection",
    "no reason",
    "abstract syntax not supported",
    "transfer syntaxes not supported",
)
_LONGEST_NEGOTIATION: Final = 1 << 20  # bytes

Fields = dict[str, Any]


class Trace:
    """Notes the PDUs of one association, and the messages that they make up."""

    def __init__(self, journal: Journal, entry: Entry) -> None:
        self._journal = journal
        self._entry = entry
        self._assembling = {True: _Assembly(), False: _Assembly()}

    def __call__(self, sent: bool, pdu: bytes | memoryview) -> None:
        """Take note of a whole PDU; never raises."""
        at, direction = now(), "sent" if sent else "received"
        try:
            kind = TYPES.get(pdu[0], f"unknown (type {pdu[0]:#04x})")
            summary, fields = describe(pdu)
            self._journal.pdu(
                self._entry,
                At=at,
                Direction=direction,
                Type=kind,
                Length=len(pdu),
                Summary=summary,
                Fields=json.dumps(fields, ensure_ascii=False),
            )
            if pdu[0] == 4:
                for told in self._assembling[sent].take(pdu):
                    self._journal.message(self._entry, At=at, Direction=direction, **told)
        except Exception:  # what the wire brings may be anything; the association must go on
            log.debug("a PDU could not be traced", exc_info=True)


class _Assembly:
    """The message that is under way in one direction."""

    def __init__(self) -> None:
        self._command = b""
        self._told: Fields | None = None
        self._size = 0

    def take(self, pdu: bytes | memoryview) -> list[Fields]:
        """Add a P-DATA-TF; the messages that are complete now, as columns of the journal."""
        complete: list[Fields] = []
        for context, control, fragment in commands.fragments(memoryview(pdu)):
            if control & commands.COMMAND:
                self._command += bytes(fragment)
                if control & commands.LAST:
                    command, self._command = read_command(self._command), b""
                    self._told = _message(command, context)
                    self._size = 0
                    if command.get("CommandDataSetType") == 0x0101:
                        complete += self._finish(None)
            else:
                self._size += len(fragment)
                if control & commands.LAST:
                    complete += self._finish(self._size)
        return complete

    def _finish(self, size: int | None) -> list[Fields]:
        told, self._told = self._told, None
        return [] if told is None else [{**told, "DataSetSize": size}]


def describe(pdu: bytes | memoryview) -> tuple[str, Fields]:
    """What a PDU says: in a few words, and field by field (PS3.8 9.3)."""
    kind = pdu[0]
    if kind == 4:
        return _data(pdu)
    if kind in (1, 2) and len(pdu) <= _LONGEST_NEGOTIATION:
        return _negotiation(bytes(pdu))
    if kind == 3:
        rejected = A_ASSOCIATE_RJ()
        rejected.decode(bytes(pdu))
        told = {
            "Result": rejected.result_str,
            "Source": rejected.source_str,
            "Reason": rejected.reason_str,
        }
        return f"{rejected.reason_str} ({rejected.source_str})", told
    if kind == 7:
        abort = A_ABORT_RQ()
        abort.decode(bytes(pdu))
        source, reason = abort.source_str, abort.reason_str if abort.source == 2 else ""
        words = f"by the {source}" + (f": {reason}" if reason else "")
        return words, {"Source": source, "Reason": reason}
    return "", {}


def read_command(command: bytes) -> Fields:
    """The elements of a command set by keyword (PS3.7 6.3.1)."""
    dataset: Dataset = decode(BytesIO(command), True, True)
    return {e.keyword or str(e.tag): e.value for e in dataset if e.tag != Tag(0, 0)}


def message_type(field: int) -> str:
    """The name of a message by its Command Field: ``C-STORE-RQ`` (PS3.7 E.1)."""
    if field == _CANCEL:
        return "C-CANCEL-RQ"
    name = MESSAGES.get(field & ~_RESPONSE, f"{field:#06x}")
    return name + ("-RSP" if field & _RESPONSE else "-RQ")


def _message(command: Fields, context: int) -> Fields:
    def uid(which: str) -> str | None:
        value = command.get(f"Affected{which}") or command.get(f"Requested{which}")
        return str(value) if value else None

    status = command.get("Status")
    response = command.get("MessageIDBeingRespondedTo")
    return {
        "Type": message_type(int(command.get("CommandField", 0))),
        "MessageID": command.get("MessageID") if response is None else response,
        "ContextID": context,
        "SOPClassUID": uid("SOPClassUID"),
        "SOPInstanceUID": uid("SOPInstanceUID"),
        "Status": None if status is None else f"0x{int(status):04X}",
        "Comment": command.get("ErrorComment"),
    }


def _data(pdu: bytes | memoryview) -> tuple[str, Fields]:
    told, words = [], []
    for context, control, fragment in commands.fragments(memoryview(pdu)):
        what = "command" if control & commands.COMMAND else "data set"
        last = bool(control & commands.LAST)
        value: Fields = {"Context": context, "What": what, "Last": last, "Bytes": len(fragment)}
        words.append(f"{what}{'' if last else ' goes on'}, {len(fragment):,} bytes")
        if what == "command" and last:
            try:
                command = read_command(bytes(fragment))
                name = message_type(int(command["CommandField"]))
            except Exception:  # the end of a command that began in another PDU
                log.debug("half a command", exc_info=True)
            else:
                value["Command"] = {"Message": name} | {k: _shown(k, v) for k, v in command.items()}
                status = command.get("Status")
                words[-1] = name + ("" if status is None else f" 0x{int(status):04X}")
        told.append(value)
    return "; ".join(words), {"Values": told}


def _shown(keyword: str, value: Any) -> Any:
    if keyword in ("Status", "CommandField", "CommandDataSetType"):
        return f"0x{int(value):04X}"
    return value if isinstance(value, int) else str(value)


def _negotiation(pdu: bytes) -> tuple[str, Fields]:
    asked = pdu[0] == 1
    made: A_ASSOCIATE_RQ | A_ASSOCIATE_AC = A_ASSOCIATE_RQ() if asked else A_ASSOCIATE_AC()
    made.decode(pdu)
    primitive: A_ASSOCIATE = made.to_primitive()
    told: Fields = {
        "Calling": (primitive.calling_ae_title or "").strip(),
        "Called": (primitive.called_ae_title or "").strip(),
        "Maximum PDU": primitive.maximum_length_received,
        "Implementation": str(primitive.implementation_class_uid or ""),
    }
    if asked:
        contexts = primitive.presentation_context_definition_list
        told["Contexts"] = [
            {
                "ID": c.context_id,
                "Abstract syntax": _named(c.abstract_syntax),
                "Transfer syntaxes": [_named(s) for s in c.transfer_syntax],
            }
            for c in contexts
        ]
        return f"{told['Calling']} calls {told['Called']}, {len(contexts)} contexts", told
    results = primitive.presentation_context_definition_results_list
    told["Contexts"] = [
        {
            "ID": c.context_id,
            "Result": _RESULTS[c.result] if c.result is not None and c.result < 5 else c.result,
            "Transfer syntax": _named(c.transfer_syntax[0]) if c.result == 0 else "",
        }
        for c in results
    ]
    accepted = sum(c.result == 0 for c in results)
    return f"{accepted} of {len(results)} contexts accepted", told


def _named(uid: Any) -> str:
    name = str(getattr(uid, "name", uid))
    return str(uid) if name == str(uid) else f"{name} ({uid})"
