"""What a program that knows nothing of DICOM sees: curl against a server process."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pacslab.archive import Archive
from pacslab.server.record import Record
from tests.making import instance
from tests.servers import client, serving
from tests.web.test_multipart import joined

pytestmark = pytest.mark.curl
MULTIPART = 'Content-Type: multipart/related; type="application/dicom"; boundary=XX'


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Record]:
    directory = tmp_path_factory.mktemp("curl") / "a"
    with Archive(directory) as archive:
        archive.add(instance(StudyInstanceUID="1.1", PatientComments="c" * 9000))
    with serving(directory) as record:
        yield record


def curl(ready: Record, path: str, *options: str, body: bytes = b"") -> tuple[int, str, bytes]:
    """Status, header fields and body."""
    words = ["curl", "-sS", "--noproxy", "*", "-D", "/dev/stderr", "--max-time", "30", *options]
    done = subprocess.run([*words, ready.base + path], input=body, capture_output=True, check=True)
    heads = done.stderr.decode().strip().split("\r\n\r\n")
    return int(heads[-1].split()[1]), heads[-1].lower(), done.stdout


def token(ready: Record) -> tuple[str, str]:
    return "-H", f"Authorization: Bearer {ready.token}"


def test_a_chunked_body_from_a_pipe(ready: Record) -> None:
    body = joined([instance(StudyInstanceUID="1.2") for _ in range(3)])
    options = (*token(ready), "-X", "POST", "-H", MULTIPART, "-H", "Transfer-Encoding: chunked")
    status, _, told = curl(ready, "/dicom-web/studies", *options, "-T", "-", body=body)
    assert status == 200, told
    assert len(json.loads(told)["00081199"]["Value"]) == 3


def test_without_the_token_nothing_is_read(ready: Record, tmp_path: Path) -> None:
    """curl waits for "100 Continue" before it sends so much; it gets the answer instead."""
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(1 << 30)
    options = ("-X", "POST", "-H", MULTIPART, "-H", "Expect: 100-continue", "-T", str(large),
               "--expect100-timeout", "20")  # fmt: skip
    status, head, told = curl(ready, "/dicom-web/studies", *options, "-w", "\n%{size_upload}")
    problem, sent = told.decode().rsplit("\n", 1)
    assert status == 401
    assert "www-authenticate: bearer" in head
    assert "Authorization: Bearer" in json.loads(problem)["detail"]
    assert int(sent) == 0


def test_compressed_is_the_same(ready: Record) -> None:
    path = "/dicom-web/studies/1.1/instances?includefield=all"
    _, _, plain = curl(ready, path, *token(ready))
    options = (*token(ready), "--compressed", "-H", "Accept-Encoding: gzip")
    status, head, packed = curl(ready, path, *options)
    assert status == 200
    assert "content-encoding: gzip" in head
    assert "vary: accept-encoding" in head
    assert packed == plain


def test_behind_a_proxy_with_a_prefix(ready: Record) -> None:
    options = (*token(ready), "-H", "X-Forwarded-Prefix: /user/x/proxy/8042",
               "-H", "X-Forwarded-Host: hub.example", "-H", "X-Forwarded-Proto: https")  # fmt: skip
    _, _, told = curl(ready, "/dicom-web/studies?StudyInstanceUID=1.1", *options)
    (study,) = json.loads(told)
    assert study["00081190"]["Value"] == [
        "https://hub.example/user/x/proxy/8042/dicom-web/studies/1.1"
    ]


def test_a_sender_that_goes_away_harms_nobody(ready: Record) -> None:
    host, port = ready.base.removeprefix("http://").split(":")
    whole = joined([instance(StudyInstanceUID="1.3"), instance(StudyInstanceUID="1.3")])
    with socket.create_connection((host, int(port))) as gone:
        gone.sendall(
            f"POST /dicom-web/studies HTTP/1.1\r\nHost: {host}\r\n{MULTIPART}\r\n"
            f"Authorization: Bearer {ready.token}\r\nContent-Length: 99999\r\n\r\n".encode()
            + whole[:-300]
        )
    with client(ready) as web:
        deadline = time.monotonic() + 60
        while not (found := web.get("/dicom-web/studies/1.3/instances").json()):
            assert time.monotonic() < deadline, "what came whole wasn't stored"
            time.sleep(0.05)
    assert len(found) == 1
