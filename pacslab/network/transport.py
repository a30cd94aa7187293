"""The TCP side of pynetdicom, made prompt and bounded."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from pynetdicom.transport import AssociationSocket

_QUICKACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)
_LONGEST_PDU: Final = 64 << 20  # bytes
_AT_ONCE: Final = 1 << 18
_PDU_TYPES: Final = range(1, 8)
_HEAD: Final = 6  # bytes: type, reserved, length (PS3.8 9.3.1)


Tap = Callable[[bool, "bytes | memoryview"], None]
"""Told every PDU, and whether it was sent by us."""


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
        # What has been read and not yet taken: never resized, since views of it may exist
        self._buffer = memoryview(bytearray(_AT_ONCE))
        self._start = self._stop = 0
        self._failure: OSError | None = None
        self._poll = select.poll()
        self._polled = -2  # no descriptor
        self.received = self.sent = 0  # bytes
        self.tap: Tap | None = None
        super().__init__(association, client_socket=connection)
        self._acknowledge()

    @property
    def ready(self) -> bool:
        """Whether there is something to read; never waits."""
        return self._stop > self._start or bool(super().ready)

    def wait(self, other: socket.socket, seconds: float) -> tuple[bool, bool]:
        """Wait for the peer to say something, or for ``other`` to have something to read.

        Whether it was the peer, or the connection's end, and whether it was the other.
        """
        connection = self.socket
        pending = getattr(connection, "pending", None)  # TLS may have decrypted more than was read
        if self._stop > self._start or (pending is not None and pending()):
            return True, False
        descriptor = -1 if connection is None else connection.fileno()
        if descriptor != self._polled:
            self._poll, self._polled = select.poll(), descriptor
            self._poll.register(other, select.POLLIN)
            if descriptor >= 0:
                self._poll.register(descriptor, select.POLLIN)
        found = {ready for ready, _ in self._poll.poll(seconds * 1000)}
        return descriptor in found, other.fileno() in found

    def pdu(self) -> memoryview | None:
        """The next PDU, whole, as a view that is good until :meth:`take`; waits for all of it.

        None where the connection ends or fails before its end, or its length can't be meant:
        what did come is had with :meth:`recv`.
        """
        try:
            if not self._fill(_HEAD):
                return None
            start = self._start
            if self._buffer[start] not in _PDU_TYPES:
                return None
            length = _HEAD + int.from_bytes(self._buffer[start + 2 : start + _HEAD], "big")
            if length > _LONGEST_PDU or not self._fill(length):
                return None
        except OSError as error:
            self._failure = error
            return None
        pdu = self._buffer[self._start : self._start + length]
        if self.tap is not None:
            self.tap(False, pdu)
        return pdu

    def take(self, length: int) -> None:
        """Let go of the first bytes that were read; views of them are no good any more."""
        self._start += length
        if self._start == self._stop:
            self._start = self._stop = 0

    def recv(self, nr_bytes: int) -> bytearray:
        """Read so many bytes, fewer only at the connection's end.

        Raises OSError when nothing comes in time, or for a PDU of a length that no one can mean.
        """
        if nr_bytes > _LONGEST_PDU:
            raise OSError(f"a PDU of {nr_bytes} bytes is announced")
        self._fill(nr_bytes)
        received = bytearray(self._buffer[self._start : min(self._stop, self._start + nr_bytes)])
        self.take(len(received))
        return received

    def send(self, bytestream: bytes) -> None:
        """Send all of it."""
        self.sent += len(bytestream)
        if self.tap is not None:
            self.tap(True, bytestream)
        super().send(bytestream)
        self._acknowledge()

    def hang_up(self) -> None:
        """Close the connection under whoever still reads from it."""
        if self.socket is not None:
            self._shutdown_socket()

    def _fill(self, length: int) -> bool:
        """Read until so many bytes are there; False when the connection ends before."""
        connection = self.socket
        while self._stop - self._start < length:
            if self._failure is not None:
                raise self._failure
            if connection is None:
                return False
            if self._start + length > len(self._buffer):
                self._make_room(length)
            read = connection.recv_into(self._buffer[self._stop :])
            if not read:
                return False
            self._stop += read
            self.received += read
            self._acknowledge()
        return True

    def _make_room(self, length: int) -> None:
        waiting = bytes(self._buffer[self._start : self._stop])
        if length > len(self._buffer):
            # In steps: a length that is only announced takes no memory
            size = min(length, max(2 * len(waiting), _AT_ONCE))
            if size > len(self._buffer):
                self._buffer = memoryview(bytearray(size))
        self._buffer[: len(waiting)] = waiting
        self._start, self._stop = 0, len(waiting)

    def _acknowledge(self) -> None:
        acknowledge_at_once(self.socket)
