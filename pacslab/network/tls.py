"""TLS for DICOM (PS3.15 B.12, BCP 195): what secures our side, and what it asks of the other."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pacslab.errors import UsageError


@dataclass(frozen=True, slots=True)
class Security:
    """Certificate and key that we show, and the authorities whose certificates we believe (PEM).

    As a server: with ``authorities`` every client needs a certificate of theirs (mutual TLS). As a
    client: without them the system's are believed; ``certificate`` is shown to who asks for one.
    """

    certificate: Path | None = None
    key: Path | None = None
    authorities: Path | None = None

    def server_context(self) -> ssl.SSLContext:
        """For our listener: TLS 1.2 and later. Raises UsageError for files that aren't right."""
        if self.certificate is None:
            raise UsageError("TLS needs a certificate: give --tls-certificate (and --tls-key)")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._load(context)
        if self.authorities is not None:
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def client_context(self) -> ssl.SSLContext:
        """For associations of ours. Raises UsageError for files that aren't right."""
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.authorities is not None:
            # Only these are believed. Nodes are known by address, which certificates of
            # hospitals seldom name: who holds one of this authority is let in (PS3.15 B.1).
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.check_hostname = False
        self._load(context)
        return context

    def _load(self, context: ssl.SSLContext) -> None:
        try:
            if self.authorities is not None:
                context.load_verify_locations(self.authorities)
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            shown = ", ".join(str(f) for f in (self.certificate, self.key, self.authorities) if f)
            why = error.strerror or getattr(error, "reason", "") or str(error)
            raise UsageError(f"TLS files {shown}: {why}; PEM files are needed") from error


def accepted(
    connection: socket.socket, context: ssl.SSLContext, timeout: float
) -> ssl.SSLSocket | None:
    """The connection secured, within ``timeout`` s; None, and closed, where that fails."""
    connection.settimeout(timeout)
    try:
        return context.wrap_socket(connection, server_side=True)
    except OSError:
        with suppress(OSError):
            connection.close()
        return None
