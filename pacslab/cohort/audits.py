"""The audit as an object: findings with their review, before and after, checks, the report."""

from __future__ import annotations

import getpass
import os
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pandas as pd
from tqdm.auto import tqdm

from pacslab.archive import Archive, Stored, audits
from pacslab.cohort import audit_report
from pacslab.cohort.selection import instances_of
from pacslab.deid import log
from pacslab.deid.actions import Did
from pacslab.deid.audit import job
from pacslab.deid.audit.compare import ADDED
from pacslab.deid.audit.finding import attribute_of
from pacslab.deid.crosswalk import FOLDER
from pacslab.errors import UsageError

COLUMNS: Final = ("severity", "kind", "attribute", "path", "detail", "check", "status",
                  "SOPInstanceUID", "by", "why")  # fmt: skip
_ORDER: Final = {"high": 0, "medium": 1, "low": 2}
_DID: Final = (*map(str, Did), "uid_inconsistent", ADDED)


@dataclass(frozen=True, slots=True)
class About:
    """What was audited, by whom and when: what the head of the report says."""

    archive: str
    source: str
    at: str
    who: str
    instances: int
    paired: int
    originals: int


class Audit:
    """What an audit found. ``findings`` has a row a finding, the worst first; no row holds a value.

    ``before_after`` has a row an attribute and a column for each of MIDI-B's actions, told from the
    bytes; ``checks`` what must hold over all instances; ``actions`` what the engine's log says.
    """

    def __init__(
        self,
        archive: Archive,
        about: About,
        *,
        uids: list[str],
        before_after: pd.DataFrame,
        checks: pd.DataFrame,
        actions: pd.DataFrame,
    ) -> None:
        self._archive = archive
        self._uids = uids
        self.about = about
        self.before_after = before_after
        self.checks = checks
        self.actions = actions

    @property
    def findings(self) -> pd.DataFrame:
        """Findings with their status in review: open, accepted or fixed."""
        rows = [
            {
                "severity": row["Severity"],
                "kind": row["Kind"],
                "attribute": attribute_of(row["Path"]),
                "path": row["Path"],
                "detail": row["Detail"],
                "check": row["Check"],
                "status": row["Status"],
                "SOPInstanceUID": row["SOPInstanceUID"],
                "by": row["ReviewedBy"] or "",
                "why": row["Reason"] or "",
            }
            for row in audits.findings(self._archive.database, self._uids)
        ]
        rows.sort(key=lambda r: (_ORDER[r["severity"]], r["kind"], r["attribute"],
                                 r["SOPInstanceUID"]))  # fmt: skip
        return pd.DataFrame(rows, columns=list(COLUMNS))

    @property
    def open(self) -> pd.DataFrame:
        """The findings that nobody has accepted and that are still there."""
        found = self.findings
        return found[found["status"] == audits.OPEN]

    @property
    def summary(self) -> pd.DataFrame:
        """Findings by severity, kind, attribute and status, with the number of instances."""
        keys = ["severity", "kind", "attribute", "check", "status"]
        found = self.findings
        if found.empty:
            return pd.DataFrame(columns=[*keys, "instances", "detail"])
        grouped = found.groupby(keys, as_index=False, sort=False)
        return grouped.agg(instances=("SOPInstanceUID", "nunique"), detail=("detail", "first"))

    def accept(self, which: pd.DataFrame, why: str, who: str | None = None) -> int:
        """Accept findings, rows of :attr:`findings`, with a reason; how many were open.

        They stay accepted while the instances keep their bytes. Raises UsageError without a reason.
        """
        return audits.accept(self._archive.database, _keys(which), who=who or user(), why=why)

    def reopen(self, which: pd.DataFrame) -> int:
        """Take acceptances back; how many."""
        return audits.reopen(self._archive.database, _keys(which))

    def report(self, path: str | os.PathLike[str]) -> Path:
        """Write the report as one HTML file that can be read and signed, without any original."""
        target = Path(path).expanduser()
        target.write_text(self.html(), encoding="utf-8")
        return target

    def html(self) -> str:
        """The report as HTML."""
        return audit_report.page(
            self.about, self.summary, self.before_after, self.checks, self.actions
        )

    def _repr_html_(self) -> str:
        return audit_report.cell(self.about, self.summary, self.checks)


def audit(
    archive: Archive,
    what: Any = None,
    *,
    against: Archive | None = None,
    workers: int | None = None,
    who: str | None = None,
    progress: bool = True,
) -> Audit:
    """Look in an archive for what could still identify someone; ``against`` is where it came from.

    ``what`` is a cohort as ``selection`` takes it; None is all. What is found is kept on record in
    the archive with its review. Raises UsageError for an archive audited against itself.
    """
    if against is not None and against.directory == archive.directory:
        raise UsageError("an archive can't be audited against itself: give the one it came from")
    chosen = list(instances_of(archive, what))
    with tqdm(total=len(chosen), desc="auditing", unit="file", disable=not progress) as bar:
        result = job.run(archive, chosen, against, workers=workers, progress=bar.update)
    checks = ["alone"] if against is None else ["alone", "against"]
    seen = {stored.sop_instance_uid: stored.sha256 for stored in chosen}
    rows = [
        {"SOPInstanceUID": uid, "Path": f.path, "Kind": str(f.kind), "Check": f.check,
         "Severity": str(f.severity), "Detail": f.detail}
        for uid, f in result.findings
    ]  # fmt: skip
    audits.record(archive.database, {**seen, "": ""}, rows, checks)
    about = About(
        archive=archive.directory.name,
        source=against.directory.name if against is not None else "",
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        who=who or user(),
        instances=len(chosen),
        paired=result.paired,
        originals=result.originals,
    )
    return Audit(
        archive,
        about,
        uids=[*seen, ""],
        before_after=_before_after(result.comparison.did),
        checks=_checks(result, against is not None),
        actions=_actions(against, chosen),
    )


def user() -> str:
    """Who runs this process, as the system knows them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _keys(which: pd.DataFrame) -> list[tuple[str, ...]]:
    return list(which[["SOPInstanceUID", "path", "kind", "check"]].itertuples(index=False))


def _before_after(did: Counter[tuple[str, str]]) -> pd.DataFrame:
    table: dict[str, Counter[str]] = {}
    for (attribute, action), number in did.items():
        table.setdefault(attribute, Counter())[action] += number
    columns = [a for a in _DID if any(a in counts for counts in table.values())]
    rows = []
    for attribute, counts in sorted(table.items()):
        before = sum(number for action, number in counts.items() if action != ADDED)
        after = sum(counts.values()) - counts[str(Did.TEXT_REMOVED)]
        told = {action: counts[action] for action in columns}
        rows.append({"attribute": attribute, "before": before, "after": after, **told})
    return pd.DataFrame(rows, columns=["attribute", "before", "after", *columns])


def _checks(result: job.Result, compared: bool) -> pd.DataFrame:
    rows: list[tuple[str, str, str]] = []
    if compared:
        held = result.comparison
        missing = result.instances - result.paired
        rows.append(("every instance has its source", _told(missing == 0),
                     f"{result.paired} of {result.instances}"))  # fmt: skip
        several = sum(len(days) > 1 for days in held.shifts.values())
        if held.shifts:
            rows.append(("intervals between dates are kept", _told(not several),
                         f"{len(held.shifts)} subjects, {several} of several shifts"))  # fmt: skip
            still = sum(days == {0} for days in held.shifts.values())
            rows.append(("dates are moved", _told(not still), f"{still} subjects with their own"))
        else:
            rows.append(("intervals between dates are kept", "not applicable", "no dates are left"))
        merged = len(held.uids) - len(set(held.uids.values()))
        rows.append(("UIDs refer to each other as before",
                     _told(not merged and not result.inconsistent),
                     f"{len(held.uids)} UIDs, {merged} merged, "
                     f"{result.inconsistent} split"))  # fmt: skip
        if held.pixels:
            told = ", ".join(f"{number} {what}" for what, number in sorted(held.pixels.items()))
            changed = held.pixels["changed"] + held.pixels["removed"]
            rows.append(("pixels are as they were", _told(not changed), told))
    return pd.DataFrame(rows, columns=["check", "result", "detail"])


def _told(good: bool) -> str:
    return "yes" if good else "no"


def _actions(against: Archive | None, chosen: list[Stored]) -> pd.DataFrame:
    """What the engine's log in the source says it did, by action and rule."""
    columns = ["did", "source", "category", "number"]
    if against is None:
        return pd.DataFrame(columns=columns)
    seen = {stored.sop_instance_uid for stored in chosen}
    counts: Counter[tuple[str, str, str]] = Counter()
    for path in sorted((against.directory / FOLDER).glob("actions-*.jsonl.zst")):
        for record in log.read(path):
            if record["SOPInstanceUID"] in seen:
                counts.update((row[1], row[3], row[4]) for row in record["Actions"])
    rows = [(*key, number) for key, number in counts.most_common()]
    return pd.DataFrame(rows, columns=columns)
