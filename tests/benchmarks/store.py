"""Storing by C-STORE, as DCMTK's storescu sends."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tests.benchmarks import data
from tests.benchmarks.peers import Peer
from tests.benchmarks.table import Measure
from tests.conftest import dcmtk


def measures(folder: Path, small: int, large: int) -> list[Measure]:
    """C-STORE of small and large images; none where DCMTK isn't installed."""
    if shutil.which("dcmdump") is None:
        print("left out: C-STORE, since DCMTK's storescu isn't installed", file=sys.stderr)
        return []
    kinds = {
        "10 KB MR, one association": (data.MR, 1, small),
        "10 KB MR, four associations": (data.MR, 4, small // 4),
        "525 KB CT, one association": (data.CT, 1, large),
    }
    return [
        Measure(
            f"C-STORE, {what}",
            "instances/s",
            partial(_figure, folder / f"store{i}", name, senders=senders, number=number),
        )
        for i, (what, (name, senders, number)) in enumerate(kinds.items())
    ]


def _figure(
    folder: Path, name: str, peer: Peer, round_: int, *, senders: int, number: int
) -> float:
    folders = [folder / f"{round_}-{i}" for i in range(senders)]
    for one in folders:
        if not one.exists():  # made for the first server of the round
            data.folder_of(name, one, number)
    return stored_per_second(peer, folders)


def stored_per_second(peer: Peer, folders: Sequence[Path]) -> float:
    """Instances a second that get stored, one association a folder, all at once."""
    number = sum(1 for folder in folders for _ in folder.iterdir())
    words = [dcmtk("storescu"), "-aec", peer.aet, "+sd", "127.0.0.1", str(peer.dicom_port)]
    started = time.perf_counter()
    senders = [
        subprocess.Popen(
            [*words, str(folder)],
            env={**os.environ, "TCP_NODELAY": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for folder in folders
    ]
    for sender in senders:
        _, said = sender.communicate()
        assert sender.returncode == 0, said.decode()
    return number / (time.perf_counter() - started)
