"""Tokens that are good for looking only, and for a while: for pages that a notebook opens.

Made from the server's own token by whoever has it, so that nothing has to be kept: the time at
which it ends, and a MAC over that (HMAC-SHA256, RFC 2104).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from typing import Final

METHODS: Final = frozenset({"GET", "HEAD"})
"""What such a token is good for."""

SECONDS: Final = 12 * 3600
"""How long it is good, unless it is said otherwise: a day's work."""

_KIND: Final = "look"


def lend(token: str, seconds: float = SECONDS) -> str:
    """A token for looking, good for so many seconds, of the server's own."""
    ends = str(int(time.time() + seconds))
    return f"{_KIND}.{ends}.{_mac(token.encode(), ends)}"


def good(given: bytes, token: bytes) -> bool:
    """Whether it was made from the server's token and hasn't ended."""
    kind, _, rest = given.decode("latin-1").partition(".")
    ends, _, mac = rest.partition(".")
    if kind != _KIND or not ends.isascii() or not ends.isdecimal() or len(ends) > 12:
        return False
    made = hmac.compare_digest(mac.encode("latin-1"), _mac(token, ends).encode())
    return made and int(ends) > time.time()


def _mac(token: bytes, ends: str) -> str:
    digest = hmac.digest(token, f"{_KIND}.{ends}".encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
