"""Entrances: what a service listens on besides its port, and how connections begin there."""

from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect, unix_connect

from fanline.errors import CannotListen, ConfigurationError
from tests.conftest import StartService
from tests.fanline.server.conftest import Echo, Get


async def test_metrics_have_a_listener(start_service: StartService, echo: Echo, get: Get) -> None:
    """Metrics and health are told there without login or TLS, and nothing else is (line 56)."""
    service = await start_service(echo.open, subscriber_metrics_port=0)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{service.metrics_port}") as client:
        text = (await client.get("/metrics")).text
        assert "fanline_connections 0.0" in text
        assert (await client.get("/healthz")).text == "ok\n"
        echo.problem = "there is no log"
        not_ready = await client.get("/readyz")
        assert (not_ready.status_code, not_ready.text) == (503, "not ready; a login shows why\n")
        for path in ("/page", "/echo", "/openapi.json"):
            assert (await client.get(path)).status_code == 404
    assert (await get(service, "/metrics", login=None)).status_code == 401


async def test_a_taken_port_of_metrics_is_named(start_service: StartService, echo: Echo) -> None:
    """The error names the setting; nothing is left open."""
    first = await start_service(echo.open, subscriber_metrics_port=0)
    with pytest.raises(CannotListen, match=r"subscriber_metrics_port: .*--subscriber-metrics-port"):
        await start_service(echo.open, subscriber_metrics_port=first.metrics_port)


LOGIN = {"Authorization": "Basic aGVsbG86dGVzdA=="}


async def test_without_tls_on_loopback(start_service: StartService, echo: Echo, tmp_path: Path) -> None:
    """A proxy that ends TLS reaches a service on loopback or by a Unix socket; TLS stays (line 54)."""
    path = tmp_path / "echo.sock"
    service = await start_service(echo.open, subscriber_listen=f"http://127.0.0.1:0,unix:{path}")
    tls_url, plain_url, unix_url = service.urls
    assert (tls_url, unix_url) == (f"https://127.0.0.1:{service.port}", f"unix:{path}")
    transport = httpx.AsyncHTTPTransport(uds=str(path))
    for how in ({"base_url": plain_url}, {"base_url": "http://echo", "transport": transport}):
        async with httpx.AsyncClient(auth=("hello", "test"), **how) as client:
            assert (await client.get("/page")).json()["user"] == "hello"
            assert (await client.get("/page", auth=("hello", "wrong"))).status_code == 401
    address = plain_url.replace("http", "ws")
    async with connect(f"{address}/echo", additional_headers=LOGIN, proxy=None) as client:
        await client.send("here")
        assert "here" in str(await client.recv())
    async with unix_connect(str(path), "ws://echo/echo", additional_headers=LOGIN) as client:
        await client.send("there")
        assert "there" in str(await client.recv())


async def test_who_opens_a_unix_socket_is_a_proxy(
    start_service: StartService, echo: Echo, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its address is the one that the header names (line 54)."""
    caplog.set_level("INFO")
    path = tmp_path / "echo.sock"
    await start_service(echo.open, subscriber_listen=f"unix:{path}")
    transport = httpx.AsyncHTTPTransport(uds=str(path))
    async with httpx.AsyncClient(base_url="http://echo", transport=transport) as client:
        await client.get("/page", headers={"X-Forwarded-For": "203.0.113.9"})
    assert "refused a login from 203.0.113.9 at '/page'" in caplog.text


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"subscriber_listen": "unix:/no/such/folder/a"},
            "subscriber_listen: cannot listen on unix:/no",
        ),
        ({"subscriber_listen": "https://0.0.0.0:0"}, "is open to other machines, and the login hello/test"),
    ],
)
async def test_an_address_that_cannot_be_is_named(
    start_service: StartService, echo: Echo, settings: dict[str, str], sentence: str
) -> None:
    """The mistake of the operator is a sentence (line 3)."""
    with pytest.raises(ConfigurationError, match=sentence):
        await start_service(echo.open, **settings)
