"""The DICOM listener: takes connections and makes associations of them."""

from __future__ import annotations

import logging
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, Self

from pynetdicom.ae import ApplicationEntity

from pacslab.archive import Archive
from pacslab.archive.journal import Journal
from pacslab.dicom.instance import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from pacslab.network.associations import IncomingAssociation, Service
from pacslab.network.ports import port_in_use
from pacslab.network.provider import Provider
from pacslab.network.registry import NAME, Registry
from pacslab.network.summary import AssociationSummary
from pacslab.network.tls import Security, accepted

log = logging.getLogger(__name__)

_MAXIMUM_PDU: Final = 128 << 10  # bytes; no sender known makes larger ones
_BACKLOG: Final = 128
_IDLE: Final = 120.0
_HANDSHAKE: Final = 30.0  # s


class DicomListener:
    """A DICOM node over an archive: every service of this package as SCP (PS3.4).

    Port 0 takes a free one. ``require_called_ae`` rejects who calls another title than ours,
    ``calling_ae_titles`` who calls himself otherwise than named there (PS3.8 table 9-21). Titles
    are no protection: any caller can take any. ``network_timeout`` (s) ends associations in which
    nothing happens. ``registry`` says who may do what and where C-MOVE may send, a file in the
    archive's directory by default; with ``security`` everything goes over TLS, whose certificate
    C-MOVE shows too. ``on_association`` gets each association that has ended, in its own thread.
    Each is noted in the ``journal``, and with ``trace`` every PDU and message of it.
    """

    def __init__(
        self,
        archive: Archive,
        *,
        ae_title: str = "PACSLAB",
        host: str = "127.0.0.1",
        port: int = 11112,
        require_called_ae: bool = False,
        calling_ae_titles: Iterable[str] | None = None,
        allow_unknown_sop_classes: bool = False,
        max_associations: int = 50,
        network_timeout: float = _IDLE,
        registry: Registry | None = None,
        security: Security | None = None,
        on_association: Callable[[AssociationSummary], None] | None = None,
        journal: Journal | None = None,
        trace: bool = False,
    ) -> None:
        self.ae_title = ae_title
        self._host = host
        self._wanted_port = port
        self._ae = ApplicationEntity(ae_title)
        self._ae.require_called_aet = require_called_ae
        self._ae.require_calling_aet = list(calling_ae_titles or ())
        self._ae.maximum_associations = max_associations
        self._ae.maximum_pdu_size = _MAXIMUM_PDU
        self._ae.network_timeout = network_timeout
        self._ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        self._ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        self._tls = security.server_context() if security is not None else None
        stopping = threading.Event()
        provider = Provider(
            archive,
            registry or Registry(archive.directory / NAME),
            ae_title,
            security=security,
            stopping=stopping,
        )
        self._service = Service(
            archive,
            network_timeout,
            allow_unknown_sop_classes,
            on_association,
            provider,
            stopping,
            threading.Event(),
            journal,
            trace,
        )
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen; returns once connections are taken.

        Raises PortInUseError with the process that holds the port, ServerError for an address
        that can't be had. A listener is started once.
        """
        try:
            self._server = _Server(self._host, self._wanted_port, self._welcome)
        except OSError as error:
            raise port_in_use(self._host, self._wanted_port, error) from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="dicom-listener", daemon=True
        )
        self._thread.start()
        self._service.provider.resume()
        log.info("%s listens on %s, port %d", self.ae_title, *self.address)

    def stop(self, timeout: float = 10.0) -> None:
        """Take no more connections, let running C-STOREs end, abort the rest; within ``timeout`` s.

        What was answered with success is stored; what wasn't answered, its sender has to send
        again. May be called again.
        """
        deadline = time.monotonic() + timeout
        server, self._server = self._server, None
        self._service.stopping.set()
        if server is not None:
            server.shutdown()
            server.server_close()
        endings = [
            threading.Thread(target=a.finish, args=(deadline - 0.5,), daemon=True)
            for a in self._associations()
        ]
        for ending in endings:
            ending.start()
        for ending in endings:
            ending.join(max(0.0, deadline - time.monotonic()))
        self._service.closed.set()
        left = sum(a.serving for a in self._associations())
        if left:
            log.warning("%d C-STOREs had not ended in time", left)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens: host and port."""
        if self._server is None:
            return self._host, self._wanted_port
        name: tuple[Any, ...] = self._server.socket.getsockname()
        return str(name[0]), int(name[1])

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self.address[1]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _associations(self) -> list[IncomingAssociation]:
        return [a for a in self._ae.active_associations if isinstance(a, IncomingAssociation)]

    def _welcome(self, connection: socket.socket, peer: tuple[Any, ...]) -> None:
        if len(self._associations()) > 2 * self._ae.maximum_associations:
            # Too many even to be told so in DICOM
            connection.close()
            return
        if self._tls is not None:
            # The handshake waits for the other side: not here, where the next ones wait for us
            threading.Thread(
                target=self._secure, args=(self._tls, connection, peer), daemon=True
            ).start()
            return
        IncomingAssociation(self._ae, self._service, connection, peer).start()

    def _secure(
        self, context: ssl.SSLContext, connection: socket.socket, peer: tuple[Any, ...]
    ) -> None:
        secured = accepted(connection, context, _HANDSHAKE)
        if secured is None:
            log.warning("no TLS with %s: the handshake failed", peer[0])
        else:
            IncomingAssociation(self._ae, self._service, secured, peer).start()


class _Server(socketserver.TCPServer):
    """Accepts connections and hands them on; nothing else."""

    allow_reuse_address = True
    request_queue_size = _BACKLOG

    def __init__(
        self, host: str, port: int, welcome: Callable[[socket.socket, tuple[Any, ...]], None]
    ) -> None:
        self._welcome = welcome
        family, _, _, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        self.address_family = family
        super().__init__(address[:2], socketserver.BaseRequestHandler)  # type: ignore[arg-type]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Make an association of a connection, which closes it in the end."""
        self._welcome(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log that a connection could not be taken; the next may."""
        log.exception("a connection from %s could not be taken", client_address[0])
