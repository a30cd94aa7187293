"""The shell's verbs for other DICOM nodes: find, get, move, commit, peers."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from pacslab.archive import Archive
from pacslab.errors import UsageError
from pacslab.network.registry import RIGHTS

# What pandas and pynetdicom take to load is only for who needs it: imports stand in functions.


class Command(Protocol):
    """Adds a command to the parser: its name, what runs it, and its help."""

    def __call__(self, name: str, run: Callable[..., int], help_: str) -> Any:
        """The command's own parser."""


def add_commands(command: Command) -> None:
    """Add the commands of this module."""
    finding = command("find", _find, "C-FIND at a DICOM node; --level WORKLIST for its worklist")
    finding.add_argument("peer", metavar="AET@HOST:PORT")
    finding.add_argument("keys", metavar="KEY=VALUE", nargs="*")
    finding.add_argument("--columns", help="attributes to be returned, with commas between")
    finding.add_argument("--limit", type=int, help="cancel after so many")
    finding.add_argument("--format", choices=["table", "csv", "json", "parquet"],
                         help="of the answer (default: table)")  # fmt: skip
    finding.add_argument("--output", metavar="F", help="file to write to")

    getting = command("get", _get, "C-GET from a DICOM node, into a folder or an archive")
    getting.add_argument("peer", metavar="AET@HOST:PORT")
    getting.add_argument("keys", metavar="KEY=VALUE", nargs="+")
    getting.add_argument("--output", metavar="FOLDER", help="write files into this folder")
    getting.add_argument("--archive", metavar="DIR", help="add to this archive")

    moving = command("move", _move, "C-MOVE: have a DICOM node send to another one")
    moving.add_argument("peer", metavar="AET@HOST:PORT")
    moving.add_argument("destination", metavar="AET")
    moving.add_argument("keys", metavar="KEY=VALUE", nargs="+")
    for one in (finding, getting, moving):
        one.add_argument("--level", help="PATIENT, STUDY, SERIES or INSTANCE "
                         "(default: STUDY, or that of the lowest UID)")  # fmt: skip

    committing = command("commit", _commit, "ask a DICOM node to answer for files it was sent")
    committing.add_argument("paths", metavar="PATH", nargs="+")
    committing.add_argument("peer", metavar="AET@HOST:PORT")

    for one in (finding, getting, moving, committing):
        add_connection(one)

    peers = command("peers", _peers, "the AE registry: who may call, and where C-MOVE may send")
    peers.add_argument("directory", metavar="DIR", type=Path)
    peers.add_argument("--add", metavar="AET", help="add or change this one")
    peers.add_argument("--remove", metavar="AET", help="take this one out")
    peers.add_argument("--address", metavar="HOST[:PORT]", help="where it is")
    peers.add_argument("--allow", help=f"of {', '.join(RIGHTS)} (default: all)")
    peers.add_argument("--calls-from", help="addresses and networks (default: its own)")
    peers.add_argument("--move-to", help="titles it may move to (default: all)")
    peers.add_argument("--tls", action="store_true", default=None, help="sent to over TLS")
    peers.add_argument("--user", help="name that it has to say, with its password")
    peers.add_argument("--password", help="better by PACSLAB_PASSWORD than here")


def add_connection(parser: Any) -> None:
    """Add the options that say how we call, and how secured."""
    parser.add_argument("--calling-ae-title", help="our own AE title (default: PACSLAB)")
    parser.add_argument("--timeout", type=float, help="seconds to wait for answers (default: 60)")
    parser.add_argument("--tls", action="store_true", default=None, help="call over TLS")
    parser.add_argument("--tls-certificate", metavar="PEM", help="that we show")
    parser.add_argument("--tls-key", metavar="PEM", help="its private key")
    parser.add_argument("--tls-ca", metavar="PEM", help="authorities to believe")
    parser.add_argument("--user", help="name to say (PS3.7 D.3.3.7)")
    parser.add_argument("--password", help="better by PACSLAB_PASSWORD than here")


def node(options: argparse.Namespace) -> Any:
    """The node that the options name. Raises UsageError."""
    from pacslab.network.client import CALLING
    from pacslab.network.node import Node
    from pacslab.network.requestor import Identity
    from pacslab.network.tls import Security

    files = (options.tls_certificate, options.tls_key, options.tls_ca)
    return Node.parse(
        options.peer,
        calling_ae_title=options.calling_ae_title or CALLING,
        timeout=options.timeout or 60.0,
        security=Security(*(Path(f) if f else None for f in files)) if options.tls else None,
        identity=Identity(options.user, options.password or "") if options.user else None,
    )


def _find(options: argparse.Namespace) -> int:
    import pandas as pd

    from pacslab.cohort.output import write
    from pacslab.network.client_query import find

    columns = (options.columns or "").replace(",", " ").split()
    names, rows = find(
        node(options), options.level or "STUDY", _keys(options), columns=columns,
        limit=options.limit,
    )  # fmt: skip
    frame = pd.DataFrame(list(rows), columns=names)
    write(frame, options.format or "table", Path(options.output) if options.output else None)
    return 0


def _get(options: argparse.Namespace) -> int:
    from pacslab.network import client_retrieve as retrieve
    from pacslab.network.intake import Intake

    if bool(options.output) == bool(options.archive):
        raise UsageError("say where to: --output FOLDER or --archive DIR")
    asked = _identifiers(options)
    if options.archive:
        with Archive(options.archive) as archive:
            intake = Intake(archive)
            results = [retrieve.get(node(options), one, intake.keep) for one in asked]
            for row in intake.rows:
                if row.Status == "refused":
                    sys.stderr.write(f"refused {row.SOPInstanceUID}: {row.Reason}\n")
    else:
        folder = Path(options.output)
        folder.mkdir(parents=True, exist_ok=True)

        def keep(part10: bytes, _: str, announced: tuple[str, str]) -> int:
            (folder / f"{announced[1]}.dcm").write_bytes(part10)
            return 0x0000

        results = [retrieve.get(node(options), one, keep) for one in asked]
    return _told(results, "retrieved")


def _move(options: argparse.Namespace) -> int:
    from pacslab.network import client_retrieve as retrieve

    asked = _identifiers(options)
    results = [retrieve.move(node(options), one, options.destination) for one in asked]
    return _told(results, "moved")


def _told(results: list[Any], verb: str) -> int:
    for result in results:
        for uid in result.failed_uids:
            sys.stderr.write(f"failed {uid}\n")
        if result.comment:
            sys.stderr.write(f"{result.comment}\n")
    done = sum(r.completed + r.warnings for r in results)
    print(f"{done} {verb}, {sum(r.failed for r in results)} failed")
    return 0 if all(r.ok for r in results) else 1


def _commit(options: argparse.Namespace) -> int:
    from pacslab.network.client_commit import commit
    from pacslab.network.outbox import collect

    for path in options.paths:
        if not Path(path).exists():
            raise UsageError(f"{path} doesn't exist")
    letters = list(collect([Path(p) for p in options.paths]))
    for letter in letters:
        if letter.error:
            sys.stderr.write(f"left out {letter.name}: {letter.error}\n")
    wanted = [(m.sop_class_uid, m.sop_instance_uid) for m in letters if not m.error]
    rows = commit(node(options), wanted, wait=options.timeout or 60.0)
    for row in rows:
        if row.Status != "committed":
            sys.stderr.write(f"{row.Status} {row.SOPInstanceUID}: {row.Reason}\n")
    done = sum(row.Status == "committed" for row in rows)
    print(f"{done} committed, {len(letters) - done} not")
    return 0 if done == len(letters) else 1


def _peers(options: argparse.Namespace) -> int:
    import os

    from pacslab.network.registry import NAME, Peer, Registry, hashed

    named = os.environ.get("PACSLAB_PEERS")
    registry = Registry(Path(named) if named else options.directory / NAME)
    if options.remove:
        registry.remove(options.remove)
    if options.add:
        host, _, port = (options.address or "").rpartition(":")
        if not port.isdigit():
            host, port = options.address or "", "0"
        registry.put(
            Peer(
                options.add,
                host.strip("[]"),
                int(port),
                frozenset(_words(options.allow)) if options.allow else frozenset(RIGHTS),
                tuple(_words(options.calls_from)),
                tuple(_words(options.move_to)),
                bool(options.tls),
                options.user or "",
                hashed(options.password or "") if options.user else "",
            )
        )
    for peer in registry.peers().values():
        told = asdict(peer)
        rights = ", ".join(r for r in RIGHTS if r in peer.allow)
        where = f"{peer.host}:{peer.port}" if peer.port else peer.host
        sources = ", ".join(told["calls_from"])
        print("\t".join((peer.ae_title, where, rights or "nothing", sources)).rstrip())
    return 0


def _words(text: str | None) -> list[str]:
    return (text or "").replace(",", " ").split()


def _keys(options: argparse.Namespace) -> dict[str, str]:
    keys: dict[str, str] = {}
    for word in options.keys:
        key, equals, value = word.partition("=")
        if not equals:
            raise UsageError(f"{word!r}: write keys as PatientName=DOE*")
        keys[key] = value
    return keys


def _identifiers(options: argparse.Namespace) -> list[Any]:
    from pacslab.dicom.keywords import Level
    from pacslab.dicom.matching import level_of
    from pacslab.network.client_retrieve import identifiers

    keys: Mapping[str, str] = _keys(options)
    level = level_of(options.level) if options.level else None
    if level is None:
        there = [each for each in reversed(Level) if each.unique_key in keys]
        if not there:
            raise UsageError("say what: StudyInstanceUID=..., or PatientID=...")
        level = there[0]
    return list(identifiers(level, [keys]))
