"""The kernel that runs a service: who gets in, what health and metrics say, who is cut, how it stops."""

import asyncio
import base64
import contextlib
import logging
import signal
import ssl
from collections.abc import Awaitable, Callable, Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import ClassVar

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from fanline.errors import ConfigurationError
from fanline.protocol import encode
from fanline.security.tokens import CHAT, PIPELINE, Claims, TokenKey
from fanline.security.users import User, UsersFile
from fanline.server import log
from fanline.server.connection import Connection
from fanline.server.process import main
from fanline.server.service import App, Page, PageRequest, PageResponse, Route, Service
from fanline.settings import ServiceSettings
from subscriber.settings import SubscriberSettings
from tests.conftest import Dial, StartService, until
from tests.stubs import DEADLINE

Get = Callable[..., Awaitable[httpx.Response]]
MakeToken = Callable[..., str]

ELSEWHERE = "https://pages.example.org"


class Echo(App):
    """Sends back every frame, and says in between what the kernel has told it."""

    settings_class: ClassVar[type[ServiceSettings]] = SubscriberSettings

    def __init__(self, settings: ServiceSettings) -> None:
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

    def pages(self) -> Mapping[str, Page]:
        return {"/page": self._show, "/never": self._show_never}

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

    async def _show(self, request: PageRequest) -> PageResponse:
        return PageResponse(HTTPStatus.OK, encode({"user": request.user.name, "query": request.query}))

    async def _show_never(self, _: PageRequest) -> PageResponse:
        self.calls.append("never")
        await asyncio.Event().wait()
        raise AssertionError


class Inside(Echo):
    """A service that has nothing but paths for services."""

    def routes(self) -> Mapping[str, Route]:
        return {"/inside": Route(self._echo, services_only=True)}


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


# Tokens.


@pytest.fixture
def key(tmp_path: Path) -> TokenKey:
    """The key of the installation, where its settings look for it."""
    key = TokenKey(tmp_path / "token.key")
    key.create_if_missing()
    return key


@pytest.fixture
def make_token(key: TokenKey) -> MakeToken:
    """Issue a token that is good for a minute, unless told otherwise."""

    def make(name: str = "page", audience: str = PIPELINE, lifetime: float = 60) -> str:
        return key.issue(Claims.new(name, lifetime=lifetime), audience)

    return make


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def status(service: Service, path: str, tls: ssl.SSLContext, **how: object) -> int:
    """The HTTP status that the handshake of a WebSocket is answered with."""
    url = f"wss://localhost:{service.port}{path}"
    try:
        async with connect(url, ssl=tls, proxy=None, **how):  # type: ignore[arg-type]
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


async def test_a_token_opens_a_websocket(
    make_token: MakeToken, service: Service, tls: ssl.SSLContext
) -> None:
    """In the header or in the query, a token is a login; the app sees its name."""
    url = f"wss://localhost:{service.port}/echo"
    token = make_token()
    for where, headers in ((url, bearer(token)), (f"{url}?token={token}", {})):
        async with connect(where, ssl=tls, proxy=None, additional_headers=headers) as client:
            await client.send("x")
            assert '"user":"page"' in str(await client.recv())


async def test_a_token_opens_a_page(make_token: MakeToken, service: Service, get: Get) -> None:
    """A page is shown to the bearer of a token, and knows nothing of the token itself."""
    token = make_token()
    in_query = await get(service, f"/page?a=1&token={token}&b=2", login=None)
    assert in_query.json() == {"user": "page", "query": {"a": "1", "b": "2"}}
    in_header = await get(service, "/page?a=1", login=None, headers=bearer(token))
    assert in_header.json() == {"user": "page", "query": {"a": "1"}}


async def test_the_token_of_a_page_counts(make_token: MakeToken, service: Service, get: Get) -> None:
    """Beside a login that the browser remembers, the token counts, also if it is not good."""
    assert (await get(service, f"/page?token={make_token()}")).json()["user"] == "page"
    assert (await get(service, "/page?token=x")).status_code == 401


@pytest.mark.parametrize("lifetime", [60, -60])
async def test_no_token_opens_what_is_for_services(
    make_token: MakeToken, service: Service, tls: ssl.SSLContext, get: Get, lifetime: float
) -> None:
    """On a path for services a token is no login, and is not asked for."""
    token = make_token(lifetime=lifetime)
    assert await status(service, "/inside", tls, additional_headers=bearer(token)) == 401
    assert await status(service, f"/inside?token={token}", tls) == 401
    refused = await get(service, f"/inside?token={token}", login=None)
    assert refused.headers.get_list("WWW-Authenticate") == ['Basic realm="fanline", charset="UTF-8"']
    assert (await get(service, "/inside?token=x")).status_code == 426


async def test_a_service_for_services_takes_no_token(
    make_token: MakeToken, key: TokenKey, start_service: StartService, get: Get
) -> None:
    """Where all paths are for services, neither is a page shown for a token, nor the key looked at."""
    token = make_token()
    service = await start_service(Inside)
    for path, headers in ((f"/page?token={token}", {}), ("/page", bearer(token))):
        refused = await get(service, path, login=None, headers=headers)
        assert refused.status_code == 401
        assert refused.headers.get_list("WWW-Authenticate") == ['Basic realm="fanline", charset="UTF-8"']
    key.path.chmod(0o644)
    await start_service(Inside)
    with pytest.raises(ConfigurationError, match="token_key_file"):
        await start_service(Echo)


async def test_how_to_log_in_is_said(make_token: MakeToken, service: Service, get: Get) -> None:
    """Who shows nothing is told both ways; who shows a bad token is not asked for a password."""
    nothing = await get(service, "/page", login=None)
    assert nothing.headers.get_list("WWW-Authenticate") == [
        'Basic realm="fanline", charset="UTF-8"',
        'Bearer realm="fanline"',
    ]
    for token, reason in (
        ("x", "the token is malformed\n"),
        (make_token(lifetime=-60), "the token has expired: log in again\n"),
        (make_token(audience=CHAT), "the token is not for the pipeline\n"),
        (make_token(name="hello"), "hello is a user with a password: a token needs its own name\n"),
    ):
        refused = await get(service, "/page", login=None, headers=bearer(token))
        assert (refused.status_code, refused.text) == (401, reason)
        challenges = refused.headers.get_list("WWW-Authenticate")
        assert challenges == ['Bearer realm="fanline", error="invalid_token"']


async def test_a_connection_ends_with_its_token(
    make_token: MakeToken, service: Service, dial: Dial, tls: ssl.SSLContext
) -> None:
    """When a token expires its connection is closed with 4001, however busy it is, and no other."""
    url = f"wss://localhost:{service.port}/echo?token="
    async with (
        connect(url + make_token(lifetime=600), ssl=tls, proxy=None) as longer,
        connect(url + make_token(lifetime=1), ssl=tls, proxy=None) as short,
    ):
        with pytest.raises(ConnectionClosed):
            await talk(short)
        assert (short.close_code, short.close_reason) == (4001, "the token has expired; log in again")
        for client in (longer, await dial(service, "/echo")):
            await client.send("x")
            assert await client.recv()


async def talk(client: ClientConnection) -> None:
    """Say something, and hear the answer, again and again."""
    while True:
        await client.send("x")
        await client.recv()


# Web pages elsewhere.


@pytest.mark.parametrize("path", ["/echo", "/inside"])
@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        (None, 101),
        ("https://localhost:PORT", 101),
        ("HTTPS://LocalHost:PORT", 101),
        (ELSEWHERE, 101),
        ("http://localhost:PORT", 403),
        ("https://localhost", 403),
        ("https://localhost:1", 403),
        ("https://127.0.0.1:PORT", 403),
        ("https://evil.example.org", 403),
        (f"{ELSEWHERE}.evil.example", 403),
        ("http://pages.example.org", 403),
        ("null", 403),
        ("", 403),
    ],
)
async def test_a_websocket_of_a_web_page(
    start_service: StartService, tls: ssl.SSLContext, path: str, origin: str | None, expected: int
) -> None:
    """A page of another site opens no WebSocket, even with a good login, unless it is allowed to."""
    service = await start_service(Echo, allowed_origins=(ELSEWHERE,))
    login = base64.b64encode(b"hello:test").decode()
    headers = {"Authorization": f"Basic {login}"}
    if origin is not None:
        headers["Origin"] = origin.replace("PORT", str(service.port))
    assert await status(service, path, tls, additional_headers=headers) == expected


async def test_two_origins_are_none(service: Service, get: Get) -> None:
    """A request that names several origins is of no page that may."""
    own = ("Origin", f"https://localhost:{service.port}")
    assert (await get(service, "/page", headers=[own])).status_code == 200
    assert (await get(service, "/page", headers=[own, own])).status_code == 403


async def test_an_origin_is_refused_before_the_login(
    service: Service, get: Get, caplog: pytest.LogCaptureFixture
) -> None:
    """A page of another site cannot use a visitor's browser to try passwords; the log says which it was."""
    with caplog.at_level(logging.INFO):
        refused = await get(service, "/page", login=("hello", "guess"), headers={"Origin": ELSEWHERE})
    assert refused.status_code == 403
    assert "the setting allowed_origins" in refused.text
    assert "Access-Control-Allow-Origin" not in refused.headers
    assert f"refused a web page of '{ELSEWHERE}'" in caplog.text
    assert "refused a login" not in caplog.text


async def test_a_page_elsewhere_reads_what_it_may(
    make_token: MakeToken, start_service: StartService, get: Get
) -> None:
    """With a token in the query, which needs no preflight, an allowed page can read answers, and errors."""
    service = await start_service(Echo, allowed_origins=(ELSEWHERE, "https://other.example.org"))
    for token, code in ((make_token(), 200), ("x", 401)):
        answer = await get(service, f"/page?token={token}", login=None, headers={"Origin": ELSEWHERE})
        assert answer.status_code == code
        assert answer.headers["Access-Control-Allow-Origin"] == ELSEWHERE
        assert answer.headers["Access-Control-Expose-Headers"] == "*"
        assert answer.headers["Vary"] == "Origin"
        assert "Access-Control-Allow-Credentials" not in answer.headers


async def test_no_cache_confuses_pages(service: Service, get: Get) -> None:
    """What may be kept of an answer without an origin is not for one that has another."""
    for headers in ({}, {"Origin": ELSEWHERE}):
        answer = await get(service, "/page", headers=headers)
        assert answer.headers["Vary"] == "Origin"
        assert "Access-Control-Allow-Origin" not in answer.headers


async def test_probes_need_no_origin(service: Service, get: Get) -> None:
    """Health is no secret of any origin."""
    assert (await get(service, "/healthz", login=None, headers={"Origin": ELSEWHERE})).status_code == 200


# Health.


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


async def test_stop_does_not_wait_for_a_page(start_service: StartService, get: Get) -> None:
    """Nor does a request that nobody can answer; whoever asked is told why."""
    service = await start_service(Echo, drain_timeout=0.4)
    app = service.app
    assert isinstance(app, Echo)
    asking = asyncio.ensure_future(get(service, "/never"))
    await until(lambda: "never" in app.calls)
    async with asyncio.timeout(DEADLINE):
        await service.stop()
        answer = await asking
    assert (answer.status_code, answer.text) == (503, "The service is stopping.\n")


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
async def test_no_secret_in_the_log(
    service: Service,
    dial: Dial,
    get: Get,
    make_token: MakeToken,
    tls: ssl.SSLContext,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """No login, whether good or refused, is anywhere in the log, at any level that can be set."""
    log.configure("test", "debug")
    logging.getLogger().addHandler(caplog.handler)
    client = await dial(service, "/echo")
    await client.send("x")
    await client.recv()
    good, expired = make_token(), make_token(lifetime=-60)
    for token in (good, expired):
        await status(service, f"/echo?token={token}", tls)
        await status(service, f"/nowhere?token={token}", tls)
        await status(service, f"/broken?token={token}", tls)
        for path in ("/page", "/inside", "/echo"):
            await get(service, f"{path}?token={token}", login=None)
            await get(service, f"{path}?token={token}", login=None, headers={"Origin": ELSEWHERE})
            await get(service, path, login=None, headers=bearer(token))
    assert "the token has expired" in caplog.text
    assert "listening" not in caplog.text
    for secret in (base64.b64encode(b"hello:test").decode(), good, expired):
        assert secret not in caplog.text
