"""UIDs: what one is (PS3.5 9.1), which are checked before any path or query is made of them."""

from __future__ import annotations

import re
from typing import Final

_UID: Final = re.compile(r"[0-9]+(\.[0-9]+)*")
MAXIMUM_LENGTH: Final = 64


def is_uid(text: object) -> bool:
    """Whether this is a UID that may name a file: digits and single dots, at most 64 characters.

    Components with leading zeros break PS3.5 9.1 too, but real devices write them and they do no
    harm to a path, so that they are let through.
    """
    return isinstance(text, str) and len(text) <= MAXIMUM_LENGTH and bool(_UID.fullmatch(text))
