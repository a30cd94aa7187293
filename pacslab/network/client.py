"""DICOM networking as SCU: C-ECHO and C-STORE to any peer (PS3.4 A and B)."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NoReturn

from pynetdicom.association import Association
from pynetdicom.presentation import build_context
from tqdm.auto import tqdm

from pacslab.errors import NetworkError, PacslabError, UsageError
from pacslab.network.contexts import VERIFICATION
from pacslab.network.outbox import Letter, Sendable, bundles, collect
from pacslab.network.requestor import Identity, NothingAcceptedError, associated
from pacslab.network.sending import Delivery, LostError, deliver, paused
from pacslab.network.tls import Security

CALLING: Final = "PACSLAB"
_PEER: Final = re.compile(
    r"(?P<aet>[^@\\]{1,16})@(?P<host>\[[0-9a-fA-F:.%]+\]|[^@:/\s]+):(?P<port>\d+)"
)
_LOSSES: Final = 3  # associations in a row that end without an answer, before giving up


@dataclass(frozen=True, slots=True)
class EchoResult:
    """A peer's answer to C-ECHO: how long it took (s, association included), and who it is."""

    ae_title: str
    host: str
    port: int
    seconds: float
    implementation_class_uid: str
    implementation_version_name: str
    maximum_pdu: int


@dataclass(frozen=True, slots=True)
class SendResult:
    """What became of one file.

    ``status`` is the peer's as in "0x0000", empty when none came; ``comment`` its meaning and the
    peer's Error Comment, or why the file wasn't sent. ``ok``: the peer has it (success, or a
    warning).
    """

    path: str
    SOPClassUID: str
    SOPInstanceUID: str
    status: str
    comment: str
    ok: bool


def parse_peer(text: str) -> tuple[str, str, int]:
    """AE title, host and port of ``AET@host:port``; an IPv6 address stands in brackets.

    Raises UsageError.
    """
    found = _PEER.fullmatch(text.strip())
    if found is None or not found["aet"].strip() or not 0 < int(found["port"]) <= 65535:
        raise UsageError(f"{text!r} isn't a DICOM node: write AET@host:port, as PACS@10.0.0.7:104")
    return found["aet"].strip(), found["host"].strip("[]"), int(found["port"])


def echo(
    host: str,
    port: int,
    *,
    ae_title: str,
    calling_ae_title: str = CALLING,
    timeout: float = 30,
    security: Security | None = None,
    identity: Identity | None = None,
) -> EchoResult:
    """Ask a peer whether it answers (PS3.7 9.1.5); ``timeout`` in s.

    Raises NetworkError with the reason when it doesn't, UsageError for what is no AE title.
    """
    started = time.monotonic()
    contexts = [build_context(VERIFICATION)]
    with associated(
        host,
        port,
        contexts,
        ae_title=ae_title,
        calling_ae_title=calling_ae_title,
        timeout=timeout,
        security=security,
        identity=identity,
    ) as association:
        status = association.send_c_echo()
        if "Status" not in status:
            raise NetworkError(
                f"{ae_title} at {host}, port {port} took the association but didn't answer C-ECHO "
                f"within {timeout:g} s"
            )
        if status.Status != 0:
            raise NetworkError(
                f"{ae_title} at {host}, port {port} answered C-ECHO with 0x{status.Status:04X}"
            )
        peer = association.acceptor
        return EchoResult(
            ae_title,
            host,
            port,
            time.monotonic() - started,
            str(peer.implementation_class_uid or ""),
            str(peer.implementation_version_name or ""),
            int(peer.maximum_length or 0),
        )


def send(
    things: Iterable[Sendable] | Sendable,
    host: str,
    port: int,
    *,
    ae_title: str,
    calling_ae_title: str = CALLING,
    timeout: float = 60,
    security: Security | None = None,
    identity: Identity | None = None,
    progress: bool = True,
) -> list[SendResult]:
    """Send files, folders (any extension, zip files too), Part 10 bytes or data sets by C-STORE.

    Files go in the transfer syntax they have, without being decoded, where the peer accepts it;
    else as Explicit or Implicit VR Little Endian. A result for each file, in order, whatever
    becomes of it: what isn't DICOM is one of them. ``timeout`` (s) holds for each answer. Raises
    NetworkError when the peer can't be had at all, UsageError for a path that doesn't exist. When
    interrupted, what was answered is there, and sending it all again does no harm.
    """
    letters = list(tqdm(collect(things), desc="reading", unit="file", disable=not progress))
    results: dict[int, SendResult] = {
        i: _unsent(letter, letter.error) for i, letter in enumerate(letters) if letter.error
    }
    with tqdm(total=len(letters), desc="sending", unit="file", disable=not progress) as bar:
        bar.update(len(results))
        for bundle in bundles(letters):
            left = list(bundle.numbers)
            losses = 0
            while left:
                before = len(left)
                try:
                    with associated(
                        host,
                        port,
                        bundle.contexts,
                        ae_title=ae_title,
                        calling_ae_title=calling_ae_title,
                        timeout=timeout,
                        security=security,
                        identity=identity,
                    ) as association:
                        _send_all(association, letters, left, results, bar)
                except NothingAcceptedError as error:
                    _give_up(letters, left, results, error)
                except LostError as error:
                    number = left.pop(0)
                    results[number] = _unsent(letters[number], error.message)
                    bar.update()
                    losses = 1 if before - len(left) > 1 else losses + 1
                    if losses == _LOSSES:
                        _give_up(letters, left, results, error)
                except NetworkError as error:
                    if not any(r.status for r in results.values()) and not losses:
                        raise
                    _give_up(letters, left, results, error)
    return [results[i] for i in range(len(letters))]


def _send_all(
    association: Association,
    letters: list[Letter],
    left: list[int],
    results: dict[int, SendResult],
    bar: tqdm[NoReturn],
) -> None:
    """Send what is left, each taken off once its result is known. Raises LostError."""
    with paused(association):
        while left:
            number = left[0]
            letter = letters[number]
            try:
                results[number] = _result(letter, deliver(association, letter))
            except LostError:
                raise
            except (PacslabError, OSError) as error:
                results[number] = _unsent(letter, str(error))
            left.pop(0)
            bar.update()


def _result(letter: Letter, delivery: Delivery) -> SendResult:
    return SendResult(
        letter.name,
        letter.sop_class_uid,
        letter.sop_instance_uid,
        f"0x{delivery.status:04X}",
        delivery.comment,
        delivery.ok,
    )


def _unsent(letter: Letter, why: str) -> SendResult:
    return SendResult(letter.name, letter.sop_class_uid, letter.sop_instance_uid, "", why, False)


def _give_up(
    letters: list[Letter], left: list[int], results: dict[int, SendResult], error: PacslabError
) -> None:
    for number in left:
        results[number] = _unsent(letters[number], f"not sent: {error.message}")
    left.clear()
