"""A regular expression for any of many words that takes no longer for more words."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

_END = ""


def any_of(words: Iterable[str]) -> str:
    """An expression for these words, the longest first where one begins another.

    It branches letter by letter: Python tries the alternatives of a plain list one by one at each
    place of a text.
    """
    root: dict[str, Any] = {}
    for word in words:
        here = root
        for letter in word:
            here = here.setdefault(letter, {})
        here[_END] = {}
    return _expression(root)


def _expression(node: dict[str, Any]) -> str:
    # Without branches of a single letter each nesting is as deep as the words differ
    prefix = ""
    while len(node) == 1 and _END not in node:
        ((letter, node),) = node.items()
        prefix += re.escape(letter)
    branches = [re.escape(k) + _expression(v) for k, v in sorted(node.items()) if k != _END]
    if not branches:
        return prefix
    inner = f"(?:{'|'.join(branches)})"
    return f"{prefix}{inner}?" if _END in node else prefix + inner
