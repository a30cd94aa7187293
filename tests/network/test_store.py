"""C-STORE as SCP: what arrives, in which syntax, and the status of each failure."""

from __future__ import annotations

import errno
import io
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage
from pynetdicom import AE, _config
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.presentation import build_context

from pacslab.archive import Archive
from pacslab.archive.files import Files
from pacslab.dicom.instance import file_prefix
from pacslab.dicom.keywords import Level
from pacslab.dicom.matching import Query
from pacslab.errors import OutOfResourcesError, UnauthorizedError
from pacslab.network import spool
from pacslab.network.contexts import STORAGE, TRANSFER_SYNTAXES
from pacslab.network.outbox import Letter
from pacslab.network.requestor import associated
from pacslab.network.sending import Delivery, deliver, paused
from pacslab.network.store import error_comment
from tests.conftest import dicom_file
from tests.making import instance
from tests.network.conftest import HOST, Node, data_set, run

CT = str(CTImageStorage)
EXPLICIT = str(ExplicitVRLittleEndian)
UID_1, UID_2 = "1.2.3.1", "1.2.3.2"


def deliver_as(
    node: Node, data: bytes, announced: tuple[str, str], context: str = CT, times: int = 1
) -> list[Delivery]:
    """C-STORE these Part 10 bytes under any announced UIDs, over one association."""
    letter = Letter("x", lambda: data, announced[0], announced[1], EXPLICIT)
    contexts = [build_context(context, EXPLICIT)]
    with (
        associated(
            HOST, node.port, contexts, ae_title="PACSLAB", calling_ae_title="TEST", timeout=10
        ) as association,
        paused(association),
    ):
        if context != announced[0]:
            association.accepted_contexts[0]._abstract_syntax = pydicom.uid.UID(announced[0])
        return [deliver(association, letter) for _ in range(times)]


# --- what arrives ---------------------------------------------------------------------------


@pytest.mark.dcmtk
@pytest.mark.parametrize(
    ("option", "name"),
    [
        ("-xe", "MR_small.dcm"),
        ("-xi", "MR_small_implicit.dcm"),
        ("-xb", "MR_small_bigendian.dcm"),
        ("-xs", "SC_rgb_jpeg_gdcm.dcm"),
        ("-xy", "SC_rgb_small_odd_jpeg.dcm"),
        ("-xx", "JPGExtended.dcm"),
        ("-xv", "MR_small_jp2klossless.dcm"),
        ("-xw", "JPEG2000.dcm"),
        ("-xt", "MR_small_jpeg_ls_lossless.dcm"),
        ("-xr", "MR_small_RLE.dcm"),
        ("-xd", "image_dfl.dcm"),
    ],
)
def test_storescu_sends_every_transfer_syntax(node: Node, option: str, name: str) -> None:
    file = dicom_file(name)
    done = run("storescu", "-R", option, HOST, node.port, file)
    assert done.returncode == 0, done.stderr
    sent = pydicom.dcmread(file)
    (stored,) = node.archive.instances()
    assert stored.transfer_syntax_uid == sent.file_meta.TransferSyntaxUID
    kept = pydicom.dcmread(stored.path)
    assert kept.PixelData == sent.PixelData
    assert kept.file_meta.MediaStorageSOPInstanceUID == sent.SOPInstanceUID
    assert "SourceApplicationEntityTitle" not in kept.file_meta
    summary = node.next_ended()
    assert (summary.calling_ae_title, summary.stored, summary.ending) == ("STORESCU", 1, "released")


@pytest.mark.parametrize(
    "name", ["MR_small.dcm", "JPEG2000.dcm", "ExplVR_BigEnd.dcm", "MR_small_RLE.dcm"]
)
def test_pynetdicom_sends_bytes_and_they_are_kept(
    node: Node, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)
    file = dicom_file(name)
    sent = pydicom.dcmread(file)
    ae = AE("STRANGER")
    ae.add_requested_context(sent.SOPClassUID, sent.file_meta.TransferSyntaxUID)
    association = ae.associate(HOST, node.port)
    assert association.send_c_store(file).Status == 0
    association.release()
    assert node.stored() == {sent.SOPInstanceUID: data_set(file.read_bytes())}


@pytest.mark.parametrize("syntax", sorted(TRANSFER_SYNTAXES))
def test_every_transfer_syntax_that_pydicom_knows_is_taken(node: Node, syntax: str) -> None:
    ae = AE()
    association = ae.associate(HOST, node.port, contexts=[build_context(CT, syntax)])
    assert association.accepted_contexts[0].transfer_syntax == [syntax]
    association.abort()


def test_high_throughput_jpeg_2000_arrives_unchanged(node: Node) -> None:
    syntax = "1.2.840.10008.1.2.4.201"
    data = data_set(dicom_file("MR_small_jp2klossless.dcm").read_bytes())
    uid = str(pydicom.dcmread(dicom_file("MR_small_jp2klossless.dcm")).SOPInstanceUID)
    (result,) = node.send(file_prefix(str(MRImageStorage), uid, syntax) + data)
    assert (result.status, result.ok) == ("0x0000", True)
    assert node.stored() == {uid: data}
    assert [s.transfer_syntax_uid for s in node.archive.instances()] == [syntax]


def test_all_storage_classes_are_taken_whatever_their_number(node: Node) -> None:
    assert len(STORAGE) > 180
    everything = sorted(STORAGE)
    for start in range(0, len(everything), 128):
        some = [build_context(uid, EXPLICIT) for uid in everything[start : start + 128]]
        association = AE().associate(HOST, node.port, contexts=some)
        assert association.rejected_contexts == []
        association.release()


def test_a_retired_class_is_stored(node: Node) -> None:
    retired = "1.2.840.10008.5.1.4.1.1.6"
    assert node.send(instance(SOPClassUID=retired))[0].ok


@pytest.mark.parametrize(("allowed", "ok"), [(True, True), (False, False)])
def test_an_unknown_class_is_stored_where_allowed(serve, allowed: bool, ok: bool) -> None:
    node = serve(allow_unknown_sop_classes=allowed)
    (result,) = node.send(instance(SOPClassUID="1.2.826.0.1.3680043.10.1.99"))
    assert result.ok is ok
    assert result.status == ("0x0000" if ok else "")


def test_a_class_that_is_no_storage_is_not_taken_for_an_unknown_one(serve) -> None:
    node = serve(allow_unknown_sop_classes=True)
    printing = "1.2.840.10008.5.1.1.9"
    association = AE().associate(
        HOST, node.port, contexts=[build_context(printing), build_context(CT)]
    )
    assert [c.abstract_syntax for c in association.rejected_contexts] == [printing]
    association.release()


def test_the_requestor_gets_the_transfer_syntax_it_names_first(node: Node) -> None:
    wanted = ["1.2.840.10008.1.2.4.90", EXPLICIT]
    for proposed in (wanted, wanted[::-1]):
        association = AE().associate(HOST, node.port, contexts=[build_context(CT, proposed)])
        assert association.accepted_contexts[0].transfer_syntax == [proposed[0]]
        association.release()


@pytest.mark.parametrize("limit", [0, 1000, 1 << 30])
def test_large_and_small_are_the_same(
    node: Node, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "_IN_MEMORY", limit)
    data = dicom_file("CT_small.dcm").read_bytes()
    big = instance(SOPInstanceUID=UID_1, Rows=512, Columns=512, PixelData=bytes(512 * 512 * 2))
    assert [r.status for r in node.send(data, big)] == ["0x0000", "0x0000"]
    assert list(node.stored().values()).count(data_set(data)) == 1
    assert node.stored()[UID_1] == data_set(big)
    assert list(node.archive.files.incoming.iterdir()) == []


def test_it_is_the_same_row_as_by_any_other_door(node: Node, tmp_path: Path) -> None:
    data = dicom_file("CT_small.dcm").read_bytes()
    node.send(data)
    with Archive(tmp_path / "other") as other:
        other.add(data)
        (mine,) = node.archive.search(Query(Level.IMAGE))
        (theirs,) = other.search(Query(Level.IMAGE))
    assert mine == theirs


def test_eight_associations_at_once(node: Node) -> None:
    batches = [[instance(SOPInstanceUID=f"1.2.{n}.{i}") for i in range(12)] for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        results = [r for batch in pool.map(lambda b: node.send(*b), batches) for r in batch]
    assert [r.status for r in results] == ["0x0000"] * 96
    assert node.archive.counts()["instances"] == 96
    assert sum(node.next_ended().stored for _ in range(8)) == 96


# --- what is refused ------------------------------------------------------------------------


def test_the_same_again_is_success(node: Node) -> None:
    data = instance(SOPInstanceUID=UID_1)
    assert [d.status for d in deliver_as(node, data, (CT, UID_1), times=2)] == [0, 0]
    summary = node.next_ended()
    assert (summary.stored, summary.already_there, summary.messages) == (1, 1, 2)


def test_other_content_under_a_known_uid(node: Node) -> None:
    first, second = instance(SOPInstanceUID=UID_1), instance(SOPInstanceUID=UID_1, Rows=8)
    results = node.send(first, second)
    assert [r.status for r in results] == ["0x0000", "0x0111"]
    assert "stored already with other content" in results[1].comment
    assert node.stored() == {UID_1: data_set(first)}
    assert [q.code for q in node.archive.quarantined()] == ["conflict"]


@pytest.mark.parametrize("announced", [(CT, UID_2), (str(MRImageStorage), UID_1)])
def test_announced_as_another(node: Node, announced: tuple[str, str]) -> None:
    data = instance(SOPInstanceUID=UID_1)
    (answer,) = deliver_as(node, data, announced, context=announced[0])
    assert answer.status == 0xA900
    assert node.stored() == {}
    (kept,) = node.archive.quarantined()
    assert kept.source == f"C-STORE from TEST at {HOST}"


def test_a_class_other_than_its_context(node: Node) -> None:
    data = instance(SOPInstanceUID=UID_1)
    (answer,) = deliver_as(node, data, (CT, UID_1), context=str(MRImageStorage))
    assert answer.status == 0x0122


@pytest.mark.parametrize("rubbish", [b"", b"rubbish " * 100, data_set(instance())[:-9]])
def test_what_is_no_data_set(node: Node, rubbish: bytes) -> None:
    data = file_prefix(CT, UID_1, EXPLICIT) + rubbish
    if not rubbish:
        data += b"\0"
    (answer,) = deliver_as(node, data, (CT, UID_1))
    assert 0xC000 <= answer.status <= 0xCFFF or answer.status == 0xA900
    assert node.stored() == {}
    assert len(list(node.archive.quarantined())) == 1


@pytest.mark.parametrize("uid", ["../../../tmp/x", "1.2.3/../../4", "not a uid"])
def test_a_uid_that_would_lead_astray(node: Node, uid: str, tmp_path: Path) -> None:
    dataset = pydicom.dcmread(io.BytesIO(instance(SOPInstanceUID=UID_1)))
    plain = data_set(instance(SOPInstanceUID=UID_1))
    assert dataset.SOPInstanceUID == UID_1
    padded = uid + "\0" * (len(uid) % 2)
    element = b"\x08\x00\x18\x00UI"
    at = plain.index(element)
    data = plain[:at] + element + len(padded).to_bytes(2, "little") + padded.encode()
    data += plain[at + 8 + 8 :]
    (answer,) = deliver_as(node, file_prefix(CT, UID_1, EXPLICIT) + data, (CT, uid))
    assert answer.status == 0xC000
    assert "isn't a UID" in answer.comment
    assert node.stored() == {}


def test_a_full_disk(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> Path:
        raise OutOfResourcesError("can't write: No space left on device. Make room")

    with monkeypatch.context() as patch:
        patch.setattr(Files, "stage", full)
        (result,) = node.send(instance(SOPInstanceUID=UID_1))
    assert (result.status, result.ok) == ("0xA700", False)
    assert "No space left" in result.comment
    assert node.send(instance(SOPInstanceUID=UID_1))[0].ok


def test_a_disk_that_fills_while_it_arrives(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(spool, "_IN_MEMORY", 500)
    monkeypatch.setattr(spool.tempfile, "TemporaryFile", full)
    assert [r.status for r in node.send(instance(), instance())] == ["0xA700", "0xA700"]
    assert node.stored() == {}


def test_who_may_not_store(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise UnauthorizedError("not from here")

    monkeypatch.setattr(node.archive, "add", forbidden)
    assert node.send(instance())[0].status == "0x0124"


def test_our_own_mistake_is_a_processing_failure_and_tells_no_names(
    node: Node, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    name = "Doe^Jane"

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError(name)

    monkeypatch.setattr(node.archive, "add", broken)
    (result,) = node.send(instance())
    assert result.status == "0x0110"
    assert "RuntimeError" in caplog.text
    assert "Doe" not in caplog.text


def test_an_abort_in_the_midst_leaves_nothing(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "_IN_MEMORY", 100)
    request = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = CT, UID_1
    request.DataSet = io.BytesIO(data_set(instance(SOPInstanceUID=UID_1)))
    message = C_STORE_RQ()
    message.primitive_to_message(request)
    association = AE("RUDE").associate(HOST, node.port, contexts=[build_context(CT, EXPLICIT)])
    for fragment in list(message.encode_msg(1, 256))[:-1]:
        association.dul.send_pdu(fragment)
    association.abort()
    summary = node.next_ended()
    assert (summary.ending, summary.reason) == ("aborted", "by the peer")
    assert node.stored() == {}
    assert list(node.archive.quarantined()) == []
    assert list(node.archive.files.incoming.iterdir()) == []


def test_error_comments_fit_their_element() -> None:
    text = "1.2.840.113619.2.55.3.604688119 isn't für uns\\dich " + "x" * 80
    comment = error_comment(text)
    assert comment.startswith("UID isn't f?r uns/dich x")
    assert len(comment) == 64


def test_a_running_store_ends_before_the_listener_does(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, go_on = threading.Event(), threading.Event()
    add = node.archive.add

    def slow(*arguments, **options):
        entered.set()
        assert go_on.wait(60)
        return add(*arguments, **options)

    monkeypatch.setattr(node.archive, "add", slow)
    files = [instance(SOPInstanceUID=f"1.2.{i}") for i in range(5)]
    with ThreadPoolExecutor(2) as pool:
        sending = pool.submit(node.send, *files)
        assert entered.wait(60)
        stopping = pool.submit(node.listener.stop)
        node.listener._service.stopping.wait(60)
        go_on.set()
        stopping.result(60)
        results = sending.result(60)
    acknowledged = {r.SOPInstanceUID for r in results if r.ok}
    assert "1.2.0" in acknowledged
    assert acknowledged <= set(node.stored())
    assert [r for r in results if not r.ok]
    assert node.next_ended().reason == "by us: the server stopped"
