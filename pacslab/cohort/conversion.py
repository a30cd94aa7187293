"""DataFrames on their way into SQL and out of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pacslab.errors import SQLError

_NULLABLE: Final = {
    pa.int8(): pd.Int8Dtype(),
    pa.int16(): pd.Int16Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.uint8(): pd.UInt8Dtype(),
    pa.uint16(): pd.UInt16Dtype(),
    pa.uint32(): pd.UInt32Dtype(),
    pa.uint64(): pd.UInt64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
}


def to_arrow(name: str, frame: pd.DataFrame) -> Any:
    """A DataFrame as an Arrow table, with a named index as columns of it.

    Raises SQLError for a column that holds values of several types.
    """
    if any(level is not None for level in frame.index.names):
        frame = frame.reset_index()
    frame = frame.set_axis([str(column) for column in frame.columns], axis=1)
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise SQLError(f"the DataFrame {name} has two columns called {twice!r}: rename one")
    try:
        return pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise SQLError(
            f"the DataFrame {name} can't join in: {error.args[-1]}. Give that column one type, "
            f"such as {name}[...].astype('string')"
        ) from error


def to_frame(table: Any) -> pd.DataFrame:
    """An Arrow table as a DataFrame.

    Integers keep their size (nullable with missing ones among them), sums become int64, decimals
    float64, dates and times datetime64, lists tuples; columns of one name are told apart by
    ``_1``, ``_2``.
    """
    names = list(_apart(table.schema.names))
    columns = {n: _column(c) for n, c in zip(names, table.columns, strict=True)}
    return pd.DataFrame(columns, index=pd.RangeIndex(table.num_rows), columns=pd.Index(names))


def _column(column: Any) -> Any:
    kind = column.type
    if pa.types.is_decimal(kind):
        column = _number(column)
        kind = column.type
    if kind in _NULLABLE:
        return (
            column.to_pandas(types_mapper=_NULLABLE.get)
            if column.null_count
            else column.to_pandas()
        )
    if pa.types.is_list(kind):
        values = [None if v is None else tuple(v) for v in column.to_pylist()]
        return pd.Series(values, dtype=object)
    return column.to_pandas(date_as_object=False)


def _number(column: Any) -> Any:
    """A sum is 128 bits wide in DuckDB; 64 are enough for all but astronomy."""
    if column.type.scale == 0:
        try:
            return pc.cast(column, pa.int64())
        except pa.ArrowInvalid:
            pass
    return pc.cast(column, pa.float64())


def _apart(names: Iterable[str]) -> Iterable[str]:
    seen: set[str] = set()
    for name in names:
        free, number = name, 0
        while free in seen:
            number += 1
            free = f"{name}_{number}"
        seen.add(free)
        yield free
