"""Keyed pseudonyms: every replacement is an HMAC of the original, each kind in its own domain.

A plain hash of a patient ID is undone by trying all of them; with a key of 32 bytes it isn't.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from pacslab.errors import UsageError

KEY_VARIABLE: Final = "PACSLAB_DEIDENTIFICATION_KEY"
"""Environment variable with the key in base64 or hex, or with ``@`` and the path of its file."""

_LENGTH: Final = 32


@dataclass(frozen=True, slots=True, repr=False)
class Keys:
    """The secret that all pseudonyms of an archive come from: 32 bytes, never logged or indexed."""

    secret: bytes

    def __post_init__(self) -> None:
        if len(self.secret) != _LENGTH:
            raise UsageError(
                f"a key has {_LENGTH} bytes, not {len(self.secret)}: make one with "
                "'python -c \"import secrets; print(secrets.token_hex(32))\"'"
            )

    def __repr__(self) -> str:
        return f"Keys({self.name})"

    @classmethod
    def new(cls) -> Self:
        """A key of the system's randomness."""
        return cls(secrets.token_bytes(_LENGTH))

    @classmethod
    def of(cls, directory: Path, environment: Mapping[str, str] = os.environ) -> Self:
        """The key from the environment, else from ``directory/key``, which is made if missing.

        The file has mode 0600. Raises UsageError for a key that isn't one.
        """
        told = environment.get(KEY_VARIABLE)
        if told and told.startswith("@"):
            return cls(_decoded(_read(Path(told[1:]).expanduser()), told[1:]))
        if told:
            return cls(_decoded(told, KEY_VARIABLE))
        path = directory / "key"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return cls(_decoded(_read(path), str(path)))
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            made = cls.new()
            file.write(made.secret.hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
        return made

    @property
    def name(self) -> str:
        """What tells this key from others and says nothing about it."""
        return self.digest("key-name|v1|", "").hex()[:12]

    def digest(self, domain: str, text: str) -> bytes:
        """HMAC-SHA256 of a text in a domain, 32 bytes."""
        return hmac.digest(self.secret, (domain + text).encode("utf-8", "surrogatepass"), "sha256")

    def number(self, domain: str, text: str) -> int:
        """A number of 128 bits for a text in a domain."""
        return int.from_bytes(self.digest(domain, text)[:16], "big")

    def word(self, domain: str, text: str, length: int = 12) -> str:
        """A word of A to Z and 2 to 7 for a text in a domain, five bits a character."""
        return base64.b32encode(self.digest(domain, text)).decode("ascii")[:length]

    def mark(self, value: bytes) -> str:
        """What the log says of a value: eight bytes of its HMAC, in hex."""
        return hmac.digest(self.secret, b"log|v1|" + value, "sha256")[:8].hex()

    def encryption(self) -> bytes:
        """The key that originals in the crosswalk are encrypted with, in Fernet's form."""
        return base64.urlsafe_b64encode(self.digest("crosswalk|v1|", ""))


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not text"
        raise UsageError(f"the key file {path} can't be read: {why}") from None


def _decoded(text: str, where: str) -> bytes:
    text = text.strip()
    try:
        if len(text) == 2 * _LENGTH:
            return bytes.fromhex(text)
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise UsageError(f"the key in {where} is neither hex nor base64") from None
