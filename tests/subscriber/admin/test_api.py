"""The API of the status page, on a running pipeline."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from fanline.security.tokens import PIPELINE, TokenKey
from fanline.security.users import User, UsersFile
from fanline.server import Service
from msgqueue.app import open_msgqueue
from publisher.app import open_publisher
from subscriber.app import open_subscriber
from tests.conftest import Dial, StartService, receive_objects
from tests.stubs import DEADLINE

# An admin with few rights, and the longest name that a user can have.
NARROW = "narrow".ljust(64, "-")


@pytest.fixture
async def subscriber(start_service: StartService, tmp_path: Path) -> Service:
    """A subscriber that knows a msgqueue and a publisher, and of a chat that is not there."""
    users = UsersFile(tmp_path / "users")
    users.put(User("pipeline", is_service=True), "secret", cost=4)
    users.put(User("root", is_admin=True), "secret", cost=4)
    users.put(User(NARROW, ("a.>",), ("a.>",), is_admin=True), "secret", cost=4)
    users.put(User("alice"), "secret", cost=4)
    TokenKey(tmp_path / "token.key").create_if_missing()
    common: dict[str, Any] = {"users_file": users.path, "link_user": "pipeline", "link_password": "secret"}
    queue = await start_service(open_msgqueue, **common)
    common["queue_url"] = f"wss://localhost:{queue.port}"
    publisher = await start_service(open_publisher, **common)
    urls = {"publisher_url": f"wss://localhost:{publisher.port}", "chat_url": "wss://localhost:1"}
    return await start_service(open_subscriber, **common, **urls, subscriber_url="wss://localhost:1")


@pytest.fixture
async def admin(subscriber: Service, tls: ssl.SSLContext) -> AsyncIterator[httpx.AsyncClient]:
    """An admin's client."""
    url, login = f"https://localhost:{subscriber.port}/admin/", ("root", "secret")
    async with httpx.AsyncClient(
        base_url=url, verify=tls, auth=login, trust_env=False, timeout=DEADLINE
    ) as http:
        yield http


async def test_services_are_listed_with_reasons(admin: httpx.AsyncClient) -> None:
    """Each service answers for itself; one that does not answer is listed with the reason (line 57)."""
    listed = (await admin.get("services", params={"samples": 5})).raise_for_status().json()
    found = {each["name"]: each for each in listed["services"]}
    assert list(found) == ["publisher", "msgqueue", "subscriber", "chat"]
    assert found["publisher"]["status"]["service"] == "publisher"
    assert abs(found["msgqueue"]["clock_offset"]) < DEADLINE
    assert found["msgqueue"]["status"]["facts"]["disk_total_bytes"] > 0
    assert found["chat"]["status"] is None
    assert "localhost:1" in found["chat"]["problem"]


async def test_an_operator_publishes_finds_and_reads(admin: httpx.AsyncClient) -> None:
    """An operator publishes, finds the topic, and searches by user, id and position (line 57)."""
    for number in range(3):
        answer = await admin.post("at/publisher/topics/a.b/messages", json={"n": number})
        assert answer.status_code == 201, answer.text
    topics = (await admin.get("topics", params={"pattern": "a.*"})).raise_for_status().json()
    assert [(each["topic"], each["content"]) for each in topics["topics"]] == [("a.b", {"n": 2})]

    async def search(**query: object) -> list[int]:
        answer = await admin.get("messages", params=query)  # type: ignore[arg-type]
        return [each["content"]["n"] for each in answer.raise_for_status().json()["messages"]]

    assert await search() == [2, 1, 0]
    assert await search(user="root", limit=2) == [2, 1]
    assert await search(user="nobody") == []
    last = (await admin.get("messages", params={"limit": 1})).json()["messages"][0]["seq"]
    assert await search(position=last) == [2]
    assert (await admin.get("messages", params={"position": 1, "id": "x"})).status_code == 400
    assert (await admin.get("consumers")).json() == {"consumers": []}


async def test_an_operator_finds_and_disconnects_a_user(
    admin: httpx.AsyncClient, subscriber: Service, dial: Dial
) -> None:
    """A connection is listed with user, subscriptions and delay, and can be closed (line 57)."""
    client = await dial(subscriber, "/subscribe", user="alice", password="secret")
    await client.send('{"sub": "orders.>"}')
    await receive_objects(client, 1)
    page = (await admin.get("connections", params={"user": "alice"})).raise_for_status().json()
    (connection,) = page["connections"]
    assert (connection["topics"], connection["topic_count"], connection["behind"]) == (["orders.>"], 1, 0)
    answer = await admin.post("at/publisher/admin/disconnect", json={"user": "alice"})
    assert answer.status_code == 201, answer.text
    with pytest.raises(ConnectionClosed):
        await client.recv()


async def test_only_admins_and_only_within_their_rights(
    admin: httpx.AsyncClient, tmp_path: Path, subscriber: Service
) -> None:
    """Users are refused; an admin reads no topics but those that the admin's rights cover."""
    paths = ["services", "topics", "messages", "consumers", "at/publisher/admin/status"]
    for path in paths:
        assert (await admin.get(path, auth=("alice", "secret"))).status_code == 403
    assert (await admin.post("token", auth=("alice", "secret"))).status_code == 403
    narrow = (NARROW, "secret")
    assert (await admin.get("messages", auth=narrow)).json()["code"] == "forbidden"
    assert (await admin.get("messages", auth=narrow, params={"topic": "a.b"})).status_code == 200
    token = (await admin.post("token", auth=narrow)).json()
    claims = TokenKey(tmp_path / "token.key").verify(token["token"], PIPELINE)
    assert User(claims.name, claims.publish, claims.subscribe) == User(
        f"{NARROW[:53]}.playground", ("a.>",), ("a.>",)
    )
    for path in ("at/nothing/admin/status", "at/publisher/metrics", "at/chat/admin/../x"):
        assert (await admin.get(path)).status_code == 404
    assert (await admin.get("at/chat/admin/status")).status_code == 503
