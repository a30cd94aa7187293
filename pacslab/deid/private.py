"""Private attributes: gone, but for those of which it is known what they hold (PS3.15 E.3.10)."""

from __future__ import annotations

from pacslab.deid.table import safe_private


def is_creator(tag: int) -> bool:
    """Whether this tag reserves a private block (PS3.5 7.8.1)."""
    return bool(tag >> 16 & 1) and 0x10 <= tag & 0xFFFF <= 0xFF


def safe_vr(tag: int, creators: dict[int, str]) -> str | None:
    """The VR that a private attribute has if it is safe, else None.

    ``creators`` are the data set's private creators by tag. A block without a creator, or with
    another one than the list's, is not safe.
    """
    creator = creators.get(creator_tag(tag))
    if creator is None:
        return None
    return safe_private().get((creator, tag >> 16, tag & 0xFF))


def creator_of(value: bytes) -> str | None:
    """The private creator in an element's bytes; None unless it is one of the safe list.

    Read to the letter: what stands behind a NUL or a backslash makes it another creator.
    """
    text = value.decode("latin-1").rstrip(" \0")
    return text if text in _known() else None


def creator_tag(tag: int) -> int:
    """The tag of the private creator that a private attribute needs."""
    return tag & 0xFFFF0000 | (tag >> 8 & 0xFF)


def _known() -> frozenset[str]:
    return frozenset(creator for creator, _, _ in safe_private())
