"""Two states of the same images, compared series by series by their digests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, fields

import pandas as pd

from pacslab.archive.cohorts import Part


@dataclass(frozen=True, slots=True)
class Change:
    """An instance (or a series, where ``sop_instance_uid`` is None) that isn't as it was."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str | None
    change: str


def difference(before: Iterable[Part], after: Iterable[Part]) -> list[Change]:
    """What is ``added``, ``gone`` and ``changed`` on the way from one to the other."""
    old = {p.series_instance_uid: p for p in before}
    new = {p.series_instance_uid: p for p in after}
    found: list[Change] = []
    for uid in sorted(old.keys() | new.keys()):
        found += _of_series(old.get(uid), new.get(uid), additions=True)
    return found


def verified(frozen: Iterable[Part], here: Mapping[str, Part]) -> list[Change]:
    """What of a frozen cohort isn't as it was; additions only where it held the whole series."""
    found: list[Change] = []
    for part in frozen:
        found += _of_series(part, here.get(part.series_instance_uid), additions=part.whole)
    return found


def frame(changes: Iterable[Change]) -> pd.DataFrame:
    """A row a change."""
    names = ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "Change"]
    assert len(names) == len(fields(Change))
    return pd.DataFrame([astuple(change) for change in changes], columns=names)


def _of_series(old: Part | None, new: Part | None, *, additions: bool) -> list[Change]:
    if old is not None and new is not None and old.digest == new.digest:
        return []
    known = old or new
    assert known is not None
    where = (known.study_instance_uid, known.series_instance_uid)
    if old is not None and not old.instances:  # from a text file: only the digest is known
        return [Change(*where, None, "gone" if new is None else "changed")]
    was = old.instances if old is not None else {}
    now = new.instances if new is not None else {}
    found = [Change(*where, uid, "gone") for uid in sorted(was.keys() - now.keys())]
    found += [
        Change(*where, uid, "changed")
        for uid in sorted(was.keys() & now.keys())
        if was[uid] != now[uid]
    ]
    if additions:
        found += [Change(*where, uid, "added") for uid in sorted(now.keys() - was.keys())]
    return found
