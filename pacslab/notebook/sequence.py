"""An association as a sequence diagram: who sent what when, each arrow with its decoded fields."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Any, Final

from pacslab.archive import Archive, schema
from pacslab.archive.journal import entries
from pacslab.errors import NotFoundError

_WIDTH: Final = 900
_PEER, _OURS = 190, 760  # where the lifelines stand
_TOP: Final = 84
_STEP: Final = 34
_FIRST, _LAST = 60, 20  # arrows shown of an association that has more
_LABEL: Final = 84  # characters

_COLOURS: Final = {
    "A-ASSOCIATE-RQ": "#2b8a5b",
    "A-ASSOCIATE-AC": "#2b8a5b",
    "A-ASSOCIATE-RJ": "#c0392b",
    "A-RELEASE-RQ": "#6b7280",
    "A-RELEASE-RP": "#6b7280",
    "A-ABORT": "#c0392b",
}
_DATA: Final = "#2563a8"

_STYLE: Final = """<style>
.pacslab-sequence text{font:12px var(--jp-ui-font-family,system-ui,sans-serif);fill:currentColor}
.pacslab-sequence .who{font-weight:600;font-size:13px}
.pacslab-sequence .when{fill:#808890;font-size:11px;font-variant-numeric:tabular-nums}
.pacslab-sequence .kind{font-weight:600}
.pacslab-sequence g.pdu{cursor:help}
.pacslab-sequence g.pdu:hover rect{fill-opacity:.12}
</style>"""


@dataclass(frozen=True, slots=True)
class Arrow:
    """One arrow: when (UTC), whether we sent it, its PDU type, what it says, and its fields."""

    at: datetime
    sent: bool
    kind: str
    label: str
    fields: str


@dataclass(frozen=True)
class SequenceDiagram:
    """The picture, which a cell shows; ``svg`` is its source."""

    svg: str

    def _repr_html_(self) -> str:
        style = f"color:var(--jp-ui-font-color1,#222);max-width:{_WIDTH}px"
        return f'<div style="{style}">{self.svg}</div>'


def show(archive: Archive, number: int | None = None) -> SequenceDiagram:
    """The diagram of an association by its id; of the last one when none is named.

    Raises NotFoundError.
    """
    database = archive.database
    one = None if number is None else int(number)  # a DataFrame gives NumPy's integers
    found = list(entries(database, schema.associations, one))
    if not found:
        which = "no association yet" if number is None else f"no association {number}"
        raise NotFoundError(f"{which}: lab.associations lists them")
    association = found[-1]
    ours = str(association["CalledAETitle"] or "pacslab")
    return sequence(association, list(entries(database, schema.pdus, association["id"])), ours)


def sequence(
    association: Mapping[str, Any], pdus: Sequence[Mapping[str, Any]], ours: str
) -> SequenceDiagram:
    """The diagram of an association, from its rows in the index.

    ``ours`` is what stands above our lifeline. Without PDUs, which are noted by
    ``serve(trace=True)`` only, it shows what the association's own row tells.
    """
    arrows = _joined([_arrow(row) for row in pdus]) or _from_row(association)
    left_out = max(0, len(arrows) - _FIRST - _LAST)
    shown: list[Arrow | None] = [*arrows]
    if left_out:
        shown = [*arrows[:_FIRST], None, *arrows[-_LAST:]]
    peer = str(association["CallingAETitle"] or "a connection")
    where = f"{association['PeerHost']}:{association['PeerPort']}"
    height = _TOP + _STEP * len(shown) + 44
    parts = [
        f'<svg class="pacslab-sequence" xmlns="http://www.w3.org/2000/svg" role="img" '
        f'viewBox="0 0 {_WIDTH} {height}" width="100%">',
        f"<title>Association {association['id']}: {escape(peer)}, "
        f"{escape(str(association['Ending']))}</title>",
        _STYLE,
        _lifeline(_PEER, height, peer, where),
        _lifeline(_OURS, height, ours, f"association {association['id']}"),
    ]
    start = arrows[0].at if arrows else None
    for i, arrow in enumerate(shown):
        y = _TOP + _STEP * i + 22
        if arrow is None:
            parts.append(_centred(y, f"… {left_out:,} more …", "when"))
        elif start is not None:
            parts.append(_drawn(arrow, y, (arrow.at - start).total_seconds()))
    told = " — ".join(str(association[k]) for k in ("Ending", "Reason") if association[k])
    parts += [_centred(height - 12, told, "who"), "</svg>"]
    return SequenceDiagram("".join(parts))


def _arrow(row: Mapping[str, Any]) -> Arrow:
    fields = json.loads(row["Fields"])
    head = f"{row['Type']}, {row['Length']:,} bytes, {row['Direction']}\n"
    return Arrow(
        datetime.fromisoformat(row["At"]),
        row["Direction"] == "sent",
        row["Type"],
        row["Summary"],
        head + "\n".join(_lines(fields, "")),
    )


def _joined(arrows: Sequence[Arrow]) -> list[Arrow]:
    """The arrows, but that the pieces of one data set are one arrow."""
    found: list[Arrow] = []
    pieces = 1
    for arrow in arrows:
        before = found[-1] if found else None
        goes_on = arrow.label.startswith("data set") and "command" not in arrow.label
        if (
            before is not None
            and goes_on
            and before.label.startswith("data set goes on")
            and before.sent == arrow.sent
        ):
            pieces += 1
            last = "" if "goes on" not in arrow.label else " goes on"
            label = f"data set{last}, in {pieces} PDUs"
            found[-1] = Arrow(before.at, arrow.sent, arrow.kind, label, before.fields)
        else:
            pieces = 1
            found.append(arrow)
    return found


def _from_row(association: Mapping[str, Any]) -> list[Arrow]:
    """What an association's row tells of the PDUs that weren't noted."""
    begun = datetime.fromisoformat(association["StartedAt"])
    ended = datetime.fromisoformat(association["EndedAt"] or association["StartedAt"])
    contexts = json.loads(association["Contexts"] or "[]")
    if not contexts:
        return []
    proposed = "\n".join(
        f"{c['context_id']}: {c['abstract_syntax_uid']} "
        f"({', '.join(c['proposed_transfer_syntax_uids'])})"
        for c in contexts
    )
    results = "\n".join(
        f"{c['context_id']}: {c['result']} {c['transfer_syntax_uid']}".rstrip() for c in contexts
    )
    asked = f"{association['CallingAETitle']} calls {association['CalledAETitle']}"
    arrows = [Arrow(begun, False, "A-ASSOCIATE-RQ", f"{asked}, {len(contexts)} contexts", proposed)]
    ending, reason = association["Ending"], association["Reason"] or ""
    if ending == "rejected":
        return [*arrows, Arrow(ended, True, "A-ASSOCIATE-RJ", reason, reason)]
    accepted = sum(c["result"] == "accepted" for c in contexts)
    words = f"{accepted} of {len(contexts)} contexts accepted"
    arrows.append(Arrow(begun, True, "A-ASSOCIATE-AC", words, results))
    told = {k: association[k] for k in ("Messages", "Stored", "AlreadyThere", "Refused")}
    counted = ", ".join(f"{value:,} {key}" for key, value in told.items() if value)
    if counted:
        arrows.append(
            Arrow(begun, False, "P-DATA-TF", counted, "trace=True notes each PDU and message")
        )
    if ending == "released":
        arrows += [
            Arrow(ended, sent, kind, "", "")
            for sent, kind in ((False, "A-RELEASE-RQ"), (True, "A-RELEASE-RP"))
        ]
    elif ending == "aborted":
        arrows.append(Arrow(ended, reason.startswith("by us"), "A-ABORT", reason, reason))
    return arrows


def _lines(value: Any, indent: str) -> list[str]:
    """Fields as indented lines, as they are read under the mouse."""
    if isinstance(value, dict):
        found: list[str] = []
        for key, inner in value.items():
            if isinstance(inner, dict | list):
                found += [f"{indent}{key}:", *_lines(inner, indent + "  ")]
            else:
                found.append(f"{indent}{key}: {inner}")
        return found
    if isinstance(value, list):
        found = []
        for inner in value:
            first, *rest = _lines(inner, indent + "  ") or [""]
            found += [f"{indent}- {first.strip()}", *rest]
        return found
    return [f"{indent}{value}"]


def _lifeline(x: int, height: int, name: str, where: str) -> str:
    return (
        f'<text class="who" x="{x}" y="26" text-anchor="middle">{escape(name)}</text>'
        f'<text class="when" x="{x}" y="44" text-anchor="middle">{escape(where)}</text>'
        f'<line x1="{x}" x2="{x}" y1="54" y2="{height - 34}" stroke="#9aa4ad" '
        'stroke-dasharray="4 4"/>'
    )


def _centred(y: int, text: str, style: str) -> str:
    x = (_PEER + _OURS) // 2
    return f'<text class="{style}" x="{x}" y="{y}" text-anchor="middle">{escape(text)}</text>'


def _drawn(arrow: Arrow, y: int, seconds: float) -> str:
    colour = _COLOURS.get(arrow.kind, _DATA)
    start, stop = (_OURS, _PEER) if arrow.sent else (_PEER, _OURS)
    back = 9 if arrow.sent else -9
    when = f"+{seconds * 1000:,.1f} ms" if seconds < 10 else f"+{seconds:,.2f} s"
    label = arrow.label if len(arrow.label) <= _LABEL else arrow.label[: _LABEL - 1] + "…"
    middle = (_PEER + _OURS) // 2
    return (
        f'<g class="pdu"><title>{escape(arrow.fields or arrow.kind)}</title>'
        f'<rect x="{_PEER}" y="{y - 20}" width="{_OURS - _PEER}" height="28" fill="{colour}" '
        'fill-opacity="0"/>'
        f'<text class="when" x="{_PEER - 90}" y="{y + 4}" text-anchor="middle">{when}</text>'
        f'<text x="{middle}" y="{y - 6}" text-anchor="middle">'
        f'<tspan class="kind" fill="{colour}">{escape(arrow.kind)}</tspan> {escape(label)}</text>'
        f'<line x1="{start}" x2="{stop + back}" y1="{y}" y2="{y}" stroke="{colour}" '
        'stroke-width="1.6"/>'
        f'<path d="M{stop} {y} l{back} -4.5 v9 z" fill="{colour}"/></g>'
    )
