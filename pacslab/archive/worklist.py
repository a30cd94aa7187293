"""The Modality Worklist and the performed procedure steps beside it: only the index knows them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import delete, func, insert, select, update

from pacslab.archive import schema
from pacslab.archive.engine import Database
from pacslab.dicom.uids import is_uid
from pacslab.dicom.worklist import COLUMNS
from pacslab.errors import NotFoundError, UsageError

STEP_COLUMNS: Final = tuple(
    c.name for c in schema.performed_steps.columns if c.name not in {"Attributes"}
)
STEP_KEYWORDS: Final = tuple(name for name in STEP_COLUMNS if name != "ChangedAt")
_WORKLIST: Final = schema.worklist
_STEPS: Final = schema.performed_steps

Row = dict[str, Any]


def entries(database: Database) -> list[Row]:
    """Every scheduled procedure step, in the order of scheduling."""
    columns = [_WORKLIST.c[name] for name in COLUMNS]
    with database.reading() as connection:
        rows = connection.execute(select(*columns).order_by(_WORKLIST.c.id)).mappings()
        return [dict(row) for row in rows]


def add(database: Database, rows: Iterable[Mapping[str, object]]) -> list[Row]:
    """Schedule these steps, as :func:`completed` makes them; what was added."""
    with database.writing() as (connection, _):
        number = connection.scalar(select(func.max(_WORKLIST.c.id))) or 0
        made = [completed(row, number + i) for i, row in enumerate(rows, 1)]
        if made:
            connection.execute(insert(_WORKLIST), made)
    return made


def replace(database: Database, rows: Iterable[Mapping[str, object]]) -> None:
    """Have these steps, and no others, in one transaction."""
    made = [completed(row, number) for number, row in enumerate(rows, 1)]
    with database.writing() as (connection, _):
        connection.execute(delete(_WORKLIST))
        if made:
            connection.execute(insert(_WORKLIST), made)


def completed(row: Mapping[str, object], number: int) -> Row:
    """A step with everything that a modality needs (type 1 of PS3.4 table K.6-1).

    What isn't given is made up: UIDs and IDs, today's date, status SCHEDULED. Raises UsageError
    for what is no attribute of a worklist, and for a step without PatientID or Modality.
    """
    given = {name: _text(value) for name, value in row.items()}
    unknown = sorted(set(given) - set(COLUMNS))
    if unknown:
        raise UsageError(f"a worklist has no {unknown[0]!r}: take {', '.join(COLUMNS)}")
    now = datetime.now()
    defaults: dict[str, Callable[[], str]] = {
        "StudyInstanceUID": _new_uid,
        "RequestedProcedureID": lambda: f"RP{number}",
        "ScheduledProcedureStepID": lambda: f"SPS{number}",
        "ScheduledProcedureStepStartDate": lambda: now.strftime("%Y%m%d"),
        "ScheduledProcedureStepStartTime": lambda: now.strftime("%H%M%S"),
        "ScheduledProcedureStepStatus": lambda: "SCHEDULED",
    }
    made: Row = dict.fromkeys(COLUMNS)
    made.update(given)
    for name, value in defaults.items():
        made[name] = made[name] or value()
    for name in ("PatientID", "Modality"):
        if not made[name]:
            raise UsageError(f"a scheduled procedure step needs {name}")
    if not is_uid(made["StudyInstanceUID"]):
        raise UsageError(f"StudyInstanceUID {made['StudyInstanceUID']!r} isn't a UID")
    return made


def _new_uid() -> str:
    return f"2.25.{uuid.uuid4().int}"


def _text(value: object) -> str | None:
    if value is None or str(value) in {"nan", "NaT", "<NA>"}:  # empty cells of a DataFrame
        return None
    return str(value).strip() or None


# --- performed procedure steps --------------------------------------------------------------


def performed(database: Database) -> list[Row]:
    """Every performed procedure step, in the order of the last message about it."""
    columns = [_STEPS.c[name] for name in STEP_COLUMNS]
    with database.reading() as connection:
        rows = connection.execute(select(*columns).order_by(_STEPS.c.ChangedAt)).mappings()
        return [dict(row) for row in rows]


def step(database: Database, sop_instance_uid: str) -> tuple[str, dict[str, Any]]:
    """The status of a performed step, and its attributes in DICOM JSON. Raises NotFoundError."""
    columns = (_STEPS.c.PerformedProcedureStepStatus, _STEPS.c.Attributes)
    with database.reading() as connection:
        found = connection.execute(
            select(*columns).where(_STEPS.c.SOPInstanceUID == sop_instance_uid)
        ).first()
    if found is None:
        raise NotFoundError(f"no performed procedure step {sop_instance_uid}")
    return found[0], json.loads(found[1])


def keep_step(
    database: Database, sop_instance_uid: str, row: Mapping[str, Any], attributes: Mapping[str, Any]
) -> None:
    """Keep a performed step as it is now, and tell the steps of the worklist that it performs.

    ``row`` has columns of ``performed_steps``.
    """
    whole = {
        **row,
        "SOPInstanceUID": sop_instance_uid,
        "ChangedAt": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "Attributes": json.dumps(attributes, ensure_ascii=False),
    }
    status = {"IN PROGRESS": "STARTED"}.get(
        row["PerformedProcedureStepStatus"], row["PerformedProcedureStepStatus"]
    )
    with database.writing() as (connection, _):
        connection.execute(delete(_STEPS).where(_STEPS.c.SOPInstanceUID == sop_instance_uid))
        connection.execute(insert(_STEPS), whole)
        connection.execute(
            update(_WORKLIST)
            .where(
                _WORKLIST.c.StudyInstanceUID == row.get("StudyInstanceUID"),
                _WORKLIST.c.ScheduledProcedureStepID == row.get("ScheduledProcedureStepID"),
            )
            .values(ScheduledProcedureStepStatus=status)
        )
