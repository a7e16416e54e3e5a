"""HTTP over real TLS sockets: malformed requests, and clients that are too slow."""

import asyncio
import base64
import contextlib
import json
import logging
import ssl
from collections.abc import AsyncIterator

import pytest

from fanline.server import Service, log
from tests.conftest import Dial, StartService
from tests.fanline.server.conftest import Echo, Get
from tests.stubs import DEADLINE, PASSWORD, USER


async def test_request_without_tls(service: Service, dial: Dial) -> None:
    """One that speaks HTTP without TLS, or garbage, is dropped; the others do not notice (line 1)."""
    for data in (b"GET /echo HTTP/1.1\r\n\r\n", bytes(range(256)) * 50):
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(data)
        with contextlib.suppress(ConnectionResetError):
            await reader.read()
        writer.close()
    client = await dial(service, "/echo")
    await client.send("x")
    assert await client.recv()


@pytest.mark.parametrize("speech", ["", "GET /echo HT"])
async def test_client_that_does_not_speak(
    start_service: StartService, echo: Echo, tls: ssl.SSLContext, speech: str
) -> None:
    """One that finishes no TLS or no HTTP handshake is dropped in bounded time (promise 7)."""
    service = await start_service(echo.open, handshake_timeout=2)
    reader, writer = await asyncio.open_connection(
        "127.0.0.1",
        service.port,
        ssl=tls if speech else None,
        server_hostname="localhost" if speech else None,
    )
    writer.write(speech.encode())
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    writer.close()


async def exchange(service: Service, tls: ssl.SSLContext, data: bytes) -> bytes:
    """Send bytes over TLS, and return all that comes back."""
    reader, writer = await asyncio.open_connection("localhost", service.port, ssl=tls)
    writer.write(data)
    async with asyncio.timeout(DEADLINE):
        answer = await reader.read()
    writer.close()
    return answer


UPGRADE = (
    b"Host: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
CHUNKED = b"Host: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"


async def test_opens_a_websocket_for_the_jdk(service: Service, tls: ssl.SSLContext) -> None:
    """A handshake that says that it has a body of no bytes, as Java's does, is one without a body."""
    login = base64.b64encode(f"{USER}:{PASSWORD}".encode())
    reader, writer = await asyncio.open_connection("localhost", service.port, ssl=tls)
    lines = b"GET /echo HTTP/1.1\r\nContent-Length: 0\r\n" + UPGRADE + b"Authorization: Basic " + login
    writer.write(lines + b"\r\n\r\n")
    async with asyncio.timeout(DEADLINE):
        assert (await reader.readline()).startswith(b"HTTP/1.1 101 ")
    writer.close()


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /\xc3\xa4 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /echo\r\n\r\n", 400),
        (b"\x00\x01\x02\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET /echo HTTP/1.1\r\n" + UPGRADE + b"Content-Length: 3\r\n\r\nabc", 400),
        (b"GET /echo HTTP/1.1\r\n" + UPGRADE + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"GET /echo HTTP/1.1\r\n" + UPGRADE.replace(b": 13", b": 8") + b"\r\n", 400),
        (b"POST /echo HTTP/1.1\r\n" + UPGRADE + b"\r\n", 405),
        (b"M-SEARCH / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 405),
        (b"POST /body HTTP/1.1\r\nContent-Length: 3\r\n" + CHUNKED + b"0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 70_000, 431),
        (b"GET /echo HTTP/1.1\r\n" + UPGRADE + b"X: " + b"x" * 70_000, 431),
        (b"GET /echo HTTP/1.1\r\n" + UPGRADE + b"X: a\x00b\r\n\r\n", 400),
        (b"GET /echo HTTP/1.1\r\n" + UPGRADE + b"Cookie: " + b"x" * 9_000 + b"\r\n\r\n", 401),
        (b"GET /echo HTTP/1.1\r\n" + UPGRADE + b"X: y\r\n" * 200 + b"\r\n", 401),
        (b"POST /body HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"GET / HTTP/3.7\r\nHost: localhost\r\n\r\n", 505),
    ],
)
async def test_answers_a_malformed_request(
    service: Service, tls: ssl.SSLContext, caplog: pytest.LogCaptureFixture, data: bytes, status: int
) -> None:
    """A malformed request gets a problem, no empty reply, and never a traceback in the log.

    So does the handshake of a WebSocket with long or many headers, which chat never answered: those are read.
    So does a body whose end two headers tell; the connection ends, as what follows may be smuggled.
    """
    with caplog.at_level(logging.INFO):
        head, _, body = (await exchange(service, tls, data)).partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"application/problem+json" in head
    assert json.loads(body)["status"] == status
    assert "Traceback" not in caplog.text


async def test_logs_a_malformed_request_escaped(
    service: Service, tls: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has one short line about a request that cannot be parsed, in ASCII."""
    with caplog.at_level(logging.INFO):
        answer = await exchange(service, tls, b"GET /\xff\x1b[31m" + b"x" * 5_000 + b" HTTP/1.1\r\n\r\n")
    [line] = [record.getMessage() for record in caplog.records if "malformed" in record.getMessage()]
    assert line.isascii()
    assert line.isprintable()
    assert len(line) < 300
    assert b'"the request is not valid HTTP/1.1: illegal request line"' in answer


@pytest.mark.parametrize("size", [30_000, 970_000])
@pytest.mark.usefixtures("own_log")
async def test_a_large_request_is_one_short_line(
    service: Service, tls: ssl.SSLContext, capfd: pytest.CaptureFixture[str], size: int
) -> None:
    """A large request without a login writes one short line, without the control characters in it."""
    log.configure("test", "info")
    origin = b"\x1b[31m\x07" + b"\xff" * 900
    head = b"GET /page HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    headers = (b"Origin: " + origin + b"\r\n") * (size // len(origin))
    with contextlib.suppress(ConnectionResetError):
        await exchange(service, tls, head + headers + b"\r\n")
    lines: list[str] = []
    while not lines:
        await asyncio.sleep(0.01)
        lines = [line for line in capfd.readouterr().err.splitlines() if "refused" in line]
    assert len(lines) == 1
    assert lines[0].isprintable()
    assert len(lines[0]) < 500


async def test_bounds_the_body(service: Service, tls: ssl.SSLContext, get: Get) -> None:
    """A body is passed on up to a limit; a larger one is refused, whether it says its length or not."""
    assert (await get(service, "/body", method="POST", content=b"x" * 1_000)).json() == {"bytes": 1_000}
    assert (await get(service, "/body", method="POST", content=b"x" * 70_000)).status_code == 413

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(70):
            yield b"x" * 1_000

    assert (await get(service, "/body", method="POST", content=chunks())).status_code == 413


async def test_bounds_the_time_of_the_body(
    start_service: StartService, echo: Echo, tls: ssl.SSLContext
) -> None:
    """A body that does not come in time is refused with 408."""
    service = await start_service(echo.open, handshake_timeout=2)
    head = b"POST /body HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc"
    assert (await exchange(service, tls, head)).startswith(b"HTTP/1.1 408 ")


async def test_broken_body_gets_one_answer(
    service: Service, tls: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    """A chunk that is malformed ends the request with 400, without a traceback."""
    head = b"POST /body HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
    assert (await exchange(service, tls, head)).startswith(b"HTTP/1.1 400 ")
    assert "Traceback" not in caplog.text


async def test_defect_of_a_page_is_500(service: Service, get: Get, caplog: pytest.LogCaptureFixture) -> None:
    """A defect is answered with a problem, and logged."""
    assert (await get(service, "/defect")).status_code == 500
    assert "ZeroDivisionError" in caplog.text


async def test_keeps_a_connection_for_several_requests(service: Service, tls: ssl.SSLContext) -> None:
    """Requests one after the other, and pipelined ones, are answered on one connection."""
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert (await exchange(service, tls, request * 2 + last)).count(b"HTTP/1.1 200 OK") == 3
