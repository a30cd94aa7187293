"""The AE registry: its file, and whom it lets do what."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pynetdicom import AE

from pacslab.errors import NetworkError, UsageError
from pacslab.network import client, registry
from pacslab.network.contexts import STUDY_ROOT_FIND
from pacslab.network.registry import RIGHTS, Peer, Registry, hashed
from pacslab.network.requestor import Identity
from tests.making import instance, item
from tests.network.conftest import HOST, Node


@pytest.fixture
def empty(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "peers.toml")


def test_what_is_put_in_comes_back(empty: Registry) -> None:
    peers = [
        Peer("CT 1", "10.0.0.7", 104, frozenset({"store"}), ("10.0.0.0/24",), ("WS",), True),
        Peer("*", calls_from=("172.16.0.0/12", "loopback")),
        Peer("WS", "ws.example.org", 11112, user="jane", password=hashed("secret")),
    ]
    for peer in peers:
        empty.put(peer)
    assert list(Registry(empty.path).peers().values()) == peers
    assert "secret" not in empty.path.read_text()
    assert empty.path.stat().st_mode & 0o077 == 0
    empty.remove("WS")
    assert set(empty.peers()) == {"CT 1", "*"}
    with pytest.raises(UsageError, match="there are: CT 1"):
        empty.remove("WS")


def test_without_a_file_this_machine_may_everything_and_others_nothing(empty: Registry) -> None:
    for host in ("127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"):
        grant = empty.grant("ANY", host)
        assert grant is not None
        assert grant.rights == set(RIGHTS)
    for host in ("10.0.0.7", "fe80::1%eth0", "192.168.0.1", ""):
        assert empty.grant("ANY", host) is None
    assert empty.destination("ANY") is None


def test_title_and_address_both_count(empty: Registry) -> None:
    empty.put(Peer("CT1", "10.0.0.7", 104, frozenset({"store"})))
    empty.put(Peer("WS", calls_from=("10.1.0.0/16", "fd00::/8")))
    empty.put(Peer("*", calls_from=("192.168.7.0/24",), allow=frozenset({"query"})))

    def rights(title: str, host: str) -> set[str] | None:
        grant = empty.grant(title, host)
        return None if grant is None else set(grant.rights)

    assert rights("CT1", "10.0.0.7") == {"store"}
    assert rights("CT1 ", "10.0.0.7") == {"store"}
    assert rights("CT1", "10.0.0.8") is None
    assert rights("CT2", "10.0.0.7") is None
    assert rights("WS", "10.1.200.3") == rights("WS", "fd00::7") == set(RIGHTS)
    assert rights("CT1", "192.168.7.9") == rights("X", "192.168.7.9") == {"query"}


def test_an_entry_narrows_what_a_program_here_may(empty: Registry) -> None:
    empty.put(Peer("READER", HOST, allow=frozenset({"query"})))
    grant = empty.grant("READER", HOST)
    assert grant is not None
    assert grant.rights == {"query"}


def test_what_anyone_may_is_no_limit_here(empty: Registry) -> None:
    empty.put(Peer("*", calls_from=("0.0.0.0/0",), allow=frozenset({"query"})))
    here, elsewhere = empty.grant("X", HOST), empty.grant("X", "10.0.0.7")
    assert here is not None
    assert elsewhere is not None
    assert (here.rights, elsewhere.rights) == (set(RIGHTS), {"query"})


def test_a_changed_file_is_read_again(empty: Registry) -> None:
    assert empty.peers() == {}
    empty.path.write_text('[CT1]\nhost = "10.0.0.7"\n')
    assert set(empty.peers()) == {"CT1"}
    empty.path.write_text('[CT1]\nhost = "10.0.0.7"\nport = 104\n')
    assert empty.peers()["CT1"].port == 104
    empty.path.unlink()
    assert empty.peers() == {}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[CT1", "isn't TOML"),
        ("CT1 = 3", "isn't a table"),
        ("[CT1]\nhots = 'x'", "'hots'"),
        ("[CT1]\nhost = 7", "host isn't a str"),
        ("[CT1]\nallow = ['store', 3]", "allow isn't a list"),
        ("[CT1]\nallow = ['delete']", "'delete' can't be allowed"),
        ("[CT1]\nport = 104", "a port needs a host"),
        ("[CT1]\nhost = 'x'\nport = 70000", "port is 70000"),
        ("[CT1]\ncalls_from = ['10.0.0.0/99']", "calls_from"),
        ("[CT1]\nuser = 'jane'\npassword = 'secret'", "isn't a hash"),
        ("['A title of 17 ch']\n['A title of 17 chr']", "1 to 16"),
    ],
)
def test_mistakes_in_the_file(empty: Registry, text: str, why: str) -> None:
    empty.path.write_text(text)
    with pytest.raises(UsageError, match=why):
        empty.peers()


# --- at the door ----------------------------------------------------------------------------


def test_who_is_unknown_is_rejected(
    node: Node, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(registry, "is_loopback", lambda _: False)
    with pytest.raises(NetworkError, match="doesn't know the calling AE title CT1"):
        client.echo(HOST, node.port, ae_title="PACSLAB", calling_ae_title="CT1")
    told = node.next_ended()
    assert told.ending == "rejected"
    assert told.reason.startswith("Calling AE title not recognised")
    assert f"CT1 at {HOST} is unknown: add it to" in caplog.text
    Registry(node.archive.directory / "peers.toml").put(Peer("CT1", HOST))
    client.echo(HOST, node.port, ae_title="PACSLAB", calling_ae_title="CT1")


def test_a_broken_registry_lets_nobody_in(node: Node) -> None:
    (node.archive.directory / "peers.toml").write_text("[")
    with pytest.raises(NetworkError):
        client.echo(HOST, node.port, ae_title="PACSLAB")


def test_each_right_is_asked_for(node: Node) -> None:
    Registry(node.archive.directory / "peers.toml").put(Peer("CT1", HOST, allow=frozenset()))
    (result,) = node.send(instance(), calling_ae_title="CT1")
    assert result.status == "0x0124"
    ae = AE("CT1")
    ae.add_requested_context(STUDY_ROOT_FIND)
    association = ae.associate(HOST, node.port)
    asked = item(QueryRetrieveLevel="STUDY", PatientID="")
    ((status, _),) = association.send_c_find(asked, STUDY_ROOT_FIND)
    association.release()
    assert (status.Status, status.ErrorComment) == (0x0124, "CT1 may not query here")
    assert list(node.archive.instances()) == []


# --- user identity --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("identity", "let_in"),
    [
        (Identity("jane", "secret"), True),
        (Identity("jane", "wrong"), False),
        (Identity("john", "secret"), False),
        (Identity("jane"), False),
        (None, False),
    ],
)
def test_user_and_password(
    serve: Callable[..., Node], identity: Identity | None, let_in: bool
) -> None:
    node = serve()
    Registry(node.archive.directory / "peers.toml").put(
        Peer("CT1", HOST, user="jane", password=hashed("secret"))
    )
    options = {"ae_title": "PACSLAB", "calling_ae_title": "CT1", "identity": identity}
    if let_in:
        client.echo(HOST, node.port, **options)
    else:
        with pytest.raises(NetworkError, match="user name and password"):
            client.echo(HOST, node.port, **options)


def test_an_identity_that_nobody_asked_for_is_no_harm(node: Node) -> None:
    client.echo(HOST, node.port, ae_title="PACSLAB", identity=Identity("jane", "secret"))


@pytest.mark.parametrize(("password", "code"), [("secret", 0), ("wrong", 1)])
@pytest.mark.dcmtk
def test_dcmtk_says_user_and_password(node: Node, password: str, code: int, tmp_path: Path) -> None:
    from tests.network.conftest import run

    Registry(node.archive.directory / "peers.toml").put(
        Peer("STORESCU", HOST, user="jane", password=hashed("secret"))
    )
    file = tmp_path / "one.dcm"
    file.write_bytes(instance())
    done = run("storescu", "-usr", "jane", "-pwd", password, "-rsp", HOST, node.port, file)
    assert (done.returncode != 0) == bool(code), done.stderr
    assert len(list(node.archive.instances())) == 1 - code
