"""What audits found and what people decided about it, and the gate; kept beside the index."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from pacslab.archive import schema
from pacslab.archive.engine import Database
from pacslab.errors import UsageError

OPEN, ACCEPTED, FIXED = "open", "accepted", "fixed"
_CHUNK: Final = 500
_KEY: Final = ("SOPInstanceUID", "Path", "Kind", "Check")
_F, _A, _G = schema.audit_findings.c, schema.audited.c, schema.gates.c


def record(
    database: Database,
    audited: Mapping[str, str],
    rows: Sequence[Mapping[str, Any]],
    checks: Sequence[str],
) -> None:
    """Keep what an audit found in these instances, given by UID with their SHA-256.

    ``rows`` have the columns SOPInstanceUID, Path, Kind, Check, Severity and Detail. What was
    accepted stays so while the bytes are the same; what isn't found any more is fixed, as far as
    these ``checks`` looked for it.
    """
    now = _now()
    found = {_key(row): row for row in rows}
    with database.writing() as (connection, _):
        known: dict[tuple[str, ...], Any] = {}
        for some in _chunks(list(audited)):
            held = connection.execute(
                select(schema.audit_findings).where(_F.SOPInstanceUID.in_(some))
            )
            known |= {_key(row): row for row in map(dict, held.mappings())}
        new, again, fixed = [], [], []
        for key, row in found.items():
            sha = audited.get(key[0], "")
            before = known.get(key)
            if before is None:
                new.append({**row, "SHA256": sha, "Status": OPEN, "FoundAt": now})
            elif before["SHA256"] != sha or before["Status"] == FIXED:
                again.append({**row, "SHA256": sha, "Status": OPEN, "FoundAt": before["FoundAt"]})
        for key, row in known.items():
            if key not in found and row["Check"] in checks and row["Status"] != FIXED:
                fixed.append(key)
        for rows_of in (new, again):
            for some in _chunks(rows_of):
                made = upsert(schema.audit_findings).values(some)
                fresh: dict[str, Any] = {
                    c: made.excluded[c] for c in ("SHA256", "Severity", "Detail", "Status")
                }
                fresh |= {"ReviewedBy": None, "ReviewedAt": None, "Reason": None}
                connection.execute(made.on_conflict_do_update(
                    index_elements=_KEY, set_=fresh))  # fmt: skip
        for key in fixed:
            connection.execute(update(schema.audit_findings).where(_is(key)).values(Status=FIXED))
        told = [{"SOPInstanceUID": uid, "Check": check, "SHA256": sha, "At": now}
                for uid, sha in audited.items() for check in checks]  # fmt: skip
        for some in _chunks(told):
            made = upsert(schema.audited).values(some)
            connection.execute(made.on_conflict_do_update(
                index_elements=["SOPInstanceUID", "Check"],
                set_={"SHA256": made.excluded.SHA256, "At": made.excluded.At}))  # fmt: skip


def findings(database: Database, uids: Iterable[str] | None = None) -> list[dict[str, Any]]:
    """Every finding on record of these instances, of all where none are given, with its review."""
    with database.reading() as connection:
        if uids is None:
            return [dict(r) for r in connection.execute(select(schema.audit_findings)).mappings()]
        found: list[dict[str, Any]] = []
        for some in _chunks(list(uids)):
            chosen = select(schema.audit_findings).where(_F.SOPInstanceUID.in_(some))
            found += [dict(row) for row in connection.execute(chosen).mappings()]
    return found


def accept(database: Database, keys: Iterable[Sequence[str]], *, who: str, why: str) -> int:
    """Accept findings, each by its UID, path, kind and check; how many were open.

    Raises UsageError without a name and a reason.
    """
    if not who.strip() or not why.strip():
        raise UsageError("to accept a finding say who and why: accept(..., why='...', who='...')")
    values = {"Status": ACCEPTED, "ReviewedBy": who, "ReviewedAt": _now(), "Reason": why}
    number = 0
    with database.writing() as (connection, _):
        for key in keys:
            chosen = update(schema.audit_findings).where(_is(key), _F.Status == OPEN)
            number += connection.execute(chosen.values(**values)).rowcount
    return number


def reopen(database: Database, keys: Iterable[Sequence[str]]) -> int:
    """Take acceptances back; how many."""
    values = {"Status": OPEN, "ReviewedBy": None, "ReviewedAt": None, "Reason": None}
    number = 0
    with database.writing() as (connection, _):
        for key in keys:
            chosen = update(schema.audit_findings).where(_is(key), _F.Status == ACCEPTED)
            number += connection.execute(chosen.values(**values)).rowcount
    return number


def unaudited(database: Database, instances: Mapping[str, str]) -> list[str]:
    """Of these instances, given by UID with their SHA-256, those that no audit saw as they are."""
    seen: set[str] = set()
    with database.reading() as connection:
        for some in _chunks(list(instances)):
            chosen = select(_A.SOPInstanceUID, _A.SHA256).where(_A.SOPInstanceUID.in_(some))
            seen |= {uid for uid, sha in connection.execute(chosen) if instances[uid] == sha}
    return [uid for uid in instances if uid not in seen]


def note_gate(
    database: Database, event: str, settings: Mapping[str, Any], *, who: str, detail: str
) -> None:
    """Put on record that the gate was set, or that an export came to it."""
    row = {"At": _now(), "By": who, "Event": event, "Settings": json.dumps(dict(settings)),
           "Detail": detail}  # fmt: skip
    with database.writing() as (connection, _):
        connection.execute(insert(schema.gates), row)


def gates(database: Database) -> list[dict[str, Any]]:
    """The gate's record, oldest first."""
    with database.reading() as connection:
        chosen = select(schema.gates).order_by(_G.id)
        return [{c: v for c, v in row.items() if c != "id"}
                for row in connection.execute(chosen).mappings()]  # fmt: skip


def gate(database: Database) -> dict[str, Any] | None:
    """The gate's settings as they were set last; None while it stands open."""
    told = [row for row in gates(database) if row["Event"] == "set"]
    settings: dict[str, Any] = json.loads(told[-1]["Settings"]) if told else {}
    return settings or None


def _is(key: Sequence[str]) -> Any:
    uid, path, kind, check = key
    return ((_F.SOPInstanceUID == uid) & (_F.Path == path) & (_F.Kind == kind)
            & (_F.Check == check))  # fmt: skip


def _key(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(row[c]) for c in _KEY)


def _chunks(rows: list[Any]) -> Iterable[list[Any]]:
    return (rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
