"""An association of ours with a peer: had, or the reason why it can't be (PS3.8 9.3)."""

from __future__ import annotations

import queue
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

from pynetdicom import evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import A_ASSOCIATE, UserIdentityNegotiation
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AddressInformation, AssociationSocket

from pacslab.dicom.instance import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from pacslab.errors import NetworkError, UsageError
from pacslab.network.tls import Security
from pacslab.network.transport import acknowledge_at_once, send_at_once

_REJECTED: Final = (1, 2)  # for good, for now (PS3.8 table 9-21)

# Source and diagnostic of a rejection (PS3.8 table 9-21) for which there is something to do
_REMEDIES: Final = {
    (1, 3): "it doesn't know the calling AE title {calling}: have it registered there, or call "
    "under another",
    (2, 1): "it gives no reason; user name and password may be wrong, or missing",
    (1, 7): "its AE title isn't {called}: ask for the right one",
    (3, 1): "it is congested: try again later",
    (3, 2): "it has as many associations as it takes: try again later",
}


class NothingAcceptedError(NetworkError):
    """The peer took the association, but none of the presentation contexts."""

    code = "nothing-accepted"


class _Socket(AssociationSocket):
    """Acknowledges at once: a peer that leaves Nagle on holds the end of each answer back else."""

    def recv(self, nr_bytes: int) -> bytearray:
        """Read so many bytes."""
        received = super().recv(nr_bytes)
        acknowledge_at_once(self.socket)
        return received

    def send(self, bytestream: bytes) -> None:
        """Send all of it."""
        super().send(bytestream)
        acknowledge_at_once(self.socket)


class _Entity(ApplicationEntity):
    """An application entity whose associations have such sockets."""

    def _create_socket(
        self, assoc: Association, address: AddressInformation, tls_args: Any
    ) -> AssociationSocket:
        made = _Socket(assoc, address=address)
        made.tls_args = tls_args
        return made


@dataclass(frozen=True, slots=True)
class Identity:
    """A user's name and password, for peers that ask who calls (PS3.7 D.3.3.7)."""

    user: str
    password: str = field(default="", repr=False)

    def item(self) -> UserIdentityNegotiation:
        """As it is negotiated."""
        made = UserIdentityNegotiation()
        made.user_identity_type = 2 if self.password else 1
        made.primary_field = self.user.encode()
        if self.password:
            made.secondary_field = self.password.encode()
        return made


@contextmanager
def associated(
    host: str,
    port: int,
    contexts: Sequence[PresentationContext],
    *,
    ae_title: str,
    calling_ae_title: str,
    timeout: float,
    security: Security | None = None,
    identity: Identity | None = None,
    negotiation: Sequence[Any] = (),
    handlers: Sequence[Any] = (),
) -> Iterator[Association]:
    """An established association, released in the end, aborted after an exception.

    With ``security`` over TLS; ``identity`` tells who we are; ``negotiation`` has further items
    (PS3.7 D.3.3), ``handlers`` pynetdicom's events. ``timeout`` (s) holds for connecting and for
    each answer. Raises UsageError for AE titles that aren't any, NothingAcceptedError, and
    NetworkError for each other way in which it can fail.
    """
    association = _associate(
        host,
        port,
        contexts,
        called=ae_title,
        calling=calling_ae_title,
        timeout=timeout,
        security=security,
        negotiation=[*negotiation, *([identity.item()] if identity else [])],
        handlers=handlers,
    )
    try:
        yield association
    except BaseException:
        end(association, abort=True)
        raise
    end(association)


def end(association: Association, *, abort: bool = False) -> None:
    """Release or abort; nothing, where the peer has ended it already."""
    association._reactor_checkpoint.set()
    if association.acse.is_aborted():
        association.join(2)
    elif association.is_established:
        if abort:
            association.abort()
        else:
            association.release()


def _associate(
    host: str,
    port: int,
    contexts: Sequence[PresentationContext],
    *,
    called: str,
    calling: str,
    timeout: float,
    security: Security | None,
    negotiation: Sequence[Any],
    handlers: Sequence[Any],
) -> Association:
    try:
        ae = _Entity(calling)
        ae.connection_timeout = ae.acse_timeout = ae.dimse_timeout = timeout
        ae.network_timeout = None  # the others say already how long to wait
        ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        connected: list[bool] = []
        started = time.monotonic()
        association = ae.associate(
            host,
            port,
            contexts=list(contexts),
            ae_title=called,
            ext_neg=list(negotiation),
            tls_args=(security.client_context(), host) if security else None,
            evt_handlers=[(evt.EVT_CONN_OPEN, _on_connection, [connected]), *handlers],
        )
    except (ValueError, TypeError) as error:
        raise UsageError(f"AE titles {called!r}, {calling!r}: {error}") from error
    except OSError as error:
        raise NetworkError(f"{host} isn't known: {error.strerror or error}") from error
    if association.is_established:
        return association
    peer = f"{called} at {host}, port {port}"
    answer = association.acceptor.primitive or _unread(association)
    if not connected:
        raise _unreachable(host, port, timeout, security is not None)
    if answer is not None and answer.result in _REJECTED:
        why = _REMEDIES.get((answer.result_source or 0, answer.diagnostic or 0), answer.reason_str)
        why = why.format(called=called, calling=calling)
        raise NetworkError(f"{peer} rejected the association: {why}")
    if answer is not None and answer.result == 0:
        raise NothingAcceptedError(f"{peer} accepted none of the presentation contexts")
    if time.monotonic() - started >= timeout:
        raise NetworkError(
            f"{peer} is connected but didn't answer within {timeout:g} s: is it a DICOM port?"
        )
    raise NetworkError(f"{peer} aborted the association, or hung up: is it a DICOM port?")


def _unread(association: Association) -> A_ASSOCIATE | None:
    """The answer that pynetdicom didn't read, or None.

    A rejection may have come and the connection be closed before its thread looks whether there
    is one: it believes then that there never was.
    """
    with suppress(queue.Empty):
        while True:
            primitive = association.dul.to_user_queue.get(block=False)
            if isinstance(primitive, A_ASSOCIATE):
                return primitive
    return None


def _on_connection(event: evt.Event, connected: list[bool]) -> None:
    connected.append(True)
    wrapped = event.assoc.dul.socket
    if wrapped is not None and wrapped.socket is not None:
        send_at_once(wrapped.socket)


def _unreachable(host: str, port: int, timeout: float, secured: bool) -> NetworkError:
    """Why there was no connection: pynetdicom keeps it to itself, so that we look again."""
    try:
        socket.create_connection((host, port), timeout).close()
    except TimeoutError:
        why = f"no answer within {timeout:g} s: check address, network and firewall"
    except ConnectionRefusedError:
        why = "connection refused: nothing listens there. Check the port, and that it runs"
    except OSError as error:
        why = error.strerror or str(error)
    else:
        why = "the connection failed: try again"
        if secured:
            why = "TLS can't be agreed on: is it a TLS port, and are both certificates believed?"
    return NetworkError(f"{host}, port {port}: {why}")
