"""The AE registry: who may call from where and do what, and where C-MOVE may send."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import os
import re
import secrets
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pacslab.errors import UsageError

NAME: Final = "peers.toml"
ANYONE: Final = "*"
STORE: Final = "store"
QUERY: Final = "query"
MOVE: Final = "move"
WORKLIST: Final = "worklist"
RIGHTS: Final = (STORE, QUERY, MOVE, WORKLIST)
"""C-STORE and storage commitment; C-FIND; C-MOVE and C-GET; worklist and performed steps."""

_LOOPBACK: Final = "loopback"
_KEYS: Final = frozenset(
    {"host", "port", "allow", "calls_from", "move_to", "tls", "user", "password"}
)
_HEAD: Final = """\
# The AE registry: who may call, from where, to do what; and where C-MOVE may send.
# Programs on this machine may do everything without standing here. The title "*" is anyone's.
# docs/operations.md has an example of every key.
"""


@dataclass(frozen=True, slots=True)
class Peer:
    """A DICOM node: its address, and what it may do when it calls.

    C-MOVE may send to it if it has a ``port``. It may call from the networks ``calls_from``, from
    its ``host`` where none is given. ``move_to`` are the titles that it may send to by C-MOVE;
    empty: every one with a port. With a ``user`` it has to say this name and its password
    (PS3.7 D.3.3.7), of which ``password`` is the salted hash.
    """

    ae_title: str
    host: str = ""
    port: int = 0
    allow: frozenset[str] = frozenset(RIGHTS)
    calls_from: tuple[str, ...] = ()
    move_to: tuple[str, ...] = ()
    tls: bool = False
    user: str = ""
    password: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        who = f"peer {self.ae_title!r}"
        if not re.fullmatch(r"[ -\[\]-~]{1,16}", self.ae_title) or not self.ae_title.strip():
            raise UsageError(f"{who}: an AE title is 1 to 16 ASCII characters without backslash")
        if not 0 <= self.port <= 65535:
            raise UsageError(f"{who}: port is {self.port}: take 1 to 65535, or 0 for none")
        if self.port and not self.host:
            raise UsageError(f"{who}: a port needs a host")
        unknown = sorted(set(self.allow) - set(RIGHTS))
        if unknown:
            raise UsageError(f"{who}: {unknown[0]!r} can't be allowed: take {', '.join(RIGHTS)}")
        if self.user and "$" not in self.password:
            raise UsageError(
                f"{who}: password isn't a hash: 'pacslab peers DIR --add' and Lab.add_peer make it"
            )
        for network in self.calls_from:
            _network(network, who)

    def calls(self, host: str) -> bool:
        """Whether it is known to call from this address."""
        address = _address(host)
        sources = self.calls_from or ((self.host,) if self.host else ())
        return any(_holds(source, address, host) for source in sources)

    def knows(self, user: str, password: str) -> bool:
        """Whether these are the name and the password that it has to say."""
        if not self.user:
            return True
        salt = self.password.partition("$")[0]
        same = hmac.compare_digest(self.password.encode(), hashed(password, salt).encode())
        return same and hmac.compare_digest(self.user.encode(), user.encode())


@dataclass(frozen=True, slots=True)
class Grant:
    """What a caller may do; ``peer`` is its entry, None for a program on this machine."""

    rights: frozenset[str]
    peer: Peer | None = None


class Registry:
    """The peers in a file, which is read again when it has changed. One that isn't there is empty.

    Without an entry, programs on this machine (loopback) may do everything, all others nothing;
    with an entry for their title and address they may do what it says.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, int] | None = None
        self._peers: dict[str, Peer] = {}

    def peers(self) -> dict[str, Peer]:
        """Every peer by AE title. Raises UsageError for a file with a mistake in it."""
        try:
            state = self.path.stat()
        except FileNotFoundError:
            return {}
        seen = (state.st_mtime_ns, state.st_size)
        if seen != self._seen:
            self._peers = _read(self.path)
            self._seen = seen
        return self._peers

    def grant(self, ae_title: str, host: str) -> Grant | None:
        """What who calls by this title from this address may do; None: not even associate."""
        peers = self.peers()
        here = is_loopback(host)
        # What anyone may is no limit to a program on this machine; an entry of its own is
        for title in (ae_title.strip(),) if here else (ae_title.strip(), ANYONE):
            peer = peers.get(title)
            if peer is not None and peer.calls(host):
                return Grant(peer.allow, peer)
        return Grant(frozenset(RIGHTS)) if here else None

    def destination(self, ae_title: str, caller: Peer | None = None) -> Peer | None:
        """Where C-MOVE sends for this title; None where it may not, or where that isn't known."""
        peer = self.peers().get(ae_title.strip())
        if peer is None or not peer.port:
            return None
        if caller is not None and caller.move_to and peer.ae_title not in caller.move_to:
            return None
        return peer

    def put(self, peer: Peer) -> None:
        """Add a peer, or replace the one of this title; comments in the file are lost."""
        self._write({**self.peers(), peer.ae_title: peer})

    def remove(self, ae_title: str) -> None:
        """Take a peer out. Raises UsageError that names those there are."""
        peers = dict(self.peers())
        if peers.pop(ae_title, None) is None:
            known = ", ".join(peers) or "none"
            raise UsageError(f"there is no peer {ae_title!r}; there are: {known}")
        self._write(peers)

    def _write(self, peers: Mapping[str, Peer]) -> None:
        text = _HEAD + "".join(_table(peer) for peer in peers.values())
        new = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}")
        try:
            # It may hold (the hash of) a password
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            new.replace(self.path)
        finally:
            new.unlink(missing_ok=True)


def hashed(password: str, salt: str | None = None) -> str:
    """A password as it is kept: its salt, and scrypt's hash of both (RFC 7914)."""
    salt = salt or secrets.token_hex(16)
    digest = hashlib.scrypt(password.encode(), salt=salt.encode(), n=1 << 14, r=8, p=1)
    return f"{salt}${digest.hex()}"


def is_loopback(host: str) -> bool:
    """Whether an address is one of this machine's own, which no other can have."""
    address = _address(host)
    return address is not None and address.is_loopback


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _holds(
    source: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None, host: str
) -> bool:
    if source == _LOOPBACK:
        return address is not None and address.is_loopback
    try:
        network = ipaddress.ip_network(source, strict=False)
    except ValueError:
        return host == source or host in _resolved(source)
    return address is not None and address.version == network.version and address in network


def _resolved(name: str) -> set[str]:
    import socket

    try:
        return {str(info[4][0]) for info in socket.getaddrinfo(name, None)}
    except OSError:
        return set()


def _network(text: str, who: str) -> None:
    if re.fullmatch(r"[0-9.:/a-fA-F]+", text) and re.search(r"[.:]", text):
        try:
            ipaddress.ip_network(text, strict=False)
        except ValueError as error:
            raise UsageError(f"{who}: calls_from: {error}") from None


def _read(path: Path) -> dict[str, Peer]:
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} isn't TOML: {error}") from None
    return {title: _peer(path, title, values) for title, values in tables.items()}


def _peer(path: Path, title: str, values: Any) -> Peer:
    if not isinstance(values, dict):
        raise UsageError(f"{path}: {title} isn't a table: write [{title}] and its keys below")
    unknown = sorted(set(values) - _KEYS)
    if unknown:
        raise UsageError(f"{path}: [{title}]: {unknown[0]!r}: take {', '.join(sorted(_KEYS))}")
    kinds: dict[str, type] = {"port": int, "tls": bool, "allow": list,
                              "calls_from": list, "move_to": list}  # fmt: skip
    for key, value in values.items():
        kind = kinds.get(key, str)
        if type(value) is not kind or (
            isinstance(value, list) and not all(isinstance(v, str) for v in value)
        ):
            raise UsageError(f"{path}: [{title}]: {key} isn't a {kind.__name__}")
    lists = {key: tuple(values[key]) for key in ("calls_from", "move_to") if key in values}
    allow = {"allow": frozenset(values["allow"])} if "allow" in values else {}
    return Peer(title, **{**values, **lists, **allow})


def _table(peer: Peer) -> str:
    lines = [f"\n[{json.dumps(peer.ae_title)}]"]
    if peer.host:
        lines.append(f"host = {json.dumps(peer.host)}")
    if peer.port:
        lines.append(f"port = {peer.port}")
    lines.append(f"allow = {_list(r for r in RIGHTS if r in peer.allow)}")
    if peer.calls_from:
        lines.append(f"calls_from = {_list(peer.calls_from)}")
    if peer.move_to:
        lines.append(f"move_to = {_list(peer.move_to)}")
    if peer.tls:
        lines.append("tls = true")
    if peer.user:
        lines += [f"{key} = {json.dumps(getattr(peer, key))}" for key in ("user", "password")]
    return "\n".join(lines) + "\n"


def _list(values: Iterable[str]) -> str:
    return json.dumps(list(values))
