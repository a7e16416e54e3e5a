"""The reconnecting connection: interruptions, final errors, and the states it reports."""

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection

from fanline.backoff import Backoff
from fanline.client.transport import connection as link_module
from fanline.client.transport.connection import ReconnectingConnection, Session
from fanline.client.transport.login import Login
from fanline.errors import ConfigurationError, Disconnected, LoginRefused, Rejected
from fanline.protocol import Dialect
from tests.stubs import DEADLINE, PASSWORD, USER, Stub

LOGIN = Login.by_password(USER, PASSWORD)


@pytest.fixture
async def stub(cert_dir: Path) -> AsyncIterator[Stub]:
    async with Stub(cert_dir) as running:
        yield running


class Watch:
    """Records what a link reports, and waits for it."""

    def __init__(self) -> None:
        self.states: list[str | None] = []
        self._changed = asyncio.Event()

    def __call__(self, problem: str | None) -> None:
        self.states.append(problem)
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


def link_to(stub: Stub, tls: ssl.SSLContext, **options: Any) -> ReconnectingConnection:
    return ReconnectingConnection(f"{stub.url}/path", login=LOGIN, tls=tls, **options)


async def listen(connection: ClientConnection) -> None:
    """A session that does nothing but notice the end of the connection."""
    await connection.wait_closed()


@asynccontextmanager
async def running(
    link: ReconnectingConnection, session: Session = listen
) -> AsyncIterator[asyncio.Task[None]]:
    task: asyncio.Task[None] = asyncio.create_task(link.run(session))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def outcome(link: ReconnectingConnection, session: Session = listen) -> BaseException:
    """Return what ends a link by itself."""
    async with asyncio.timeout(DEADLINE):
        with pytest.raises(Exception) as caught:  # noqa: PT011 - the tests look at what it is
            await link.run(session)
    return caught.value


async def test_hands_over_an_open_connection(stub: Stub, tls: ssl.SSLContext) -> None:
    """The session gets a connection to the path of the URL, logged in and speaking v1."""
    link = link_to(stub, tls)

    async def greet(connection: ClientConnection) -> None:
        assert link.connected
        assert link.problem is None
        assert link.dialect is Dialect.V1
        await connection.send("hello")
        await listen(connection)

    async with running(link, greet):
        await stub.until(lambda: stub.frames == [b"hello"])
    assert stub.paths == ["/path"]
    assert stub.logins == [(USER, PASSWORD)]


async def test_speaks_plain_to_who_does_not_choose_v1(stub: Stub, tls: ssl.SSLContext) -> None:
    """A peer that picks no subprotocol is spoken to in the plain dialect (line 9)."""
    stub.speaks_v1 = False
    watch = Watch()
    link = link_to(stub, tls, on_state=watch)
    async with running(link):
        await watch.until(lambda: link.connected)
        assert link.dialect is Dialect.PLAIN


async def test_learns_the_dialect_again_after_a_reconnect(stub: Stub, tls: ssl.SSLContext) -> None:
    """A peer that was replaced by one of the other dialect is spoken to in that."""
    stub.speaks_v1 = False
    dialects: list[Dialect] = []
    link = link_to(stub, tls)

    async def note(connection: ClientConnection) -> None:
        dialects.append(link.dialect)
        await connection.send("noted")
        await listen(connection)

    async with running(link, note):
        await stub.until(lambda: len(stub.frames) == 1)
        stub.speaks_v1 = True
        stub.drop()
        await stub.until(lambda: len(stub.frames) == 2)
    assert dialects == [Dialect.PLAIN, Dialect.V1]


async def test_connects_whenever_the_peer_appears(stub: Stub, tls: ssl.SSLContext) -> None:
    """The order in which two sides start does not matter."""
    await stub.stop()
    watch = Watch()
    link = link_to(stub, tls, on_state=watch)
    assert link.problem == f"{stub.url}/path is not connected yet"
    async with running(link):
        await watch.until(lambda: watch.states != [])
        assert not link.connected
        await stub.start()
        await watch.until(lambda: link.connected)
    assert watch.states == [f"{stub.url}/path cannot be reached: connection refused", None]


async def test_reports_each_problem_once(stub: Stub, tls: ssl.SSLContext) -> None:
    """A peer that stays away is reported when it goes, not at every attempt."""
    await stub.stop()
    watch = Watch()
    attempts = Attempts()
    async with running(link_to(stub, tls, on_state=watch, backoff=attempts)):
        await attempts.until(3)
    assert len(watch.states) == 1


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1013, 4008, 4009])
async def test_reconnects_when_closed_for_now(stub: Stub, tls: ssl.SSLContext, code: int) -> None:
    """A close code that is not 1008 means: come back."""
    watch = Watch()
    async with running(link_to(stub, tls, on_state=watch)):
        await stub.until(lambda: len(stub.connections) == 1)
        await stub.close(code, "because")
        await stub.until(lambda: len(stub.paths) == 2)
        await watch.until(lambda: len(watch.states) == 3)
    assert watch.states == [None, f"{stub.url}/path has closed the connection: {code}, because", None]


async def test_reconnects_when_dropped(stub: Stub, tls: ssl.SSLContext) -> None:
    """A connection that breaks without a word is made again."""
    async with running(link_to(stub, tls)):
        for count in range(1, 4):
            await stub.until(lambda: len(stub.paths) == count and len(stub.connections) == 1)  # noqa: B023 - used at once
            stub.drop()


@pytest.mark.parametrize("is_busy", [False, True])
async def test_reconnects_when_the_peer_is_silent(stub: Stub, tls: ssl.SSLContext, is_busy: bool) -> None:
    """A peer that has vanished is given up, also while data waits to be written to it.

    This is a busy link to a host that vanished: the ping waited behind the data for as long as TCP did.
    """
    problems: list[str | None] = []
    link = link_to(stub, tls, ping_interval=0.1, silence_limit=0.2, on_state=problems.append)

    async def talk(connection: ClientConnection) -> None:
        await connection.send("hello")
        await stub.until(lambda: len(stub.frames) == len(stub.paths))
        stub.deafen()
        while is_busy:
            await connection.send("x" * 100_000)
        await connection.wait_closed()

    async with running(link, talk):
        await stub.until(lambda: len(stub.paths) >= 2)
    assert f"{stub.url}/path has been silent for more than 0.3 s" in problems


@pytest.mark.parametrize("speaks_v1", [False, True])
async def test_the_kernel_gives_up_a_vanished_host(stub: Stub, tls: ssl.SSLContext, speaks_v1: bool) -> None:
    """Data that is not taken closes a connection in bounded time, unless the peer is an original one."""
    stub.speaks_v1 = speaks_v1
    timeouts: list[int] = []
    link = link_to(stub, tls, ping_interval=5, silence_limit=30)

    async def look(connection: ClientConnection) -> None:
        sock = connection.transport.get_extra_info("socket")
        timeouts.append(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT))
        await connection.send("seen")
        await listen(connection)

    async with running(link, look):
        await stub.until(lambda: len(stub.frames) == 1)
    assert timeouts == [35_000 if speaks_v1 else 0]


async def test_reconnects_after_a_session_gave_up(stub: Stub, tls: ssl.SSLContext) -> None:
    """A session that returns or raises Disconnected is followed by the next; the reason is kept."""
    watch = Watch()
    link = link_to(stub, tls, on_state=watch)
    sessions = 0

    async def give_up(connection: ClientConnection) -> None:
        nonlocal sessions
        sessions += 1
        if sessions == 1:
            raise Disconnected("the server talks nonsense")
        if sessions > 2:
            await listen(connection)

    async with running(link, give_up):
        await watch.until(lambda: sessions == 3)
    assert watch.states[:3] == [None, "the server talks nonsense", None]
    assert watch.states[3] == f"{stub.url}/path has closed the connection: 1000"


@pytest.mark.parametrize("status", [HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS])
async def test_reconnects_to_an_overloaded_peer(stub: Stub, tls: ssl.SSLContext, status: HTTPStatus) -> None:
    """A status that time can heal is no reason to give up."""
    stub.answer = status
    watch = Watch()
    async with running(link_to(stub, tls, on_state=watch)):
        await watch.until(lambda: watch.states != [])
        stub.answer = None
        await watch.until(lambda: watch.states[-1] is None)
    said = f"HTTP {status.value}, as the script says"
    assert watch.states == [f"{stub.url}/path cannot serve at present: {said}", None]


async def test_reconnects_to_what_is_no_websocket_server(tls: ssl.SSLContext) -> None:
    """Something that talks another protocol is a passing state: a service is perhaps being replaced."""

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 not what you think\r\n")
        writer.close()

    watch = Watch()
    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        url = f"wss://localhost:{server.sockets[0].getsockname()[1]}/"
        link = ReconnectingConnection(url, login=LOGIN, tls=tls, on_state=watch)
        async with running(link):
            await watch.until(lambda: watch.states != [])
    assert str(watch.states[0]).startswith(f"{url} cannot be reached: [SSL")


@pytest.mark.parametrize("status", [HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN])
async def test_gives_up_when_the_login_is_refused(
    stub: Stub, tls: ssl.SSLContext, status: HTTPStatus
) -> None:
    """A client is told that its login is refused, without its password (line 1)."""
    stub.answer = status
    error = await outcome(link_to(stub, tls))
    assert isinstance(error, LoginRefused)
    assert str(error) == f"{stub.url}/path refuses user 'hello': HTTP {status.value}, as the script says"


async def test_gives_up_on_a_wrong_path(stub: Stub, tls: ssl.SSLContext) -> None:
    """An endpoint that does not exist is a mistake in the URL."""
    stub.answer = HTTPStatus.NOT_FOUND
    error = await outcome(link_to(stub, tls))
    assert isinstance(error, ConfigurationError)
    assert str(error) == f"{stub.url}/path: HTTP 404, as the script says"


async def test_gives_up_on_a_peer_that_cannot_prove_who_it_is(stub: Stub) -> None:
    """A certificate of an unknown CA is refused before the password is sent."""
    link = ReconnectingConnection(stub.url, login=LOGIN, tls=ssl.create_default_context())
    error = await outcome(link)
    assert isinstance(error, ConfigurationError)
    assert "certificate cannot be trusted" in str(error)
    assert stub.logins == []


async def test_gives_up_when_closed_for_good(stub: Stub, tls: ssl.SSLContext) -> None:
    """1008 means that this connection broke a rule: it is not made again."""
    link = link_to(stub, tls)
    ending = asyncio.create_task(outcome(link))
    await stub.until(lambda: len(stub.connections) == 1)
    await stub.close(1008, "a million subscriptions")
    error = await ending
    assert type(error) is Disconnected
    assert (
        str(error) == f"{stub.url}/path has closed the connection permanently: 1008, a million subscriptions"
    )
    assert link.problem == str(error)


async def test_a_service_goes_on_when_refused(stub: Stub, tls: ssl.SSLContext) -> None:
    """With a delay for refusals, the mistake can be put right on the other side."""
    stub.answer = HTTPStatus.UNAUTHORIZED
    watch = Watch()
    link = link_to(stub, tls, on_state=watch, refused_delay=0.1)
    async with running(link):
        await watch.until(lambda: watch.states != [])
        assert "refuses user 'hello'" in str(link.problem)
        stub.answer = None
        await watch.until(lambda: link.connected)
        await stub.close(1008)
        await watch.until(lambda: len(watch.states) == 4 and watch.states[3] is None)
    assert "closed the connection permanently" in str(watch.states[2])


async def test_a_defect_of_the_session_ends_the_link(stub: Stub, tls: ssl.SSLContext) -> None:
    """Other errors of a session are not treated as a lost connection."""

    async def fail(_: ClientConnection) -> None:
        raise Rejected("ack-unavailable", "no")

    link = link_to(stub, tls)
    assert isinstance(await outcome(link, fail), Rejected)
    assert not link.connected


async def test_a_session_can_find_that_its_login_is_over(stub: Stub, tls: ssl.SSLContext) -> None:
    """A peer may say so on an open connection: then no further attempt can help."""

    async def find_out(_: ClientConnection) -> None:
        raise LoginRefused("the token has expired")

    error = await outcome(link_to(stub, tls), find_out)
    assert isinstance(error, LoginRefused)
    assert str(error) == "the token has expired"
    assert len(stub.logins) == 1


async def test_cancellation_closes_the_connection(stub: Stub, tls: ssl.SSLContext) -> None:
    """A cancelled link ends at once, closes the WebSocket, and reports nothing more."""
    watch = Watch()
    link = link_to(stub, tls, on_state=watch)
    async with running(link) as task:
        await watch.until(lambda: link.connected)
        (connection,) = stub.connections
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await stub.until(lambda: not stub.connections)
    assert connection.close_code == 1000
    assert watch.states == [None]
    assert not link.connected


async def test_cancellation_passes_while_waiting_for_the_next_attempt(
    stub: Stub, tls: ssl.SSLContext
) -> None:
    """A connection attempt without an answer can be stopped."""
    await stub.stop()
    watch = Watch()
    async with running(link_to(stub, tls, on_state=watch)) as task:
        await watch.until(lambda: watch.states != [])
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_deaf_peer_cannot_hold_up_the_end(
    stub: Stub, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer that reads nothing, and answers no close frame, is left after a moment."""
    monkeypatch.setattr(link_module, "CLOSE_TIMEOUT", 0.1)
    opened: list[ClientConnection] = []
    writing = asyncio.Event()

    async def flood(connection: ClientConnection) -> None:
        opened.append(connection)
        stub.deafen()
        writing.set()
        while True:
            await connection.send(b"x" * 65_536)

    async with running(link_to(stub, tls), flood) as task:
        await writing.wait()
        task.cancel()
        async with asyncio.timeout(DEADLINE):
            await asyncio.wait([task])
    assert task.cancelled()
    assert opened[0].transport.is_closing()


class Attempts(Backoff):
    """A schedule without delays that counts what it is asked for."""

    def __init__(self) -> None:
        super().__init__(first=0.0)
        self.count = 0
        self.resets = 0
        self._asked = asyncio.Event()

    def next(self) -> float:
        self.count += 1
        self._asked.set()
        return super().next()

    def reset(self) -> None:
        self.resets += 1
        super().reset()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(DEADLINE):
            while self.count < count:
                self._asked.clear()
                await self._asked.wait()


async def test_starts_over_only_after_a_connection_that_held(
    stub: Stub, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer that takes every connection and drops it at once is asked less and less often."""
    attempts = Attempts()
    async with running(link_to(stub, tls, backoff=attempts)):
        await stub.until(lambda: len(stub.connections) == 1)
        stub.drop()
        await attempts.until(1)
        assert attempts.resets == 0
        monkeypatch.setattr(link_module, "STEADY_SECONDS", 0.0)
        await stub.until(lambda: len(stub.paths) == 2 and len(stub.connections) == 1)
        stub.drop()
        await attempts.until(2)
        assert attempts.resets == 1


async def test_comes_back_when_the_peer_says(
    stub: Stub, tls: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    """A delay that the peer asked for replaces the usual one, once, within limits."""
    caplog.set_level(logging.INFO, "fanline.client.transport.connection")
    attempts = Attempts()
    link = link_to(stub, tls, backoff=attempts)
    async with running(link):
        await stub.until(lambda: len(stub.connections) == 1)
        link.retry_after(-1)
        stub.drop()
        await stub.until(lambda: len(stub.paths) == 2 and len(stub.connections) == 1)
        assert attempts.count == 0
        stub.drop()
        await attempts.until(1)
        await stub.until(lambda: len(stub.paths) == 3 and len(stub.connections) == 1)
        link.retry_after(86_400)
        stub.drop()
        while "60.0 s" not in caplog.text:
            await asyncio.sleep(0)


async def test_no_secret_is_logged(stub: Stub, tls: ssl.SSLContext, caplog: pytest.LogCaptureFixture) -> None:
    """The most talkative log shows neither the password nor the header that carries it."""
    caplog.set_level(logging.DEBUG)
    watch = Watch()
    login = Login.by_password(USER, "x")
    link = ReconnectingConnection(f"{stub.url}/", login=login, tls=tls, on_state=watch)
    async with running(link):
        await watch.until(lambda: link.connected)
    lines = [record.getMessage() for record in caplog.records if record.name != "websockets.server"]
    assert f"connected to {stub.url}/" in lines
    assert await login.authorize() not in "".join(lines)
    assert await login.authorize() not in repr(login)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("localhost:8081", "localhost:8081: is not a URL of the form wss://HOST:PORT"),
        ("wss://", "wss://: is not a URL of the form wss://HOST:PORT"),
        ("wss://a:b", "wss://a:b: is not a URL of the form wss://HOST:PORT"),
        ("wss://a..b/", "wss://a..b/: is not a URL of the form wss://HOST:PORT"),
        ("ws://localhost/", "ws://localhost/: begins with ws://, which has no TLS; expected wss://"),
        ("wss://u:p@localhost/", "a URL with a user and password in it: give them apart from it"),
    ],
)
def test_a_url_that_cannot_be_used(url: str, problem: str) -> None:
    """A wrong URL is found before anything is tried, and explained."""
    with pytest.raises(ConfigurationError) as caught:
        ReconnectingConnection(url, login=LOGIN, tls=None)
    assert str(caught.value) == problem


def test_a_user_name_that_cannot_be_used() -> None:
    """Basic authentication has no way to send a colon in a user name (RFC 7617, 2)."""
    with pytest.raises(ConfigurationError, match="cannot have a colon"):
        Login.by_password("a:b", PASSWORD)
