"""Many associations at once, some of which end badly: what was acknowledged is there, whole.

``make soak`` is the long form: 50 associations of 200 instances each.
"""

from __future__ import annotations

import os
import random
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from pacslab.archive import Archive
from pacslab.network import commands
from pacslab.network.commands import COMMAND, LAST, StoreRequest
from pacslab.network.listener import DicomListener
from pacslab.network.wire import ASSOCIATE_AC, DATA, Wire, abort, request, storing
from tests.making import instance
from tests.network.conftest import HOST, data_set

_ASSOCIATIONS, _INSTANCES = map(int, os.environ.get("PACSLAB_SOAK", "20x40").split("x"))
_ABORTED: Final = 0.05


class Sender:
    """Sends instances of one series, and aborts or hangs up in the midst of some of them."""

    def __init__(self, port: int, number: int) -> None:
        self._port = port
        self._number = number
        self._random = random.Random(number)
        self.acknowledged: set[str] = set()
        self.broken: set[str] = set()

    def run(self) -> None:
        wire: Wire | None = None
        for i in range(_INSTANCES):
            part10 = made(self._number, i)
            sop_class, uid, syntax, data = storing(part10)
            wire = wire or self._associated(sop_class, syntax)
            command = commands.store_command(StoreRequest(i + 1, sop_class, uid))
            wire.send(commands.data_pdu(1, COMMAND | LAST, command))
            if self._random.random() < _ABORTED:
                self.broken.add(uid)
                wire.send(commands.data_pdu(1, 0, data[: self._random.randrange(0, len(data), 2)]))
                if self._random.random() < 0.5:
                    wire.send(abort(0, 0))
                wire.close()
                wire = None
                continue
            wire.send(commands.data_pdu(1, LAST, data))
            answer = wire.read()
            assert answer is not None
            assert answer == commands.store_response(1, StoreRequest(i + 1, sop_class, uid), 0)
            assert answer[0] == DATA
            self.acknowledged.add(uid)
        if wire is not None:
            wire.send(abort(0, 0))
            wire.close()

    def _associated(self, sop_class: str, syntax: str) -> Wire:
        wire = Wire(socket.create_connection((HOST, self._port), 60), threading.Event())
        wire.send(request("PACSLAB", f"SENDER{self._number}", sop_class, syntax))
        answer = wire.read()
        assert answer is not None
        assert answer[0] == ASSOCIATE_AC
        return wire


def made(number: int, i: int) -> bytes:
    return instance(
        StudyInstanceUID=f"1.3.{number}",
        SeriesInstanceUID=f"1.3.{number}.1",
        SOPInstanceUID=f"1.3.{number}.1.{i}",
        InstanceNumber=i + 1,
    )


def test_what_was_acknowledged_is_there_and_nothing_is_half_there(archive: Archive) -> None:
    with DicomListener(archive, port=0, max_associations=2 * _ASSOCIATIONS) as listener:
        senders = [Sender(listener.port, n) for n in range(_ASSOCIATIONS)]
        with ThreadPoolExecutor(_ASSOCIATIONS) as pool:
            for done in [pool.submit(sender.run) for sender in senders]:
                done.result()
    acknowledged = set[str]().union(*(s.acknowledged for s in senders))
    broken = set[str]().union(*(s.broken for s in senders))
    assert len(acknowledged) + len(broken) == _ASSOCIATIONS * _INSTANCES
    assert len(broken) > 0
    stored = {s.sop_instance_uid: s.path for s in archive.instances()}
    assert set(stored) == acknowledged
    for number in range(0, _ASSOCIATIONS, 7):
        for i in range(_INSTANCES):
            path = stored.get(f"1.3.{number}.1.{i}")
            assert path is None or data_set(path.read_bytes()) == data_set(made(number, i))
    assert list(archive.check()) == []
    assert list(archive.files.incoming.iterdir()) == []
    assert list(archive.quarantined()) == []
