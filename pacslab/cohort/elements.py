"""The SQL function behind the view ``elements``: every element of a header, a row each."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any, Final

import duckdb
import pyarrow as pa
from duckdb.func import FunctionNullHandling, PythonUDFType
from pydicom.datadict import keyword_for_tag

from pacslab.archive import packing
from pacslab.archive.changes import headers
from pacslab.archive.engine import Database

_FIELDS: Final = ("Path", "Tag", "Keyword", "VR", "Value")
_ROW: Final = pa.struct([(name, pa.string()) for name in _FIELDS])

VIEW: Final = f"""CREATE VIEW elements AS
    SELECT PatientID, StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID,
      {", ".join(f"e.{name}" for name in _FIELDS)}
    FROM (SELECT PatientID, StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID,
      unnest(header_elements(SOPInstanceUID)) AS e FROM mirror.instances)"""
"""A row an element, nested ones too: ``Path`` is ``Keyword`` or ``Sequence[0].Keyword``.

``Value`` is the text of all values joined by a backslash, NULL for an empty element and for a
sequence, whose items follow; what is bulk data is the URI it can be had from.
"""


def register(connection: duckdb.DuckDBPyConnection, database: Database) -> None:
    """Make ``header_elements(SOPInstanceUID)`` known to a connection and its cursors."""
    unpacking = threading.Lock()  # zstd's contexts aren't for several threads at once

    def header_elements(uids: Any) -> Any:
        wanted = [uid for uid in set(uids.to_pylist()) if uid is not None]
        found = {}
        for uid, packed, base in headers(database, wanted):
            with unpacking:
                text = packing.unpack(packed, base)
            found[uid] = list(elements(json.loads(text)))
        return pa.array([found.get(uid, []) for uid in uids.to_pylist()], pa.list_(_ROW))

    connection.create_function(
        "header_elements",
        header_elements,
        ["VARCHAR"],
        "STRUCT({})[]".format(", ".join(f'"{name}" VARCHAR' for name in _FIELDS)),
        type=PythonUDFType.ARROW,
        null_handling=FunctionNullHandling.SPECIAL,
    )


def elements(item: dict[str, Any], before: str = "") -> Iterator[dict[str, str | None]]:
    """Every element of a DICOM JSON object (PS3.18 Annex F), those of its sequences after it."""
    for tag, element in item.items():
        keyword = keyword_for_tag(tag) or None
        path = before + (keyword or tag)
        vr = element.get("vr")
        sequence = vr == "SQ"
        told = None if sequence else _text(element)
        yield {"Path": path, "Tag": tag, "Keyword": keyword, "VR": vr, "Value": told}
        for number, inner in enumerate(element.get("Value", ()) if sequence else ()):
            yield from elements(inner or {}, f"{path}[{number}].")


def _text(element: dict[str, Any]) -> str | None:
    if "Value" not in element:
        return element.get("BulkDataURI") or element.get("InlineBinary")
    return "\\".join(_one(value) for value in element["Value"])


def _one(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):  # a person name
        groups = (value.get(name, "") for name in ("Alphabetic", "Ideographic", "Phonetic"))
        return "=".join(groups).rstrip("=")
    return str(value)
