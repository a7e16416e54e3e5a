"""Trusted proxies: who makes a request that came through them."""

import ipaddress
import logging
from typing import Any

import pytest
from starlette.requests import Request
from websockets.exceptions import InvalidStatus

from fanline.server.request.proxies import FORWARDED, X_FORWARDED_FOR, TrustedProxies, prefix_of
from tests.conftest import Dial, StartService
from tests.fanline.server.conftest import Echo, Get

PROXIES = [ipaddress.ip_network(text) for text in ("127.0.0.1", "10.0.0.0/8", "fd00::/8")]


def client_of(peer: str, *headers: tuple[str, str], header: str = X_FORWARDED_FOR) -> str:
    raw = [(name.encode(), value.encode()) for name, value in headers]
    scope: dict[str, Any] = {"type": "http", "client": (peer, 1234), "headers": raw, "path": "/", "state": {}}
    TrustedProxies(PROXIES, header).resolve(scope)
    return str(scope["client"][0])


@pytest.mark.parametrize(
    ("value", "client"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("1.2.3.4, 203.0.113.9", "203.0.113.9"),
        ("1.2.3.4, 203.0.113.9, 10.1.2.3", "203.0.113.9"),
        ("10.1.2.3", "10.1.2.3"),
        ("203.0.113.9:4711", "203.0.113.9"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("", "10.0.0.1"),
        ("unknown", "10.0.0.1"),
        ("203.0.113.9, nonsense", "10.0.0.1"),
        ("203.0.113.9, 10.1.2.3, ", "10.0.0.1"),
    ],
)
def test_the_client_is_the_first_that_is_no_proxy(value: str, client: str) -> None:
    """Addresses to the left of one that is no proxy may be invented (line 54)."""
    assert client_of("10.0.0.1", ("x-forwarded-for", value)) == client


def test_headers_that_are_repeated_are_one_list() -> None:
    """The last value of the last header is that of the nearest proxy (line 54)."""
    assert client_of("fd00::1", ("x-forwarded-for", "1.2.3.4"), ("x-forwarded-for", "5.6.7.8")) == "5.6.7.8"


@pytest.mark.parametrize(
    ("value", "client"),
    [
        ("for=203.0.113.9", "203.0.113.9"),
        ('for=1.2.3.4, For="[2001:db8::1]:4711";proto=https;by=10.0.0.1', "2001:db8::1"),
        ("for=203.0.113.9, for=10.1.2.3;host=live.example.org", "203.0.113.9"),
        ("for=_hidden", "10.0.0.1"),
        ("proto=https", "10.0.0.1"),
    ],
)
def test_forwarded_is_understood(value: str, client: str) -> None:
    """The standard header names the client likewise (line 54)."""
    assert client_of("10.0.0.1", ("forwarded", value), header=FORWARDED) == client


def test_only_the_header_that_the_proxies_write_counts() -> None:
    """A client can send the other one through a proxy that does not know it (line 54)."""
    invented = ("forwarded", "for=1.2.3.4")
    assert client_of("10.0.0.1", ("x-forwarded-for", "203.0.113.9"), invented) == "203.0.113.9"
    assert client_of("10.0.0.1", invented) == "10.0.0.1"


def test_others_are_not_believed() -> None:
    """A client that is no proxy is who it is, whatever it writes (line 54)."""
    assert client_of("203.0.113.9", ("x-forwarded-for", "1.2.3.4")) == "203.0.113.9"


@pytest.mark.parametrize(
    ("peer", "asked", "said", "path", "prefix"),
    [
        ("203.0.113.9", "/live/x", None, "/x", "/live"),
        ("203.0.113.9", "/live", None, "", "/live"),
        ("203.0.113.9", "/x", None, "/x", "/live"),
        ("203.0.113.9", "/lively", None, "/lively", "/live"),
        ("203.0.113.9", "/x", "/shown", "/x", "/live"),
        ("10.0.0.1", "/x", "/shown/", "/x", "/shown"),
        ("10.0.0.1", "/x", "//evil.example", "/x", "/live"),
        ("10.0.0.1", "/x", '/"><script>', "/x", "/live"),
    ],
)
def test_a_prefix_is_no_part_of_the_path(
    peer: str, asked: str, said: str | None, path: str, prefix: str
) -> None:
    """It comes from the setting, or from a trusted proxy that has removed it (line 54)."""
    headers = [(b"x-forwarded-prefix", said.encode())] if said else []
    scope: dict[str, Any] = {
        "type": "http",
        "client": (peer, 1234),
        "headers": headers,
        "path": asked,
        "raw_path": asked.encode(),
        "state": {},
    }
    TrustedProxies(PROXIES, path_prefix="/live").resolve(scope)
    assert (scope["path"], scope["raw_path"], prefix_of(Request(scope))) == (path, path.encode(), prefix)


async def test_links_have_the_prefix(start_service: StartService, echo: Echo, get: Get, dial: Dial) -> None:
    """Pages and WebSockets are found under it; links, redirects and descriptions lead there (line 54)."""
    service = await start_service(echo.open, path_prefix="/live")
    for prefix in ("", "/live"):
        assert (await get(service, f"{prefix}/page")).json()["user"] == "hello"
        await dial(service, f"{prefix}/echo")
    alone = await get(service, "/live")
    assert (alone.status_code, alone.headers["location"]) == (307, "/live/")
    lost = await get(service, "/live/lost", headers={"Accept": "text/html"})
    assert (lost.status_code, 'href="/live/"' in lost.text) == (404, True)
    assert (await get(service, "/live/openapi.json")).json()["servers"] == [{"url": "/live"}]


@pytest.mark.parametrize(
    ("peer", "header", "value", "scheme"),
    [
        ("10.0.0.1", "x-forwarded-proto", "http", "http"),
        ("10.0.0.1", "x-forwarded-proto", "https", "https"),
        ("10.0.0.1", "x-forwarded-proto", "HTTP, https", "http"),
        ("10.0.0.1", "x-forwarded-proto", "gopher", "https"),
        ("10.0.0.1", "forwarded", 'for=203.0.113.9; Proto="http", for=10.1.2.3;proto=https', "http"),
        ("203.0.113.9", "x-forwarded-proto", "http", "https"),
    ],
)
def test_a_proxy_tells_whether_clients_use_tls(peer: str, header: str, value: str, scheme: str) -> None:
    """A trusted one, in the header that it writes; without a word they do (line 54)."""
    scope: dict[str, Any] = {
        "type": "http",
        "client": (peer, 1234),
        "headers": [(header.encode(), value.encode())],
        "path": "/",
        "state": {},
    }
    used = FORWARDED if header == FORWARDED else X_FORWARDED_FOR
    TrustedProxies(PROXIES, used).resolve(scope)
    assert scope["scheme"] == scheme


async def test_clients_without_tls_get_urls_of_theirs(
    start_service: StartService, echo: Echo, get: Get
) -> None:
    """No HSTS, and http and ws in links; own pages have an origin of http, and none of https (line 54)."""
    service = await start_service(echo.open, trusted_proxies="127.0.0.1", path_prefix="/live")
    for proto, sockets, own, other in (("http", "ws", 200, 403), ("https", "wss", 403, 200)):
        headers = {"X-Forwarded-Proto": proto, "Host": "127.0.0.1"}
        shown = await get(service, "/", headers=headers)
        assert f"{sockets}://127.0.0.1/live/echo" in shown.text
        assert f" {proto}://127.0.0.1/live/healthz" in shown.text
        assert ("strict-transport-security" in shown.headers) == (proto == "https")
        for origin, status in (("http", own), ("https", other)):
            page = await get(service, "/page", headers=headers | {"Origin": f"{origin}://127.0.0.1"})
            assert page.status_code == status


@pytest.mark.parametrize("proxies", ["127.0.0.1", "10.0.0.0/8"])
async def test_refused_logins_are_those_of_the_client(
    start_service: StartService,
    echo: Echo,
    get: Get,
    dial: Dial,
    caplog: pytest.LogCaptureFixture,
    proxies: str,
) -> None:
    """Both HTTP and WebSockets know the client behind a trusted proxy, and no other (line 54)."""
    caplog.set_level(logging.INFO)
    service = await start_service(echo.open, trusted_proxies=proxies)
    address = "203.0.113.9" if proxies == "127.0.0.1" else "127.0.0.1"
    headers = {"X-Forwarded-For": "203.0.113.9"}
    assert (await get(service, "/metrics", login=("hello", "wrong"), headers=headers)).status_code == 401
    with pytest.raises(InvalidStatus):
        await dial(service, "/echo", password="wrong", headers=headers)
    said = [record.getMessage() for record in caplog.records]
    for path in ("/metrics", "/echo"):
        assert [line for line in said if line.startswith(f"refused a login from {address} at '{path}'")]
