"""What a notebook does with other DICOM nodes; :class:`pacslab.Lab` has all of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from pacslab.archive import Archive, commitments
from pacslab.archive import worklist as worklists
from pacslab.dicom.keywords import Level
from pacslab.dicom.matching import level_of
from pacslab.dicom.worklist import COLUMNS
from pacslab.errors import UsageError
from pacslab.network.registry import NAME, Peer, Registry, hashed
from pacslab.network.registry import RIGHTS as _RIGHTS
from pacslab.server import record
from pacslab.server.settings import Settings

if TYPE_CHECKING:
    from pacslab.network.client_retrieve import Retrieval
    from pacslab.network.node import Node

_SECRET: Final = "password"


class Networking:
    """The part of a Lab that talks with other nodes; ``archive`` is the Lab's."""

    archive: Archive

    # --- who there is -----------------------------------------------------------------------

    @property
    def peers(self) -> pd.DataFrame:
        """The AE registry: who may call from where and do what, and where C-MOVE may send."""
        columns = [f.name for f in fields(Peer) if f.name != _SECRET]
        rows = [asdict(peer) for peer in self.registry.peers().values()]
        for row in rows:
            row["allow"] = ", ".join(r for r in _RIGHTS if r in row["allow"])
            row["calls_from"] = ", ".join(row["calls_from"] or filter(None, [row["host"]]))
            row["move_to"] = ", ".join(row["move_to"])
        return pd.DataFrame(rows, columns=columns)

    @property
    def registry(self) -> Registry:
        """The file behind :attr:`peers`: ``peers.toml`` in the archive, or ``PACSLAB_PEERS``."""
        named = Settings.from_options({}).peers
        return Registry(Path(named) if named else self.archive.directory / NAME)

    def add_peer(
        self,
        ae_title: str,
        host: str = "",
        port: int = 0,
        *,
        allow: Iterable[str] | str = _RIGHTS,
        calls_from: Iterable[str] | str = (),
        move_to: Iterable[str] | str = (),
        tls: bool = False,
        user: str = "",
        password: str = "",
    ) -> pd.DataFrame:
        """Let a node in, or change what it may; the registry afterwards. A server takes it at once.

        ``allow``: any of store, query, move, worklist. ``calls_from``: addresses and networks
        (``10.0.0.0/24``), its host when not given. Raises UsageError for what can't be meant.
        """
        self.registry.put(
            Peer(
                ae_title,
                host,
                port,
                frozenset(_words(allow)),
                tuple(_words(calls_from)),
                tuple(_words(move_to)),
                tls,
                user,
                hashed(password) if user else "",
            )
        )
        return self.peers

    def remove_peer(self, ae_title: str) -> pd.DataFrame:
        """Let a node in no more; the registry afterwards. Raises UsageError if there is none."""
        self.registry.remove(ae_title)
        return self.peers

    def node(
        self,
        peer: str | Node | None = None,
        *,
        calling_ae_title: str | None = None,
        timeout: float = 60,
        tls: bool | None = None,
        tls_certificate: str | None = None,
        tls_key: str | None = None,
        tls_ca: str | None = None,
        user: str = "",
        password: str = "",
    ) -> Node:
        """A node to ask: ``"AET@host:port"``, the title of a peer, or None for our own server.

        Whatever takes a ``peer`` takes this too: it may have TLS and a user's name and password.
        Raises UsageError.
        """
        from pacslab.network import node as nodes
        from pacslab.network.client import CALLING, parse_peer
        from pacslab.network.requestor import Identity
        from pacslab.network.tls import Security

        if isinstance(peer, nodes.Node):
            return peer
        settings = Settings.from_options({})
        secured = bool(tls)
        if peer is not None and "@" not in peer:
            known = self.registry.destination(peer)
            if known is None:
                titles = ", ".join(self.registry.peers()) or "none"
                raise UsageError(
                    f"{peer!r} is no peer with a port: write AET@host:port, or take {titles}"
                )
            secured = known.tls if tls is None else tls
            address = (known.ae_title, known.host, known.port)
        else:
            address = parse_peer(peer or self._own_peer())
        files = (
            tls_certificate or settings.tls_certificate,
            tls_key or settings.tls_key,
            tls_ca or settings.tls_ca,
        )
        return nodes.Node(
            *address,
            calling_ae_title=calling_ae_title or CALLING,
            timeout=timeout,
            security=Security(*(Path(f) if f else None for f in files)) if secured else None,
            identity=Identity(user, password) if user else None,
        )

    # --- asking -----------------------------------------------------------------------------

    def find(
        self,
        level: Level | str = Level.STUDY,
        peer: str | Node | None = None,
        *,
        columns: Iterable[str] = (),
        limit: int | None = None,
        **keys: object,
    ) -> pd.DataFrame:
        """C-FIND at a node; a row a PATIENT, STUDY, SERIES, INSTANCE, or scheduled step (WORKLIST).

        Keys match as in :meth:`Lab.search`. Raises NetworkError with the node's reason.
        """
        from pacslab.network.client_query import find

        names, rows = find(self.node(peer), level, keys, columns=columns, limit=limit)
        return pd.DataFrame(list(rows), columns=names)

    def get(
        self,
        what: Any = None,
        peer: str | Node | None = None,
        *,
        level: Level | str | None = None,
        progress: bool = True,
        **keys: str,
    ) -> pd.DataFrame:
        """C-GET from a node into this archive; a row an instance, with what became of it.

        ``what`` is a DataFrame of :meth:`find`; or keys say it: ``StudyInstanceUID="1.2.3"``.
        Raises NetworkError where nothing could be had.
        """
        from pacslab.network import client_retrieve as retrieve
        from pacslab.network.intake import Intake

        node = self.node(peer)
        intake = Intake(self.archive)
        results = [
            retrieve.get(node, asked, intake.keep, progress=progress)
            for asked in retrieve.identifiers(*_chosen(what, level, keys))
        ]
        retrieve.check(results)
        for result in results:
            for uid in result.failed_uids:
                intake.missed(uid, result.comment)
        return pd.DataFrame([asdict(r) for r in intake.rows], columns=intake.COLUMNS)

    def move(
        self,
        what: Any = None,
        to: str = "",
        peer: str | Node | None = None,
        *,
        level: Level | str | None = None,
        progress: bool = True,
        **keys: str,
    ) -> pd.DataFrame:
        """C-MOVE: have a node send to another one by its AE title; a row a request, with counts.

        ``to`` is our own server's title when not given. Raises NetworkError where nothing moved.
        """
        from pacslab.network import client_retrieve as retrieve

        node = self.node(peer)
        if not to:
            running = record.read(self.archive.directory)
            if running is None:
                raise UsageError("give the AE title to move to, or start a server: lab.serve()")
            to = running.ae_title
        results = [
            retrieve.move(node, asked, to, progress=progress)
            for asked in retrieve.identifiers(*_chosen(what, level, keys))
        ]
        retrieve.check(results)
        return pd.DataFrame([_row(result) for result in results], columns=_MOVED)

    def commit(
        self, what: Any, peer: str | Node | None = None, *, wait: float = 60
    ) -> pd.DataFrame:
        """Ask a node whether it answers for instances of this archive; a row for each.

        ``what`` is a DataFrame, UIDs, or None for all. Status: committed, failed, or pending where
        no result came within ``wait`` s; :attr:`commitments` has it when it comes to our server.
        """
        from pacslab.network.client_commit import Commitment, commit

        references = [(s.sop_class_uid, s.sop_instance_uid) for s in self._instances(what)]
        rows = commit(self.node(peer), references, archive=self.archive, wait=wait)
        columns = [f.name for f in fields(Commitment)]
        return pd.DataFrame([asdict(row) for row in rows], columns=columns)

    # --- what modalities ask for and tell ---------------------------------------------------

    @property
    def worklist(self) -> pd.DataFrame:
        """The Modality Worklist, a row a scheduled procedure step; assign a DataFrame to change it.

        Columns that are all empty aren't shown.
        """
        frame = pd.DataFrame(worklists.entries(self.archive.database), columns=list(COLUMNS))
        return frame.loc[:, [c for c in frame if c in _SHOWN or frame[c].notna().any()]]

    @worklist.setter
    def worklist(self, steps: pd.DataFrame) -> None:
        worklists.replace(self.archive.database, _records(steps))

    def schedule(self, **values: object) -> pd.DataFrame:
        """Put a step on the worklist; the worklist afterwards.

        PatientID and Modality are needed; UIDs, IDs and date are made up where not given. Raises
        UsageError for what a worklist doesn't have.
        """
        worklists.add(self.archive.database, [values])
        return self.worklist

    @property
    def performed_steps(self) -> pd.DataFrame:
        """What modalities told of their work (MPPS), a row a performed procedure step."""
        rows = worklists.performed(self.archive.database)
        return pd.DataFrame(rows, columns=list(worklists.STEP_COLUMNS))

    @property
    def commitments(self) -> pd.DataFrame:
        """Storage commitments that were asked of us (scp), or by us (scu)."""
        rows = commitments.listed(self.archive.database)
        return pd.DataFrame(list(rows), columns=list(commitments.COLUMNS))

    # --- inside -----------------------------------------------------------------------------

    def _own_peer(self) -> str:
        raise NotImplementedError

    def _instances(self, what: Any) -> Iterable[Any]:
        raise NotImplementedError


_SHOWN: Final = frozenset({
    "PatientName", "PatientID", "Modality", "ScheduledStationAETitle",
    "ScheduledProcedureStepStartDate", "ScheduledProcedureStepStatus",
})  # fmt: skip
_MOVED: Final = ["Status", "Comment", "Completed", "Failed", "Warnings", "FailedSOPInstanceUIDList"]


def _row(result: Retrieval) -> dict[str, Any]:
    values = (
        f"0x{result.status:04X}",
        result.comment,
        result.completed,
        result.failed,
        result.warnings,
        "\\".join(result.failed_uids),
    )
    return dict(zip(_MOVED, values, strict=True))


def _words(given: Iterable[str] | str) -> list[str]:
    return given.replace(",", " ").split() if isinstance(given, str) else list(given)


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]


def _chosen(
    what: Any, level: Level | str | None, keys: Mapping[str, str]
) -> tuple[Level, list[Mapping[str, Any]]]:
    """The level, and rows with its unique keys: the lowest one that they have, if none is named."""
    rows: list[Mapping[str, Any]] = [dict(keys)] if keys else []
    if isinstance(what, pd.DataFrame):
        rows = list(_records(what))
    elif what is not None:
        raise UsageError("give a DataFrame of lab.find, or keys: StudyInstanceUID=...")
    if not rows and not isinstance(what, pd.DataFrame):
        raise UsageError("say what to retrieve: a DataFrame of lab.find, or StudyInstanceUID=...")
    if level is not None:
        return level_of(level), rows
    for depth in reversed(Level):
        if any(depth.unique_key in row for row in rows):
            return depth, rows
    if rows:
        raise UsageError("no UID says what to retrieve: StudyInstanceUID=... or PatientID=...")
    return Level.STUDY, rows
