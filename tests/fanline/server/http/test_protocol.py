"""HTTP over real TLS sockets: malformed requests, and clients that are too slow."""

import asyncio
import contextlib
import ssl

import pytest

from fanline.server import Service
from tests.conftest import Dial, StartService
from tests.fanline.server.conftest import Echo


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
    service = await start_service(echo.open, handshake_timeout=0.3)
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
