"""A query's answer as text or a file, for the command line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pandas as pd

from pacslab.errors import OutOfResourcesError, UsageError

FORMATS: Final = ("table", "csv", "json", "parquet")


def write(frame: pd.DataFrame, format: str = "table", file: Path | None = None) -> None:
    """Write a DataFrame to a file, or to standard output where none is given.

    ``csv`` joins several values with a backslash, as DICOM does; ``json`` is a list with an object
    a row, dates in ISO 8601; both are UTF-8. A file appears whole or not at all. Raises UsageError
    for another format, or for Parquet without a file, OutOfResourcesError when it can't be written.
    """
    if format not in FORMATS:
        raise UsageError(f"format is {format!r}: take one of {', '.join(FORMATS)}")
    if format == "parquet" and file is None:
        raise UsageError("parquet isn't for a terminal: give a file with --output")
    if file is None:
        sys.stdout.write(_TEXTS[format](frame))
        return
    partial = file.with_name(file.name + ".partial")
    try:
        if format == "parquet":
            with partial.open("wb") as target:
                frame.to_parquet(target, index=False)
        else:
            partial.write_text(_TEXTS[format](frame), "utf-8", newline="")
        partial.replace(file)
    except OSError as error:
        raise OutOfResourcesError(f"can't write {file}: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)


def _table(frame: pd.DataFrame) -> str:
    rows = f"({len(frame)} row{'' if len(frame) == 1 else 's'})\n"
    if not len(frame.columns):
        return rows
    shown = _flat(frame).astype(object).where(frame.notna(), "")
    return shown.to_string(index=False, max_colwidth=70) + "\n" + rows


def _csv(frame: pd.DataFrame) -> str:
    return _flat(frame).to_csv(index=False, lineterminator="\n")


def _json(frame: pd.DataFrame) -> str:
    shown = frame.copy()
    for name in shown.columns:
        if isinstance(shown[name].dtype, pd.DatetimeTZDtype) or shown[name].dtype.kind == "M":
            shown[name] = _iso(shown[name])
    return shown.to_json(orient="records", lines=False, force_ascii=False, indent=1,
                         default_handler=str) + "\n"  # fmt: skip


def _flat(frame: pd.DataFrame) -> pd.DataFrame:
    """Several values as DICOM writes them, dates as ISO 8601."""
    shown = frame.copy()
    for name in shown.columns:
        if shown[name].dtype == object:
            shown[name] = shown[name].map(_joined)
        elif shown[name].dtype.kind == "M":
            shown[name] = _iso(shown[name])
    return shown


def _iso(column: pd.Series[Any]) -> pd.Series[Any]:
    known = column.dropna()
    days = (known == known.dt.normalize()).all()
    return column.map(
        lambda v: v.date().isoformat() if days else v.isoformat(), na_action="ignore"
    ).astype(object)


def _joined(value: object) -> object:
    if isinstance(value, tuple):
        return "\\".join("" if v is None else str(v) for v in value)
    return value


_TEXTS: Final[dict[str, Callable[[pd.DataFrame], str]]] = {
    "table": _table,
    "csv": _csv,
    "json": _json,
}
