"""The kernel that runs a service: who gets in, what health and metrics say, who is cut, how it stops."""

import asyncio
import base64
import contextlib
import logging
import signal
import ssl
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import httpx
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from fanline import log
from fanline.connection import Connection
from fanline.errors import ConfigurationError
from fanline.service import App, Route, Service, main
from fanline.settings import Settings
from fanline.users import User, UsersFile
from tests.conftest import Dial, StartService, until


class Echo(App):
    """Sends back every frame, and says in between what the kernel has told it."""

    name: ClassVar[str] = "subscriber"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.calls: list[str] = []
        self.problem: str | None = None
        self.drained = asyncio.Event()
        self.drained.set()

    def routes(self) -> Mapping[str, Route]:
        return {
            "/echo": Route(self._echo),
            "/inside": Route(self._echo, services_only=True),
            "/broken": Route(self._break),
        }

    async def start(self) -> None:
        self.calls.append("start")

    def unready(self) -> str | None:
        return self.problem

    async def drain(self) -> None:
        self.calls.append("drain")
        await self.drained.wait()

    async def stop(self) -> None:
        self.calls.append("stop")

    async def _echo(self, connection: Connection) -> None:
        async for frame in connection.frames():
            connection.send_json(
                {"user": connection.user.name, "said": frame.decode(), "in": connection.dialect}
            )

    async def _break(self, connection: Connection) -> None:
        raise ZeroDivisionError


@pytest.fixture
def _own_log() -> Iterator[None]:
    """Put the log back as it was after a test that configures it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
async def service(start_service: StartService) -> Service:
    """A running echo service."""
    return await start_service(Echo)


@pytest.fixture
def get(tls: ssl.SSLContext) -> Callable[..., httpx.Response]:
    """Make one HTTP request of a service, in a thread."""

    async def request(
        service: Service,
        path: str,
        *,
        method: str = "GET",
        login: tuple[str, str] | None = ("hello", "test"),
        **how: object,
    ) -> httpx.Response:
        async with httpx.AsyncClient(verify=tls, auth=login, trust_env=False) as client:
            return await client.request(method, f"https://localhost:{service.port}{path}", **how)  # type: ignore[arg-type]

    return request  # type: ignore[return-value]


async def test_login_and_echo(service: Service, dial: Dial) -> None:
    """With a login the WebSocket opens, and the app knows who it is and what they speak (line 1)."""
    v1, plain = await dial(service, "/echo"), await dial(service, "/echo", v1=False)
    await v1.send("a")
    await plain.send("b")
    assert await v1.recv() == '{"user":"hello","said":"a","in":"v1"}'
    assert await plain.recv() == '{"user":"hello","said":"b","in":"plain"}'
    assert v1.subprotocol == "fanline.v1"
    assert plain.subprotocol is None


@pytest.mark.parametrize("path", ["/echo", "/inside", "/metrics"])
@pytest.mark.parametrize("login", [None, ("hello", "my-guess"), ("nobody", "test"), ("", "")])
async def test_bad_login(
    service: Service, get: Callable[..., object], path: str, login: tuple[str, str] | None
) -> None:
    """No or wrong credentials get 401 with ``WWW-Authenticate``, on every path that needs them (line 1)."""
    response = await get(service, path, login=login)  # type: ignore[misc]
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Basic ")
    assert "my-guess" not in response.text


@pytest.mark.parametrize(
    "header", ["Basic", "Basic !!!", "Bearer abc", "Basic aGVsbG8=", "Basic /w==", "x" * 5000]
)
async def test_malformed_authorization(service: Service, get: Callable[..., object], header: str) -> None:
    """A header that is no Basic login gets the same 401, and the service goes on (line 1)."""
    response = await get(service, "/echo", login=None, headers={"Authorization": header})  # type: ignore[misc]
    assert response.status_code == 401


async def test_two_logins(service: Service, get: Callable[..., object]) -> None:
    """Of two logins in one request neither counts (line 1)."""
    token = base64.b64encode(b"hello:test").decode()
    headers = [("Authorization", f"Basic {token}"), ("Authorization", f"Basic {token}")]
    response = await get(service, "/echo", login=None, headers=headers)  # type: ignore[misc]
    assert response.status_code == 401


async def test_wrong_login_opens_no_websocket(service: Service, dial: Dial) -> None:
    """A WebSocket handshake with wrong credentials is refused the same way (line 1)."""
    with pytest.raises(InvalidStatus) as refused:
        await dial(service, "/echo", password="wrong")
    assert refused.value.response.status_code == 401
    assert "WWW-Authenticate" in refused.value.response.headers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/echo", 426),
        ("GET", "/nowhere", 404),
        ("GET", "/", 404),
        ("POST", "/echo", 405),
        ("PUT", "/healthz", 405),
        ("DELETE", "/nowhere", 405),
        ("OPTIONS", "/echo", 405),
        ("HEAD", "/healthz", 405),
    ],
)
async def test_plain_http(
    service: Service, get: Callable[..., object], dial: Dial, method: str, path: str, status: int
) -> None:
    """HTTP where a WebSocket is expected gets a status that says so; the service goes on (line 2)."""
    how = {"content": b"some body"} if method == "POST" else {}
    response = await get(service, path, method=method, **how)  # type: ignore[misc]
    assert response.status_code == status
    if status == 405:
        assert response.headers["Allow"] == "GET"
    client = await dial(service, "/echo")
    await client.send("still there")
    assert "still there" in str(await client.recv())


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
    start_service: StartService, tls: ssl.SSLContext, speech: str
) -> None:
    """One that finishes no TLS or no HTTP handshake is dropped in bounded time (promise 7)."""
    service = await start_service(Echo, handshake_timeout=0.3)
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


async def test_service_endpoints_need_the_role(
    start_service: StartService, dial: Dial, tmp_path: Path
) -> None:
    """A path for services is closed, with 403, to users who are none; a user over the limit gets 429."""
    users = UsersFile(tmp_path / "users")
    users.put(User("alice"), "secret", cost=4)
    users.put(User("robot", is_service=True), "secret", cost=4)
    service = await start_service(Echo, users_file=users.path, max_connections_per_user=1)
    await dial(service, "/inside", user="robot", password="secret")
    for user, path, status in (("alice", "/inside", 403), ("robot", "/echo", 429), ("hello", "/echo", 401)):
        with pytest.raises(InvalidStatus) as refused:
            await dial(service, path, user=user, password="test" if user == "hello" else "secret")
        assert refused.value.response.status_code == status
    alice = await dial(service, "/echo", user="alice", password="secret")
    await alice.close()
    await until(lambda: len(service.connections) == 1)
    await dial(service, "/echo", user="alice", password="secret")


async def test_health_and_readiness(service: Service, get: Callable[..., object]) -> None:
    """Alive and ready are open to probes; not ready is 503 with the reason, and heals."""
    assert isinstance(service.app, Echo)
    for path in ("/healthz", "/readyz"):
        response = await get(service, path, login=None)  # type: ignore[misc]
        assert (response.status_code, response.text) == (200, "ok\n")
    service.app.problem = "the neighbour is away"
    response = await get(service, "/readyz", login=None)  # type: ignore[misc]
    assert (response.status_code, response.text) == (503, "the neighbour is away\n")
    assert (await get(service, "/healthz", login=None)).status_code == 200  # type: ignore[misc]
    service.app.problem = None
    assert (await get(service, "/readyz", login=None)).status_code == 200  # type: ignore[misc]


async def test_metrics(service: Service, get: Callable[..., object], dial: Dial) -> None:
    """Metrics are in the Prometheus format, and count connections and refusals."""
    await dial(service, "/echo")
    await get(service, "/nowhere")  # type: ignore[misc]
    response = await get(service, "/metrics")  # type: ignore[misc]
    assert response.headers["Content-Type"].startswith("text/plain; version=")
    assert "fanline_connections 1.0" in response.text
    assert 'fanline_requests_refused_total{status="404"} 1.0' in response.text


async def test_defect_in_a_handler(service: Service, dial: Dial, caplog: pytest.LogCaptureFixture) -> None:
    """A defect ends its own connection with 1011, is logged, and harms nobody else."""
    with caplog.at_level(logging.ERROR):
        broken = await dial(service, "/broken")
        with pytest.raises(ConnectionClosed):
            await broken.recv()
    assert broken.close_code == 1011
    await until(lambda: "ZeroDivisionError" in caplog.text)
    client = await dial(service, "/echo")
    await client.send("x")
    assert await client.recv()


# Signs of life.


def freeze(client: ClientConnection) -> None:
    """Make a client as silent as a stopped process: it reads nothing, and so answers no ping."""
    client.transport.pause_reading()


async def test_dead_peer_is_found_and_removed(start_service: StartService, dial: Dial) -> None:
    """One that answers no ping is removed, in bounded time, and nothing is kept of it (line 8)."""
    service = await start_service(Echo, ping_interval=0.2, silence_limit=0.2)
    dead, alive = await dial(service, "/echo"), await dial(service, "/echo")
    freeze(dead)
    await until(lambda: len(service.connections) == 1)
    await alive.send("still here")
    assert "still here" in str(await alive.recv())


async def test_half_a_frame(start_service: StartService, dial: Dial) -> None:
    """One that sends half a frame and hangs holds nobody up, and goes the way of the dead (promise 7)."""
    service = await start_service(Echo, ping_interval=0.2, silence_limit=0.2)
    half, good = await dial(service, "/echo"), await dial(service, "/echo")
    half.transport.write(b"\x81\xff\x00\x00")
    freeze(half)
    await good.send("x")
    assert await good.recv()
    await until(lambda: len(service.connections) == 1)


async def test_fragments_and_binary_frames(service: Service, dial: Dial) -> None:
    """A message in fragments, or in a binary frame, is a message like any other."""
    client = await dial(service, "/echo")
    await client.send(iter(["frag", "ment", "ed"]))
    assert '"fragmented"' in str(await client.recv())
    await client.send(b"binary")
    assert '"binary"' in str(await client.recv())


# Starting and stopping.


async def test_stop_tells_clients_when_to_return(start_service: StartService, dial: Dial) -> None:
    """Stopping drains, tells each v1 client a time to return, a plain one nothing, and closes with 1001."""
    service = await start_service(Echo)
    assert isinstance(service.app, Echo)
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
    assert service.app.calls == ["start", "drain", "stop"]
    assert not service.connections


async def test_stopping_service_listens_no_more(start_service: StartService, dial: Dial) -> None:
    """What comes while a service finishes is not begun, so that it does finish (promise 8)."""
    service = await start_service(Echo)
    app = service.app
    assert isinstance(app, Echo)
    app.drained.clear()
    client = await dial(service, "/echo")
    stopping = asyncio.create_task(service.stop())
    await until(lambda: app.calls == ["start", "drain"])
    await client.send("too late")
    await (await client.ping())
    app.drained.set()
    assert str(await client.recv()).startswith('{"drain"')
    await stopping


async def test_stop_is_bounded(start_service: StartService, dial: Dial) -> None:
    """Neither work that does not end nor a client that does not read keeps a service from stopping."""
    service = await start_service(Echo, drain_timeout=0.4)
    assert isinstance(service.app, Echo)
    service.app.drained.clear()
    freeze(await dial(service, "/echo"))
    await service.stop()
    assert service.app.calls == ["start", "drain", "stop"]


async def test_port_in_use(start_service: StartService, service: Service) -> None:
    """A port that is taken is named, with what to do; what was started is stopped."""
    with pytest.raises(
        ConfigurationError, match=rf"subscriber_port: cannot listen on 127.0.0.1:{service.port}"
    ):
        await start_service(Echo, subscriber_port=service.port)


async def test_demo_login_is_for_loopback(start_service: StartService) -> None:
    """With the demo login a service refuses to listen on any other address, and says what to do."""
    with pytest.raises(ConfigurationError, match="fanline user add"):
        await start_service(Echo, host="0.0.0.0")


@pytest.mark.parametrize("missing", ["server.crt", "server.key"])
async def test_missing_certificate(start_service: StartService, tmp_path: Path, missing: str) -> None:
    """Without a certificate a service does not start, and says which file is missing (line 3)."""
    for name in {"server.crt", "server.key"} - {missing}:
        (tmp_path / name).write_text("x")
    with pytest.raises(ConfigurationError, match="server.crt" if missing == "server.crt" else "server"):
        await start_service(Echo, cert_dir=tmp_path)


@pytest.mark.usefixtures("_own_log")
def test_main_explains_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """What is configured wrongly is one sentence on standard error, and exit code 2 (line 3)."""
    monkeypatch.setenv("WS_CERT_DIR", f"{tmp_path}/")
    with pytest.raises(SystemExit) as ended:
        main(Echo, [])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert str(tmp_path / "server.crt") in said
    assert "Traceback" not in said
    assert len(said.strip().splitlines()) == 1


@pytest.mark.usefixtures("_own_log")
def test_main_ends_with_0_after_sigterm(
    monkeypatch: pytest.MonkeyPatch, cert_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGTERM stops a service cleanly: ``main`` returns."""
    original = Service.start

    async def start_and_signal(self: Service) -> None:
        await original(self)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Service, "start", start_and_signal)
    main(Echo, ["--subscriber-port", "0", "--cert-dir", str(cert_dir)])
    assert "stopped" in capsys.readouterr().err


@pytest.mark.usefixtures("_own_log")
async def test_no_secret_in_the_log(service: Service, dial: Dial, caplog: pytest.LogCaptureFixture) -> None:
    """A login is nowhere in the log, at any level that can be set."""
    log.configure("test", "debug")
    logging.getLogger().addHandler(caplog.handler)
    client = await dial(service, "/echo")
    await client.send("x")
    await client.recv()
    assert "listening" not in caplog.text
    assert base64.b64encode(b"hello:test").decode() not in caplog.text
