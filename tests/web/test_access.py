"""Who may come in, and what addresses look like behind a proxy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from pacslab.archive import Archive
from pacslab.web import passes
from pacslab.web.app import create_app
from pacslab.web.context import Context
from tests.making import instance


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (None, 401),
        ("Bearer wrong", 401),
        ("Basic c2VzYW1l", 401),
        ("Bearer", 401),
        ("Bearer sesam\u00e9", 401),
        ("bearer sesame", 200),
        ("Bearer sesame", 200),
    ],
)
def test_the_token(webs: Callable[..., httpx.Client], given: str | None, status: int) -> None:
    web = webs(token="sesame")
    headers = {b"Authorization": given.encode("latin-1")} if given else {}
    answer = web.get("/dicom-web/studies", headers=headers)
    assert answer.status_code == status
    if status == 401:
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert "token" in answer.json()["detail"]
        assert "sesame" not in answer.text


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PUT", "OPTIONS", "HEAD"])
@pytest.mark.parametrize(
    "path", ["/dicom-web/studies", "/openapi.json", "/nothing", "/wado", "/server/owners",
             "//dicom-web/studies", "/health/../dicom-web/studies", "/healthx"]
)  # fmt: skip
def test_nothing_but_health_and_viewer_is_free(
    webs: Callable[..., httpx.Client], method: str, path: str
) -> None:
    assert webs(token="sesame").request(method, path).status_code == 401


def test_health_is_free(webs: Callable[..., httpx.Client]) -> None:
    answer = webs(token="sesame").get("/health")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"


def test_health_answers_head(webs: Callable[..., httpx.Client]) -> None:
    assert webs(token="sesame").head("/health").status_code == 200


PREFLIGHT = {
    "Origin": "https://ohif.example",
    "Access-Control-Request-Method": "GET",
    "Access-Control-Request-Headers": "authorization",
}


def test_other_origins_are_kept_out_unless_allowed(webs: Callable[..., httpx.Client]) -> None:
    closed = webs(token="sesame")
    assert closed.options("/dicom-web/studies", headers=PREFLIGHT).status_code == 401
    known = {"Origin": "https://ohif.example", "Authorization": "Bearer sesame"}
    assert (
        "access-control-allow-origin" not in closed.get("/dicom-web/studies", headers=known).headers
    )


def test_allowed_origins_may_ask_with_the_token(webs: Callable[..., httpx.Client]) -> None:
    web = webs(token="sesame", allowed_origins=frozenset({"https://ohif.example"}))
    preflight = web.options("/dicom-web/studies", headers=PREFLIGHT)
    assert preflight.status_code == 200
    assert "authorization" in preflight.headers["access-control-allow-headers"].lower()
    known = {"Origin": "https://ohif.example", "Authorization": "Bearer sesame"}
    answer = web.get("/dicom-web/studies", headers=known)
    assert answer.headers["access-control-allow-origin"] == "https://ohif.example"
    assert "Warning" in answer.headers["access-control-expose-headers"]
    assert web.get("/dicom-web/studies", headers={"Origin": known["Origin"]}).status_code == 401
    other = {**known, "Origin": "https://evil.example"}
    assert "access-control-allow-origin" not in web.get("/dicom-web/studies", headers=other).headers
    refused = web.options("/dicom-web/studies", headers={**PREFLIGHT, "Origin": other["Origin"]})
    assert refused.status_code == 400


def test_a_refused_body_is_not_read(archive: Archive) -> None:
    async def unreadable() -> Any:
        raise AssertionError("the body was read")

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/dicom-web/studies", "headers": [],
             "client": ("127.0.0.1", 1), "query_string": b"", "root_path": ""}  # fmt: skip
    asyncio.run(create_app(Context(archive, token="sesame"))(scope, unreadable, send))
    assert sent[0]["status"] == 401


def _url(web: httpx.Client, **headers: str) -> str:
    named = {k.replace("_", "-"): v for k, v in headers.items()}
    found = web.get("/dicom-web/studies", headers=named).json()
    url: str = found[0]["00081190"]["Value"][0]
    return url


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, "http://testserver/dicom-web/studies/1.1"),
        ({"X_Forwarded_Prefix": "/user/x/proxy/8042"},
         "http://testserver/user/x/proxy/8042/dicom-web/studies/1.1"),
        ({"X_Forwarded_Proto": "https", "X_Forwarded_Host": "pacs.example:8443",
          "X_Forwarded_Prefix": "/pacs/"}, "https://pacs.example:8443/pacs/dicom-web/studies/1.1"),
        ({"Forwarded": 'for=1.2.3.4;proto=https;host="a.example"'},
         "https://a.example/dicom-web/studies/1.1"),
        ({"X_Forwarded_Host": 'evil"><script>'}, "http://testserver/dicom-web/studies/1.1"),
        ({"X_Forwarded_Prefix": "//evil"}, "http://testserver/dicom-web/studies/1.1"),
        ({"X_Forwarded_Proto": "javascript"}, "http://testserver/dicom-web/studies/1.1"),
    ],
)  # fmt: skip
def test_addresses_behind_a_trusted_proxy(
    archive: Archive, webs: Callable[..., httpx.Client], headers: dict[str, str], expected: str
) -> None:
    archive.add(instance(StudyInstanceUID="1.1"))
    assert _url(webs(trusted_proxies=frozenset({"testclient"})), **headers) == expected


def test_others_cannot_change_the_address(
    archive: Archive, webs: Callable[..., httpx.Client]
) -> None:
    archive.add(instance(StudyInstanceUID="1.1"))
    headers = {"X_Forwarded_Host": "evil.example", "X_Forwarded_Prefix": "/evil"}
    assert _url(webs(), **headers) == "http://testserver/dicom-web/studies/1.1"


@pytest.mark.parametrize("prefix", ["/viewer", "/viewer/x", "/health", "/user/x/proxy/8042"])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_no_prefix_makes_anything_free(
    archive: Archive, webs: Callable[..., httpx.Client], prefix: str, method: str
) -> None:
    """nginx passes on headers that it doesn't know: the prefix may be an attacker's."""
    archive.add(instance(StudyInstanceUID="1.1"))
    web = webs(token="sesame", allow_delete=True, trusted_proxies=frozenset({"testclient"}))
    for path in ("/dicom-web/studies", "/dicom-web/studies/1.1", "/viewer/dicom-web/studies"):
        for asked in (path, prefix + path, prefix + prefix + path):
            answer = web.request(method, asked, headers={"X-Forwarded-Prefix": prefix})
            assert answer.status_code in {401, 404, 405}, (asked, answer.text)
            assert "1.1" not in answer.text.replace(asked, "")
    assert archive.counts()["studies"] == 1


@pytest.mark.parametrize("asked", ["/dicom-web/studies", "/user/x/dicom-web/studies"])
def test_a_proxy_may_leave_its_prefix_on_the_path(
    archive: Archive, webs: Callable[..., httpx.Client], asked: str
) -> None:
    archive.add(instance(StudyInstanceUID="1.1"))
    web = webs(token="sesame", trusted_proxies=frozenset({"testclient"}))
    headers = {"X-Forwarded-Prefix": "/user/x", "Authorization": "Bearer sesame"}
    (study,) = web.get(asked, headers=headers).json()
    assert study["00081190"]["Value"] == ["http://testserver/user/x/dicom-web/studies/1.1"]


def test_a_web_socket_needs_the_token_too(archive: Archive) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    scope = {"type": "websocket", "path": "/anything", "headers": [], "query_string": b"",
             "client": ("127.0.0.1", 1), "root_path": ""}  # fmt: skip
    asyncio.run(create_app(Context(archive, token="sesame"))(scope, receive, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_an_unexpected_error_tells_nothing_of_patients(
    archive: Archive, webs: Callable[..., httpx.Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> object:
        raise RuntimeError("Doe^Jane")

    monkeypatch.setattr(Archive, "search", fails)
    answer = webs().get("/dicom-web/studies")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "Doe" not in answer.text


def test_problems_have_the_form_of_rfc_9457(webs: Callable[..., httpx.Client]) -> None:
    answer = webs().get("/dicom-web/studies?nonsense=1")
    assert set(answer.json()) == {"type", "title", "status", "detail", "code"}
    assert webs().put("/dicom-web/studies").status_code == 405


def test_a_lent_token_is_good_for_looking_and_for_a_while(
    webs: Callable[..., httpx.Client],
) -> None:
    web = webs(token="sesame")

    def status(token: str, method: str = "GET") -> int:
        headers = {"Authorization": f"Bearer {token}"}
        return web.request(method, "/dicom-web/studies", headers=headers).status_code

    lent = passes.lend("sesame")
    assert "sesame" not in lent
    assert status(lent) == status(lent, "HEAD") == 200
    assert status(lent, "POST") == 401
    assert status(passes.lend("sesame", -1)) == 401
    assert status(passes.lend("another")) == 401
    kind, ends, mac = lent.split(".")
    for forged in (
        f"{kind}.{int(ends) + 1}.{mac}", f"{kind}.{ends}.", f"{kind}.{ends}", kind, "look.x.y",
        f"{kind}.{'9' * 30}.{mac}", f"{kind}.-1.{mac}", f"store.{ends}.{mac}",
    ):  # fmt: skip
        assert status(forged) == 401, forged
