"""The routes of every service: health, readiness, metrics, and what is refused."""

from http import HTTPStatus

import pytest

from fanline.server import Service
from tests.conftest import Dial
from tests.fanline.server.conftest import Echo, Get


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/echo", 426),
        ("GET", "/nowhere", 404),
        ("GET", "/", 200),
        ("HEAD", "/echo", 426),
        ("HEAD", "/healthz", 200),
        ("HEAD", "/nowhere", 404),
        ("OPTIONS", "/echo", 204),
        ("OPTIONS", "/nowhere", 404),
        ("POST", "/echo", 405),
        ("PUT", "/healthz", 405),
        ("DELETE", "/nowhere", 404),
    ],
)
async def test_plain_http(
    service: Service, get: Get, dial: Dial, method: str, path: str, status: int
) -> None:
    """HTTP where a WebSocket is expected gets a status that says so; the service goes on (line 2)."""
    how = {"content": b"some body"} if method == "POST" else {}
    response = await get(service, path, method=method, **how)
    assert response.status_code == status
    if status in (204, 405):
        assert response.headers["Allow"] == "GET, HEAD, OPTIONS"
    if status >= 400 and method != "HEAD":
        assert response.headers["Content-Type"] == "application/problem+json"
        problem = response.json()
        assert (problem["type"], problem["status"]) == ("about:blank", status)
        assert problem["title"] == HTTPStatus(status).phrase
        assert problem["detail"]
        assert problem["code"]
    client = await dial(service, "/echo")
    await client.send("still there")
    assert "still there" in str(await client.recv())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}, 400),
        ({"Connection": "Upgrade", "Upgrade": "something"}, 400),
        ({"Connection": "Upgrade", "Upgrade": "websocket"}, 400),
        ({"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c"}, 426),
    ],
)
async def test_half_a_handshake_gets_400(
    service: Service, get: Get, headers: dict[str, str], status: int
) -> None:
    """A request that has some headers of a handshake is answered as by the originals (line 2)."""
    assert (await get(service, "/echo", headers=headers)).status_code == status


async def test_health_and_readiness(service: Service, echo: Echo, get: Get) -> None:
    """Alive and ready are open to probes; not ready is 503, and heals; the reason is for users alone."""
    for path in ("/healthz", "/readyz"):
        response = await get(service, path, login=None)
        assert (response.status_code, response.text) == (200, "ok\n")
    echo.problem = "the dependency is away"
    response = await get(service, "/readyz")
    assert (response.status_code, response.text) == (503, "the dependency is away\n")
    assert (await get(service, "/readyz", login=("hello", "wrong"))).status_code == 401
    response = await get(service, "/readyz", login=None)
    assert (response.status_code, response.text) == (503, "not ready; a login shows why\n")
    assert (await get(service, "/healthz", login=None)).status_code == 200
    echo.problem = None
    assert (await get(service, "/readyz", login=None)).status_code == 200


async def test_browsers_are_told_to_keep_to_tls(service: Service, get: Get) -> None:
    """Every answer has HSTS and no-store, but not HSTS for localhost, where other servers have no TLS."""
    for host, expected in (("live.example.org", "max-age=31536000"), ("localhost", None)):
        for path in ("/healthz", "/page", "/nowhere"):
            answer = await get(service, path, headers={"Host": f"{host}:{service.port}"})
            assert answer.headers.get("Strict-Transport-Security") == expected
            assert answer.headers["Cache-Control"] == "no-store"


async def test_metrics(service: Service, get: Get, dial: Dial) -> None:
    """Metrics are in the Prometheus format, and count connections and refusals."""
    await dial(service, "/echo")
    await get(service, "/nowhere")
    response = await get(service, "/metrics")
    assert response.headers["Content-Type"].startswith("text/plain; version=")
    assert "fanline_connections 1.0" in response.text
    assert 'fanline_requests_refused_total{status="404"} 1.0' in response.text
