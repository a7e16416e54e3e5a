"""Requests to the whole service: paths, methods, bodies, origins, and the headers of every answer."""

import asyncio
import ssl
from collections.abc import AsyncIterator

import pytest

from chat.service.lifecycle import Lifecycle
from tests.chat.client import ChatClient
from tests.chat.conftest import StartChat
from tests.stubs import DEADLINE

PAGES = ("/", "/docs")

EVIL, FRIEND = "https://evil.example", "https://friend.example"


async def ask(chat: ChatClient, tls: ssl.SSLContext, request: bytes) -> bytes:
    """Send bytes, and return what comes back until the server closes."""
    reader, writer = await asyncio.open_connection("localhost", chat.server.port, ssl=tls)
    async with asyncio.timeout(DEADLINE):
        writer.write(request)
        answer = await reader.read()
        writer.close()
        return answer


async def test_an_unknown_path(chat: ChatClient) -> None:
    """Where there is nothing the answer is 404, in JSON."""
    for path in (
        "/nowhere",
        "/api",
        "/api/",
        "/api/rooms/",
        "/../etc/passwd",
        "/.env",
        "/app.js/",
        "/index.html",
    ):
        response = await chat.http.get(path)
        assert response.status_code == 404
        assert response.json().keys() == {"type", "title", "status", "detail", "code"}


async def test_a_person_gets_a_page(chat: ChatClient) -> None:
    """One who has typed a wrong address gets a page that says so, without scripts, and with a way back."""
    accept = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    for path, status, sentence in (
        ("/<eng>", 404, "There is nothing at /&lt;eng&gt;."),
        ("/history", 401, "Log in first: this needs a token."),
        ("/join", 426, "This is a WebSocket: connect with wss://."),
    ):
        response = await chat.http.get(path, headers=accept)
        assert response.status_code == status
        assert response.headers["Content-Type"].startswith("text/html")
        assert f"<p>{sentence}</p>" in response.text
        assert '<a href="/">' in response.text
        assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")


async def test_a_wrong_method(chat: ChatClient) -> None:
    """A method that a path does not have gets 405 with the methods that it has."""
    for method, path, allowed in [
        ("GET", "/login", "OPTIONS, POST"),
        ("PUT", "/logout", "GET, HEAD, OPTIONS, POST"),
        ("POST", "/api/room/lobby", "DELETE, GET, HEAD, OPTIONS"),
        ("GET", "/api/room", "OPTIONS, POST"),
        ("DELETE", "/", "GET, HEAD, OPTIONS"),
        ("FROBNICATE", "/api/rooms", "GET, HEAD, OPTIONS"),
    ]:
        response = await chat.http.request(method, path)
        assert (response.status_code, response.json()["code"]) == (405, "method-not-allowed")
        assert response.headers["Allow"] == allowed
    options = await chat.http.options("/api/rooms")
    assert (options.status_code, options.headers["Allow"]) == (204, "GET, HEAD, OPTIONS")


async def test_a_websocket_path_asked_for_as_a_page(chat: ChatClient) -> None:
    """A plain request where a WebSocket is gets 426, and the server goes on (line 2)."""
    for path in ("/join", "/api/serve/lobby", "/api/feed"):
        response = await chat.http.get(path)
        assert (response.status_code, response.json()["code"]) == (426, "upgrade-required")
        assert response.headers["Upgrade"] == "websocket"
    assert (await chat.http.get("/healthz")).status_code == 200


async def test_a_defect_of_ours(
    chat: ChatClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A defect is answered with 500 without details; the log has them."""

    async def fail(*_: object) -> str:
        raise RuntimeError("something secret")

    monkeypatch.setattr(Lifecycle, "problem", fail)
    response = await chat.http.get("/api/healthz")
    assert (response.status_code, response.json()["code"]) == (500, "internal")
    assert "secret" not in response.text
    assert "something secret" in caplog.text


async def test_every_answer_has_the_headers(chat: ChatClient) -> None:
    """Pages, answers and refusals have the security headers."""
    for path in (*PAGES, "/api/rooms", "/nowhere", "/join", "/api/room/nowhere"):
        headers = (await chat.http.get(path)).headers
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'self';" if path in PAGES else "default-src 'none';")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] in ("no-store", "no-cache")
        assert headers["Date"].endswith(" GMT")
        assert "Server" not in headers


async def test_a_body_that_is_too_big(chat: ChatClient) -> None:
    """A body over the limit is refused with 413, with or without a length."""

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(160):
            yield b"x" * 65_536

    for path in ("/login", "/api/room", "/nowhere"):
        response = await chat.http.post(path, content=b"x" * 10_000_000)
        assert (response.status_code, response.json()["code"]) == (413, "too-big")
    response = await chat.http.post("/login", content=pieces())
    assert (response.status_code, response.json()["code"]) == (413, "too-big")
    assert (await chat.http.post("/login", content=b"x" * 65_536)).status_code == 400


async def test_a_body_that_never_ends(start_chat: StartChat, tls: ssl.SSLContext) -> None:
    """A body that does not come in time is refused with 408."""
    chat = await start_chat(handshake_timeout=2)
    answer = await ask(chat, tls, b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"too-slow"' in answer


async def test_head_is_get_without_a_body(chat: ChatClient) -> None:
    """Whatever can be got can be asked for its headers alone."""
    for path in ("/", "/api/rooms", "/healthz", "/nowhere"):
        got, headed = await chat.http.get(path), await chat.http.head(path)
        assert (headed.status_code, headed.content) == (got.status_code, b"")
        assert headed.headers["Content-Length"] == got.headers["Content-Length"]


async def test_pages_of_other_sites_change_nothing(chat: ChatClient) -> None:
    """Requests that change state are refused to pages of other sites."""
    own = f"https://localhost:{chat.server.port}"
    for method, path in [("POST", "/api/room?id=evil"), ("POST", "/guest"), ("DELETE", "/api/room/lobby")]:
        response = await chat.http.request(method, path, headers={"Origin": EVIL})
        assert (response.status_code, response.json()["code"]) == (403, "foreign-origin")
    assert (await chat.http.get("/api/room/evil")).status_code == 404
    assert (await chat.http.post("/api/room?id=good", headers={"Origin": own})).status_code == 201


async def test_allowed_sites_may_read_and_write(start_chat: StartChat) -> None:
    """A site that the setting names is told so by CORS; others are not, and cannot read an answer."""
    chat = await start_chat(allowed_origins=[FRIEND])
    preflight = {"Access-Control-Request-Method": "DELETE", "Access-Control-Request-Headers": "authorization"}
    allowed = await chat.http.options("/api/room/lobby", headers={"Origin": FRIEND, **preflight})
    assert allowed.status_code == 204
    assert allowed.headers["Access-Control-Allow-Origin"] == FRIEND
    refused = await chat.http.options("/api/room/lobby", headers={"Origin": EVIL, **preflight})
    assert "Access-Control-Allow-Origin" not in refused.headers
    read = await chat.http.get("/api/room/lobby/messages", headers={"Origin": FRIEND})
    assert read.headers["Access-Control-Allow-Origin"] == FRIEND
    assert read.headers["Access-Control-Expose-Headers"] == "*"
    assert "DELETE" in allowed.headers["Access-Control-Allow-Methods"]
    assert (await chat.http.post("/api/room", headers={"Origin": FRIEND})).status_code == 200
    unread = await chat.http.get("/api/rooms", headers={"Origin": EVIL})
    assert "Access-Control-Allow-Origin" not in unread.headers
