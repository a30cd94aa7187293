"""What people hand over as a cohort (a DataFrame, a row, UIDs, nothing) as what is stored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, Protocol, runtime_checkable

import pandas as pd

from pacslab.archive import Archive, Stored
from pacslab.dicom.keywords import ATTRIBUTES, Level
from pacslab.dicom.matching import Query
from pacslab.dicom.uids import is_uid
from pacslab.errors import NotFoundError, UsageError

_KEYS: Final = ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")  # the narrowest first
_CHUNK: Final = 5000  # SQLite binds at most 32,766 values


def series_of(archive: Archive, what: Any) -> list[str]:
    """The SeriesInstanceUIDs that a cohort stands for, in the cohort's order; None means all.

    ``what`` is None, a UID, a list or Series of UIDs, a row, or a DataFrame with a column of UIDs
    (the narrowest counts). Raises UsageError where no UID is in it, NotFoundError for UIDs of
    which nothing is in the archive.
    """
    return list(dict.fromkeys(_found(archive, what, Level.SERIES)))


def instances_of(archive: Archive, what: Any) -> Iterator[Stored]:
    """The stored instances that a cohort stands for, as :func:`series_of`, narrowed to it."""
    if key_and_uids(what)[0] in {"SOPInstanceUID", None} and what is not None:
        for uid in dict.fromkeys(_found(archive, what, Level.IMAGE)):
            yield archive.instance(uid)
        return
    for uid in series_of(archive, what):
        yield from archive.instances(series_instance_uid=uid)


def _found(archive: Archive, what: Any, level: Level) -> Iterator[str]:
    key, uids = key_and_uids(what)
    fields = [ATTRIBUTES[level.unique_key]]
    if key is None and not uids:
        yield from (r[level.unique_key] for r in archive.search(Query.build(level), fields))
        return
    for candidate in [key] if key else reversed(_KEYS):
        if candidate == level.unique_key:
            fields = [ATTRIBUTES[candidate]]
        found = False
        for start in range(0, len(uids), _CHUNK):
            query = Query.build(level, {candidate: uids[start : start + _CHUNK]})
            rows = [r[level.unique_key] for r in archive.search(query, fields)]
            found = found or bool(rows)
            if candidate == level.unique_key:
                here = set(rows)
                rows = [uid for uid in uids[start : start + _CHUNK] if uid in here]
            yield from rows
        if found or (key and not uids):
            return
    raise NotFoundError(f"nothing of {uids[0]} is in this archive")


@runtime_checkable
class Held(Protocol):
    """What holds its instances as a DataFrame: a frozen cohort."""

    @property
    def instances(self) -> pd.DataFrame:
        """A row an instance, with a column SOPInstanceUID."""
        ...


def key_and_uids(what: Any) -> tuple[str | None, list[str]]:
    """The attribute that the UIDs are values of, None where it isn't said; and the UIDs."""
    if what is None:
        return None, []
    if isinstance(what, Held):
        what = what.instances
    if isinstance(what, pd.DataFrame):
        for key in _KEYS:
            if key in what.columns:
                return key, _texts(what[key])
        raise UsageError(f"no column of UIDs in this DataFrame: select one of {', '.join(_KEYS)}")
    if isinstance(what, pd.Series):
        for key in _KEYS:
            if key in what.index:
                return key, _texts([what[key]])
        return (str(what.name) if what.name in _KEYS else None), _checked(_texts(what))
    if isinstance(what, str):
        return None, _checked([what])
    if isinstance(what, Iterable):
        return None, _checked(_texts(what))
    raise UsageError(f"can't tell images from {type(what).__name__}: give UIDs or a DataFrame")


def _texts(values: Iterable[Any]) -> list[str]:
    return list(dict.fromkeys(str(v) for v in values if isinstance(v, str)))


def _checked(uids: list[str]) -> list[str]:
    if not uids:
        raise UsageError("no UID in it: give at least one")
    for uid in uids:
        if not is_uid(uid):
            raise UsageError(f"{uid!r} isn't a UID: give UIDs or a DataFrame with a column of them")
    return uids
