"""Bodies in multipart/related (RFC 2387), taken apart as they come in (PS3.18 8.6.1)."""

from __future__ import annotations

import mmap
import re
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import IO, Final, Self

from starlette.concurrency import run_in_threadpool

from pacslab.dicom.instance import Buffer
from pacslab.errors import UsageError

_IN_MEMORY: Final = 4 << 20  # bytes; a longer part goes to disk, in pieces of as much
_HEADERS: Final = 16 << 10  # bytes that the header fields of a part may have
_PREAMBLE: Final = 64 << 10  # bytes before the first part


@dataclass(frozen=True)
class Part:
    """One part: its header fields, with names in lower case, and its bytes, mapped when many."""

    headers: Mapping[str, str]
    data: Buffer


def boundary(content_type: str) -> str:
    """The boundary that a Content-Type names. Raises UsageError when it names none."""
    found = parameters(content_type).get("boundary", "")
    if not 0 < len(found) <= 70:
        raise UsageError("the Content-Type has no boundary: write multipart/related; boundary=...")
    return found


def parameters(content_type: str) -> dict[str, str]:
    """The parameters of a Content-Type, unquoted, with names in lower case."""
    message = Message()
    message["content-type"] = content_type
    return {name.lower(): value for name, value in (message.get_params() or [])[1:]}


async def parts(
    stream: AsyncIterator[bytes], limit: str, directory: Path | None
) -> AsyncIterator[Part]:
    """The parts of a body with the boundary ``limit``, each as soon as it is whole.

    Parts of more than 4 MiB lie in nameless files in ``directory``, so that memory doesn't grow
    with them. Raises UsageError for a body that is no multipart, or breaks off.
    """
    # The first boundary may stand at the very beginning, without a line end before it.
    reader = _Reader(stream, b"\r\n")
    delimiter = b"\r\n--" + limit.encode("ascii", "replace")
    with _Sink(directory) as nowhere:
        await reader.copy_until(delimiter, nowhere, _PREAMBLE)
    while await _another(reader):
        headers = await _header_fields(reader)
        with _Sink(directory) as sink:
            await reader.copy_until(delimiter, sink, None)
            data = await sink.buffer()
        yield Part(headers, data)


async def whole(stream: AsyncIterator[bytes], directory: Path | None) -> Buffer:
    """A body that isn't a multipart; mapped when it has more than 4 MiB."""
    with _Sink(directory) as sink:
        async for chunk in stream:
            await sink.take(chunk)
        return await sink.buffer()


class _Sink:
    """Bytes on their way, in memory while they are few."""

    def __init__(self, directory: Path | None) -> None:
        # Without a name nothing is left behind; beside the archive's files, since a system's
        # directory for temporary files may be memory.
        self._directory = directory
        self._file: IO[bytes] | None = None
        self._held = bytearray()
        self.size = 0

    async def take(self, data: bytes) -> None:
        """The next bytes; to disk in large pieces and by a thread, since a disk may be slow."""
        self._held += data
        self.size += len(data)
        if len(self._held) > _IN_MEMORY and self._directory is not None:
            await run_in_threadpool(self._write)

    async def buffer(self) -> Buffer:
        """All of it; mapped when it is on disk."""
        if self._file is None:
            return bytes(self._held)
        await run_in_threadpool(self._write)
        return mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)

    def _write(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._directory)  # noqa: SIM115
        self._file.write(self._held)
        self._file.flush()
        self._held.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()


class _Reader:
    """The stream with what was read of it and not yet used."""

    def __init__(self, stream: AsyncIterator[bytes], first: bytes) -> None:
        self._stream = stream
        self._held = bytearray(first)

    async def copy_until(self, mark: bytes, sink: _Sink, most: int | None) -> None:
        """Everything before ``mark`` into the sink; the mark itself is used up."""
        while True:
            found = self._held.find(mark)
            if found >= 0:
                await sink.take(bytes(self._held[:found]))
                del self._held[: found + len(mark)]
                return
            # The end of what is held may be the beginning of the mark.
            sure = max(0, len(self._held) - len(mark) + 1)
            await sink.take(bytes(self._held[:sure]))
            del self._held[:sure]
            if most is not None and sink.size > most:
                raise UsageError("no boundary at the beginning of the body: is it a multipart?")
            await self._more()

    async def line(self, most: int) -> bytes:
        """The next line without its end."""
        while (found := self._held.find(b"\r\n")) < 0:
            if len(self._held) > most:
                raise UsageError(f"a part's header fields have more than {most} bytes")
            await self._more()
        text = bytes(self._held[:found])
        del self._held[: found + 2]
        return text

    async def peek(self, number: int) -> bytes:
        """The next bytes, which stay; fewer at the end."""
        while len(self._held) < number:
            try:
                await self._more()
            except UsageError:
                break
        return bytes(self._held[:number])

    async def _more(self) -> None:
        async for chunk in self._stream:
            if chunk:
                self._held += chunk
                return
        raise UsageError("the body breaks off before its last boundary: send it again as a whole")


async def _another(reader: _Reader) -> bool:
    """Whether a part follows the boundary that was just read, and not the end."""
    if await reader.peek(2) == b"--":
        return False
    rest = await reader.line(_HEADERS)
    if rest.strip(b" \t"):
        raise UsageError("a boundary is followed by something else than a line end")
    return True


async def _header_fields(reader: _Reader) -> dict[str, str]:
    found: dict[str, str] = {}
    size = 0
    while line := await reader.line(_HEADERS):
        size += len(line)
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon or not re.fullmatch(r"[!-9;-~]+", name) or size > _HEADERS:
            raise UsageError("a part has header fields that aren't any: 'Name: value' and CRLF")
        found[name.lower()] = value.strip()
    return found
