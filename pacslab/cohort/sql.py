"""SQL over the index: a statement in, a DataFrame out, and nothing that it could harm."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from pacslab.cohort import conversion, tables, tags
from pacslab.cohort.complaints import Complaint, Place
from pacslab.cohort.mirror import Mirror
from pacslab.cohort.tags import Completed
from pacslab.errors import SQLError

_COMMENTS: Final = re.compile(r"(\s|--[^\n]*(\n|$)|/\*.*?\*/)+", re.DOTALL)
_CREATE: Final = re.compile(
    r"CREATE\s+(OR\s+REPLACE\s+)?((TEMP|TEMPORARY|LOCAL)\s+)*(RECURSIVE\s+)?"
    r"(TABLE|VIEW|MACRO|FUNCTION|TYPE)\b",
    re.IGNORECASE,
)
_EXPLAIN: Final = re.compile(r"EXPLAIN\s*(ANALYZE\b|\([^)]*\))?\s*", re.IGNORECASE)
_WORDS: Final = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class _Statement:
    """One statement, where it starts in the whole text, and the parameters that it names."""

    text: str
    offset: int
    kind: str
    parameters: frozenset[str]


def query(
    mirror: Mirror,
    statement: str,
    parameters: Mapping[str, object] | None = None,
    frames: Mapping[str, pd.DataFrame] | None = None,
) -> pd.DataFrame:
    """The answer to a question in DuckDB's SQL, on everything acknowledged before the call.

    ``$name`` in the statement takes its value from ``parameters``; the tables named in ``frames``
    join in (a table of the archive comes first where both have a name). Of several statements,
    apart by semicolons, the last one's result; what they create is gone afterwards. Integers are
    int64, or Int64 with missing ones among them; dates and times datetime64; lists tuples, so that
    pandas can count and group them. Raises SQLError with a message that points at the mistake.
    """
    completed = tags.complete(statement)
    frames, parameters = frames or {}, parameters or {}
    complaint = Complaint(statement, completed, mirror.columns, frames)
    statements = _checked(mirror, completed, complaint, parameters)
    words = {word.casefold() for word in _WORDS.findall(statement)}
    named = {
        name: frame
        for name, frame in frames.items()
        if words.issuperset(_WORDS.findall(name.casefold())) and name.casefold() not in tables.NAMES
    }
    values = {name: _plain(value) for name, value in parameters.items()}
    arrow = {name: conversion.to_arrow(name, frame) for name, frame in named.items()}
    writing = any(s.kind != "SELECT" for s in statements)
    with mirror.session(arrow, writing=writing) as cursor:
        result = pa.table({})
        for one in statements:
            given = {name: values[name] for name in one.parameters}
            with complaint.about(one.offset), _interruptible(cursor) as pool:
                result = pool.submit(_run, cursor, one.text, given).result()
    return conversion.to_frame(result)


def _run(cursor: duckdb.DuckDBPyConnection, text: str, values: dict[str, Any]) -> Any:
    try:
        relation = cursor.sql(text, params=values) if values else cursor.sql(text)
    except duckdb.Error as error:
        # Only execute() says where the mistake stands; only sql() gives Arrow without a copy.
        if "{" not in str(error):
            with suppress(duckdb.TransactionException):
                cursor.execute(text, values or None)
        raise
    return pa.table({}) if relation is None else relation.to_arrow_table()


@contextmanager
def _interruptible(cursor: duckdb.DuckDBPyConnection) -> Iterator[ThreadPoolExecutor]:
    """A thread to run a query in: this one stays free to hear Ctrl-C, which ends the query."""
    with ThreadPoolExecutor(1, "pacslab-sql") as pool:
        try:
            yield pool
        except KeyboardInterrupt:
            cursor.interrupt()
            raise


def _checked(
    mirror: Mirror, completed: Completed, complaint: Complaint, parameters: Mapping[str, object]
) -> list[_Statement]:
    """The statements, each of a kind that is allowed, with every parameter given and used."""
    text = completed.text
    with complaint.about(0):
        parsed = mirror.parse(text)
    statements, position = [], 0
    for one in parsed:
        position = text.find(one.query, position)
        offset = len(text[:position].encode())
        parameters_of = frozenset(one.named_parameters)
        found = _Statement(one.query, offset, one.type.name, parameters_of)
        position += len(one.query)
        _check_kind(found, mirror, complaint)
        statements.append(found)
    if not statements:
        raise SQLError("the statement is empty: begin with SELECT, such as SELECT * FROM studies")
    wanted: set[str] = set().union(*(s.parameters for s in statements))
    if any(name.isdigit() for name in wanted):
        raise SQLError("parameters have names here: write $modality and give modality='CT'")
    if missing := wanted - set(parameters):
        name = min(missing)
        raise complaint.error(f"no value for ${name}: give {name}=...", complaint.word(f"${name}"))
    if unused := set(parameters) - wanted:
        name = min(unused)
        raise SQLError(f"{name}= is given, but ${name} isn't in the statement")
    return statements


def _check_kind(statement: _Statement, mirror: Mirror, complaint: Complaint) -> None:
    comments = _COMMENTS.match(statement.text)
    start = comments.end() if comments else 0
    bare = statement.text[start:]
    allowed = statement.kind in {"SELECT", "MULTI"}  # MULTI is what PIVOT becomes
    if statement.kind == "CREATE":
        allowed = _CREATE.match(_COMMENTS.sub(" ", bare)) is not None
    if statement.kind == "EXPLAIN" and (prefix := _EXPLAIN.match(bare)):
        inner = mirror.parse(bare[prefix.end() :])
        allowed = [i.type.name for i in inner] == ["SELECT"]
    if not allowed:
        word = bare.split(maxsplit=1)[0].rstrip(";")
        raise complaint.error(
            f"{word.upper()} isn't possible here: SQL asks the archive and changes nothing in it "
            "(SELECT; CREATE TABLE, VIEW or MACRO for the length of one call)",
            Place(statement.offset + len(statement.text[:start].encode()), len(word.encode())),
        )


def _plain(value: object) -> object:
    """A parameter as DuckDB takes it: no types of numpy and pandas."""
    if isinstance(value, pd.Series | pd.Index | np.ndarray):
        return [_plain(v) for v in value.tolist()]
    if isinstance(value, set | frozenset | tuple | list):
        return [_plain(v) for v in value]
    if value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime()
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and np.isnan(value):
        return None
    return str(value) if isinstance(value, str) else value
