"""The server is killed while it stores: what it acknowledged is there, the rest is harmless."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from pacslab.archive import Archive
from pacslab.errors import NetworkError
from pacslab.network import client as dimse
from tests.making import instance
from tests.servers import client, start


@pytest.mark.parametrize("after", [1, 20, 60])
def test_killed_in_the_midst(tmp_path: Path, after: int) -> None:
    """``after`` so many acknowledgements, so that a slow machine is in its midst as well."""
    process, ready = start(tmp_path / "a")
    host, port = ready.dicom.split(":")
    acknowledged: set[str] = set()
    lock = threading.Lock()
    reached = threading.Event()

    def by_network(number: int) -> None:
        batch = [instance(SOPInstanceUID=f"1.2.{number}.{i}") for i in range(400)]
        try:
            sent = dimse.send(batch, host, int(port), ae_title="PACSLAB", progress=False)
        except NetworkError:
            return
        with lock:
            acknowledged.update(s.SOPInstanceUID for s in sent if s.ok)

    def by_web() -> None:
        with client(ready) as web:
            for i in range(400):
                try:
                    answer = web.post("/dicom-web/studies",
                                      content=instance(SOPInstanceUID=f"1.3.{i}"),
                                      headers={"Content-Type": "application/dicom"})  # fmt: skip
                except OSError:
                    return
                except Exception:  # httpx has an exception for each way a connection can end
                    return
                if answer.status_code == 200:
                    with lock:
                        acknowledged.add(f"1.3.{i}")
                        if len(acknowledged) >= after:
                            reached.set()

    senders = [threading.Thread(target=by_network, args=(n,)) for n in (1, 2)]
    senders.append(threading.Thread(target=by_web))
    for sender in senders:
        sender.start()
    assert reached.wait(60)
    process.kill()
    process.wait(60)
    for sender in senders:
        sender.join(30)
    with Archive(tmp_path / "a") as archive:
        indexed = {s.sop_instance_uid for s in archive.instances()}
        assert acknowledged <= indexed
        # At most one a sender had its name but not yet its row.
        faults = list(archive.check())
        assert {f.kind for f in faults} <= {"unindexed"}
        assert len(faults) <= len(senders)
        assert archive.reindex() == []
        assert list(archive.check()) == []
        assert acknowledged <= {s.sop_instance_uid for s in archive.instances()}
