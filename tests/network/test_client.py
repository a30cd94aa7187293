"""The SCU: echo and send, to DCMTK's receiver and to ours, and each way in which they can fail."""

from __future__ import annotations

import io
import socket
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import CTImageStorage

from pacslab.errors import NetworkError, UsageError
from pacslab.network import client, outbox, requestor
from pacslab.network.outbox import bundles, collect
from tests.conftest import dicom_file
from tests.making import instance
from tests.network.conftest import HOST, Node, data_set, storescp


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.create_server((HOST, 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def rude() -> Iterator[int]:
    """A port that hangs up."""
    with socket.create_server((HOST, 0)) as server:

        def hang_up() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                    connection.recv(1)
                    connection.close()
                except OSError:
                    return

        threading.Thread(target=hang_up, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def free_port() -> int:
    with socket.create_server((HOST, 0)) as server:
        return int(server.getsockname()[1])


# --- peers ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "peer"),
    [
        ("PACS@localhost:104", ("PACS", "localhost", 104)),
        (" MY PACS@10.0.0.1:11112", ("MY PACS", "10.0.0.1", 11112)),
        ("A@[::1]:4242", ("A", "::1", 4242)),
    ],
)
def test_peers(text: str, peer: tuple[str, str, int]) -> None:
    assert client.parse_peer(text) == peer


@pytest.mark.parametrize(
    "text",
    ["", "PACS", "PACS@host", "host:104", "@host:104", "P@h:0", "P@h:99999", "P@:1",
     "TITLE_OF_17_CHARS@h:1", "P@h:x", "  @h:1", "P@::1:104"],
)  # fmt: skip
def test_no_peers(text: str) -> None:
    with pytest.raises(UsageError, match="AET@host:port"):
        client.parse_peer(text)


# --- echo -----------------------------------------------------------------------------------


def test_echo_tells_who_answers(node: Node) -> None:
    answer = client.echo(HOST, node.port, ae_title="PACSLAB")
    assert answer.implementation_version_name == "PACSLAB"
    assert 0 < answer.seconds < 60


@pytest.mark.dcmtk
def test_echo_to_dcmtk(tmp_path: Path) -> None:
    with storescp(tmp_path / "in") as port:
        assert "DCMTK" in client.echo(HOST, port, ae_title="X").implementation_version_name


def test_nothing_listens() -> None:
    with pytest.raises(NetworkError, match="connection refused: nothing listens there"):
        client.echo(HOST, free_port(), ae_title="X")


def test_a_host_that_is_not_known() -> None:
    with pytest.raises(NetworkError, match="isn't known"):
        client.echo("no-such-host.invalid", 104, ae_title="X")


def test_no_answer(silent: int) -> None:
    with pytest.raises(NetworkError, match=r"didn't answer within 0\.3 s"):
        client.echo(HOST, silent, ae_title="X", timeout=0.3)


def test_hung_up(rude: int) -> None:
    with pytest.raises(NetworkError, match="hung up"):
        client.echo(HOST, rude, ae_title="X")


@pytest.mark.dcmtk
def test_rejected(tmp_path: Path) -> None:
    with (
        storescp(tmp_path / "in", "--refuse") as port,
        pytest.raises(NetworkError, match="rejected the association"),
    ):
        client.echo(HOST, port, ae_title="X")


def test_rejected_before_anybody_looked(serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rejection has come and the connection is closed when pynetdicom's thread wakes."""

    class Late(threading.Event):
        def __init__(self, connection: requestor._Socket) -> None:
            super().__init__()
            self._connection = connection

        def wait(self, timeout: float | None = None) -> bool:
            deadline = time.monotonic() + 60
            while super().wait(60) and self._connection._is_connected:
                assert time.monotonic() < deadline
                time.sleep(0.001)
            return True

    class LateSocket(requestor._Socket):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self._ready = Late(self)

    monkeypatch.setattr(requestor, "_Socket", LateSocket)
    node = serve(require_called_ae=True)
    with pytest.raises(NetworkError, match="rejected the association: its AE title"):
        client.echo(HOST, node.port, ae_title="ELSEWHERE")


def test_rejected_for_the_called_title(serve) -> None:
    node = serve(ae_title="RIGHT", require_called_ae=True)
    with pytest.raises(NetworkError, match="its AE title isn't WRONG"):
        client.echo(HOST, node.port, ae_title="WRONG")


@pytest.mark.parametrize("title", ["", "SEVENTEEN_LETTERS", "back\\slash"])
def test_no_ae_title(title: str) -> None:
    with pytest.raises(UsageError, match="AE titles"):
        client.echo(HOST, 104, ae_title=title)


# --- send -----------------------------------------------------------------------------------


@pytest.mark.dcmtk
def test_files_go_as_they_are_to_dcmtk(tmp_path: Path) -> None:
    names = ["MR_small.dcm", "MR_small_implicit.dcm", "JPEG2000.dcm", "MR_small_bigendian.dcm",
             "SC_rgb_jpeg_gdcm.dcm", "MR_small_RLE.dcm", "image_dfl.dcm"]  # fmt: skip
    files = [dicom_file(n) for n in names]
    with storescp(tmp_path / "in", "+xa", "+B", "+uf") as port:
        results = client.send(files, HOST, port, ae_title="DCMTK", progress=False)
    assert [(r.path, r.status, r.ok) for r in results] == [(str(f), "0x0000", True) for f in files]
    sent = {data_set(f.read_bytes()) for f in files}
    sent = {d + b"\0" * (len(d) % 2) for d in sent}  # the deflated one (PS3.5 A.5)
    got = {data_set(f.read_bytes()) for f in (tmp_path / "in").iterdir()}
    assert got == sent


@pytest.mark.dcmtk
@pytest.mark.parametrize("name", ["JPEG2000.dcm", "MR_small_RLE.dcm", "MR_small_bigendian.dcm"])
def test_a_syntax_that_the_peer_does_not_accept_is_transcoded(tmp_path: Path, name: str) -> None:
    with storescp(tmp_path / "in", "+xi") as port:
        (result,) = client.send([dicom_file(name)], HOST, port, ae_title="X", progress=False)
    assert result.ok, result.comment
    (file,) = (tmp_path / "in").iterdir()
    got, sent = pydicom.dcmread(file), pydicom.dcmread(dicom_file(name))
    assert got.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2"
    assert (got.pixel_array == sent.pixel_array).all()


@pytest.mark.dcmtk
def test_the_peer_aborts(tmp_path: Path) -> None:
    with storescp(tmp_path / "in", "--abort-after") as port:
        results = client.send(
            [instance() for _ in range(5)], HOST, port, ae_title="X", progress=False
        )
    assert [r.ok for r in results] == [False] * 5
    assert "aborted" in results[0].comment
    assert results[-1].comment.startswith("not sent")


def test_the_peer_answers_too_late(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()

    def slow(*_: object, **__: object) -> None:
        go_on.wait(60)
        raise RuntimeError

    monkeypatch.setattr(node.archive, "add", slow)
    (result,) = node.send(instance(), timeout=2)
    go_on.set()
    assert result.comment == "no answer within 2 s"


def test_a_folder_with_anything_in_it(node: Node, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "er" / "IM0001").write_bytes(instance(SOPInstanceUID="1.2.1"))
    (folder / "notes.txt").write_text("no image")
    (folder / "empty").touch()
    (folder / "cut.dcm").write_bytes(dicom_file("CT_small.dcm").read_bytes()[:200])
    with zipfile.ZipFile(folder / "more.zip", "w") as packed:
        packed.writestr("a.dcm", instance(SOPInstanceUID="1.2.2"))
    results = {Path(r.path).name: r for r in node.send(folder)}
    assert {n for n, r in results.items() if r.ok} == {"IM0001", "a.dcm"}
    assert results["notes.txt"].status == ""
    assert "not a DICOM file" in results["notes.txt"].comment
    assert "empty" in results["empty"].comment
    assert set(node.stored()) == {"1.2.1", "1.2.2"}


def test_what_is_not_dicom_alone_needs_no_association(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("no image")
    (result,) = client.send([tmp_path], HOST, free_port(), ae_title="X", progress=False)
    assert not result.ok


def test_data_sets_are_sent_and_stay_as_they_are(node: Node) -> None:
    made = pydicom.dcmread(io.BytesIO(instance(SOPInstanceUID="1.2.3")))
    bare = pydicom.dataset.Dataset()
    bare.SOPClassUID, bare.SOPInstanceUID = CTImageStorage, "1.2.4"
    bare.StudyInstanceUID, bare.SeriesInstanceUID = "1.2.5", "1.2.6"
    before = bare.to_json()
    assert [r.status for r in node.send(made, bare, pydicom.dataset.Dataset())] == [
        "0x0000",
        "0x0000",
        "",
    ]
    assert bare.to_json() == before
    assert not hasattr(bare, "file_meta")


def test_a_peer_that_is_not_there_is_an_error_and_no_table() -> None:
    with pytest.raises(NetworkError, match="nothing listens"):
        client.send([instance()], HOST, free_port(), ae_title="X", progress=False)


def test_a_path_that_does_not_exist() -> None:
    with pytest.raises(UsageError, match="doesn't exist"):
        client.send([Path("/no/such/file")], HOST, 1, ae_title="X", progress=False)


def test_nothing_accepted_is_a_row_for_each(node: Node) -> None:
    results = node.send(instance(SOPClassUID="1.2.3.4"), instance(SOPClassUID="1.2.3.5"))
    assert [r.ok for r in results] == [False, False]
    assert "none of the presentation contexts" in results[0].comment


def test_a_class_that_is_not_accepted_spares_the_others(node: Node) -> None:
    results = node.send(instance(SOPClassUID="1.2.3.4"), instance())
    assert [r.ok for r in results] == [False, True]
    assert "doesn't accept" in results[0].comment


def test_more_contexts_than_an_association_takes(node: Node) -> None:
    classes = [f"1.2.840.10008.5.1.4.1.1.{n}" for n in ("2", "4", "7", "20", "128")]
    classes += [f"1.2.826.0.1.{n}" for n in range(120)]
    letters = list(collect([instance(SOPClassUID=c) for c in classes]))
    made = bundles(letters)
    assert [len(b.contexts) <= 128 for b in made] == [True] * 2
    assert sorted(n for b in made for n in b.numbers) == list(range(125))
    results = node.send(*(instance(SOPClassUID=c) for c in classes))
    assert [r.ok for r in results] == [True] * 5 + [False] * 120
    assert [node.next_ended().stored for _ in range(2)] == [5, 0]


def test_wrong_file_meta_information_is_not_believed() -> None:
    data = dicom_file("MR_small_implicit.dcm").read_bytes()
    lying = data.replace(b"1.2.840.10008.1.2\0", b"1.2.840.10008.1.2\0")
    (letter,) = collect([data_set(lying)])
    assert letter.transfer_syntax_uid == outbox.NATIVE[1]


def test_an_interruption_ends_the_association(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = []

    def interrupted(association, letter):
        if sent:
            raise KeyboardInterrupt
        sent.append(letter)
        return real(association, letter)

    real = client.deliver
    monkeypatch.setattr(client, "deliver", interrupted)
    with pytest.raises(KeyboardInterrupt):
        node.send(instance(SOPInstanceUID="1.2.3"), instance())
    assert node.next_ended().ending == "aborted"
    assert set(node.stored()) == {"1.2.3"}


def test_answers_are_acknowledged_at_once(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a peer that leaves Nagle on holds the end of each of its answers back for 40 ms."""
    told: list[object] = []
    monkeypatch.setattr(requestor, "acknowledge_at_once", told.append)
    client.echo(HOST, node.port, ae_title="PACSLAB")
    assert len(told) >= 4  # an association, an echo, their answers
