"""C-STORE as SCP (PS3.4 B.2, PS3.7 9.1.1): what arrived goes to the archive, its answer back."""

from __future__ import annotations

import logging
import mmap
import re
import traceback
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from pacslab.archive import Archive, Status
from pacslab.archive.files import no_room
from pacslab.dicom.instance import Buffer
from pacslab.errors import PacslabError
from pacslab.network.spool import Spool

log = logging.getLogger(__name__)

SUCCESS: Final = 0x0000
PROCESSING_FAILURE: Final = 0x0110
SOP_CLASS_NOT_SUPPORTED: Final = 0x0122
NOT_AUTHORIZED: Final = 0x0124
OUT_OF_RESOURCES: Final = 0xA700

_LONG_UID: Final = re.compile(r"[0-9]+(\.[0-9]+){3,}")
_LO: Final = 64  # characters, at most (PS3.5 6.2)


@dataclass(frozen=True, slots=True)
class Answer:
    """A C-STORE response: Status (0000,0900) and Error Comment (0000,0902), empty on success."""

    status: int
    comment: str = ""
    new: bool = False  # stored now, not before


def store(archive: Archive, spool: Spool, announced: tuple[str, str], source: str) -> Answer:
    """Store a received instance and say what became of it; never raises.

    Success means that the archive has it for good: just now, or already before.
    """
    data: Buffer | None = None
    # A UID as it arrived may be what is to be forgotten
    shown = "an instance" if archive.confidential else announced[1]
    try:
        data = spool.buffer()
        receipt = archive.add(data, source=source, announced=announced)
    except OSError as error:
        return refusal(no_room(error, archive.directory))
    except PacslabError as error:
        return refusal(error)
    except Exception as error:
        # Its text may quote the data set, and with it the patient: it isn't logged.
        where = "".join(traceback.format_tb(error.__traceback__))
        log.error("C-STORE of %s failed: %s\n%s", shown, type(error).__name__, where)
        return Answer(PROCESSING_FAILURE, "internal error: see the server's log")
    finally:
        spool.close()
        if isinstance(data, mmap.mmap):
            with suppress(BufferError):  # whoever still looks at it lets go of it later
                data.close()
    if receipt.error is not None:
        log.warning("refused %s, %s: %s", shown, source, receipt.reason)
        return refusal(receipt.error)
    return Answer(SUCCESS, new=receipt.status is Status.STORED)


def refusal(error: PacslabError) -> Answer:
    """The response for an error that says its own status."""
    return Answer(error.dimse_status, error_comment(error.message))


def error_comment(text: str) -> str:
    """A reason as an Error Comment: ASCII, 64 characters, no UIDs (the sender knows them)."""
    plain = _LONG_UID.sub("UID", text).encode("ascii", "replace").decode("ascii")
    plain = " ".join(plain.replace("\\", "/").split())
    return plain if len(plain) <= _LO else plain[: _LO - 3] + "..."
