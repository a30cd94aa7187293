"""What a server can be told, each setting from the command line or the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Self, get_type_hints

from pacslab.archive import OnConflict
from pacslab.errors import UsageError

PREFIX: Final = "PACSLAB_"
_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"", "0", "false", "no", "off"})


def _setting(default: Any, help_: str) -> Any:
    return field(default=default, metadata={"help": help_})


@dataclass(frozen=True)
class Settings:
    """The settings of one server; ``--dicom-port`` is also ``PACSLAB_DICOM_PORT``.

    Raises UsageError for values that can't be meant.
    """

    ae_title: str = _setting("PACSLAB", "application entity title of this PACS, 1 to 16 characters")
    dicom_port: int = _setting(11112, "port of the DICOM listener; 0 takes a free one")
    http_port: int = _setting(8042, "port of DICOMweb and the viewer; 0 takes a free one")
    host: str = _setting("127.0.0.1", "address to listen on; 0.0.0.0 opens it to the network")
    token: str = _setting("", "bearer token that HTTP requests must carry; made up when not given")
    on_conflict: str = _setting(
        "keep", "same SOP Instance UID, other content: keep, replace or refuse"
    )
    require_called_ae: bool = _setting(False, "reject associations that call another AE title")
    allow_calling_ae: str = _setting("", "comma-separated AE titles that may call; empty: any")
    allow_unknown_sop_classes: bool = _setting(
        False, "store SOP classes that the DICOM standard doesn't know"
    )
    allow_delete: bool = _setting(False, "serve DELETE over DICOMweb; deleted files are kept")
    peers: str = _setting(
        "", "file of the AE registry; peers.toml in the archive's directory when not given"
    )
    tls_certificate: str = _setting("", "certificate (PEM) for DICOM over TLS; no TLS without one")
    tls_key: str = _setting("", "its private key (PEM), when the certificate's file has none")
    tls_ca: str = _setting(
        "", "authorities (PEM) by one of which every DICOM client must be certified"
    )
    max_associations: int = _setting(64, "associations at the same time")
    trace: bool = _setting(False, "note every PDU and message, for lab.pdus and lab.messages")
    trusted_proxies: str = _setting(
        "127.0.0.1,::1", "addresses of proxies whose X-Forwarded headers are believed"
    )
    deidentify: str = _setting(
        "", "profile by which all that is received is de-identified before anything is written"
    )
    log_level: str = _setting("info", "debug, info, warning or error")

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[ -\[\]-~]{1,16}", self.ae_title) or not self.ae_title.strip():
            raise UsageError(
                f"AE title {self.ae_title!r}: take 1 to 16 ASCII characters without backslash"
            )
        for name in ("dicom_port", "http_port"):
            if not 0 <= getattr(self, name) <= 65535:
                raise UsageError(f"{_option(name)} is {getattr(self, name)}: take 0 to 65535")
        if self.on_conflict not in set(OnConflict):
            known = ", ".join(OnConflict)
            raise UsageError(f"--on-conflict is {self.on_conflict!r}: take one of {known}")
        if self.deidentify and self.trace:
            raise UsageError(
                "--trace notes UIDs as they arrive, which --deidentify is to make forgotten: leave "
                "one of them out"
            )
        if self.log_level not in {"debug", "info", "warning", "error"}:
            raise UsageError(
                f"--log-level is {self.log_level!r}: take debug, info, warning or error"
            )

    @classmethod
    def from_options(
        cls, options: Mapping[str, Any], environment: Mapping[str, str] = os.environ
    ) -> Self:
        """Settings from options by name (None where not given), the environment, the defaults."""
        values: dict[str, Any] = {}
        for name, kind in get_type_hints(cls).items():
            given = options.get(name)
            text = environment.get(PREFIX + name.upper())
            if given is not None:
                values[name] = given
            elif text is not None:
                values[name] = _parsed(name, kind, text)
        return cls(**values)

    def arguments(self) -> list[str]:
        """The command line that sets these again, the token left out: it would show in ``ps``."""
        words: list[str] = []
        for setting in fields(self):
            value = getattr(self, setting.name)
            if value == setting.default or setting.name == "token":
                continue
            words.append(_option(setting.name))
            if not isinstance(value, bool):
                words.append(str(value))
        return words


def server_directory(text: str) -> Path:
    """The archive's directory as an absolute path."""
    return Path(text).expanduser().absolute()


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def switched(name: str, text: str) -> bool:
    """Whether a variable switches its option on. Raises UsageError for what says neither."""
    if text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    raise UsageError(f"{PREFIX}{name.upper()} is {text!r}: take 1 or 0")


def _parsed(name: str, kind: type, text: str) -> Any:
    if kind is bool:
        return switched(name, text)
    try:
        return kind(text)
    except ValueError:
        raise UsageError(f"{PREFIX}{name.upper()} is {text!r}: take a whole number") from None
