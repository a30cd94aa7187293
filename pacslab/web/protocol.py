"""uvicorn's HTTP/1.1, and the ASGI extension Zero Copy Send (``http.response.zerocopysend``).

A file in the system's memory goes to the connection by sendfile(2) without ever being copied into
this process; through chunks it is copied twice, and each chunk costs the event loop a turn.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from pacslab.web.files import EXTENSION

_Send = Callable[[Any], Awaitable[None]]


class FileProtocol(HttpToolsProtocol):
    """One connection, whose answers may be told to send files."""

    _writable: asyncio.Future[None] | None = None

    def on_message_begin(self) -> None:
        """Tell the application that it may."""
        super().on_message_begin()
        if hasattr(os, "sendfile") and self.scheme == "http":
            self.scope["extensions"] = {EXTENSION: {}}

    def on_headers_complete(self) -> None:
        """Begin an answer; its task hasn't run yet when this returns."""
        super().on_headers_complete()
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and cycle.scope is self.scope and not isinstance(cycle.send, _Sender):
            cycle.send = _Sender(self, cycle)  # type: ignore[method-assign]

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake whoever waits for the connection to take more."""
        super().connection_lost(exc)
        if self._writable is not None:
            _wake(self._writable)

    async def writable(self, descriptor: int) -> None:
        """Wait until a duplicate of the connection's descriptor takes more, or it is lost."""
        loop = asyncio.get_running_loop()
        self._writable = waiting = loop.create_future()
        loop.add_writer(descriptor, _wake, waiting)
        try:
            await waiting
        finally:
            loop.remove_writer(descriptor)
            self._writable = None


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


class _Sender:
    """uvicorn's ``send`` of one answer, and what it doesn't know."""

    def __init__(self, protocol: FileProtocol, cycle: RequestResponseCycle) -> None:
        self._protocol = protocol
        self._cycle = cycle
        self._plain: _Send = cycle.send

    async def __call__(self, message: Any) -> None:
        if message["type"] != EXTENSION:
            await self._plain(message)
            return
        await self._send_file(message["file"], message["offset"], message["count"])
        if not message.get("more_body", False):
            await self._plain({"type": "http.response.body", "body": b""})

    async def _send_file(self, file: int, offset: int, count: int) -> None:
        cycle, transport = self._cycle, self._cycle.transport
        if cycle.chunked_encoding or count > cycle.expected_content_length:
            raise RuntimeError("a file is sent where its length was announced, and not more of it")
        cycle.expected_content_length -= count
        # What the transport still holds goes first
        transport.set_write_buffer_limits(0)
        while transport.get_write_buffer_size() and not cycle.disconnected:
            await asyncio.sleep(0)
            await cycle.flow.drain()
        if cycle.disconnected:
            return
        # uvloop lets nobody wait for a transport's own descriptor; a copy is as good
        connection = os.dup(transport.get_extra_info("socket").fileno())
        try:
            while count and not cycle.disconnected:
                try:
                    sent = os.sendfile(connection, file, offset, count)
                except BlockingIOError:
                    await self._protocol.writable(connection)
                    continue
                except OSError:  # the client has gone; uvicorn learns it by itself
                    transport.abort()
                    cycle.disconnected = True
                    return
                if not sent:
                    raise OSError("a file has become shorter while it was sent")
                offset, count = offset + sent, count - sent
        finally:
            os.close(connection)
        # Others shall have their turn, even when this client never keeps us waiting
        await asyncio.sleep(0)
