"""A DICOM node as seen from here: where it is, how it is called, and how we say who we are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Self

from pydicom.dataset import Dataset
from pynetdicom import _config
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation
from pynetdicom.presentation import PresentationContext
from pynetdicom.status import (
    QR_FIND_SERVICE_CLASS_STATUS,
    QR_GET_SERVICE_CLASS_STATUS,
    QR_MOVE_SERVICE_CLASS_STATUS,
)

from pacslab.errors import NetworkError
from pacslab.network.client import CALLING, parse_peer
from pacslab.network.requestor import Identity, associated
from pacslab.network.sending import _loss
from pacslab.network.tls import Security

# pynetdicom logs every identifier in full, with the names of patients
_config.LOG_REQUEST_IDENTIFIERS = False
_config.LOG_RESPONSE_IDENTIFIERS = False

FIND: Mapping[int, tuple[str, str]] = QR_FIND_SERVICE_CLASS_STATUS
GET: Mapping[int, tuple[str, str]] = QR_GET_SERVICE_CLASS_STATUS
MOVE: Mapping[int, tuple[str, str]] = QR_MOVE_SERVICE_CLASS_STATUS


@dataclass(frozen=True)
class Node:
    """A peer: AE title and address, the title we call by, and what secures the association.

    ``timeout`` (s) holds for connecting and for each answer.
    """

    ae_title: str
    host: str
    port: int
    calling_ae_title: str = CALLING
    timeout: float = 60.0
    security: Security | None = None
    identity: Identity | None = None

    @classmethod
    def parse(cls, text: str, **options: Any) -> Self:
        """The node of ``AET@host:port``. Raises UsageError."""
        return cls(*parse_peer(text), **options)

    @property
    def options(self) -> dict[str, Any]:
        """All but host and port, as keyword arguments of an association."""
        return {
            "ae_title": self.ae_title,
            "calling_ae_title": self.calling_ae_title,
            "timeout": self.timeout,
            "security": self.security,
            "identity": self.identity,
        }

    def associated(
        self,
        contexts: Sequence[PresentationContext],
        *,
        negotiation: Sequence[Any] = (),
        handlers: Sequence[Any] = (),
    ) -> AbstractContextManager[Association]:
        """An association with it; see :func:`requestor.associated`. Raises NetworkError."""
        return associated(
            self.host,
            self.port,
            contexts,
            negotiation=negotiation,
            handlers=handlers,
            **self.options,
        )

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.ae_title}@{host}:{self.port}"


def relational(sop_class_uid: str, length: int = 1) -> SOPClassExtendedNegotiation:
    """The item that asks for relational queries or retrieval (PS3.4 C.5.1.1, C.5.2.1)."""
    item = SOPClassExtendedNegotiation()
    item.sop_class_uid = sop_class_uid
    item.service_class_application_information = b"\x01" + bytes(length - 1)
    return item


def told(
    node: Node,
    association: Association,
    status: Dataset,
    meanings: Mapping[int, tuple[str, str]],
) -> str:
    """What a failure says: its status, what that means, and the peer's own comment.

    Raises NetworkError where there is no status, since no answer came.
    """
    if "Status" not in status:
        raise NetworkError(f"{node}: {_loss(association)}")
    code = int(status.Status)
    meaning = meanings.get(code, ("", ""))[1]
    comment = str(status.get("ErrorComment", ""))
    return ": ".join(x for x in (f"0x{code:04X}", meaning, comment) if x)
