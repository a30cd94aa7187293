"""What a de-identified instance says of itself (PS3.15 E.1, PS3.3 C.12.1.1.1 and C.7.1.1)."""

from __future__ import annotations

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from pacslab.deid import raw
from pacslab.deid.harvest import items
from pacslab.deid.profiles import BASIC, CODES, Option, Profile
from pacslab.deid.table import EDITION

_METHOD, _CODES = 0x00120063, 0x00120064


def claimed(profile: Profile, *, basic: bool, pixels: bool) -> list[tuple[str, str]]:
    """The codes of CID 7050 for what was really done to this instance.

    ``basic`` says whether the profile takes nothing back, ``pixels`` whether every frame was
    looked at. The options are options of the Basic Profile: without it none is claimed.
    """
    if not basic:
        return []
    options = [o for o in CODES if profile.has(o) and o is not Option.CLEAN_PIXEL_DATA]
    return [
        BASIC,
        *([CODES[Option.CLEAN_PIXEL_DATA]] if pixels else []),
        *(CODES[o] for o in options),
    ]


def stamp(out: Dataset, profile: Profile, codes: list[tuple[str, str]], *, pixels: bool) -> None:
    """Write Patient Identity Removed and its companions into a data set.

    What an earlier de-identification said of itself stays before it.
    """
    method = f"pacslab {profile.name}, PS3.15 {EDITION}"
    earlier = [t for t in raw.text(out, _METHOD).split("\\") if t and t != method]
    _put(out, 0x00120062, "CS", "YES")
    _put(out, _METHOD, "LO", "\\".join([*earlier, method]))
    told = [item for item in items(out, _CODES) if raw.text(item, 0x00080100) not in dict(codes)]
    for value, meaning in codes:
        item = Dataset()
        raw.encode_as(item, out)
        _put(item, 0x00080100, "SH", value)
        _put(item, 0x00080102, "SH", "DCM")
        _put(item, 0x00080104, "LO", meaning)
        told.append(item)
    if told:
        out[_CODES] = DataElement(_CODES, "SQ", Sequence(told))
    if profile.has(Option.RETAIN_FULL_DATES):
        time = "UNMODIFIED"
    else:
        time = "MODIFIED" if profile.has(Option.RETAIN_MODIFIED_DATES) else "REMOVED"
    _put(out, 0x00280303, "CS", time)
    if pixels:
        _put(out, 0x00280301, "CS", "NO")


def _put(out: Dataset, tag: int, vr: str, value: str) -> None:
    out[tag] = raw.made(tag, vr, value.encode("ascii"), out)
