"""Storage commitments: what is really there, and what was asked and answered (PS3.4 J)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from pacslab.archive import schema
from pacslab.archive.archive import Archive
from pacslab.archive.engine import Database
from pacslab.dicom import buffers
from pacslab.dicom.instance import data_set_offset
from pacslab.errors import ConflictError, NotFoundError, PacslabError

# Failure Reason (0008,1197), PS3.3 C.14.1.1
PROCESSING_FAILURE: Final = 0x0110
NO_SUCH_OBJECT: Final = 0x0112
CLASS_CONFLICT: Final = 0x0119
DUPLICATE_TRANSACTION: Final = 0x0131

COLUMNS: Final = tuple(c.name for c in schema.commitments.columns if c.name != "Result")
_TABLE: Final = schema.commitments


def failure(archive: Archive, sop_class_uid: str, sop_instance_uid: str) -> int:
    """Why an instance can't be committed to, as a Failure Reason; 0 if it can.

    It can if its row is committed and its file is there with the data set that was stored: the
    whole file is read.
    """
    try:
        stored = archive.instance(sop_instance_uid)
    except NotFoundError:
        return NO_SUCH_OBJECT
    if stored.sop_class_uid != sop_class_uid:
        return CLASS_CONFLICT
    try:
        data = archive.data(stored)
        sound = buffers.sha256(data, data_set_offset(data)) == stored.sha256
    except (PacslabError, OSError):
        sound = False
    return 0 if sound else PROCESSING_FAILURE


def requested(database: Database, transaction_uid: str, role: str, peer: str) -> None:
    """Take a request down. Raises ConflictError for a Transaction UID that was used before."""
    row = {
        "TransactionUID": transaction_uid,
        "Role": role,
        "Peer": peer,
        "RequestedAt": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    try:
        with database.writing() as (connection, _):
            connection.execute(insert(_TABLE), row)
    except IntegrityError:
        raise ConflictError(f"transaction {transaction_uid} was asked for before") from None


def result(
    database: Database,
    transaction_uid: str,
    role: str,
    *,
    committed: int,
    failed: int,
    told: dict[str, Any],
) -> bool:
    """Take a result down; False where there is no such request."""
    values = {
        "Committed": committed,
        "Failed": failed,
        "Result": json.dumps(told, ensure_ascii=False),
    }
    return _update(database, transaction_uid, role, values)


def reported(database: Database, transaction_uid: str, role: str) -> None:
    """Take down that the result was told."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    _update(database, transaction_uid, role, {"ReportedAt": now})


def unreported(database: Database) -> list[tuple[str, str, dict[str, Any]]]:
    """Results that those who asked us don't know yet: transaction, AE title, result."""
    c = _TABLE.c
    with database.reading() as connection:
        rows = connection.execute(
            select(c.TransactionUID, c.Peer, c.Result).where(
                c.Role == "scp", c.ReportedAt.is_(None), c.Result.is_not(None)
            )
        ).all()
    return [(uid, peer, json.loads(text)) for uid, peer, text in rows]


def told(database: Database, transaction_uid: str) -> dict[str, Any] | None:
    """The result of a request of ours, in DICOM JSON; None while there is none."""
    c = _TABLE.c
    with database.reading() as connection:
        text = connection.scalar(
            select(c.Result).where(c.TransactionUID == transaction_uid, c.Role == "scu")
        )
    return None if text is None else dict(json.loads(text))


def listed(database: Database) -> Iterable[dict[str, Any]]:
    """Every commitment, oldest first."""
    columns = [_TABLE.c[name] for name in COLUMNS]
    with database.reading() as connection:
        rows = connection.execute(select(*columns).order_by(_TABLE.c.RequestedAt)).mappings()
        return [dict(row) for row in rows]


def _update(database: Database, transaction_uid: str, role: str, values: dict[str, Any]) -> bool:
    with database.writing() as (connection, _):
        done = connection.execute(
            update(_TABLE)
            .where(_TABLE.c.TransactionUID == transaction_uid, _TABLE.c.Role == role)
            .values(**values)
        )
        return bool(done.rowcount)
