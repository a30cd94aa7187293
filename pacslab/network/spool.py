"""Data sets as they arrive: small ones in memory, large ones in a file that has no name."""

from __future__ import annotations

import io
import mmap
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final

from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import C_STORE_RQ, DIMSEMessage
from pynetdicom.pdu_primitives import P_DATA

from pacslab.dicom.instance import Buffer, file_prefix
from pacslab.dicom.uids import is_uid

_IN_MEMORY: Final = 4 << 20  # bytes; what is longer goes to disk


class Spool(io.BytesIO):
    """A message's data set under construction; of a C-STORE, as a Part 10 file.

    ``head`` gives what stands before the data set. It is asked when the first fragment comes,
    since the command, which decides it, comes before the data set (PS3.7 6.3.1). An error in
    writing is kept in ``error``: the sender is to get a status for it, not an abort. Without a
    ``directory`` all of it stays in memory.
    """

    def __init__(self, head: Callable[[], bytes], directory: Path | None) -> None:
        super().__init__()
        self._head = head
        self._directory = directory
        self._file: IO[bytes] | None = None
        self._spills: bool | None = None
        self.error: OSError | None = None

    def write(self, data: Any, /) -> int:
        """Append a fragment."""
        if self._spills is None:
            head = self._head()
            self._spills = bool(head) and self._directory is not None
            super().write(head)
        if self._file is None and self._spills and self.tell() + len(data) > _IN_MEMORY:
            self._spill()
        if self.error is not None:
            return len(data)
        if self._file is None:
            return super().write(data)
        try:
            return self._file.write(data)
        except OSError as error:
            self._fail(error)
            return len(data)

    def buffer(self) -> Buffer:
        """All of it; mapped when it lies in a file. Raises OSError where writing failed."""
        try:
            if self._file is not None:
                self._file.flush()
        except OSError as error:
            self._fail(error)
        if self.error is not None:
            raise self.error
        if self._file is None:
            return self.getvalue()
        return mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)

    def close(self) -> None:
        """Let go of the memory, or of the file, which is gone then."""
        self._drop()
        super().close()

    def _spill(self) -> None:
        try:
            # Without a name nothing is left behind, whatever happens; beside the archive's
            # files, since a system's directory for temporary files may be memory.
            self._file = tempfile.TemporaryFile(dir=self._directory)  # noqa: SIM115
            self._file.write(self.getbuffer())
        except OSError as error:
            self._fail(error)
        self.seek(0)
        self.truncate()

    def _fail(self, error: OSError) -> None:
        self.error = error
        self._drop()

    def _drop(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):  # a full disk, told already
                file.close()


def head(sop_class: str, instance: str, transfer_syntax: str) -> bytes:
    """What stands before a received data set in its Part 10 file.

    What isn't a UID is refused once the data set has been read.
    """
    named = [uid if is_uid(uid) else "" for uid in (sop_class, instance)]
    return file_prefix(named[0], named[1], transfer_syntax)


class SpoolingProvider(DIMSEServiceProvider):
    """pynetdicom's DIMSE provider, but that no message is held in memory beyond 4 MiB.

    ``_config.STORE_RECV_CHUNKED_DATASET`` would do so too, but for the whole process, with a named
    file for each instance, however small, which stays where an association ends in the midst.
    """

    def __init__(self, association: Any, directory: Path | None) -> None:
        super().__init__(association)
        self._directory = directory

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take the next fragments of a message (PS3.8 annex E)."""
        if self.message is None:
            message = DIMSEMessage()
            message.data_set = Spool(lambda: self._head(message), self._directory)
            self.message = message
        super().receive_primitive(primitive)

    def _head(self, message: DIMSEMessage) -> bytes:
        if not isinstance(message, C_STORE_RQ):
            return b""
        context = self.assoc._accepted_cx.get(message.context_id or 0)
        command = message.command_set
        sop_class, instance = (
            str(command.get(keyword))
            for keyword in ("AffectedSOPClassUID", "AffectedSOPInstanceUID")
        )
        return head(sop_class, instance, str(context.transfer_syntax[0]) if context else "")
