"""Presence on real sockets: subscribers of several processes of the service, over one msgqueue."""

import ssl
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from websockets.asyncio.client import ClientConnection

from fanline.security.users import User, UsersFile
from fanline.server import Service
from msgqueue.app import open_msgqueue
from subscriber.app import open_subscriber
from tests.conftest import Dial, StartService, receive_objects
from tests.stubs import DEADLINE

BEAT = 0.1

StartSubscriber = Callable[..., Any]


@pytest.fixture
async def start(start_service: StartService, tmp_path: Path) -> StartSubscriber:
    """Start subscriber services over one msgqueue, with the users alice, bob and reader."""
    users = UsersFile(tmp_path / "users")
    for name in ("hello", "alice", "bob"):
        users.put(User(name, is_service=name == "hello"), "test", cost=4)
    users.put(User("reader", subscribe=("room.8",)), "test", cost=4)
    queue = await start_service(open_msgqueue, users_file=users.path)
    url = f"wss://localhost:{queue.port}"
    return partial(
        start_service, partial(open_subscriber, beat_interval=BEAT), queue_url=url, users_file=users.path
    )


@pytest.fixture
async def subscriber(start: StartSubscriber) -> Service:
    """A subscriber service."""
    service: Service = await start()
    return service


@pytest.fixture
async def http(tls: ssl.SSLContext) -> AsyncIterator[httpx.AsyncClient]:
    """A client for HTTP, as alice."""
    login = ("alice", "test")
    async with httpx.AsyncClient(verify=tls, auth=login, trust_env=False, timeout=DEADLINE) as client:
        yield client


async def ask(client: ClientConnection, command: dict[str, Any]) -> dict[str, Any]:
    """Send a command, and return the answer."""
    await client.send(msgspec.json.encode(command).decode())
    return (await receive_objects(client, 1))[0]


async def events(client: ClientConnection, count: int = 1) -> list[tuple[str, str, str]]:
    """Receive presence events: kind, user and name of the session."""
    got = await receive_objects(client, count)
    return [(each["type"], each["from"], each["content"]["as"]) for each in got]


def names(listed: dict[str, Any]) -> list[tuple[str, str]]:
    """Return user and name of each session in a list of who is present."""
    return [(each["user"], each["as"]) for each in listed["present"]]


def be_present(name: str, topic: str = "room.7") -> dict[str, Any]:
    """Return the command to be present."""
    return {"sub": topic, "presence": True, "as": name}


async def test_subscribers_see_each_other(
    start: StartSubscriber, dial: Dial, http: httpx.AsyncClient
) -> None:
    """Joins and leaves are told in one order, whichever process they are on, and who is there (line 48)."""
    one, two = await start(), await start()
    watchers = [await dial(service, "/subscribe", user="bob", password="test") for service in (one, two)]
    for watcher in watchers:
        assert "seq" in await ask(watcher, {"sub": "$presence.room.7"})
    alice = await dial(one, "/subscribe", user="alice", password="test")
    bob = await dial(two, "/subscribe", user="bob", password="test")
    assert (await ask(alice, be_present("tablet")))["as"] == "tablet"
    for watcher in watchers:
        assert await events(watcher) == [("join", "alice", "tablet")]
    await bob.send("sub room.7 presence=true as=7")
    for watcher in watchers:
        assert await events(watcher) == [("join", "bob", "7")]
    late = await dial(two, "/subscribe", user="alice", password="test")
    assert "latest" in await ask(late, {"sub": "$presence.room.7", "latest": True})
    assert await events(late, 2) == [("join", "alice", "tablet"), ("join", "bob", "7")]
    for service in (one, two):
        listed = (await http.get(f"https://localhost:{service.port}/topics/room.7/presence")).json()
        assert [(each["user"], each["as"]) for each in listed["present"]] == [
            ("alice", "tablet"),
            ("bob", "7"),
        ]
        assert listed["seq"] >= 2
    await alice.send('{"unsub":"room.7"}')
    for watcher in (*watchers, late):
        assert await events(watcher) == [("leave", "alice", "tablet")]


async def test_leaves_after_the_end_of_a_process(start: StartSubscriber, dial: Dial) -> None:
    """A client that comes back to another process makes no noise; who does not has left soon (line 48).

    A process says nothing when it stops, so for the others it is as if it had been killed.
    """
    one, two = await start(), await start()
    watcher = await dial(two, "/subscribe", user="bob", password="test")
    await ask(watcher, {"sub": "$presence.>"})
    for name in ("tablet", "phone"):
        client = await dial(one, "/subscribe", user="alice", password="test")
        await ask(client, be_present(name))
        assert await events(watcher) == [("join", "alice", name)]
    returned = await dial(two, "/subscribe", user="alice", password="test")
    seq = (await ask(returned, be_present("phone")))["seq"]
    await one.stop()
    assert await events(watcher) == [("leave", "alice", "tablet")]
    await two.stop()
    three = await start()
    late = await dial(three, "/subscribe", user="bob", password="test")
    await ask(late, {"sub": "$presence.room.7", "after": seq})
    assert await events(late, 2) == [("leave", "alice", "tablet"), ("leave", "alice", "phone")]


async def test_a_lost_connection_is_held_back(start: StartSubscriber, dial: Dial) -> None:
    """The leave of a lost connection waits for the client to return; that of `unsub` does not (line 48)."""
    slow, quick = await start(leave_delay=3600), await start(leave_delay=0)
    watcher = await dial(slow, "/subscribe", user="bob", password="test")
    await ask(watcher, {"sub": "$presence.>"})
    for service, name in ((slow, "tablet"), (quick, "phone")):
        client = await dial(service, "/subscribe", user="alice", password="test")
        await ask(client, be_present(name))
        await client.close()
    got = [await events(watcher) for _ in range(3)]
    assert got == [[("join", "alice", "tablet")], [("join", "alice", "phone")], [("leave", "alice", "phone")]]
    client = await dial(quick, "/subscribe", user="alice", password="test")
    await ask(client, be_present("tablet"))
    await client.send('{"unsub":"room.7"}')
    assert await events(watcher) == [("leave", "alice", "tablet")]


async def test_names_of_one_connection_are_bounded(subscriber: Service, dial: Dial) -> None:
    """A connection with very many names is refused all but the first hundred, and told why (line 48)."""
    client = await dial(subscriber, "/subscribe", user="hello", password="test")
    for start in (0, 500):
        commands = [be_present(f"name{n}", f"room.{n}") for n in range(start, start + 500)]
        await client.send(msgspec.json.encode(commands).decode())
    answers = await receive_objects(client, 1_000)
    assert [each.get("as") for each in answers[:100]] == [f"name{n}" for n in range(100)]
    told = {(each["error"], each["reason"]) for each in answers[100:]}
    assert told == {("too-many-subscriptions", "a connection may be present on 100 topics")}


async def test_a_user_is_present_a_number_of_times(start: StartSubscriber, dial: Dial) -> None:
    """The sessions of one user are bounded, on all processes; another user is served (line 48)."""
    subscriber = await start(max_presences_per_user=1)
    alice = await dial(subscriber, "/subscribe", user="alice", password="test")
    await ask(alice, {"sub": "$presence.room.1"})
    await alice.send(msgspec.json.encode(be_present("a", "room.1")).decode())
    assert len(await receive_objects(alice, 2)) == 2
    for command in (be_present("a", "room.2"), {"sub": "room.2", "presence": True}):
        refused = await ask(alice, command)
        assert (refused["error"], refused["sub"]) == ("too-many-subscriptions", "room.2")
    for command in (be_present("a", "room.1"), {"sub": "room.1", "presence": True}):
        assert (await ask(alice, command))["as"] == "a"
    bob = await dial(subscriber, "/subscribe", user="bob", password="test")
    assert "subscribed" in await ask(bob, be_present("a", "room.2"))


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"sub": "room.*", "presence": True}, "bad-topic"),
    ({"sub": "$presence.room.8", "presence": True}, "bad-topic"),
    ({"sub": "r" * 250, "presence": True}, "bad-topic"),
    ({"sub": "room.8", "presence": "yes"}, "bad-command"),
    ({"sub": "room.8", "as": "tablet"}, "bad-command"),
    ({"sub": "room.8", "presence": True, "as": 7}, "bad-command"),
    ({"sub": "room.8", "presence": True, "as": ""}, "bad-command"),
    ({"sub": "room.8", "presence": True, "as": "x" * 65}, "bad-command"),
    ({"sub": "room.8", "presence": True, "as": "a\nb"}, "bad-command"),
    ({"sub": "room.7", "presence": True}, "forbidden"),
    ({"sub": "$presence.room.7"}, "forbidden"),
    ({"sub": "$presence.>"}, "forbidden"),
    ({"sub": "$presence"}, "forbidden"),
]


async def test_bad_presence_is_refused(subscriber: Service, dial: Dial, tls: ssl.SSLContext) -> None:
    """Each mistake gets its code, and no user is present where they may not subscribe (line 48)."""
    client = await dial(subscriber, "/subscribe", user="reader", password="test")
    for command, code in REFUSED:
        answer = await ask(client, command)
        assert (answer.get("error"), answer.get("sub")) == (code, command["sub"]), command
    assert "seq" in await ask(client, {"sub": "$presence.room.8"})
    url = f"https://localhost:{subscriber.port}/topics"
    login = ("reader", "test")
    async with httpx.AsyncClient(verify=tls, auth=login, trust_env=False, timeout=DEADLINE) as http:
        statuses = [
            (await http.get(f"{url}/{topic}/presence")).status_code
            for topic in ("room.8", "room.7", "room.*", "$access")
        ]
    assert statuses == [200, 403, 400, 400]


async def test_a_stream_of_events_is_present(
    subscriber: Service, dial: Dial, http: httpx.AsyncClient
) -> None:
    """A stream can be present, and begin with who is: for those without WebSockets (lines 43 and 48)."""
    watcher = await dial(subscriber, "/subscribe", user="bob", password="test")
    await ask(watcher, {"sub": "$presence.room.7"})
    url = f"https://localhost:{subscriber.port}/topics"
    async with http.stream("GET", f"{url}/room.7/events?presence=true&as=tablet") as stream:
        assert stream.status_code == 200
        assert await events(watcher) == [("join", "alice", "tablet")]
        async with http.stream("GET", f"{url}/$presence.room.7/events?latest=true") as watching:
            lines = watching.aiter_lines()
            data = [line async for line in take_until(lines, "data:")][-1]
    join = msgspec.json.decode(data.removeprefix("data:"))
    assert (join["type"], join["from"], join["content"]["as"]) == ("join", "alice", "tablet")


async def take_until(lines: AsyncIterator[str], beginning: str) -> AsyncIterator[str]:
    """Yield lines up to the first that begins so."""
    async for line in lines:
        yield line
        if line.startswith(beginning):
            return
