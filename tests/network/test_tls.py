"""DICOM over TLS: both sides, mutual, with DCMTK, and what isn't let in."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from pacslab.errors import NetworkError, UsageError
from pacslab.network import client
from pacslab.network.client_query import find
from pacslab.network.client_retrieve import move
from pacslab.network.node import Node as Peer
from pacslab.network.registry import Peer as Registered
from pacslab.network.registry import Registry
from pacslab.network.tls import Security
from tests.making import instance
from tests.network.certificates import Authority
from tests.network.conftest import HOST, Node, run, storescp
from tests.network.test_find import STUDY_A, fill
from tests.network.test_retrieve import asked, c_move


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def server(authority: Authority) -> Security:
    return authority.security("server")


@pytest.fixture(scope="module")
def scanner(authority: Authority) -> Security:
    return authority.security("scanner")


def test_echo_send_and_find(
    serve: Callable[..., Node], server: Security, scanner: Security
) -> None:
    node = serve(security=server)
    client.echo(HOST, node.port, ae_title="PACSLAB", security=scanner)
    assert node.send(instance(PatientID="P7"), security=scanner)[0].ok
    peer = Peer("PACSLAB", HOST, node.port, security=scanner)
    assert [r["PatientID"] for r in find(peer, "STUDY", {"PatientID": "P?"})[1]] == ["P7"]


def test_large_objects(serve: Callable[..., Node], server: Security, scanner: Security) -> None:
    node = serve(security=server)
    big = instance(Rows=4096, Columns=512, PixelData=bytes(range(256)) * 16384)
    assert node.send(big, security=scanner)[0].ok
    (stored,) = node.stored().values()
    assert bytes(range(256)) * 16384 in stored


def test_who_shows_no_certificate_is_not_let_in(
    serve: Callable[..., Node], server: Security, scanner: Security
) -> None:
    node = serve(security=server)
    with pytest.raises(NetworkError):
        client.echo(
            HOST, node.port, ae_title="PACSLAB", timeout=20,
            security=Security(authorities=server.authorities),
        )  # fmt: skip
    client.echo(HOST, node.port, ae_title="PACSLAB", security=scanner)


def test_a_certificate_of_another_authority(
    serve: Callable[..., Node], server: Security, tmp_path: Path
) -> None:
    node = serve(security=server)
    stranger = Authority.make(tmp_path / "other").security("stranger")
    with pytest.raises(NetworkError, match="TLS can't be agreed on"):
        client.echo(HOST, node.port, ae_title="PACSLAB", security=stranger, timeout=20)


def test_without_tls_there_is_no_association(
    serve: Callable[..., Node], server: Security, scanner: Security
) -> None:
    node = serve(security=server)
    with pytest.raises(NetworkError):
        client.echo(HOST, node.port, ae_title="PACSLAB", timeout=20)
    # Who says nothing at all keeps nobody else waiting
    with socket.create_connection((HOST, node.port)):
        client.echo(HOST, node.port, ae_title="PACSLAB", security=scanner)


def test_clients_need_no_certificate_unless_told(
    serve: Callable[..., Node], server: Security
) -> None:
    node = serve(security=Security(server.certificate, server.key))
    client.echo(
        HOST, node.port, ae_title="PACSLAB", security=Security(authorities=server.authorities)
    )


@pytest.mark.parametrize("missing", ["certificate", "key"])
def test_files_that_are_not_right(server: Security, tmp_path: Path, missing: str) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no PEM")
    files = {"certificate": server.certificate, "key": server.key, missing: wrong}
    with pytest.raises(UsageError, match=r"wrong\.pem"):
        Security(**files).server_context()
    with pytest.raises(UsageError, match="--tls-certificate"):
        Security(key=server.key).server_context()


# --- other people's programs ----------------------------------------------------------------


@pytest.mark.dcmtk
def test_dcmtk_calls_over_tls(
    serve: Callable[..., Node], server: Security, scanner: Security, tmp_path: Path
) -> None:
    node = serve(security=server)
    file = tmp_path / "one.dcm"
    file.write_bytes(instance(SOPInstanceUID="1.2.3"))
    ours = ("+tls", scanner.key, scanner.certificate, "+cf", scanner.authorities)
    for words in (("echoscu",), ("storescu",), ("findscu", "-S", "-k", "QueryRetrieveLevel=STUDY")):
        program, *rest = words
        files = [file] if program == "storescu" else []
        done = run(program, *ours, *rest, HOST, node.port, *files)
        assert done.returncode == 0, done.stderr
    assert list(node.stored()) == ["1.2.3"]
    anonymous = run("echoscu", "+tla", "+cf", scanner.authorities, HOST, node.port)
    assert anonymous.returncode != 0


@pytest.mark.dcmtk
def test_c_move_over_tls(
    serve: Callable[..., Node], server: Security, scanner: Security, tmp_path: Path
) -> None:
    node = serve()
    fill(node.archive)
    secured = serve(security=server)
    words = ("+tls", scanner.key, scanner.certificate, "+cf", scanner.authorities)
    with storescp(tmp_path / "in", *map(str, words)) as port:
        Registry(node.archive.directory / "peers.toml").put(
            Registered("DEST", HOST, port, tls=True)
        )
        peer = Peer("PACSLAB", HOST, secured.port, security=scanner)
        result = move(peer, asked("STUDY", StudyInstanceUID=STUDY_A), "DEST", progress=False)
        assert (result.ok, result.completed) == (True, 3)
        assert len(list((tmp_path / "in").iterdir())) == 3
        # Where TLS is asked for, nothing goes without
        final = c_move(node, asked("STUDY", StudyInstanceUID=STUDY_A))[1]
        assert final.Status == 0xA702
