"""DataFrames from what the archive answers: columns are DICOM keywords."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from pacslab.archive import Receipt
from pacslab.dicom.keywords import ATTRIBUTES, Attribute

if TYPE_CHECKING:
    from pacslab.deid.job import Result

_NUMBERS = {int: "Int64", float: "Float64"}


def from_rows(rows: Iterable[dict[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """Rows of a search as a DataFrame: text as DICOM writes it, numbers nullable.

    The columns are there even without rows, so that a cell that uses them doesn't break.
    """
    frame = pd.DataFrame(list(rows), columns=list(columns))
    known = {name: ATTRIBUTES[name] for name in frame.columns if name in ATTRIBUTES}
    kinds = {name: _kind(a) for name, a in known.items() if not a.multiple}
    return frame.astype({name: _NUMBERS[k] for name, k in kinds.items() if k in _NUMBERS})


def from_receipts(receipts: Iterable[tuple[str, Receipt]]) -> pd.DataFrame:
    """What became of files, a row a file: Path, Status, Reason and the UIDs."""
    rows = [
        {
            "Path": name,
            "Status": str(receipt.status),
            "Reason": receipt.reason,
            "SOPClassUID": receipt.sop_class_uid,
            "StudyInstanceUID": receipt.study_instance_uid,
            "SeriesInstanceUID": receipt.series_instance_uid,
            "SOPInstanceUID": receipt.sop_instance_uid,
        }
        for name, receipt in receipts
    ]
    columns = ["Path", "Status", "Reason", "SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID"]
    return pd.DataFrame(rows, columns=[*columns, "SOPInstanceUID"])


def from_results(results: Iterable[Result]) -> pd.DataFrame:
    """What became of de-identified instances, a row each.

    ``SOPInstanceUID`` is the new one; ``OriginalSOPInstanceUID`` stands only where an instance was
    refused, so that a saved cell leads nobody back.
    """
    rows = [
        {
            "Status": result.status,
            "Reason": result.reason,
            "SOPInstanceUID": result.sop_instance_uid,
            "OriginalSOPInstanceUID": result.original if result.reason else "",
            "Changed": result.changed,
            "Kept": result.kept,
            "Doubts": "; ".join(result.doubts),
        }
        for result in results
    ]
    columns = ["Status", "Reason", "SOPInstanceUID", "OriginalSOPInstanceUID", "Changed", "Kept"]
    return pd.DataFrame(rows, columns=[*columns, "Doubts"])


def _kind(attribute: Attribute) -> type:
    return int if attribute.computed and attribute.vr == "IS" else attribute.python_type
