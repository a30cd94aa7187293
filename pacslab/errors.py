"""Every error that pacslab raises on purpose.

One class a failure. Each carries what the network answers when it happens: ``http_status`` for
DICOMweb (PS3.18) and ``dimse_status`` for DIMSE (PS3.4 and PS3.7 annex C). The message is for a
person: what is wrong, and what to do about it.
"""

from __future__ import annotations


class PacslabError(Exception):
    """The base of every error that pacslab raises on purpose."""

    http_status = 500
    dimse_status = 0x0110  # Processing failure (PS3.7 C.5.5)
    code = "error"
    exit_code = 1  # of the command line: 2 where the command itself can't be meant

    @property
    def message(self) -> str:
        """What is wrong and what to do about it, in one line."""
        return " ".join(str(self).split())


class UsageError(PacslabError):
    """A call, option or argument that can't be meant as it stands."""

    http_status = 400
    exit_code = 2
    code = "usage"


# --- what is received -----------------------------------------------------------------------


class RefusedError(PacslabError):
    """An instance that can't be stored; nothing of it is in the archive but its quarantine."""

    http_status = 409
    dimse_status = 0xC000  # Cannot understand (PS3.4 B.2.3)
    code = "refused"


class NotDicomError(RefusedError):
    """Bytes that no DICOM data set can be read from."""

    code = "not-dicom"


class InvalidUIDError(RefusedError):
    """A UID that is missing or isn't one (PS3.5 9.1), so that no path may be made of it."""

    code = "invalid-uid"


class MismatchError(RefusedError):
    """What was announced and what is in the data set differ."""

    dimse_status = 0xA900  # Data Set does not match SOP Class (PS3.4 B.2.3)
    code = "mismatch"


class ConflictError(RefusedError):
    """The SOP Instance UID is in the archive already, with other content."""

    dimse_status = 0x0111  # Duplicate SOP Instance (PS3.7 C.5.8)
    code = "conflict"


class DeidentificationError(RefusedError):
    """An instance that can't be de-identified as the profile asks; its message quotes nothing."""

    dimse_status = 0x0110  # Processing failure (PS3.7 C.5.5)
    code = "not-deidentified"


class GateError(PacslabError):
    """An export that the archive's gate is closed to."""

    http_status = 403
    code = "gate"


class OutOfResourcesError(PacslabError):
    """No room: the disk is full or the archive can't be written to."""

    http_status = 507
    dimse_status = 0xA700  # Refused: Out of Resources (PS3.4 B.2.3)
    code = "out-of-resources"


# --- what is asked --------------------------------------------------------------------------


class QueryError(PacslabError):
    """A question that the standard or the index doesn't know."""

    http_status = 400
    dimse_status = 0xA900  # Identifier does not match SOP Class (PS3.4 C.4.1.1.4)
    exit_code = 2
    code = "query"


class ForbiddenError(PacslabError):
    """What the server could do, but was not allowed to when it was started."""

    http_status = 403
    dimse_status = 0x0124  # Not authorized (PS3.7 C.5.24)
    code = "forbidden"


class NotFoundError(PacslabError):
    """No such study, series, instance or frame in the archive."""

    http_status = 404
    code = "not-found"


class NotAcceptableError(PacslabError):
    """The client accepts only what can't be had (PS3.18 8.7)."""

    http_status = 406
    code = "not-acceptable"


class UnsupportedMediaTypeError(PacslabError):
    """A body whose media type the service doesn't take (PS3.18 10.5)."""

    http_status = 415
    code = "unsupported-media-type"


class PixelError(PacslabError):
    """Pixels that can't be decoded, shown or encoded."""

    http_status = 500
    code = "pixels"


class SQLError(PacslabError):
    """A cohort query with a mistake in it."""

    http_status = 400
    exit_code = 2
    code = "sql"


# --- the archive and its server -------------------------------------------------------------


class ArchiveError(PacslabError):
    """A directory that isn't an archive, or can't be used as one."""

    exit_code = 2
    code = "archive"


class SchemaError(ArchiveError):
    """An index of another version of pacslab."""

    exit_code = 1
    code = "schema"


class OldSchemaError(SchemaError):
    """An index of an older version; the files make a new one."""


class DamagedError(ArchiveError):
    """An index that can't be read any more; the files can, and make a new one."""

    exit_code = 1
    code = "damaged"


class ServerError(PacslabError):
    """The server process can't start, or doesn't answer."""

    code = "server"


class ServerRunningError(ServerError):
    """Another server runs on this archive already."""

    code = "server-running"


class PortInUseError(ServerError):
    """Another process holds the port."""

    code = "port-in-use"


class UnauthorizedError(PacslabError):
    """A request without the token, or with a wrong one."""

    http_status = 401
    dimse_status = 0x0124  # Not authorized (PS3.7 C.5.24)
    code = "unauthorized"


class NetworkError(PacslabError):
    """A DICOM peer can't be reached, or answers with a failure."""

    http_status = 502
    code = "network"


class DemoDataError(PacslabError):
    """Demo data that isn't here and can't be fetched."""

    code = "demo-data"
