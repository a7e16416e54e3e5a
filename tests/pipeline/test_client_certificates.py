"""Client certificates: a login by TLS on every way in, for clients and between services."""

import re
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

import certs
from certs.authority import Pair, issue_client
from fanline import Disconnected, History, LoginRefused, Publisher, Subscriber, client_context, publish
from fanline.security.tls import read_certificates, read_key
from fanline.security.users import User, UsersFile
from fanline.server import Service
from fanline.settings import ServiceSettings
from msgqueue.app import open_msgqueue
from publisher.app import open_publisher
from subscriber.app import open_subscriber
from tests.conftest import StartService, until
from tests.stubs import DEADLINE

Certificate = Callable[[str], ssl.SSLContext]

HINT = "if it does not trust the client certificate, its log says so"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose CA signs the certificates of server and clients."""
    certs.ensure(tmp_path / "certs")
    return tmp_path / "certs"


@pytest.fixture
def certificate(folder: Path) -> Certificate:
    """Return the context of a client that has a certificate of this name."""

    def make(name: str) -> ssl.SSLContext:
        path = certs.make_client(folder, name)
        return client_context(folder, cert_file=path, key_file=path.with_suffix(".key"))

    return make


@pytest.fixture
def common(folder: Path, tmp_path: Path) -> dict[str, Any]:
    """Settings of services that reach each other by certificate."""
    users = UsersFile(tmp_path / "users")
    users.put(User("pipeline", is_service=True), "secret", cost=4)
    users.put(User("alice.b", ("orders.>",)), "secret", cost=4)
    users.put(User("root", ("orders.>",), is_admin=True), "secret", cost=4)
    link = certs.make_client(folder, "pipeline")
    return {
        "cert_dir": folder,
        "users_file": users.path,
        "client_ca_file": folder / "ca.crt",
        "link_user": "pipeline",
        "link_cert_file": link,
        "link_key_file": link.with_suffix(".key"),
    }


@pytest.fixture
async def services(start_service: StartService, common: dict[str, Any]) -> tuple[Service, Service, Service]:
    queue = await start_service(open_msgqueue, **common)
    common = common | {"queue_url": f"wss://localhost:{queue.port}"}
    publisher = await start_service(open_publisher, **common)
    common = common | {"publisher_url": f"wss://localhost:{publisher.port}"}
    return queue, publisher, await start_service(open_subscriber, **common)


def url_of(service: Service) -> str:
    return f"wss://localhost:{service.port}"


async def get(service: Service, tls: ssl.SSLContext, path: str) -> httpx.Response:
    async with httpx.AsyncClient(verify=tls, trust_env=False, timeout=DEADLINE) as http:
        return await http.get(f"https://localhost:{service.port}{path}")


async def read_forever(client: Subscriber) -> None:
    async for _ in client:
        pass


def settings_of(service: Service, _: object) -> ServiceSettings:
    return service.settings


def has_hint(states: list[str | None]) -> bool:
    return any(HINT in each for each in states if each)


def has_logged(caplog: pytest.LogCaptureFixture, pattern: str) -> bool:
    return re.search(f"cut a connection of 127.0.0.1: {pattern}", caplog.text) is not None


async def test_a_certificate_is_a_login_on_every_way_in(
    services: tuple[Service, Service, Service], certificate: Certificate, common: dict[str, Any]
) -> None:
    """WebSocket, POST, events, history, at services that reach each other by certificate (line 53)."""
    _, publisher, subscriber = services
    tls = certificate("alice.b")
    async with Publisher(url_of(publisher), tls=tls) as client:
        assert (await client.publish("orders.eu", 1)).seq == 1
    assert (await publish("orders.eu", 2, url=url_of(publisher), tls=tls)).seq == 2
    async with History(url_of(subscriber), tls=tls) as client:
        assert [each.seq for each in (await client.page("orders.>")).messages] == [1, 2]
    async with (
        httpx.AsyncClient(verify=tls, trust_env=False, timeout=DEADLINE) as http,
        http.stream("GET", f"https://localhost:{subscriber.port}/topics/orders.eu/events?after=1") as events,
    ):
        lines = events.aiter_lines()
        while not (await anext(lines)).startswith("id: 2-"):
            pass
    async with Subscriber("orders.>", url=url_of(subscriber), tls=tls, after=0) as client:
        message = await anext(client)
        assert (message.sender, bytes(message.content)) == ("alice.b", b"1")
        UsersFile(common["users_file"]).remove("alice.b")
        refusal = "certificate has alice.b, client.fanline.internal: none is a user"
        with pytest.raises(LoginRefused, match=refusal):
            await read_forever(client)


async def test_admins_certificate_gives_no_more_than_its_rights(
    services: tuple[Service, Service, Service], certificate: Certificate
) -> None:
    """An admin's certificate does not publish with the rights of a service, and shows states."""
    url = f"https://localhost:{services[2].port}/admin/at/publisher"
    async with httpx.AsyncClient(verify=certificate("root"), trust_env=False, timeout=DEADLINE) as http:
        answer = await http.post(f"{url}/topics/$access/messages", json={"revoked": {"user": "alice.b"}})
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        assert "log in with a password" in answer.json()["detail"]
        assert (await http.get(f"{url}/admin/status")).status_code == 200


async def test_refuses_certificates_that_are_no_login(
    services: tuple[Service, Service, Service],
    certificate: Certificate,
    folder: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One that has expired, of another CA, or of no user; the service says which in its log (line 53)."""
    caplog.set_level("INFO")
    publisher = services[1]
    certs.ensure(tmp_path / "other")
    strange = certs.make_client(tmp_path / "other", "alice.b")
    past = datetime.now(UTC) - timedelta(days=500)
    expired = folder / "expired.crt"
    authority = Pair(read_certificates(folder / "ca.crt")[0], read_key(folder / "ca.key"))  # type: ignore[arg-type]
    pair = issue_client(authority, "alice.b", past)
    expired.write_bytes(pair.certificate_pem() + pair.key_pem())
    for path, key, reason in (
        (strange, strange.with_suffix(".key"), "unable to get (local )?issuer certificate"),
        (expired, None, "certificate has expired"),
    ):
        tls = client_context(folder, cert_file=path, key_file=key)
        with pytest.raises(httpx.TransportError):
            await get(publisher, tls, "/metrics")
        async with History(url_of(services[2]), tls=tls) as client:
            with pytest.raises(Disconnected, match=HINT):
                await client.page("orders.>")
        states: list[str | None] = []
        async with Publisher(url_of(publisher), tls=tls, on_state=states.append):
            await until(partial(has_hint, states))
        await until(partial(has_logged, caplog, f"its client certificate cannot be trusted: {reason}"))
    answer = await get(publisher, certificate("bob"), "/metrics")
    assert (answer.status_code, answer.json()["detail"]) == (
        401,
        "the client certificate has bob: none is a user, and one must be",
    )
    assert (await get(publisher, client_context(folder), "/metrics")).status_code == 401
    assert (await get(publisher, certificate("alice.b"), "/metrics")).status_code == 200


async def test_files_of_client_certificates_are_reloaded(
    services: tuple[Service, Service, Service], certificate: Certificate, folder: Path
) -> None:
    """Other CA certificates end what those before had opened; clients show new certificates (line 53)."""
    publisher = services[1]
    states: list[str | None] = []
    async with Publisher(url_of(publisher), tls=certificate("alice.b"), on_state=states.append) as client:
        await client.publish("orders.eu", 1)
        certs.renew(folder, ca=True)
        for name in ("pipeline", "alice.b"):
            certs.make_client(folder, name)
        for service in services:
            service.reload(partial(settings_of, service))
        await until(lambda: any(states))
        assert "the CA certificates of clients have changed" in next(filter(None, states))
        assert (await client.publish("orders.eu", 2)).seq == 2
