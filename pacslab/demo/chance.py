"""Chance that depends on nothing but its name: the same on every day, machine and version."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

_NAMESPACE: Final = uuid.UUID("5bb8a8d4-6a56-4f34-9e1c-6f1d2d9a0a6b")


class Chance:
    """A stream of draws that its key alone decides.

    A hash instead of a random generator: the streams of ``random`` and numpy may change with their
    versions, and a stream for each thing that is made keeps the draws for one thing from moving
    those for the next.
    """

    def __init__(self, *key: object) -> None:
        self._key = "/".join(map(str, key))
        self._drawn = 0

    def integer(self) -> int:
        """64 bits."""
        self._drawn += 1
        hashed = hashlib.sha256(f"{self._key}#{self._drawn}".encode()).digest()
        return int.from_bytes(hashed[:8], "big")

    def between(self, low: float, high: float) -> float:
        """A number in [low, high), all equally likely."""
        return low + (high - low) * ((self.integer() >> 11) / (1 << 53))

    def whole(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + self.integer() % (high - low + 1)

    def happens(self, probability: float) -> bool:
        """Whether something of this probability happens."""
        return self.between(0, 1) < probability

    def one_of(self, choices: Sequence[T], weights: Sequence[float] | None = None) -> T:
        """One of them, in proportion to the weights."""
        weights = weights or [1.0] * len(choices)
        left = self.between(0, sum(weights))
        for choice, weight in zip(choices, weights, strict=True):
            left -= weight
            if left < 0:
                return choice
        return choices[-1]

    def peaked(self, low: float, peak: float, high: float) -> float:
        """A number between low and high, most likely near the peak."""
        side = self.between(low, high)
        # Both only add and multiply: no sine or logarithm that a machine might round its own way.
        return (side + 2 * peak + self.between(low, high)) / 4

    def noise(self, shape: tuple[int, ...]) -> NDArray[np.int16]:
        """Noise of mean 0 between -127 and 127; neighbours go together a little, as in images."""
        count = int(np.prod(shape))
        drawn = hashlib.shake_128(f"{self._key}#noise".encode()).digest(count + 1)
        raw = np.frombuffer(drawn, np.uint8).astype(np.int16)
        return ((raw[1:] + raw[:-1]) // 2 - 127).reshape(shape)


def uid(*key: object) -> str:
    """The UID that belongs to a key: a name-based UUID under 2.25 (PS3.5 B.2)."""
    return f"2.25.{uuid.uuid5(_NAMESPACE, '/'.join(map(str, key))).int}"
