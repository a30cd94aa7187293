"""Who reads slowly costs the others nothing: streams wait without a connection to the index."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest
from pydicom.uid import generate_uid
from starlette.types import Message

from pacslab.archive import Archive
from pacslab.web.app import create_app
from pacslab.web.context import Context
from tests.making import instance

_INSTANCES = 450  # more than two pages of the index


class SlowReader:
    """A client that takes the first piece of its answer and then nothing until ``go``."""

    def __init__(self, path: str, query: str, go: asyncio.Event) -> None:
        self.path = path
        self.query = query
        self.began = asyncio.Event()
        self.body = bytearray()
        self.pieces = 0
        self._go = go

    async def ask(self, app: object) -> None:
        scope = {
            "type": "http",
            "method": "GET",
            "path": self.path,
            "raw_path": self.path.encode(),
            "query_string": self.query.encode(),
            "headers": [(b"host", b"test"), (b"accept", b"application/dicom+json")],
            "server": ("test", 80),
            "client": ("127.0.0.1", 1),
            "scheme": "http",
            "http_version": "1.1",
            "root_path": "",
        }
        await app(scope, self._receive, self._send)  # type: ignore[operator]

    async def _receive(self) -> Message:
        await asyncio.Event().wait()
        raise AssertionError("nobody sends anything")

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.body":
            self.body += message.get("body", b"")
            self.pieces += 1
            self.began.set()
            await self._go.wait()


def _series(archive: Archive) -> tuple[str, str]:
    study, series = generate_uid(), generate_uid()
    uids = {"StudyInstanceUID": study, "SeriesInstanceUID": series}
    archive.add_many(
        instance(**uids, InstanceNumber=i, ImageComments="long " * 1200) for i in range(_INSTANCES)
    )
    return str(study), str(series)


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("readers", "resource", "query"),
    # 64 connections to the index are all there are
    [(100, "metadata", ""), (100, "instances", ""), (70, "instances", "includefield=BitsStored")],
    ids=["metadata", "search", "search in headers"],
)
def test_a_hundred_slow_readers_dont_keep_others_waiting(
    archive: Archive, readers: int, resource: str, query: str
) -> None:
    study, series = _series(archive)
    app = create_app(Context(archive))

    async def scene() -> list[SlowReader]:
        go = asyncio.Event()
        path = f"/dicom-web/studies/{study}/series/{series}/{resource}"
        slow = [SlowReader(path, query, go) for _ in range(readers)]
        tasks = [asyncio.create_task(reader.ask(app)) for reader in slow]
        for reader in slow:
            await asyncio.wait_for(reader.began.wait(), 60)
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            for keys in (f"StudyInstanceUID={study}", "PatientName=D*"):
                found = await asyncio.wait_for(client.get(f"/dicom-web/studies?{keys}"), 60)
                assert [one["0020000D"]["Value"] for one in found.json()] == [[study]]
        assert all(reader.pieces == 1 for reader in slow)
        go.set()
        await asyncio.gather(*tasks)
        return slow

    for reader in asyncio.run(scene()):
        numbers = [header["00200013"]["Value"][0] for header in json.loads(reader.body)]
        assert sorted(numbers) == list(range(_INSTANCES))
        assert reader.pieces > 1
