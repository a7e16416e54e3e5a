"""Connections with a header of the PROXY protocol: over TLS and without, from proxies and from others."""

import asyncio
import logging
import socket
import ssl
from contextlib import suppress

import pytest

from fanline.server import Service
from tests.conftest import StartService, until
from tests.fanline.server.accepting.test_proxy_header import V4, binary
from tests.fanline.server.conftest import Echo
from tests.stubs import DEADLINE

REQUEST = b"GET /page HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
LINE = b"PROXY TCP4 203.0.113.9 127.0.0.1 4711 443\r\n"


def port_of(service: Service) -> int:
    return int(service.urls[-1].rpartition(":")[2])


def cuts_of(service: Service) -> float:
    return service.app.metrics.get_sample_value("fanline_connections_cut_total", {"reason": "proxy"}) or 0


async def ask(service: Service, header: bytes, tls: ssl.SSLContext | None) -> bytes:
    """Send a header in two parts, and a request after it; return the answer."""
    with socket.create_connection(("127.0.0.1", port_of(service)), timeout=DEADLINE) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(header[:9])
        await asyncio.sleep(0)
        sock.sendall(header[9:])
        host = None if tls is None else "localhost"
        reader, writer = await asyncio.open_connection(sock=sock, ssl=tls, server_hostname=host)
        writer.write(REQUEST)
        answer = await reader.read()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        return answer


@pytest.mark.parametrize("scheme", ["https", "http"])
@pytest.mark.parametrize("header", [LINE, binary(0x21, 0x11, V4)], ids=["v1", "v2"])
async def test_the_client_is_the_one_that_the_proxy_names(
    start_service: StartService,
    echo: Echo,
    tls: ssl.SSLContext,
    caplog: pytest.LogCaptureFixture,
    scheme: str,
    header: bytes,
) -> None:
    """Its address stands for the connection, before and after TLS (line 54)."""
    caplog.set_level(logging.INFO)
    url = f"proxy+{scheme}://127.0.0.1:0"
    service = await start_service(echo.open, subscriber_listen=url, trusted_proxies="127.0.0.1")
    answer = await ask(service, header, tls if scheme == "https" else None)
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert "refused a login from 203.0.113.9 at '/page'" in caplog.text
    assert cuts_of(service) == 0


@pytest.mark.parametrize(
    ("header", "proxies", "reason"),
    [
        (b"", "127.0.0.1", "the connection ended before its header of the PROXY protocol"),
        (b"PROXY TCP4", "127.0.0.1", "the connection ended before its header of the PROXY protocol"),
        (REQUEST, "127.0.0.1", "there is no header of the PROXY protocol"),
        (LINE, "10.0.0.0/8", "it is not from a trusted proxy that names its client"),
    ],
)
async def test_a_connection_without_a_header_is_cut(
    start_service: StartService,
    echo: Echo,
    caplog: pytest.LogCaptureFixture,
    header: bytes,
    proxies: str,
    reason: str,
) -> None:
    """Also one that has a header and is not from a proxy; each is counted, with the reason (line 54)."""
    caplog.set_level(logging.INFO)
    service = await start_service(
        echo.open, subscriber_listen="proxy+http://127.0.0.1:0", trusted_proxies=proxies
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(service))
    writer.write(header)
    if "ended" in reason:
        writer.write_eof()
    with suppress(ConnectionError):
        assert await reader.read() == b""
    writer.close()
    await until(lambda: cuts_of(service) == 1)
    assert f"cut a connection of 127.0.0.1: {reason}" in caplog.text


async def test_a_header_that_does_not_come_is_not_awaited(start_service: StartService, echo: Echo) -> None:
    """A proxy has as long for it as a client for its handshake (line 54)."""
    service = await start_service(
        echo.open,
        subscriber_listen="proxy+https://127.0.0.1:0",
        trusted_proxies="127.0.0.1",
        handshake_timeout=0.2,
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(service))
    with suppress(ConnectionError):
        assert await reader.read() == b""
    writer.close()
    assert cuts_of(service) == 1
