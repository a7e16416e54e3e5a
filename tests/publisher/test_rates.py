"""Rates of publishing: who exceeds them is told, and others notice nothing."""

import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from fanline.security.users import User, UsersFile
from fanline.server import Service
from publisher.app import open_publisher
from tests.conftest import Dial, StartService
from tests.conftest import receive_objects as answers
from tests.stubs import DEADLINE, StubPublisher

ALICE: dict[str, str] = {"user": "alice", "password": "secret"}
BOB: dict[str, str] = {"user": "bob", "password": "secret"}


@pytest.fixture
async def publisher(queue: StubPublisher, start_service: StartService, tmp_path: Path) -> Service:
    """A publisher with two users and a service, where a user may publish a message or a KiB a second."""
    users = UsersFile(tmp_path / "users")
    for user in (User("alice"), User("bob"), User("robot", is_service=True)):
        users.put(user, "secret", cost=4)
    return await start_service(
        open_publisher,
        queue_url=queue.url,
        users_file=users.path,
        max_messages_per_second=1,
        max_bytes_per_second=1_024,
    )


def frame(contents: Sequence[Any]) -> bytes:
    return msgspec.json.encode([{"topic": "t", "content": each, "id": f"id-{each}"} for each in contents])


async def test_messages_over_the_rate_are_refused(
    queue: StubPublisher, publisher: Service, dial: Dial
) -> None:
    """A user over the rate is told when to try again, on all connections; others publish (line 47)."""
    client, second = await dial(publisher, "/publish", **ALICE), await dial(publisher, "/publish", **ALICE)
    await client.send(frame(range(1_000)))
    assert all("ok" in each for each in await answers(client, 1_000))
    for each in (client, second):
        await each.send(frame(["a", "b"]))
        first, last = await answers(each, 2)
        assert (first["error"], first["id"], last["id"]) == ("rate-limited", "id-a", "id-b")
        assert 0 < first["retry_ms"] <= 1_000_000
    for user in (BOB, ALICE | {"user": "robot"}):
        other = await dial(publisher, "/publish", **user)
        await other.send(frame([user["user"]]))
        assert "ok" in (await answers(other, 1))[0]
    assert queue.contents == [*range(1_000), "bob", "robot"]


async def test_address_over_the_rate_is_refused(
    queue: StubPublisher, start_service: StartService, dial: Dial, tls: ssl.SSLContext, tmp_path: Path
) -> None:
    """Users of one address, as a trusted proxy names it, share a rate, also by POST (line 47)."""
    users = UsersFile(tmp_path / "users")
    for name in ("alice", "bob"):
        users.put(User(name), "secret", cost=4)
    publisher = await start_service(
        open_publisher,
        queue_url=queue.url,
        users_file=users.path,
        trusted_proxies=["127.0.0.1", "::1"],
        max_messages_per_second_per_address=1,
    )
    here, there = {"X-Forwarded-For": "192.0.2.1"}, {"X-Forwarded-For": "192.0.2.2"}
    client = await dial(publisher, "/publish", headers=here, **ALICE)
    await client.send(frame(range(1_000)))
    assert all("ok" in each for each in await answers(client, 1_000))
    second = await dial(publisher, "/publish", headers=here, **BOB)
    await second.send(frame(["a"]))
    assert "address" in (await answers(second, 1))[0]["reason"]
    url = f"https://localhost:{publisher.port}/topics/t/messages"
    async with httpx.AsyncClient(verify=tls, trust_env=False, auth=("bob", "secret")) as http:
        answered = [await http.post(url, json=1, headers=each, timeout=DEADLINE) for each in (here, there)]
    assert [each.status_code for each in answered] == [429, 201]
    assert int(answered[0].headers["Retry-After"]) > 1


async def test_plain_publisher_over_the_rate_is_not_read(
    queue: StubPublisher, publisher: Service, dial: Dial
) -> None:
    """In the plain dialect, which has no refusals, TCP tells a client that exceeds the rate (line 47)."""
    plain = await dial(publisher, "/publish", v1=False, **ALICE)
    await plain.send('{"Topic":"t","Content":"' + "x" * 500_000 + '"}')
    await plain.send('{"Topic":"t","Content":"late"}')
    await (await plain.ping())  # both have arrived
    other = await dial(publisher, "/publish", **BOB)
    await other.send(frame(["other"]))
    await answers(other, 1)
    assert {len(content) for content in queue.contents} == {500_000, len("other")}


async def test_refused_plain_frames_are_charged(publisher: Service, dial: Dial) -> None:
    """A plain frame is read before it is refused, and so counts for the rate (line 47)."""
    for user, refused in ((ALICE, '{"Topic":"a b","Content":"%s"}'), (BOB, "%s")):
        plain = await dial(publisher, "/publish", v1=False, **user)
        await plain.send(refused % ("x" * 500_000))
        await (await plain.ping())  # it has arrived
        other = await dial(publisher, "/publish", **user)
        await other.send(frame(["late"]))
        assert (await answers(other, 1))[0]["error"] == "rate-limited"


async def test_refused_posts_are_charged(publisher: Service, tls: ssl.SSLContext) -> None:
    """A body that cannot be read counts for the rate all the same (line 47)."""
    url = f"https://localhost:{publisher.port}"
    async with httpx.AsyncClient(verify=tls, trust_env=False, timeout=DEADLINE) as http:
        for user, path in (("alice", "/messages"), ("bob", "/topics/t/messages")):
            http.auth = httpx.BasicAuth(user, "secret")
            headers = {"Content-Type": "application/json"}
            answered = [
                await http.post(url + path, content=b"[" * 500_000, headers=headers) for _ in range(2)
            ]
            assert [each.status_code for each in answered] == [400, 429]


async def test_http_publisher_over_the_rate_gets_429(
    queue: StubPublisher, publisher: Service, tls: ssl.SSLContext
) -> None:
    """A POST over the rate gets 429 with Retry-After, and nothing of it is stored (line 47)."""
    url = f"https://localhost:{publisher.port}/messages"
    async with httpx.AsyncClient(verify=tls, trust_env=False, timeout=DEADLINE) as http:
        how: dict[str, Any] = {"auth": ("alice", "secret"), "headers": {"Content-Type": "application/json"}}
        assert (await http.post(url, content=frame(range(1_000)), **how)).status_code == 201
        answer = await http.post(url, content=frame(["late"]), **how)
        assert (answer.status_code, answer.json()["code"]) == (429, "rate-limited")
        assert int(answer.headers["Retry-After"]) > 1
        how["auth"] = ("bob", "secret")
        assert (await http.post(url, content=frame(["other"]), **how)).status_code == 201
    assert queue.contents == [*range(1_000), "other"]


async def test_new_topics_over_the_rate_are_refused(
    queue: StubPublisher, start_service: StartService, dial: Dial, tmp_path: Path
) -> None:
    """A user who begins more topics than allowed is told; known topics cost nothing (line 47)."""
    users = UsersFile(tmp_path / "users")
    users.put(User("alice"), "secret", cost=4)
    publisher = await start_service(
        open_publisher, queue_url=queue.url, users_file=users.path, max_new_topics_per_second=1
    )
    client = await dial(publisher, "/publish", **ALICE)
    messages = [{"topic": f"t.{n}", "content": n} for n in range(1_000)]
    for count in (4, 4, 4, 1_000):
        await client.send(msgspec.json.encode(messages[:count]))
        assert all("ok" in each for each in await answers(client, count))
    await client.send(msgspec.json.encode(messages[:1]))
    assert (await answers(client, 1))[0]["error"] == "rate-limited"


async def test_topics_of_refused_messages_are_not_remembered(
    queue: StubPublisher, start_service: StartService, dial: Dial, tmp_path: Path
) -> None:
    """No login makes the publisher remember topics that it may not publish on, or that are none."""
    users = UsersFile(tmp_path / "users")
    users.put(User("alice", publish=("t.>",)), "secret", cost=4)
    publisher = await start_service(
        open_publisher, queue_url=queue.url, users_file=users.path, max_new_topics_per_second=1
    )
    client = await dial(publisher, "/publish", **ALICE)
    topics = [*(f"no.{n}" for n in range(300)), *(f"{n} is no topic" for n in range(300))]
    await client.send(msgspec.json.encode([{"topic": topic, "content": 1} for topic in topics]))
    assert {each["error"] for each in await answers(client, 600)} == {"forbidden", "bad-topic"}
    await client.send('{"topic":"t.x","content":1}')
    assert "ok" in (await answers(client, 1))[0]
