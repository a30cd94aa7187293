"""C-MOVE and C-GET as SCP: what comes, in which syntax, the counts, and each status."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    MRImageStorage,
)
from pynetdicom import AE, build_role, evt

from pacslab.archive import Archive
from pacslab.errors import OutOfResourcesError
from pacslab.network.contexts import (
    PATIENT_ROOT_GET,
    PATIENT_ROOT_MOVE,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
)
from pacslab.network.registry import Peer, Registry
from tests.conftest import dicom_file
from tests.making import item
from tests.network.conftest import HOST, Node, data_set, run, storescp
from tests.network.test_find import STUDY_A, STUDY_B, fill

ALL_OF_A = {"1.2.3.1.1.1", "1.2.3.1.1.2", "1.2.3.1.2.1"}


@dataclass
class Destination:
    """A storage SCP that takes down what comes; ``answer`` gives its status for each instance."""

    port: int
    received: dict[str, bytes] = field(default_factory=dict)
    requests: list[Any] = field(default_factory=list)
    syntaxes: list[str] = field(default_factory=list)
    answer: Callable[[int], int] = lambda _: 0


@contextmanager
def destination(
    *syntaxes: str, classes: tuple[str, ...] = (CTImageStorage,)
) -> Iterator[Destination]:
    ae = AE("DEST")
    for uid in classes:
        ae.add_supported_context(uid, list(syntaxes) or [ExplicitVRLittleEndian])

    def handle(event: evt.Event) -> int:
        number = len(there.requests)
        there.requests.append(event.request)
        there.syntaxes.append(str(event.context.transfer_syntax))
        status = there.answer(number)
        if status == 0:
            there.received[event.request.AffectedSOPInstanceUID] = event.encoded_dataset(False)
        return status

    server = ae.start_server(
        (HOST, 0), block=False, evt_handlers=[(evt.EVT_C_STORE, handle)], ae_title="DEST"
    )
    there = Destination(server.server_address[1])
    try:
        yield there
    finally:
        server.shutdown()


@pytest.fixture
def filled(node: Node) -> Node:
    fill(node.archive)
    return node


def register(node: Node, port: int, title: str = "DEST", **options: Any) -> None:
    Registry(node.archive.directory / "peers.toml").put(Peer(title, HOST, port, **options))


def asked(level: str, **keys: Any) -> Dataset:
    return item(QueryRetrieveLevel=level, **keys)


def c_move(
    node: Node,
    identifier: Dataset,
    root: str = STUDY_ROOT_MOVE,
    *,
    to: str = "DEST",
    calling: str = "MOVER",
    on_pending: Callable[[Any], None] = lambda _: None,
) -> tuple[list[Dataset], Dataset, Dataset | None]:
    """Pending statuses, the final one, and its identifier."""
    ae = AE(calling)
    ae.add_requested_context(root)
    association = ae.associate(HOST, node.port)
    assert association.is_established
    statuses, last = [], None
    for status, answer in association.send_c_move(identifier, to, root, msg_id=5):
        statuses.append(status)
        last = answer
        if status.Status == 0xFF00:
            on_pending(association)
    association.release()
    return statuses[:-1], statuses[-1], last


def counts(status: Dataset) -> tuple[int, int, int]:
    return (
        status.NumberOfCompletedSuboperations,
        status.NumberOfFailedSuboperations,
        status.NumberOfWarningSuboperations,
    )


def c_get(
    node: Node,
    identifier: Dataset,
    syntaxes: list[str],
    root: str = STUDY_ROOT_GET,
    *,
    classes: tuple[str, ...] = (CTImageStorage,),
    handle: Callable[[evt.Event], int] = lambda _: 0,
) -> tuple[dict[str, bytes], Dataset, Dataset | None]:
    ae = AE("GETTER")
    ae.add_requested_context(root)
    for uid in classes:
        ae.add_requested_context(uid, syntaxes)
    got: dict[str, bytes] = {}

    def store(event: evt.Event) -> int:
        status = handle(event)
        if status == 0:
            got[event.request.AffectedSOPInstanceUID] = event.encoded_dataset(False)
        return status

    association = ae.associate(
        HOST,
        node.port,
        ext_neg=[build_role(uid, scp_role=True) for uid in classes],
        evt_handlers=[(evt.EVT_C_STORE, store)],
    )
    final, last = Dataset(), None
    for final, last in association.send_c_get(identifier, root, msg_id=9):  # noqa: B007
        pass
    association.release()
    return got, final, last


# --- C-MOVE: what is moved ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("root", "identifier", "moved"),
    [
        (PATIENT_ROOT_MOVE, asked("PATIENT", PatientID="P1"), ALL_OF_A),
        (PATIENT_ROOT_MOVE, asked("STUDY", PatientID="P1", StudyInstanceUID=STUDY_A), ALL_OF_A),
        (PATIENT_ROOT_MOVE, asked("STUDY", PatientID="P2", StudyInstanceUID=STUDY_A), set()),
        (STUDY_ROOT_MOVE, asked("STUDY", StudyInstanceUID=[STUDY_A, STUDY_B]),
         ALL_OF_A | {"1.2.3.2.1.1"}),
        (STUDY_ROOT_MOVE, asked("SERIES", StudyInstanceUID=STUDY_A, SeriesInstanceUID="1.2.3.1.1"),
         {"1.2.3.1.1.1", "1.2.3.1.1.2"}),
        (STUDY_ROOT_MOVE, asked("IMAGE", StudyInstanceUID=STUDY_A, SeriesInstanceUID="1.2.3.1.1",
         SOPInstanceUID=["1.2.3.1.1.2"]), {"1.2.3.1.1.2"}),
        (STUDY_ROOT_MOVE, asked("STUDY", StudyInstanceUID="1.9"), set()),
    ],
)  # fmt: skip
def test_c_move_of_each_level(
    filled: Node, root: str, identifier: Dataset, moved: set[str]
) -> None:
    with destination() as there:
        register(filled, there.port)
        _, final, _ = c_move(filled, identifier, root)
    assert final.Status == 0
    assert counts(final) == (len(moved), 0, 0)
    assert "NumberOfRemainingSuboperations" not in final
    stored = filled.stored()
    assert there.received == {uid: stored[uid] for uid in moved}
    for request in there.requests:
        assert request.MoveOriginatorApplicationEntityTitle == "MOVER"
        assert request.MoveOriginatorMessageID == 5


def test_stored_bytes_go_as_they_are_where_the_peer_takes_them(node: Node) -> None:
    file = dicom_file("MR_small_jp2klossless.dcm")
    node.archive.add(file.read_bytes())
    study = pydicom.dcmread(file).StudyInstanceUID
    with destination(JPEG2000Lossless, ImplicitVRLittleEndian, classes=(MRImageStorage,)) as there:
        register(node, there.port)
        c_move(node, asked("STUDY", StudyInstanceUID=study))
    assert there.syntaxes == [JPEG2000Lossless]
    assert list(there.received.values()) == [data_set(file.read_bytes())]


def test_what_the_peer_does_not_take_is_transcoded(node: Node) -> None:
    file = dicom_file("MR_small_jp2klossless.dcm")
    node.archive.add(file.read_bytes())
    study = pydicom.dcmread(file).StudyInstanceUID
    with destination(ImplicitVRLittleEndian, classes=(MRImageStorage,)) as there:
        register(node, there.port)
        _, final, _ = c_move(node, asked("STUDY", StudyInstanceUID=study))
    assert counts(final) == (1, 0, 0)
    assert there.syntaxes == [ImplicitVRLittleEndian]
    pixels = pydicom.dcmread(dicom_file("MR_small.dcm")).PixelData
    assert pixels in next(iter(there.received.values()))


# --- C-MOVE: statuses -----------------------------------------------------------------------


def test_pending_responses_count(filled: Node) -> None:
    with destination() as there:
        register(filled, there.port)
        pending, final, _ = c_move(filled, asked("STUDY", StudyInstanceUID=STUDY_A))
    assert pending
    first = pending[0]
    assert first.NumberOfRemainingSuboperations + sum(counts(first)) == 3
    assert counts(final) == (3, 0, 0)


def test_some_that_fail_and_some_with_a_warning(filled: Node) -> None:
    with destination() as there:
        there.answer = [0xB000, 0xA700, 0].__getitem__
        register(filled, there.port)
        _, final, told = c_move(filled, asked("STUDY", StudyInstanceUID=STUDY_A))
    assert (final.Status, counts(final)) == (0xB000, (1, 1, 1))
    assert told is not None
    assert told.FailedSOPInstanceUIDList == "1.2.3.1.1.2"


def test_all_that_fail(filled: Node) -> None:
    with destination() as there:
        there.answer = lambda _: 0xA700
        register(filled, there.port)
        _, final, told = c_move(filled, asked("STUDY", StudyInstanceUID=STUDY_A))
    assert (final.Status, counts(final)) == (0xA702, (0, 3, 0))
    assert told is not None
    assert set(told.FailedSOPInstanceUIDList) == ALL_OF_A


def test_a_destination_that_does_not_answer(filled: Node) -> None:
    with destination() as there:
        port = there.port
    register(filled, port)
    _, final, told = c_move(filled, asked("STUDY", StudyInstanceUID=STUDY_A))
    assert (final.Status, counts(final)) == (0xA702, (0, 3, 0))
    assert told is not None


def test_a_destination_that_takes_no_such_class(filled: Node) -> None:
    with destination(classes=(MRImageStorage,)) as there:
        register(filled, there.port)
        _, final, _ = c_move(filled, asked("STUDY", StudyInstanceUID=STUDY_A))
    assert final.Status == 0xA702


def test_an_unknown_destination(filled: Node) -> None:
    _, final, _ = c_move(filled, asked("STUDY", StudyInstanceUID=STUDY_A), to="NOWHERE")
    assert final.Status == 0xA801
    assert "AE registry" in final.ErrorComment


def test_a_file_that_is_gone(filled: Node) -> None:
    filled.archive.instance("1.2.3.1.1.1").path.unlink()
    with destination() as there:
        register(filled, there.port)
        _, final, told = c_move(filled, asked("STUDY", StudyInstanceUID=STUDY_A))
    assert (final.Status, counts(final)) == (0xB000, (2, 1, 0))
    assert told is not None
    assert told.FailedSOPInstanceUIDList == "1.2.3.1.1.1"


@pytest.mark.parametrize(
    "identifier",
    [
        item(StudyInstanceUID=STUDY_A),
        asked("PATIENT", PatientID="P1"),
        asked("STUDY", PatientID="P1"),
        asked("SERIES", SeriesInstanceUID="1.2.3.1.1"),
        asked("STUDY", StudyInstanceUID="*"),
    ],
)
def test_identifiers_that_ask_for_nothing(filled: Node, identifier: Dataset) -> None:
    register(filled, 9)
    _, final, _ = c_move(filled, identifier)
    assert final.Status == 0xA900


@pytest.mark.parametrize(
    ("error", "status"), [(OutOfResourcesError("no room"), 0xA701), (RuntimeError("x"), 0xC000)]
)
def test_what_goes_wrong_with_us(
    filled: Node, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    def failing(*_: Any) -> Iterator[dict[str, Any]]:
        raise error
        yield {}

    register(filled, 9)
    monkeypatch.setattr(Archive, "search", failing)
    _, final, _ = c_move(filled, asked("STUDY", StudyInstanceUID=STUDY_A))
    assert final.Status == status


def test_c_move_is_cancelled(filled: Node) -> None:
    goes_on = threading.Event()
    with destination() as there:

        def answer(number: int) -> int:
            assert number == 0 or goes_on.wait(60)
            return 0

        def cancel(association: Any) -> None:
            association.send_c_cancel(5, query_model=STUDY_ROOT_MOVE)
            # The cancellation is there before the second instance is answered
            while not any(a.dimse.cancel_req for a in filled.listener._associations()):
                threading.Event().wait(0.01)
            goes_on.set()

        there.answer = answer
        register(filled, there.port)
        _, final, _ = c_move(filled, asked("STUDY", StudyInstanceUID=STUDY_A), on_pending=cancel)
    assert final.Status == 0xFE00
    assert final.NumberOfRemainingSuboperations == 1
    assert counts(final) == (2, 0, 0)


# --- C-GET ----------------------------------------------------------------------------------


def test_c_get(filled: Node) -> None:
    got, final, _ = c_get(
        filled, asked("STUDY", StudyInstanceUID=STUDY_A), [ExplicitVRLittleEndian]
    )
    assert (final.Status, counts(final)) == (0, (3, 0, 0))
    stored = filled.stored()
    assert got == {uid: stored[uid] for uid in ALL_OF_A}


def test_c_get_of_a_patient(filled: Node) -> None:
    got, final, _ = c_get(
        filled, asked("PATIENT", PatientID="P2"), [ImplicitVRLittleEndian], PATIENT_ROOT_GET
    )
    assert final.Status == 0
    assert set(got) == {"1.2.3.2.1.1"}


def test_c_get_without_a_context_for_it(filled: Node) -> None:
    got, final, told = c_get(
        filled, asked("STUDY", StudyInstanceUID=STUDY_A), [ExplicitVRLittleEndian],
        classes=(MRImageStorage,),
    )  # fmt: skip
    assert (got, final.Status) == ({}, 0xA702)
    assert told is not None
    assert set(told.FailedSOPInstanceUIDList) == ALL_OF_A


def test_c_get_of_what_the_requestor_refuses(filled: Node) -> None:
    refused = []

    def handle(event: evt.Event) -> int:
        refused.append(event.request.AffectedSOPInstanceUID)
        return 0xA700 if len(refused) == 1 else 0

    got, final, told = c_get(
        filled, asked("STUDY", StudyInstanceUID=STUDY_A), [ExplicitVRLittleEndian], handle=handle
    )
    assert (final.Status, counts(final)) == (0xB000, (2, 1, 0))
    assert told is not None
    assert told.FailedSOPInstanceUIDList == refused[0]
    assert len(got) == 2


@pytest.mark.parametrize(
    ("error", "status"), [(OutOfResourcesError("no room"), 0xA701), (RuntimeError("x"), 0xC000)]
)
def test_c_get_that_goes_wrong_with_us(
    filled: Node, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    def failing(*_: Any) -> Iterator[dict[str, Any]]:
        raise error
        yield {}

    monkeypatch.setattr(Archive, "search", failing)
    identifier = asked("STUDY", StudyInstanceUID=STUDY_A)
    assert c_get(filled, identifier, [ExplicitVRLittleEndian])[1].Status == status


def test_c_get_of_an_identifier_that_asks_for_nothing(filled: Node) -> None:
    identifier = asked("SERIES", SeriesInstanceUID="1.2.3.1.1")
    assert c_get(filled, identifier, [ExplicitVRLittleEndian])[1].Status == 0xA900


def test_c_get_is_cancelled(filled: Node) -> None:
    def handle(event: evt.Event) -> int:
        event.assoc.send_c_cancel(9, query_model=STUDY_ROOT_GET)
        while not any(a.dimse.cancel_req for a in filled.listener._associations()):
            threading.Event().wait(0.01)
        return 0

    _, final, _ = c_get(
        filled, asked("STUDY", StudyInstanceUID=STUDY_A), [ExplicitVRLittleEndian], handle=handle
    )
    assert final.Status == 0xFE00
    assert (final.NumberOfRemainingSuboperations, counts(final)) == (2, (1, 0, 0))


# --- who may --------------------------------------------------------------------------------


def test_a_caller_without_the_right(filled: Node) -> None:
    registry = Registry(filled.archive.directory / "peers.toml")
    registry.put(Peer("READER", HOST, allow=frozenset({"query"})))
    _, final, _ = c_move(filled, asked("STUDY", StudyInstanceUID=STUDY_A), calling="READER")
    assert final.Status == 0x0124


def test_a_caller_may_move_to_its_own_destinations_only(filled: Node) -> None:
    with destination() as there:
        register(filled, there.port)
        register(filled, there.port, "OTHER")
        registry = Registry(filled.archive.directory / "peers.toml")
        registry.put(Peer("WS", HOST, move_to=("OTHER",)))
        identifier = asked("STUDY", StudyInstanceUID=STUDY_A)
        assert c_move(filled, identifier, calling="WS")[1].Status == 0x0124
        assert c_move(filled, identifier, calling="WS", to="OTHER")[1].Status == 0


# --- other people's programs ----------------------------------------------------------------


@pytest.mark.dcmtk
def test_movescu_to_storescp(filled: Node, tmp_path: Path) -> None:
    with storescp(tmp_path / "in") as port:
        register(filled, port)
        done = run("movescu", "-S", "-aem", "DEST", "-k", "QueryRetrieveLevel=STUDY", "-k",
                   f"StudyInstanceUID={STUDY_A}", HOST, filled.port)  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert len(list((tmp_path / "in").iterdir())) == 3


@pytest.mark.dcmtk
def test_movescu_takes_its_own_storage(filled: Node, tmp_path: Path) -> None:
    import socket

    with socket.create_server((HOST, 0)) as taken:
        port = int(taken.getsockname()[1])
    register(filled, port, "MOVESCU")
    done = run("movescu", "-P", "+P", port, "-od", tmp_path, "-k", "QueryRetrieveLevel=PATIENT",
               "-k", "PatientID=P1", HOST, filled.port)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("CT*"))) == 3


@pytest.mark.dcmtk
def test_getscu(filled: Node, tmp_path: Path) -> None:
    done = run("getscu", "-S", "-od", tmp_path, "-k", "QueryRetrieveLevel=SERIES", "-k",
               f"StudyInstanceUID={STUDY_A}", "-k", "SeriesInstanceUID=1.2.3.1.1",
               HOST, filled.port)  # fmt: skip
    assert done.returncode == 0, done.stderr
    got = {pydicom.dcmread(f).SOPInstanceUID for f in tmp_path.iterdir() if f.is_file()}
    assert got == {"1.2.3.1.1.1", "1.2.3.1.1.2"}
