"""The TCP side of pynetdicom, made prompt and bounded."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any, Final

from pynetdicom.transport import AssociationSocket

_QUICKACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)
_LONGEST_PDU: Final = 64 << 20  # bytes
_AT_ONCE: Final = 1 << 18


def send_at_once(connection: socket.socket) -> None:
    """Switch Nagle's algorithm off: no message of ours waits for an acknowledgement."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def acknowledge_at_once(connection: socket.socket | None) -> None:
    """Have what was received acknowledged now; Linux forgets this wish again and again (tcp(7))."""
    if _QUICKACK is not None and connection is not None:
        with suppress(OSError):  # closed meanwhile
            connection.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)


class PromptSocket(AssociationSocket):
    """An accepted connection that acknowledges at once and reads in large pieces.

    A sender that leaves Nagle's algorithm on holds the end of each data set back until what came
    before is acknowledged, which the system delays by 40 ms. Linux drops the wish not to wait
    again and again (tcp(7)), so that it is renewed at every turn of the conversation.
    """

    def __init__(self, association: Any, connection: socket.socket, timeout: float) -> None:
        # A peer that stops in the midst of a PDU must not hold its thread for ever.
        connection.settimeout(timeout)
        send_at_once(connection)
        super().__init__(association, client_socket=connection)
        self._acknowledge()

    def recv(self, nr_bytes: int) -> bytearray:
        """Read so many bytes, fewer only at the connection's end.

        Raises OSError when nothing comes in time, or for a PDU of a length that no one can mean.
        """
        if nr_bytes > _LONGEST_PDU:
            raise OSError(f"a PDU of {nr_bytes} bytes is announced")
        connection = self.socket
        received = bytearray()
        while connection is not None and len(received) < nr_bytes:
            part = connection.recv(min(nr_bytes - len(received), _AT_ONCE))
            if not part:
                break
            received += part
            self._acknowledge()
        return received

    def send(self, bytestream: bytes) -> None:
        """Send all of it."""
        super().send(bytestream)
        self._acknowledge()

    def hang_up(self) -> None:
        """Close the connection under whoever still reads from it."""
        if self.socket is not None:
            self._shutdown_socket()

    def _acknowledge(self) -> None:
        acknowledge_at_once(self.socket)
