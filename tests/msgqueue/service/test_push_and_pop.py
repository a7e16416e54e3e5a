"""Messages pushed, popped and read in pages, over real TLS."""

import asyncio
from functools import partial

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection

from fanline.server import Service
from msgqueue.app import open_msgqueue
from tests.conftest import Dial, StartService
from tests.conftest import receive_objects as receive
from tests.msgqueue.conftest import BreakableStore, OpenedStores
from tests.msgqueue.service.conftest import pop, push, words


async def test_push_is_acked_and_popped(queue: Service, dial: Dial) -> None:
    """Pushed messages are acked with their position, and delivered unchanged (lines 4 and 10)."""
    pusher, popper = await dial(queue, "/pushmsg"), await dial(queue, "/popmsg")
    assert await pop(popper, after="latest") == {"popping": None, "seq": 0}
    answers = await push(
        pusher, {"topic": "orders.eu", "content": {"n": [1, None]}, "id": "a1", "from": "alice"}
    )
    assert answers == [{"ok": "a1", "seq": 1}]
    (message,) = await receive(popper, 1)
    assert message.pop("time") > 1_700_000_000_000
    assert message == {
        "topic": "orders.eu",
        "content": {"n": [1, None]},
        "seq": 1,
        "id": "a1",
        "from": "alice",
    }


async def test_messages_wait_for_a_consumer(queue: Service, dial: Dial) -> None:
    """Messages pushed without a consumer wait, and come in order when a plain one attaches (line 4)."""
    pusher = await dial(queue, "/pushmsg")
    await push(pusher, *words("t", *range(100)))
    popper = await dial(queue, "/popmsg", v1=False)
    got = [msgspec.json.decode(await popper.recv()) for _ in range(100)]
    assert [(frame["Topic"], frame["Content"]) for frame in got] == [("t", str(n)) for n in range(100)]


async def test_messages_survive_a_restart(start_service: StartService, dial: Dial) -> None:
    """Messages, positions, ids and the place of consumers are there after a restart (line 4, promise 2)."""
    first = await start_service(open_msgqueue)
    pusher, billing = await dial(first, "/pushmsg"), await dial(first, "/popmsg")
    await push(pusher, *words("t", 1, 2, 3), {"topic": "t", "content": 4, "id": "four"})
    await pop(billing, consumer="billing")
    await receive(billing, 4)
    await billing.send('{"done":2}')
    await (await billing.ping())
    await first.stop()

    second = await start_service(open_msgqueue)
    pusher, billing = await dial(second, "/pushmsg"), await dial(second, "/popmsg")
    assert await push(pusher, {"topic": "t", "content": 4, "id": "four"}) == [
        {"ok": "four", "seq": 4, "duplicate": True}
    ]
    assert [answer["seq"] for answer in await push(pusher, *words("t", 5))] == [5]
    assert await pop(billing, consumer="billing") == {"popping": "billing", "seq": 2}
    assert [message["content"] for message in await receive(billing, 3)] == [3, 4, 5]


async def test_many_publishers_and_subscribers(queue: Service, dial: Dial) -> None:
    """Many push at once and many pop at once: everyone gets everything, in one order (line 7)."""
    poppers = [await dial(queue, "/popmsg") for _ in range(5)]
    for popper in poppers:
        await pop(popper, after="earliest")
    pushers = [await dial(queue, "/pushmsg") for _ in range(10)]
    await asyncio.gather(
        *(push(pusher, *words("t", *([n, k] for k in range(100)))) for n, pusher in enumerate(pushers))
    )
    orders = [[message["content"] for message in await receive(popper, 1000)] for popper in poppers]
    assert all(order == orders[0] for order in orders)
    for n in range(10):
        assert [content for content in orders[0] if content[0] == n] == [[n, k] for k in range(100)]


async def test_an_id_is_stored_once(queue: Service, dial: Dial) -> None:
    """The same id gets the same position, and is not stored again; another user's is another (promise 3)."""
    pusher = await dial(queue, "/pushmsg")
    message = {"topic": "t", "content": 1, "id": "x"}
    first, again, others = await push(pusher, message, message, message | {"from": "bob"})
    assert first == {"ok": "x", "seq": 1}
    assert again == {"ok": "x", "seq": 1, "duplicate": True}
    assert others == {"ok": "x", "seq": 2}


async def test_answers_come_in_order(queue: Service, dial: Dial) -> None:
    """Wrong messages among good ones get their errors in place, and stop nothing (line 6)."""
    pusher = await dial(queue, "/pushmsg")
    await pusher.send("no json")
    await pusher.send(msgspec.json.encode([*words("t", 1), *words("a b", 2), *words("t", 3)]), text=True)
    answers = await receive(pusher, 4)
    assert [answer.get("error") or answer["seq"] for answer in answers] == ["bad-json", 1, "bad-topic", 2]


async def test_pop_from_a_position_and_by_topic(queue: Service, dial: Dial) -> None:
    """A consumer begins where it says, and gets only the topics that it names."""
    pusher = await dial(queue, "/pushmsg")
    await push(pusher, *words("a.x", 1), *words("b", 2), *words("a.y", 3))
    popper = await dial(queue, "/popmsg")
    assert (await pop(popper, after=1, topics=["a.*"]))["seq"] == 1
    await push(pusher, *words("b", 4), *words("a.z", 5))
    assert [message["content"] for message in await receive(popper, 2)] == [3, 5]


async def test_large_backlog_comes_in_order(start_service: StartService, dial: Dial) -> None:
    """A consumer far behind is fed from the store, then from memory, without a hole where they meet."""
    queue = await start_service(open_msgqueue, recent_bytes=20_000)
    pusher, popper = await dial(queue, "/pushmsg"), await dial(queue, "/popmsg")
    filler = "x" * 100
    for start in range(0, 5000, 500):
        await push(pusher, *words("t", *([n, filler] for n in range(start, start + 500))))
    await pop(popper, after="earliest")
    feeding = asyncio.create_task(push(pusher, *words("t", *([n, filler] for n in range(5000, 5500)))))
    got = await receive(popper, 5500)
    await feeding
    assert [message["content"][0] for message in got] == list(range(5500))
    assert [message["seq"] for message in got] == list(range(1, 5501))


async def test_a_large_commit_comes_in_frames_of_bounded_size(queue: Service, dial: Dial) -> None:
    """Records too large for one frame come in several, also for consumers that keep up."""
    pusher, popper = await dial(queue, "/pushmsg"), await dial(queue, "/popmsg")
    await pop(popper, after="latest")
    await pusher.send(msgspec.json.encode(words("t", *["x" * 60_000] * 10)), text=True)
    sizes, positions = [], list[int]()
    while len(positions) < 10:
        frame = await popper.recv()
        sizes.append(len(frame))
        positions += [message["seq"] for message in msgspec.json.decode(frame)]
    assert positions == list(range(1, 11))
    assert max(sizes) < 300_000


@pytest.fixture
async def slow(
    start_service: StartService, dial: Dial, opened_stores: OpenedStores
) -> tuple[BreakableStore, ClientConnection, int]:
    """The store of a msgqueue, a consumer that has stopped reading, and how many messages there are."""
    queue = await start_service(partial(open_msgqueue, open_store=opened_stores.open), recent_bytes=20_000)
    popper = await dial(queue, "/popmsg")
    await pop(popper, after="latest", topics=["t"])
    [held_up] = queue.connections
    popper.transport.pause_reading()
    pusher = await dial(queue, "/pushmsg")
    count = 0
    while not held_up.paused:
        count += len(await push(pusher, *words("t", *("x" * 1_000 for _ in range(100)))))
    for _ in range(20):
        count += len(await push(pusher, *words("t", *("x" * 100 for _ in range(100)))))
    return opened_stores[0], popper, count


async def test_a_consumer_that_does_not_keep_up(slow: tuple[BreakableStore, ClientConnection, int]) -> None:
    """One that stops reading, and goes on later, gets everything once and in order."""
    _, popper, count = slow
    popper.transport.resume_reading()
    got = await receive(popper, count)
    assert [message["seq"] for message in got] == list(range(1, count + 1))


async def test_a_consumer_that_retention_overtakes(
    slow: tuple[BreakableStore, ClientConnection, int],
) -> None:
    """One that does not keep up is told what it will never get, where it would have come (promise 4)."""
    store, popper, count = slow
    kept_from = count - 500
    await store.trim(range(1, kept_from))
    popper.transport.resume_reading()
    seen, told = list[int](), list[tuple[int, int, int]]()
    while not seen or seen[-1] < count:
        frame = msgspec.json.decode(await popper.recv())
        if isinstance(frame, list):
            seen += [message["seq"] for message in frame]
        else:
            told.append((seen[-1], frame["gap"]["from"], frame["gap"]["to"]))
    [(last, first_lost, last_lost)] = told
    assert (first_lost, last_lost) == (last + 1, kept_from - 1)
    assert seen == [*range(1, last + 1), *range(kept_from, count + 1)]


async def test_read_pages(queue: Service, dial: Dial) -> None:
    """Pages are read forwards and backwards, any number at a time, each with its number."""
    pusher, reader = await dial(queue, "/pushmsg"), await dial(queue, "/popmsg")
    await push(pusher, *words("t", *range(1, 11)), *words("u", 11))
    await reader.send(
        '[{"read":{"ref":1,"topics":["t"],"after":8}},{"read":{"ref":2,"topics":["t"],"before":5,"limit":2}},'
        '{"read":{"ref":3,"topics":["bad topic"],"after":0}},{"read":{"ref":4,"topics":["none"]}},'
        '{"read":{"ref":5,"topics":["t"],"after":1,"limit":3}}]'
    )
    pages = sorted(await receive(reader, 5), key=lambda page: int(page["page"]))
    forwards, backwards, refused, nothing, short = pages
    assert [message["content"] for message in forwards["messages"]] == [9, 10]
    assert (forwards["page"], forwards["position"], forwards["last"]) == (1, 11, 11)
    assert [message["content"] for message in backwards["messages"]] == [3, 4]
    assert (refused["page"], refused["error"]) == (3, "bad-topic")
    assert (nothing["page"], nothing.get("messages", [])) == (4, [])
    assert ([message["content"] for message in short["messages"]], short["position"]) == ([2, 3, 4], 4)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("hello", "bad-command"),
        ("{}", "bad-command"),
        ('{"pop":{"after":"soon"}}', "bad-command"),
        ('{"pop":{"after":99}}', "bad-position"),
        ('{"pop":{"after":-1}}', "bad-position"),
        ('{"pop":{"topics":["a b"]}}', "bad-topic"),
        ('{"pop":{"consumer":""}}', "bad-command"),
        ('{"pop":{"consumer":"c","topics":["t"]}}', "bad-command"),
        ('{"pop":{"color":"red"}}', "bad-command"),
        ('{"done":7}', "bad-command"),
        ('{"read":{"topics":[">"],"after":"x"}}', "bad-command"),
        ("[" * 5000, "bad-command"),
    ],
)
async def test_bad_command(queue: Service, dial: Dial, command: str, code: str) -> None:
    """A wrong command gets a clear error, and the connection can still be used (promise 7)."""
    popper = await dial(queue, "/popmsg")
    await popper.send(command)
    (answer,) = await receive(popper, 1)
    assert answer["error"] == code
    assert answer["reason"]
    assert (await pop(popper))["seq"] == 0
    assert (await pop(popper))["error"] == "bad-command"
