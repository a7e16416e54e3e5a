"""Behind nginx and HAProxy, with the configurations that docs/operations.md shows."""

import asyncio
import base64
import getpass
import logging
import os
import re
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from fanline import History, Subscriber
from fanline.protocol import SUBPROTOCOL
from msgqueue.app import open_msgqueue
from publisher.app import open_publisher
from subscriber.app import open_subscriber
from tests.conftest import StartService
from tests.processes import free_ports
from tests.stubs import DEADLINE, PASSWORD, USER

PAGE = Path(__file__).resolve().parents[2] / "docs/operations.md"

# Loopback addresses of the proxy, which is trusted, and of its client.
PROXY, CLIENT = "127.0.0.1", "127.0.0.2"


def snippet(language: str, number: int = 0) -> str:
    """Return a configuration that the page shows."""
    found = re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    return str(found[number])


def nginx(folder: Path, text: str) -> list[str]:
    """Return the command that runs nginx in a folder, without rights."""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    http = f"http {{ access_log off; {paths}\n{text}\n}}"
    file = folder / "nginx.conf"
    user = f"user {getpass.getuser()};" if os.getuid() == 0 else ""  # else it would give up root's rights
    file.write_text(f"daemon off; {user} pid {folder}/nginx.pid; error_log stderr; events {{}}\n{http}\n")
    return ["/usr/sbin/nginx", "-c", str(file), "-p", str(folder)]


def haproxy(folder: Path, text: str) -> list[str]:
    """Return the command that runs HAProxy in a folder, without rights."""
    file = folder / "haproxy.cfg"
    file.write_text(text)
    return ["/usr/sbin/haproxy", "-db", "-f", str(file)]


class Front(NamedTuple):
    """A proxy, and how a client at :data:`CLIENT` reaches it."""

    port: int
    tls: ssl.SSLContext

    def http(self, password: str = PASSWORD) -> httpx.AsyncClient:
        transport = httpx.AsyncHTTPTransport(verify=self.tls, local_address=CLIENT)
        url = f"https://localhost:{self.port}"
        return httpx.AsyncClient(base_url=url, transport=transport, auth=(USER, password), timeout=DEADLINE)

    def subscribe(self, password: str = PASSWORD) -> connect:
        login = base64.b64encode(f"{USER}:{password}".encode()).decode()
        return connect(
            f"wss://localhost:{self.port}/subscribe",
            ssl=self.tls,
            additional_headers={"Authorization": f"Basic {login}"},
            subprotocols=[SUBPROTOCOL],  # type: ignore[list-item]  # a NewType of the library
            local_addr=(CLIENT, 0),
            proxy=None,
        )


@asynccontextmanager
async def running(command: list[str], port: int) -> AsyncIterator[None]:
    """Run a proxy until the end of the block, which begins when it listens."""
    process = await asyncio.create_subprocess_exec(*command, stderr=subprocess.DEVNULL)
    try:
        async with asyncio.timeout(DEADLINE):
            while True:
                with suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                assert process.returncode is None, f"{command[0]} has ended"
                await asyncio.sleep(0.02)
            yield
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


@pytest.fixture
def prefix() -> str:
    """The path under which the proxy shows the services."""
    return ""


@pytest.fixture(params=[nginx, haproxy], ids=["nginx", "haproxy"])
async def front(
    request: pytest.FixtureRequest,
    start_service: StartService,
    cert_dir: Path,
    tls: ssl.SSLContext,
    tmp_path: Path,
    prefix: str,
) -> AsyncIterator[Front]:
    """A proxy in front of the three services."""
    make: Callable[[Path, str], list[str]] = request.param
    queue = await start_service(open_msgqueue)
    link: dict[str, Any] = {
        "queue_url": f"wss://localhost:{queue.port}",
        "trusted_proxies": PROXY,
        "path_prefix": prefix,
    }
    publisher = await start_service(open_publisher, **link)
    subscriber = await start_service(open_subscriber, **link)
    pem = tmp_path / "live.pem"
    pem.write_bytes((cert_dir / "server.crt").read_bytes() + (cert_dir / "server.key").read_bytes())
    port = free_ports(1)[0]
    text = snippet(make.__name__)
    for shown, here in {
        "127.0.0.1:8081": f"127.0.0.1:{publisher.port}",
        "127.0.0.1:8082": f"127.0.0.1:{subscriber.port}",
        "listen 443": f"listen {port}",
        "bind :443": f"bind :{port}",
        "location = ": f"location = {prefix}",
        "location /": f"location {prefix}/",
        "/etc/fanline/ca.crt": str(cert_dir / "ca.crt"),
        "/etc/ssl/live.crt": str(pem),
        "/etc/ssl/live.key": str(pem),
        "/etc/ssl/live.pem": str(pem),
    }.items():
        text = text.replace(shown, here)
    async with running(make(tmp_path, text), port):
        yield Front(port, tls)


async def test_messages_pass(front: Front) -> None:
    """Publishing by POST, subscribing by WebSocket and history work through the proxy (line 54)."""
    async with front.http() as http, front.subscribe() as subscriber:
        await subscriber.send('{"sub": "orders.*"}')
        assert b"subscribed" in await subscriber.recv(decode=False)
        stored = await http.post("/topics/orders.eu/messages", json={"total": 12.5})
        assert stored.status_code == 201
        message = msgspec.json.decode(await subscriber.recv(decode=False))
        assert (message["content"], message["seq"]) == ({"total": 12.5}, stored.json()["seq"])
        history = await http.get("/topics/orders.*/messages", params={"after": 0})
        assert [each["content"] for each in history.json()] == [{"total": 12.5}]


@pytest.mark.parametrize("make", [nginx, haproxy], ids=["unix", "proxy"])
async def test_tls_ends_at_either(
    make: Callable[[Path, str], list[str]],
    start_service: StartService,
    cert_dir: Path,
    tls: ssl.SSLContext,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Behind nginx at a Unix socket, and behind HAProxy by PROXY headers, clients are known (line 54)."""
    caplog.set_level(logging.INFO)
    path = tmp_path / "subscriber.sock"
    listen = f"unix:{path}" if make is nginx else "proxy+https://127.0.0.1:0"
    subscriber = await start_service(open_subscriber, subscriber_listen=listen, trusted_proxies=PROXY)
    pem = tmp_path / "live.pem"
    pem.write_bytes((cert_dir / "server.crt").read_bytes() + (cert_dir / "server.key").read_bytes())
    port = free_ports(1)[0]
    text = snippet(make.__name__, 1)
    for shown, here in {
        "/run/fanline/subscriber.sock": str(path),
        "127.0.0.1:9082": subscriber.urls[-1].rpartition("/")[2],
        "listen 443": f"listen {port}",
        "bind :8443": f"bind :{port}",
        "/etc/ssl/live.crt": str(pem),
        "/etc/ssl/live.key": str(pem),
    }.items():
        text = text.replace(shown, here)
    async with running(make(tmp_path, text), port), asyncio.timeout(DEADLINE):
        front = Front(port, tls)
        with pytest.raises(InvalidStatus, match="401"):
            await front.subscribe(password="wrong")
        assert f"refused a login from {CLIENT} at '/subscribe'" in caplog.text
        async with front.subscribe() as client:
            await client.ping()


@pytest.mark.parametrize("front", [nginx], indirect=True, ids=["nginx"])
@pytest.mark.parametrize("prefix", ["/live"])
async def test_a_path_in_front(front: Front) -> None:
    """Everything works under a path, and links lead there (line 54)."""
    async with front.http() as http:
        for number in range(2):
            assert (await http.post("/live/topics/orders.eu/messages", json=number)).status_code == 201
        newest = await http.get("/live/topics/orders.*/messages", params={"last": 1})
        (where,) = re.findall('<([^>]+)>; rel="prev"', newest.headers["Link"])
        assert where.startswith("/live/")
        assert [each["content"] for each in (await http.get(where)).json()] == [0]
        assert (await http.get("/topics/orders.*/messages")).status_code != 200
    login: dict[str, Any] = {"user": USER, "password": PASSWORD, "tls": front.tls}
    async with History(f"wss://localhost:{front.port}/live", **login) as history:
        assert len((await history.page("orders.*", after=0)).messages) == 2
    async with Subscriber("orders.*", url=f"wss://localhost:{front.port}/live", after=0, **login) as orders:
        assert (await anext(orders)).value() == 0


async def test_events_pass_at_once(front: Front) -> None:
    """A message reaches an event stream through the proxy while the stream goes on (line 54)."""
    async with front.http() as http, http.stream("GET", "/topics/orders.*/events") as events:
        assert events.headers["content-type"] == "text/event-stream"
        lines = events.aiter_lines()
        while not (await anext(lines)).startswith("id: 0-"):
            pass
        stored = await http.post("/topics/orders.eu/messages", json="now")
        while not (line := await anext(lines)).startswith("data: "):
            pass
        assert msgspec.json.decode(line.removeprefix("data: "))["seq"] == stored.json()["seq"]


async def test_a_wrong_login_is_that_of_the_client(front: Front, caplog: pytest.LogCaptureFixture) -> None:
    """Behind the proxy the services know the address of the client (line 54)."""
    caplog.set_level(logging.INFO)
    async with front.http(password="wrong") as http:
        assert (await http.post("/topics/orders.eu/messages", json=1)).status_code == 401
    said = [record.getMessage() for record in caplog.records]
    assert [line for line in said if line.startswith(f"refused a login from {CLIENT} at ")]
