"""Who waits together is committed together, and one's trouble isn't the others'."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pacslab.archive import Archive, Status, commits
from pacslab.archive.commits import Commits, Delivery
from pacslab.archive.files import Files, Staged
from pacslab.errors import OutOfResourcesError
from tests.making import instance


class Line:
    """Holds the first transaction until everyone else waits, and notes who came together."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, everyone: int) -> None:
        self.sizes: list[int] = []
        original = Commits._transaction

        def transaction(mine: Commits, together: Sequence[Delivery]) -> None:
            first = not self.sizes
            self.sizes.append(len(together))
            pause = threading.Event()
            for _ in range(6000):
                if not first or len(together) + len(mine._waiting) >= everyone:
                    break
                pause.wait(0.01)
            original(mine, together)

        monkeypatch.setattr(Commits, "_transaction", transaction)


def add_all(archive: Archive, uids: Sequence[str]) -> dict[str, Status]:
    made = {uid: instance(SOPInstanceUID=uid) for uid in uids}
    with ThreadPoolExecutor(len(uids)) as pool:
        return dict(zip(uids, pool.map(lambda u: archive.add(made[u]).status, uids), strict=True))


def test_those_who_wait_share_a_transaction(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = Line(monkeypatch, everyone=6)
    before = archive.revision()
    assert set(add_all(archive, [f"1.2.{i}" for i in range(6)]).values()) == {Status.STORED}
    assert sum(line.sizes) == 6
    assert len(line.sizes) <= 2
    assert archive.revision() == before + len(line.sizes)
    assert list(archive.check()) == []


def test_what_is_wrong_with_one_refuses_only_that_one(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = Line(monkeypatch, everyone=5)
    place = Files.place

    def picky(self: Files, staged: Staged, target: Path) -> set[Path]:
        if target.stem == "1.2.3":
            raise OutOfResourcesError("no room for this one")
        return place(self, staged, target)

    monkeypatch.setattr(Files, "place", picky)
    answers = add_all(archive, [f"1.2.{i}" for i in range(5)])
    assert answers.pop("1.2.3") is Status.REFUSED
    assert set(answers.values()) == {Status.STORED}
    assert max(line.sizes) > 1
    assert list(archive.check()) == []
    assert list(archive.files.incoming.iterdir()) == []


def test_an_interrupted_writer_leaves_nobody_waiting(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(commits, "sync_directories", interrupted)
        with pytest.raises(KeyboardInterrupt):
            archive.add(instance())
    assert archive.counts()["instances"] == 0
    assert list(archive.files.files.glob("*/*/*")) == []
    assert archive.add(instance()).status is Status.STORED


def test_where_the_system_cannot_write_out_ahead_files_are_synced_first(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pacslab.archive import files

    monkeypatch.setattr(files, "_SYNC_FILE_RANGE", None)
    assert archive.add(instance()).status is Status.STORED
    assert list(archive.check()) == []
