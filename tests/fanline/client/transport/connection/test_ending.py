"""Errors that end a reconnecting connection, and cancellation."""

import asyncio
import logging
import ssl
from http import HTTPStatus
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection

from fanline.client.transport.connection import ReconnectingConnection
from fanline.client.transport.login import Login
from fanline.errors import ConfigurationError, Disconnected, LoginRefused, Rejected
from tests.fanline.client.transport.connection.conftest import LOGIN, Watch, link_to, outcome, running
from tests.stubs import DEADLINE, PASSWORD, USER, Stub


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


async def test_follows_no_redirect(stub: Stub, tls: ssl.SSLContext, cert_dir: Path) -> None:
    """Login and messages go to no other server than the one that was named, and to no other path."""
    async with Stub(cert_dir) as other:
        for target in (other, stub):
            stub.answer, stub.location = HTTPStatus.TEMPORARY_REDIRECT, f"{target.url}/elsewhere"
            error = await outcome(link_to(stub, tls))
            assert isinstance(error, ConfigurationError)
            assert "redirects, which is not followed" in str(error)
        assert other.logins == []
    assert len(stub.logins) == 2


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


async def test_a_deaf_peer_cannot_hold_up_the_end(stub: Stub, tls: ssl.SSLContext) -> None:
    """A peer that reads nothing, and answers no close frame, is left after a moment."""
    opened: list[ClientConnection] = []
    writing = asyncio.Event()

    async def flood(connection: ClientConnection) -> None:
        opened.append(connection)
        stub.deafen()
        writing.set()
        while True:
            await connection.send(b"x" * 65_536)

    async with running(link_to(stub, tls, close_timeout=0.1), flood) as task:
        await writing.wait()
        task.cancel()
        async with asyncio.timeout(DEADLINE):
            await asyncio.wait([task])
    assert task.cancelled()
    assert opened[0].transport.is_closing()


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
    assert (await login.headers())["Authorization"] not in "".join(lines)
    assert (await login.headers())["Authorization"] not in repr(login)


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
