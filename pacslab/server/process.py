"""The server process: both listeners over one archive, from the ready line to a clean end."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import uvicorn

from pacslab.archive import Archive, Arrival
from pacslab.archive.journal import Journal
from pacslab.errors import ServerError
from pacslab.network.listener import DicomListener
from pacslab.network.ports import port_in_use
from pacslab.network.registry import NAME, Registry
from pacslab.network.tls import Security
from pacslab.server import owners, record
from pacslab.server.settings import Settings
from pacslab.web.app import create_app
from pacslab.web.context import ROOT, Context
from pacslab.web.protocol import FileProtocol

log = logging.getLogger(__name__)

_GRACE: Final = 8.0  # seconds for what is under way; the contract gives 10 for the whole end
_POLL: Final = 0.5


def run(
    directory: Path,
    settings: Settings,
    *,
    owner: int | None = None,
    announce: Callable[[str], None] = print,
) -> None:
    """Serve an archive until SIGTERM or SIGINT, or until its last owner has ended.

    ``announce`` gets the ready line when both ports answer. What is being stored then is finished
    within 10 s. Raises ServerRunningError, PortInUseError, ArchiveError.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    mine = owners.Owners()
    if owner is not None and not mine.adopt(owner):
        raise ServerError(f"the process {owner} that asked for the server has ended")
    with (
        record.sole(directory),
        Archive(
            directory, on_conflict=settings.on_conflict, on_receive=_arrival(directory, settings)
        ) as archive,
        _http(archive, settings, mine) as (http_port, token),
        _dicom(archive, settings) as dicom_port,
    ):
        archive.tidy()
        here = f"http://{_shown(settings.host)}:{http_port}"
        ready = record.Record(
            pid=os.getpid(),
            ae_title=settings.ae_title,
            dicom=f"{_shown(settings.host)}:{dicom_port}",
            dicomweb=here + ROOT,
            viewer=here + "/viewer/",
            token=token,
        )
        record.write(directory, ready)
        announce(ready.line())
        sys.stdout.flush()
        while not stop.wait(_POLL):
            if mine.all_gone():
                log.info("the last kernel that used this server has ended")
                break
        mine.close()
        # From here on nobody shall find this server and believe that it stays.
        (directory / record.NAME).unlink(missing_ok=True)
        log.info("stopping: what is being stored is finished first")


def _arrival(directory: Path, settings: Settings) -> Arrival | None:
    """What de-identifies on receive, when asked for; then pydicom is silent, since it quotes."""
    if not settings.deidentify:
        return None
    from pacslab.deid.receive import Receiver

    warnings.simplefilter("ignore")
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    return Receiver(directory, settings.deidentify).arrival()


@contextmanager
def _dicom(archive: Archive, settings: Settings) -> Iterator[int]:
    callers = [t.strip() for t in settings.allow_calling_ae.split(",") if t.strip()]
    journal = Journal(archive.database)
    registry = Registry(Path(settings.peers) if settings.peers else archive.directory / NAME)
    registry.peers()  # a mistake in it is told now, not when somebody calls
    files = (settings.tls_certificate, settings.tls_key, settings.tls_ca)
    listener = DicomListener(
        archive,
        ae_title=settings.ae_title,
        host=settings.host,
        port=settings.dicom_port,
        require_called_ae=settings.require_called_ae,
        calling_ae_titles=callers or None,
        allow_unknown_sop_classes=settings.allow_unknown_sop_classes,
        max_associations=settings.max_associations,
        journal=journal,
        trace=settings.trace,
        registry=registry,
        security=Security(*(Path(f) if f else None for f in files)) if any(files) else None,
    )
    with journal:
        listener.start()
        try:
            yield listener.port
        finally:
            listener.stop(timeout=_GRACE)


@contextmanager
def _http(archive: Archive, settings: Settings, mine: owners.Owners) -> Iterator[tuple[int, str]]:
    """uvicorn in a thread of its own, on a socket that is bound before anything else starts."""
    token = settings.token or secrets.token_urlsafe(24)
    proxies = frozenset(p.strip() for p in settings.trusted_proxies.split(",") if p.strip())
    app = create_app(
        Context(archive, token, settings.allow_delete, proxies), routers=[owners.router(mine)]
    )
    bound = _bind(settings.host, settings.http_port)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            http=FileProtocol,
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=int(_GRACE) - 2,
        )
    )
    thread = threading.Thread(target=server.run, args=([bound],), name="http", daemon=True)
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise ServerError("the HTTP server could not start: see the log above")
            time.sleep(0.01)
        yield bound.getsockname()[1], token
    finally:
        server.should_exit = True
        thread.join(_GRACE)
        bound.close()


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Answers of a few hundred bytes must not wait for an acknowledgement (Nagle).
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        bound.bind((host, port))
        bound.listen(2048)
    except OSError as error:
        bound.close()
        raise port_in_use(host, port, error) from error
    return bound


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
