"""The gate of an archive: what a cohort must fulfil before it may leave, and who let it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from pacslab.archive import Archive, audits
from pacslab.cohort.audits import user
from pacslab.cohort.mirror import Mirror
from pacslab.cohort.risk import DEFAULT, risk
from pacslab.cohort.selection import instances_of
from pacslab.errors import GateError, UsageError

COLUMNS = ("At", "By", "Event", "Settings", "Detail")


def set_gate(
    archive: Archive,
    *,
    k: int | None,
    quasi: Iterable[str] | None = None,
    findings: bool = True,
    who: str | None = None,
    off: bool = False,
) -> None:
    """Set the gate, or take it away; on record. Raises UsageError for a k that says nothing."""
    if not off and (k is None or k < 1):
        raise UsageError("k is how many patients must be alike: give 1 or more")
    told = {} if off else {"k": k, "quasi": list(quasi or DEFAULT), "findings": findings}
    detail = "taken away" if off else f"k = {k}"
    audits.note_gate(archive.database, "set", told, who=who or user(), detail=detail)


def record(archive: Archive) -> pd.DataFrame:
    """How the gate was set, and each export that came to it, oldest first."""
    return pd.DataFrame(audits.gates(archive.database), columns=list(COLUMNS))


def check(
    archive: Archive, mirror: Mirror, what: Any, out: Path, *, format: str, override: str | None
) -> None:
    """Let an export pass, or raise GateError that says what is in its way; both on record."""
    settings = audits.gate(archive.database)
    if settings is None:
        return
    faults = _faults(archive, mirror, what, settings)
    asked = f"{format} to {out.name}"
    if not faults:
        audits.note_gate(archive.database, "passed", settings, who=user(), detail=asked)
        return
    told = f"{asked}: {'; '.join(faults)}"
    if override is not None and override.strip():
        detail = f"{told}; let through: {override.strip()}"
        audits.note_gate(archive.database, "overridden", settings, who=user(), detail=detail)
        return
    audits.note_gate(archive.database, "stopped", settings, who=user(), detail=told)
    raise GateError(
        f"the gate is closed to this export: {'; '.join(faults)}. Generalise (lab.risk says what), "
        "review the findings (lab.audit), or give override='the reason', which is put on record"
    )


def _faults(archive: Archive, mirror: Mirror, what: Any, settings: dict[str, Any]) -> list[str]:
    faults = []
    found = risk(archive, mirror, what, settings["quasi"], k=settings["k"])
    if found.below:
        faults.append(
            f"{found.below} of {found.patients} patients are among fewer than {settings['k']} alike"
        )
    if settings["findings"]:
        chosen = {s.sop_instance_uid: s.sha256 for s in instances_of(archive, what)}
        missing = audits.unaudited(archive.database, chosen)
        if missing:
            faults.append(f"{len(missing)} of {len(chosen)} instances weren't audited as they are")
        rows = audits.findings(archive.database, [*chosen, ""])
        open_ = sum(row["Status"] == audits.OPEN for row in rows)
        if open_:
            faults.append(f"{open_} findings are open")
    return faults
