"""Users who are disconnected, and tokens that are revoked, on running services and on later ones."""

import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection

from fanline.security.tokens import PIPELINE, Claims, TokenKey
from fanline.security.users import User, UsersFile
from fanline.server import Service
from msgqueue.app import open_msgqueue
from publisher.app import open_publisher
from subscriber.app import open_subscriber
from tests.conftest import Dial, StartService
from tests.fanline.server.conftest import handshake_status
from tests.stubs import DEADLINE
from tests.subscriber.event_reader import EventReader

Post = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture
async def common(start_service: StartService, tmp_path: Path) -> dict[str, Any]:
    """The settings of the services at a running msgqueue, with a user of each role."""
    users = UsersFile(tmp_path / "users")
    users.put(User("pipeline", is_service=True), "secret", cost=4)
    users.put(User("root", is_admin=True), "secret", cost=4)
    users.put(User("alice"), "secret", cost=4)
    common = {"users_file": users.path, "link_user": "pipeline", "link_password": "secret"}
    queue = await start_service(open_msgqueue, **common)
    return common | {"queue_url": f"wss://localhost:{queue.port}"}


@pytest.fixture
async def publisher(start_service: StartService, common: dict[str, Any], tmp_path: Path) -> Service:
    TokenKey(tmp_path / "token.key").create_if_missing()
    return await start_service(open_publisher, **common)


@pytest.fixture
async def subscriber(start_service: StartService, common: dict[str, Any]) -> Service:
    return await start_service(open_subscriber, **common)


@pytest.fixture
def post(publisher: Service, tls: ssl.SSLContext) -> Post:
    """Make a request of an admin."""

    async def request(path: str, body: object, user: str = "root") -> httpx.Response:
        login = (user, "secret")
        async with httpx.AsyncClient(verify=tls, auth=login, trust_env=False, timeout=DEADLINE) as http:
            return await http.post(f"https://localhost:{publisher.port}/admin/{path}", json=body)

    return request


async def close_of(client: ClientConnection) -> tuple[int | None, str | None]:
    await client.wait_closed()
    return client.close_code, client.close_reason


async def test_a_revoked_token_opens_nothing(  # noqa: PLR0917 - each is one fixture
    publisher: Service,
    subscriber: Service,
    common: dict[str, Any],
    start_service: StartService,
    dial: Dial,
    tls: ssl.SSLContext,
    post: Post,
    tmp_path: Path,
) -> None:
    """Its WebSockets and streams end, it is refused with a sentence, also by a later service (line 46)."""
    key = TokenKey(tmp_path / "token.key")
    claims = [Claims.new("page", lifetime=600, publish=("t",), subscribe=("t",)) for _ in range(2)]
    revoked, kept = (key.issue(each, PIPELINE) for each in claims)
    stream = await EventReader.open(subscriber.port, f"/topics/t/events?token={revoked}", tls)
    open_ones = [
        await dial(service, f"{path}?token={token}")
        for service, path in ((publisher, "/publish"), (subscriber, "/subscribe"))
        for token in (revoked, kept)
    ]
    answer = await post("revocations", {"jti": claims[0].token_id})
    assert (answer.status_code, answer.json()["seq"]) == (201, 1)
    for client in open_ones[::2]:
        assert await close_of(client) == (4001, "the token was revoked: log in again")
    await stream.block()
    ending = await stream.block()
    while ending.name != "end":
        ending = await stream.block()
    assert ending.data == {"code": 4001, "reason": "the token was revoked: log in again"}
    stream.close()
    later = await start_service(open_subscriber, **common)
    for service, path in ((publisher, "/publish"), (subscriber, "/subscribe"), (later, "/subscribe")):
        assert await handshake_status(service, f"{path}?token={revoked}", tls) == 401
        assert await handshake_status(service, f"{path}?token={kept}", tls) == 101
    for client in open_ones[1::2]:
        await client.ping()
    assert (await post("revocations", {"user": "page"})).status_code == 201
    for client in open_ones[1::2]:
        assert (await close_of(client))[0] == 4001
    assert await handshake_status(later, f"/subscribe?token={kept}", tls) == 401


async def test_a_disconnected_user_may_come_back(
    publisher: Service, subscriber: Service, dial: Dial, post: Post
) -> None:
    """All connections of the user end, on all services, and those of others stay (line 46)."""
    login = {"password": "secret"}
    alices = [
        await dial(service, path, user="alice", **login)
        for service, path in ((publisher, "/publish"), (subscriber, "/subscribe"))
    ]
    other = await dial(subscriber, "/subscribe", user="root", **login)
    assert (await post("disconnect", {"user": "alice"})).status_code == 201
    for client in alices:
        assert await close_of(client) == (4001, "disconnected by an operator")
    again = await dial(subscriber, "/subscribe", user="alice", **login)
    for client in (again, other):
        await (await client.ping())


async def test_requests_that_are_refused(post: Post) -> None:
    """Only admins and services may, and what cannot be meant is told as a problem; nothing is stored."""
    for path, body, user, status, code in (
        ("disconnect", {"user": "root"}, "alice", 403, "forbidden"),
        ("revocations", {"jti": "a"}, "alice", 403, "forbidden"),
        ("disconnect", {}, "root", 400, "bad-message"),
        ("disconnect", [], "root", 400, "bad-message"),
        ("disconnect", {"user": ""}, "root", 400, "bad-message"),
        ("disconnect", {"user": "a", "jti": "b"}, "root", 400, "bad-message"),
        ("revocations", {}, "root", 400, "bad-message"),
        ("revocations", {"jti": "a", "user": "b"}, "root", 400, "bad-message"),
        ("revocations", {"jti": "a", "before": 1}, "root", 400, "bad-message"),
        ("revocations", {"user": "a", "before": 99999999999}, "root", 400, "bad-message"),
        ("revocations", {"user": "a", "before": "soon"}, "root", 400, "bad-message"),
    ):
        answer = await post(path, body, user)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert (await post("disconnect", {"user": "a"})).json()["seq"] == 1
