"""Tests of the logins of clients: passwords, and tokens that are fetched and renewed."""

import base64
import json
import ssl
from functools import partial
from http import HTTPStatus
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection

from fanline.client.transport.connection import ReconnectingConnection
from fanline.client.transport.login import Login
from fanline.errors import CloseCode, ConfigurationError, Disconnected, LoginRefused
from fanline.tasks import running_task
from tests.stubs import Stub


class Clock:
    """The time of day, which a test sets."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Issuer:
    """Issues tokens.

    Attributes:
        claims: Of the next token.
        count: How many were issued.
    """

    def __init__(self, **claims: object) -> None:
        self.claims = claims
        self.count = 0

    def __call__(self) -> str:
        self.count += 1
        payload = base64.urlsafe_b64encode(json.dumps(self.claims).encode()).decode().rstrip("=")
        return f"{self.count}.{payload}.x"

    async def later(self) -> str:
        return self()


async def authorization(login: Login) -> str:
    return (await login.headers())["Authorization"]


def test_a_login_is_by_password_or_by_token() -> None:
    """Neither, both or half of them are a mistake of the program."""
    for user, password, token in ((None, None, None), ("a", "b", "c"), ("a", None, None), ("a", None, "c")):
        with pytest.raises(ConfigurationError, match="client certificate: give one"):
            Login.of(user, password, token, None)
    assert not Login.of("a", "b", None, None).is_renewable
    assert not Login.of(None, None, "c", None).is_renewable
    assert Login.of(None, None, lambda: "c", None).is_renewable
    assert not Login.of(None, None, None, ssl.create_default_context()).is_renewable


async def test_a_token_is_fetched_again_in_time() -> None:
    """One is used until most of its life is over; a discarded one is not used again."""
    clock, issuer = Clock(), Issuer(exp=1_100)
    login = Login("the token", fetch=issuer, clock=clock)
    assert (await authorization(login)).startswith("Bearer 1.")
    assert login.seconds_left() == 80
    clock.now += 79
    assert (await authorization(login)).startswith("Bearer 1.")
    clock.now += 1
    assert login.seconds_left() == 0
    issuer.claims = {"exp": 2_000}
    assert (await authorization(login)).startswith("Bearer 2.")
    login.discard()
    assert (await authorization(login)).startswith("Bearer 3.")


async def test_a_clock_that_is_wrong_does_no_harm() -> None:
    """How long a token lives, its issuer knows; one that has expired is not asked for all the time."""
    clock = Clock()
    for claims, seconds in (({"iat": 5_000, "exp": 5_100}, 80), ({"iat": 10, "exp": 110}, 1)):
        login = Login("the token", fetch=Issuer(**claims).later, clock=clock)
        await login.headers()
        assert login.seconds_left() == seconds


async def test_a_token_that_cannot_be_read_is_kept() -> None:
    """Without a known end it is used until it is refused."""
    for token in ("opaque", "a.b.c", "a.e30.c", "a.é.c"):
        login = Login.by_token(partial(str, token))
        assert await authorization(login) == f"Bearer {token}"
        assert login.seconds_left() is None


async def test_an_error_of_the_function_is_told() -> None:
    """It counts as a lost connection, unless it is one of ours, which says more."""

    def fail() -> str:
        raise OSError("the provider is away")

    def refuse() -> str:
        raise LoginRefused("log in")

    with pytest.raises(Disconnected, match="no token can be fetched: the provider is away"):
        await Login.by_token(fail).headers()
    with pytest.raises(LoginRefused, match="log in"):
        await Login.by_token(refuse).headers()


async def test_a_token_shows_in_no_text() -> None:
    """Neither the object nor its description for errors has the secret."""
    login = Login.by_token("secret")
    assert await authorization(login) == "Bearer secret"
    assert "secret" not in f"{login!r} {login.who}"


async def listen(connection: ClientConnection) -> None:
    await connection.wait_closed()


async def test_a_token_is_renewed_while_it_is_in_use(cert_dir: Path, tls: ssl.SSLContext) -> None:
    """When most of its life is over, the next one is sent on the open connection; not a third at once."""
    clock, issuer = Clock(), Issuer(exp=1_100)

    def note(problem: str | None) -> None:
        if problem is None:
            clock.now, issuer.claims = 1_090, {"exp": 5_000}

    async with Stub(cert_dir) as stub:
        login = Login("the token", fetch=issuer, clock=clock)
        link = ReconnectingConnection(f"{stub.url}/path", login=login, tls=tls, on_state=note)
        async with running_task(link.run(listen)):
            await stub.until(lambda: len(stub.frames) == 1)
            assert json.loads(stub.frames[0])["token"].startswith("2.")
            await stub.close(CloseCode.LOGGED_OUT)
            await stub.until(lambda: len(stub.paths) == 2)
    assert [token.partition(".")[0] for _, token in stub.logins] == ["1", "3"]


async def test_a_refused_token_is_replaced_once(cert_dir: Path, tls: ssl.SSLContext) -> None:
    """It may have expired since it was fetched; if a new one is refused too, that is final."""
    issuer = Issuer(exp=2_000)
    async with Stub(cert_dir) as stub:
        stub.answer = HTTPStatus.UNAUTHORIZED
        login = Login("the token", fetch=issuer, clock=Clock())
        link = ReconnectingConnection(f"{stub.url}/path", login=login, tls=tls)
        with pytest.raises(LoginRefused, match="refuses the token"):
            await link.run(listen)
    assert issuer.count == len(stub.logins) == 2
