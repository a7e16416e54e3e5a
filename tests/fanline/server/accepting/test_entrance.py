"""Entrances: what a service listens on besides its port, and how connections begin there."""

import httpx
import pytest

from fanline.errors import CannotListen
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
        unready = await client.get("/readyz")
        assert (unready.status_code, unready.text) == (503, "not ready; a login shows why\n")
        for path in ("/page", "/echo", "/openapi.json"):
            assert (await client.get(path)).status_code == 404
    assert (await get(service, "/metrics", login=None)).status_code == 401


async def test_a_taken_port_of_metrics_is_named(start_service: StartService, echo: Echo) -> None:
    """The error names the setting; nothing is left open."""
    first = await start_service(echo.open, subscriber_metrics_port=0)
    with pytest.raises(CannotListen, match=r"subscriber_metrics_port: .*--subscriber-metrics-port"):
        await start_service(echo.open, subscriber_metrics_port=first.metrics_port)
