"""Access control: logins by password and token, and the origins of web pages."""

import base64
import logging
import ssl
from functools import partial
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from fanline.errors import ConfigurationError
from fanline.security.tokens import CHAT, TokenKey
from fanline.security.users import User, UsersFile
from fanline.server import Service, log
from tests.conftest import Dial, StartService, until
from tests.fanline.server.conftest import ELSEWHERE, Echo, Get, MakeToken, bearer, handshake_status
from tests.stubs import DEADLINE


@pytest.mark.parametrize("path", ["/echo", "/inside", "/metrics"])
@pytest.mark.parametrize("login", [None, ("hello", "my-guess"), ("nobody", "test"), ("", "")])
async def test_bad_login(service: Service, get: Get, path: str, login: tuple[str, str] | None) -> None:
    """No or wrong credentials get 401 with ``WWW-Authenticate``, on every path that needs them (line 1)."""
    response = await get(service, path, login=login)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Basic ")
    assert "my-guess" not in response.text


@pytest.mark.parametrize(
    "header", ["Basic", "Basic !!!", "Bearer abc", "Basic aGVsbG8=", "Basic /w==", "x" * 5000]
)
async def test_malformed_authorization(service: Service, get: Get, header: str) -> None:
    """A header that is no Basic login gets the same 401, and the service goes on (line 1)."""
    response = await get(service, "/echo", login=None, headers={"Authorization": header})
    assert response.status_code == 401


async def test_two_logins(service: Service, get: Get) -> None:
    """Of two logins in one request neither counts (line 1)."""
    token = base64.b64encode(b"hello:test").decode()
    headers = [("Authorization", f"Basic {token}"), ("Authorization", f"Basic {token}")]
    response = await get(service, "/echo", login=None, headers=headers)
    assert response.status_code == 401


async def test_wrong_login_opens_no_websocket(service: Service, dial: Dial) -> None:
    """A WebSocket handshake with wrong credentials is refused the same way (line 1)."""
    with pytest.raises(InvalidStatus) as refused:
        await dial(service, "/echo", password="wrong")
    assert refused.value.response.status_code == 401
    assert "WWW-Authenticate" in refused.value.response.headers


async def test_service_endpoints_need_the_role(
    start_service: StartService, echo: Echo, dial: Dial, tmp_path: Path
) -> None:
    """A path for services is closed, with 403, to users who are none; a user over the limit gets 429."""
    users = UsersFile(tmp_path / "users")
    users.put(User("alice"), "secret", cost=4)
    users.put(User("robot", is_service=True), "secret", cost=4)
    service = await start_service(echo.open, users_file=users.path, max_connections_per_user=1)
    await dial(service, "/inside", user="robot", password="secret")
    for user, path, status in (("alice", "/inside", 403), ("robot", "/echo", 429), ("hello", "/echo", 401)):
        with pytest.raises(InvalidStatus) as refused:
            await dial(service, path, user=user, password="test" if user == "hello" else "secret")
        assert refused.value.response.status_code == status
    alice = await dial(service, "/echo", user="alice", password="secret")
    await alice.close()
    await until(lambda: len(service.connections) == 1)
    await dial(service, "/echo", user="alice", password="secret")


async def test_bounds_the_connections_of_an_address(
    start_service: StartService, echo: Echo, get: Get, dial: Dial, tmp_path: Path
) -> None:
    """An address with too many connections gets 429, others and services do not (line 47)."""
    users = UsersFile(tmp_path / "users")
    users.put(User("alice"), "secret", cost=4)
    users.put(User("robot", is_service=True), "secret", cost=4)
    service = await start_service(
        echo.open, users_file=users.path, max_connections_per_address=1, trusted_proxies=["127.0.0.1"]
    )

    async def open_from(address: str, user: str = "alice") -> ClientConnection:
        headers = {"X-Forwarded-For": address}
        return await dial(service, "/echo", user=user, password="secret", headers=headers)

    first = await open_from("2001:db8::1")
    with pytest.raises(InvalidStatus) as refused:
        await open_from("2001:db8::2")
    assert refused.value.response.status_code == 429
    assert b"too many connections: close one, then try again" in refused.value.response.body
    assert "Retry-After" in refused.value.response.headers
    await open_from("2001:db8:0:1::1")
    await open_from("2001:db8::2", user="robot")
    await first.close()
    await until(lambda: len(service.connections) == 2)
    with pytest.raises(InvalidStatus):  # that of the service counts as well
        await open_from("2001:db8::2")


async def test_a_token_opens_a_websocket(
    make_token: MakeToken, service: Service, tls: ssl.SSLContext
) -> None:
    """In the header or in the query, a token is a login; the app sees its name."""
    url = f"wss://localhost:{service.port}/echo"
    token = make_token()
    for where, headers in ((url, bearer(token)), (f"{url}?token={token}", {})):
        async with connect(
            where, ssl=tls, proxy=None, additional_headers=headers, open_timeout=DEADLINE
        ) as client:
            await client.send("x")
            assert '"user":"page"' in str(await client.recv())


async def test_a_token_may_be_a_subprotocol(
    make_token: MakeToken, service: Service, tls: ssl.SSLContext
) -> None:
    """A token among the subprotocols opens a WebSocket, before one in the query, and is not sent back."""
    url = f"wss://localhost:{service.port}/echo?token=nonsense"
    offered = [Subprotocol("fanline.v1"), Subprotocol(f"fanline.token.{make_token()}")]
    async with connect(url, ssl=tls, proxy=None, subprotocols=offered, open_timeout=DEADLINE) as client:
        assert client.subprotocol == "fanline.v1"
        await client.send("x")
        assert '"user":"page"' in str(await client.recv())
    offered[1] = Subprotocol("fanline.token.nonsense")
    assert await handshake_status(service, "/echo", tls, subprotocols=offered) == 401


async def test_a_token_opens_a_page(make_token: MakeToken, service: Service, get: Get) -> None:
    """A page is shown to the bearer of a token, and knows nothing of the token itself."""
    token = make_token()
    in_query = await get(service, f"/page?a=1&token={token}&b=2", login=None)
    assert in_query.json() == {"user": "page", "query": {"a": "1", "b": "2"}}
    in_header = await get(service, "/page?a=1", login=None, headers=bearer(token))
    assert in_header.json() == {"user": "page", "query": {"a": "1"}}


async def test_the_token_of_a_page_counts(make_token: MakeToken, service: Service, get: Get) -> None:
    """A token takes precedence over a stored login of the browser, also if it is invalid."""
    assert (await get(service, f"/page?token={make_token()}")).json()["user"] == "page"
    assert (await get(service, "/page?token=x")).status_code == 401


async def test_a_token_does_not_open_the_metrics(make_token: MakeToken, service: Service, get: Get) -> None:
    """The metrics tell of all topics and users, which is more than any token grants."""
    token = make_token()
    for path, headers in ((f"/metrics?token={token}", {}), ("/metrics", bearer(token))):
        refused = await get(service, path, login=None, headers=headers)
        assert refused.status_code == 401
        assert refused.headers.get_list("WWW-Authenticate") == ['Basic realm="fanline", charset="UTF-8"']
    assert (await get(service, f"/metrics?token={token}")).status_code == 200


async def test_open_connections_follow_the_users_file(
    start_service: StartService, echo: Echo, dial: Dial, make_token: MakeToken, tmp_path: Path
) -> None:
    """A removed user's connection ends, one with other rights has to come back, the others stay."""
    users = UsersFile(tmp_path / "users")
    for name in ("removed", "narrowed", "kept"):
        users.put(User(name), "secret", cost=4)
    service = await start_service(echo.open, users_file=users.path)
    removed, narrowed, kept = [
        await dial(service, "/echo", user=name, password="secret") for name in ("removed", "narrowed", "kept")
    ]
    bearers = [await dial(service, f"/echo?token={make_token(name)}") for name in ("page", "promoted")]
    users.remove("removed")
    users.put(User("narrowed", subscribe=("a",)), "secret", cost=4)
    users.put(User("promoted"), "secret", cost=4)
    for client, code, reason in (
        (removed, 4001, "removed is no longer a user"),
        (narrowed, 1001, "the rights of narrowed have changed; reconnect"),
        (bearers[1], 4001, "promoted is a user with a password now"),
    ):
        await client.wait_closed()
        assert (client.close_code, client.close_reason) == (code, reason)
    for client in (kept, bearers[0]):
        await client.send("x")
        assert "x" in str(await client.recv())


@pytest.mark.parametrize("lifetime", [60, -60])
async def test_no_token_opens_what_is_for_services(
    make_token: MakeToken, service: Service, tls: ssl.SSLContext, get: Get, lifetime: float
) -> None:
    """On a path for services a token is no login, and is not asked for."""
    token = make_token(lifetime=lifetime)
    assert await handshake_status(service, "/inside", tls, additional_headers=bearer(token)) == 401
    assert await handshake_status(service, f"/inside?token={token}", tls) == 401
    refused = await get(service, f"/inside?token={token}", login=None)
    assert refused.headers.get_list("WWW-Authenticate") == ['Basic realm="fanline", charset="UTF-8"']
    assert (await get(service, "/inside?token=x")).status_code == 426


async def test_a_service_for_services_takes_no_token(
    make_token: MakeToken, key: TokenKey, start_service: StartService, echo: Echo, get: Get
) -> None:
    """Where all paths are for services, neither is a page shown for a token, nor the key looked at."""
    token = make_token()
    service = await start_service(partial(echo.open, services_only=True))
    for path, headers in ((f"/page?token={token}", {}), ("/page", bearer(token))):
        refused = await get(service, path, login=None, headers=headers)
        assert refused.status_code == 401
        assert refused.headers.get_list("WWW-Authenticate") == ['Basic realm="fanline", charset="UTF-8"']
    key.path.chmod(0o644)
    await start_service(partial(echo.open, services_only=True))
    with pytest.raises(ConfigurationError, match="token_key_file"):
        await start_service(echo.open)


async def test_how_to_log_in_is_said(make_token: MakeToken, service: Service, get: Get) -> None:
    """Without a login both ways are named; with a bad token no password is asked for."""
    nothing = await get(service, "/page", login=None)
    assert nothing.headers.get_list("WWW-Authenticate") == [
        'Basic realm="fanline", charset="UTF-8"',
        'Bearer realm="fanline"',
    ]
    for token, reason in (
        ("x", "the token is malformed: log in again"),
        (make_token(lifetime=-60), "the token has expired: log in again"),
        (make_token(audience=CHAT), "the token is not for the pipeline"),
        (make_token(name="hello"), "hello is a user with a password: a token needs its own name"),
    ):
        refused = await get(service, "/page", login=None, headers=bearer(token))
        assert (refused.status_code, refused.json()["detail"]) == (401, reason)
        challenges = refused.headers.get_list("WWW-Authenticate")
        assert challenges == ['Bearer realm="fanline", error="invalid_token"']


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
    start_service: StartService, echo: Echo, tls: ssl.SSLContext, path: str, origin: str | None, expected: int
) -> None:
    """A page of another site opens no WebSocket, even with a good login, unless it is allowed to."""
    service = await start_service(echo.open, allowed_origins=(ELSEWHERE,))
    login = base64.b64encode(b"hello:test").decode()
    headers = {"Authorization": f"Basic {login}"}
    if origin is not None:
        headers["Origin"] = origin.replace("PORT", str(service.port))
    assert await handshake_status(service, path, tls, additional_headers=headers) == expected


@pytest.mark.parametrize("host", ["rebound.evil.example", "localhost.evil.example"])
async def test_a_page_of_a_rebound_name_is_refused(service: Service, get: Get, host: str) -> None:
    """A page whose host name was given the address of the service is foreign, although ``Host`` agrees."""
    host = f"{host}:{service.port}"
    refused = await get(service, "/page", headers={"Host": host, "Origin": f"https://{host}"})
    assert (refused.status_code, refused.json()["code"]) == (403, "foreign-origin")
    assert f"'https://{host}' may not" in refused.json()["detail"]
    # The refusal itself, and nothing else, can be read by any page.
    assert refused.headers["Access-Control-Allow-Origin"] == "*"


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
    assert f"refused a web page of '{ELSEWHERE}'" in caplog.text
    assert "refused a login" not in caplog.text


async def test_a_page_elsewhere_reads_what_it_may(
    make_token: MakeToken, start_service: StartService, echo: Echo, get: Get
) -> None:
    """With a token in the query, which needs no preflight, an allowed page can read answers, and errors."""
    service = await start_service(echo.open, allowed_origins=(ELSEWHERE, "https://other.example.org"))
    for token, code in ((make_token(), 200), ("x", 401)):
        answer = await get(service, f"/page?token={token}", login=None, headers={"Origin": ELSEWHERE})
        assert answer.status_code == code
        assert answer.headers["Access-Control-Allow-Origin"] == ELSEWHERE
        assert answer.headers["Access-Control-Expose-Headers"] == "*"
        assert answer.headers["Vary"] == "Origin"
        assert "Access-Control-Allow-Credentials" not in answer.headers


async def test_no_cache_confuses_pages(service: Service, get: Get) -> None:
    """A cached answer without an origin is not used for a request with one."""
    answers = [await get(service, "/page", headers=headers) for headers in ({}, {"Origin": ELSEWHERE})]
    assert [answer.headers["Vary"] for answer in answers] == ["Origin", "Origin"]
    assert "Access-Control-Allow-Origin" not in answers[0].headers


async def test_probes_need_no_origin(service: Service, get: Get) -> None:
    """Health is no secret of any origin."""
    assert (await get(service, "/healthz", login=None, headers={"Origin": ELSEWHERE})).status_code == 200


@pytest.mark.usefixtures("own_log")
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
        await handshake_status(service, f"/echo?token={token}", tls)
        await handshake_status(service, f"/nowhere?token={token}", tls)
        await handshake_status(service, f"/broken?token={token}", tls)
        for path in ("/page", "/inside", "/echo"):
            await get(service, f"{path}?token={token}", login=None)
            await get(service, f"{path}?token={token}", login=None, headers={"Origin": ELSEWHERE})
            await get(service, path, login=None, headers=bearer(token))
    assert "the token has expired" in caplog.text
    assert "listening" not in caplog.text
    for secret in (base64.b64encode(b"hello:test").decode(), good, expired):
        assert secret not in caplog.text
