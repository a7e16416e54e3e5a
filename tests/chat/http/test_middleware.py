"""The outermost layer: what no request may do, and what every answer has."""

import asyncio
import ssl
from collections.abc import AsyncIterator

from starlette.types import Message

from chat.http.middleware import MAX_BODY, Edge, content_security_policy
from tests.chat.client import ChatClient
from tests.chat.conftest import StartChat
from tests.stubs import DEADLINE

EVIL, FRIEND = "https://evil.example", "https://friend.example"


async def ask(chat: ChatClient, tls: ssl.SSLContext, request: bytes) -> bytes:
    """Send bytes, and return what comes back until the server closes."""
    reader, writer = await asyncio.open_connection("localhost", chat.server.port, ssl=tls)
    async with asyncio.timeout(DEADLINE):
        writer.write(request)
        answer = await reader.read()
        writer.close()
        return answer


async def test_every_answer_has_the_headers(chat: ChatClient) -> None:
    """Pages, answers and refusals, whoever gives them, tell a browser what they may be used for."""
    for path in ("/", "/style.css", "/api/rooms", "/nowhere", "/docs", "/join", "/api/room/nowhere"):
        headers = (await chat.http.get(path)).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] in ("no-store", "no-cache")
        assert headers["Date"].endswith(" GMT")
        assert "Server" not in headers


async def test_a_page_may_talk_to_its_own_host_alone() -> None:
    """The policy names the WebSockets of the host that was asked, and nothing that a host cannot be."""
    assert "connect-src 'self' wss://chat.example:8083;" in content_security_policy("chat.example:8083")
    assert "connect-src 'self' wss://[::1]:8083;" in content_security_policy("[::1]:8083")
    for host in (None, "", "*", "a; script-src *", "a b", "a/b"):
        assert "connect-src 'self';" in content_security_policy(host)


async def test_a_body_that_is_too_big(chat: ChatClient) -> None:
    """A body over the limit is refused with 413, whether it says its length or not, wherever it goes."""

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(160):
            yield b"x" * 65_536

    for path in ("/login", "/api/room", "/nowhere"):
        response = await chat.http.post(path, content=b"x" * 10_000_000)
        assert (response.status_code, response.json()["error"]) == (413, "too-big")
        response = await chat.http.post(path, content=pieces())
        assert (response.status_code, response.json()["error"]) == (413, "too-big")
    assert (await chat.http.post("/login", content=b"x" * MAX_BODY)).status_code == 400


async def test_a_body_that_never_ends(start_chat: StartChat, tls: ssl.SSLContext) -> None:
    """A body that does not come in time is refused with 408."""
    chat = await start_chat(handshake_timeout=0.2)
    answer = await ask(chat, tls, b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"error":"too-slow"' in answer


async def test_a_body_that_breaks_off() -> None:
    """Who goes away in the midst of a request gets no answer, and nothing is done."""
    waiting: list[Message] = [
        {"type": "http.disconnect"},
        {"type": "http.request", "body": b"half", "more_body": True},
    ]

    async def never(*_: object) -> None:
        raise AssertionError

    async def receive() -> Message:
        return waiting.pop()

    edge = Edge(never, never, allowed_origins=(), body_timeout=DEADLINE)
    await edge({"type": "http", "method": "POST", "path": "/login", "headers": []}, receive, never)
    assert not waiting


async def test_head_is_get_without_a_body(chat: ChatClient) -> None:
    """Whatever can be got can be asked for its headers alone."""
    for path in ("/", "/api/rooms", "/healthz", "/nowhere"):
        got, headed = await chat.http.get(path), await chat.http.head(path)
        assert (headed.status_code, headed.content) == (got.status_code, b"")
        assert headed.headers["Content-Length"] == got.headers["Content-Length"]


async def test_pages_of_other_sites_change_nothing(chat: ChatClient) -> None:
    """What a page of another site sends is refused where it would change anything; a page of ours may."""
    own = f"https://localhost:{chat.server.port}"
    for method, path in [("POST", "/api/room?id=evil"), ("POST", "/guest"), ("DELETE", "/api/room/lobby")]:
        response = await chat.http.request(method, path, headers={"Origin": EVIL})
        assert (response.status_code, response.json()["error"]) == (403, "foreign-origin")
    assert (await chat.http.get("/api/room/evil")).status_code == 404
    assert (await chat.http.post("/api/room?id=good", headers={"Origin": own})).status_code == 201


async def test_allowed_sites_may_read_and_write(start_chat: StartChat) -> None:
    """A site that the setting names is told so by CORS; others are not, and cannot read an answer."""
    chat = await start_chat(allowed_origins=[FRIEND])
    preflight = {"Access-Control-Request-Method": "DELETE", "Access-Control-Request-Headers": "authorization"}
    allowed = await chat.http.options("/api/room/lobby", headers={"Origin": FRIEND, **preflight})
    assert allowed.status_code == 200
    assert allowed.headers["Access-Control-Allow-Origin"] == FRIEND
    refused = await chat.http.options("/api/room/lobby", headers={"Origin": EVIL, **preflight})
    assert refused.status_code == 400
    read = await chat.http.get("/api/room/lobby/messages", headers={"Origin": FRIEND})
    assert read.headers["Access-Control-Allow-Origin"] == FRIEND
    assert "Link" in read.headers["Access-Control-Expose-Headers"]
    assert (await chat.http.post("/api/room", headers={"Origin": FRIEND})).status_code == 201
    unread = await chat.http.get("/api/rooms", headers={"Origin": EVIL})
    assert "Access-Control-Allow-Origin" not in unread.headers
