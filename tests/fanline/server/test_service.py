"""A service as a whole: how it starts, and how it stops."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from fanline.errors import ConfigurationError
from fanline.server import App, Service
from fanline.settings import Settings
from subscriber.settings import SubscriberSettings
from tests.conftest import Dial, StartService, until
from tests.fanline.server.conftest import Echo, Get
from tests.stubs import DEADLINE


def freeze(client: ClientConnection) -> None:
    """Make a client as silent as a stopped process: it reads nothing, and so answers no ping."""
    client.transport.pause_reading()


async def test_stop_tells_clients_when_to_return(start_service: StartService, echo: Echo, dial: Dial) -> None:
    """Stopping drains, tells each v1 client a time to return, a plain one nothing, and closes with 1001."""
    service = await start_service(echo.open)
    clients = [await dial(service, "/echo") for _ in range(5)]
    plain = await dial(service, "/echo", v1=False)
    stopping = asyncio.create_task(service.stop())
    told = [str(await client.recv()) for client in clients]
    assert all(each.startswith('{"drain":{"retry_ms":') for each in told)
    assert len(set(told)) > 1
    for client in (*clients, plain):
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == 1001
    await stopping
    assert echo.calls == ["open", "drain", "close"]
    assert not service.connections


async def test_listens_on_several_addresses(
    start_service: StartService, echo: Echo, tls: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    """Each address of the setting is listened on, on one port; the log has a URL for each."""
    with caplog.at_level("INFO"):
        service = await start_service(echo.open, host="127.0.0.1,127.0.0.2")
    urls = [f"https://127.0.0.{number}:{service.port}" for number in (1, 2)]
    assert f"listening on {', '.join(urls)}" in caplog.messages
    for address in ("127.0.0.1", "127.0.0.2"):
        _, writer = await asyncio.open_connection(address, service.port, ssl=tls, server_hostname="localhost")
        writer.close()
        await writer.wait_closed()


async def test_health_is_answered_during_a_long_start(
    make_settings: Callable[..., Settings], echo: Echo, tmp_path: Path
) -> None:
    """A service that was long in starting had no port, and was killed for it; now it says so."""
    go_on = asyncio.Event()

    @asynccontextmanager
    async def open_slowly(settings: SubscriberSettings) -> AsyncIterator[App]:
        await go_on.wait()
        async with echo.open(settings) as app:
            yield app

    path = tmp_path / "service.sock"
    settings = make_settings(SubscriberSettings, subscriber_listen=f"unix:{path}")
    assert isinstance(settings, SubscriberSettings)
    starting = asyncio.create_task(Service.start(open_slowly, settings, start_patience=0))
    await until(path.exists)
    transport = httpx.AsyncHTTPTransport(uds=str(path))
    async with httpx.AsyncClient(
        base_url="http://localhost", transport=transport, timeout=DEADLINE
    ) as client:
        assert (await client.get("/healthz")).text == "ok\n"
        for place in ("/readyz", "/page"):
            answer = await client.get(place)
            assert (answer.status_code, "is starting" in answer.json()["detail"]) == (503, True)
        go_on.set()
        service = await starting
        assert (await client.get("/readyz")).text == "ok\n"
    await service.stop()


async def test_not_ready_before_connections_are_refused(
    start_service: StartService, echo: Echo, dial: Dial, get: Get
) -> None:
    """A service that is about to stop is not ready, and takes connections until load balancers know."""
    service = await start_service(echo.open, shutdown_delay=60)
    retiring = asyncio.create_task(service.retire())
    await until(lambda: retiring.done() or service.is_retiring)
    answer = await get(service, "/readyz", login=None)
    assert (answer.status_code, answer.json()["detail"]) == (503, "the service is stopping")
    assert (await get(service, "/healthz", login=None)).status_code == 200
    client = await dial(service, "/echo")
    await client.send("x")
    assert await client.recv()
    assert not retiring.done()
    retiring.cancel()


async def test_stopping_service_listens_no_more(start_service: StartService, echo: Echo, dial: Dial) -> None:
    """Requests during a drain are not started, so that it ends (promise 8)."""
    service = await start_service(echo.open)
    echo.drained.clear()
    client = await dial(service, "/echo")
    stopping = asyncio.create_task(service.stop())
    await until(lambda: echo.calls == ["open", "drain"])
    await client.send("too late")
    await (await client.ping())
    echo.drained.set()
    assert str(await client.recv()).startswith('{"drain"')
    await stopping


async def test_stop_is_bounded(start_service: StartService, echo: Echo, dial: Dial) -> None:
    """Neither work that does not end nor a client that does not read keeps a service from stopping."""
    service = await start_service(echo.open, drain_timeout=0.4)
    echo.drained.clear()
    freeze(await dial(service, "/echo"))
    await service.stop()
    assert echo.calls == ["open", "drain", "close"]


async def test_stop_does_not_wait_for_a_page(start_service: StartService, echo: Echo, get: Get) -> None:
    """Nor does a request without an endpoint; its client is told why."""
    service = await start_service(echo.open, drain_timeout=0.4)
    asking = asyncio.ensure_future(get(service, "/never"))
    await until(lambda: "never" in echo.calls)
    async with asyncio.timeout(DEADLINE):
        await service.stop()
        answer = await asking
    assert (answer.status_code, answer.json()["detail"]) == (503, "the service is stopping; try again")


async def test_port_in_use(start_service: StartService, echo: Echo, service: Service) -> None:
    """A port that is taken is named, with what to do; what was started is stopped."""
    with pytest.raises(
        ConfigurationError, match=rf"subscriber_port: cannot listen on 127.0.0.1:{service.port}"
    ):
        await start_service(echo.open, subscriber_port=service.port)


async def test_demo_login_is_for_loopback(start_service: StartService, echo: Echo) -> None:
    """With the demo login a service refuses to listen on any other address, and says what to do."""
    with pytest.raises(ConfigurationError, match="fanline user add"):
        await start_service(echo.open, host="0.0.0.0")


@pytest.mark.parametrize("missing", ["server.crt", "server.key"])
async def test_missing_certificate(
    start_service: StartService, echo: Echo, tmp_path: Path, missing: str
) -> None:
    """Without a certificate a service does not start, and says which file is missing (line 3)."""
    for name in {"server.crt", "server.key"} - {missing}:
        (tmp_path / name).write_text("x")
    with pytest.raises(ConfigurationError, match="server.crt" if missing == "server.crt" else "server"):
        await start_service(echo.open, cert_dir=tmp_path)
