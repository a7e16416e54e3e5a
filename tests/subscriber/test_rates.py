"""Rates of commands: who exceeds them is told, and others notice nothing."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import pytest

from fanline.security.users import User, UsersFile
from fanline.server import Service
from subscriber.app import open_subscriber
from tests.conftest import Dial, StartService
from tests.conftest import receive_objects as answers
from tests.stub_queue import StubQueue
from tests.stubs import DEADLINE

ALICE: dict[str, str] = {"user": "alice", "password": "secret"}
BOB: dict[str, str] = ALICE | {"user": "bob"}

FRAME = msgspec.json.encode([{"sub": f"t.{number}"} for number in range(200)]).decode()


@pytest.fixture
async def queue(cert_dir: Path) -> AsyncIterator[StubQueue]:
    """A stub of msgqueue's ``/popmsg``."""
    async with StubQueue(cert_dir) as stub:
        yield stub


@pytest.fixture
def users(tmp_path: Path) -> Path:
    """A file with two users."""
    users = UsersFile(tmp_path / "users")
    for name in ("alice", "bob"):
        users.put(User(name), "secret", cost=4)
    return users.path


@pytest.fixture
async def subscriber(queue: StubQueue, start_service: StartService, users: Path) -> Service:
    """A subscriber service behind a proxy, where a user may send a command a second, an address two."""
    return await start_service(
        open_subscriber,
        queue_url=queue.url,
        users_file=users,
        trusted_proxies=["127.0.0.1", "::1"],
        max_commands_per_second=1,
        max_commands_per_second_per_address=2,
    )


async def test_commands_over_the_rate_are_refused(subscriber: Service, dial: Dial) -> None:
    """A user over the rate is told when to try again; others subscribe (line 47)."""
    client = await dial(subscriber, "/subscribe", **ALICE)
    await client.send(FRAME)
    got = await answers(client, 200)
    refused = [each for each in got if "error" in each]
    assert len(refused) > 100
    assert {each["error"] for each in refused} == {"rate-limited"}
    assert all(0 < each["retry_ms"] <= 1_000 and each["sub"].startswith("t.") for each in refused)
    other = await dial(subscriber, "/subscribe", **BOB)
    await other.send("sub t")
    assert "subscribed" in (await answers(other, 1))[0]


async def test_refused_commands_are_charged(subscriber: Service, dial: Dial) -> None:
    """A command is read before it is refused, and so counts for the rate in both dialects (line 47)."""
    for user, is_v1 in ((ALICE, True), (BOB, False)):
        headers = {"X-Forwarded-For": f"192.0.2.{len(user['user'])}"}  # the rate of the address is left
        client = await dial(subscriber, "/subscribe", v1=is_v1, headers=headers, **user)
        await client.send(FRAME.replace("t.", "a b."))
        if is_v1:
            await answers(client, 200)
        else:
            await (await client.ping())  # the frame has arrived
        other = await dial(subscriber, "/subscribe", **user)
        await other.send("sub t")
        assert (await answers(other, 1))[0]["error"] == "rate-limited"


async def test_memory_of_a_users_subscriptions_is_limited(
    queue: StubQueue, start_service: StartService, users: Path, dial: Dial
) -> None:
    """The patterns of all connections of a user count; the refusal is told, others subscribe (line 47)."""
    subscriber = await start_service(
        open_subscriber, queue_url=queue.url, users_file=users, max_subscription_bytes_per_user=1_024
    )
    first = await dial(subscriber, "/subscribe", **ALICE)
    second = await dial(subscriber, "/subscribe", **ALICE)
    await first.send("sub a")
    assert "subscribed" in (await answers(first, 1))[0]
    await second.send('[{"sub":"b"},{"sub":"c"}]')
    got = await answers(second, 2)
    assert got[0]["subscribed"] == "b"
    assert (got[1]["error"], got[1]["sub"]) == ("too-many-subscriptions", "c")
    other = await dial(subscriber, "/subscribe", **BOB)
    await other.send("sub c")
    assert "subscribed" in (await answers(other, 1))[0]


async def test_stream_over_the_rate_gets_429(subscriber: Service, tls: ssl.SSLContext, dial: Dial) -> None:
    """A stream of events counts as a command for each topic, also for others of its address (line 47)."""
    url = f"https://localhost:{subscriber.port}/events?" + "&".join(f"topic=t.{n}" for n in range(500))
    login = ("alice", "secret")
    async with httpx.AsyncClient(verify=tls, auth=login, trust_env=False, timeout=DEADLINE) as http:
        async with http.stream("GET", url) as stream:
            assert stream.status_code == 200
        answer = await http.get(url)
    assert (answer.status_code, answer.json()["code"]) == (429, "rate-limited")
    assert int(answer.headers["Retry-After"]) > 60
    for address, told in (("127.0.0.1", "too many commands of this address"), ("192.0.2.1", "t")):
        other = await dial(subscriber, "/subscribe", headers={"X-Forwarded-For": address}, **BOB)
        await other.send("sub t")
        (got,) = await answers(other, 1)
        assert str(got.get("reason", got.get("subscribed"))).split(";")[0] == told


async def test_plain_subscriber_over_the_rate_is_not_read(
    queue: StubQueue, subscriber: Service, dial: Dial
) -> None:
    """In the plain dialect, which has no refusals, TCP tells a client that exceeds the rate (line 47)."""
    other = await dial(subscriber, "/subscribe", **BOB)
    await other.send("sub t")
    await answers(other, 1)  # the end of the log is known: what is published now is new to all
    plain = await dial(subscriber, "/subscribe", v1=False, **ALICE)
    for part in ("a", "b"):
        await plain.send(FRAME.replace("t.", f"{part}."))
    await (await plain.ping())  # both have arrived
    await queue.publish(("b.1", "late"), ("a.1", "first"))
    assert msgspec.json.decode(await plain.recv())["Content"] == "first"
