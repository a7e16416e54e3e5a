"""The msgqueue alone, between clients that stand in for publishers and subscribers."""

import asyncio
import threading
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection

from fanline.protocol import NewMessage
from fanline.server import Service
from msgqueue.app import open_msgqueue
from tests.conftest import Dial, StartService, until
from tests.conftest import receive_objects as receive
from tests.msgqueue.conftest import BreakableStore, OpenedStores
from tests.stubs import DEADLINE


@pytest.fixture
async def queue(start_service: StartService) -> Service:
    """A running msgqueue with an empty log."""
    return await start_service(open_msgqueue)


async def push(client: ClientConnection, *messages: dict[str, Any]) -> list[dict[str, Any]]:
    """Push messages in one frame, and return the answers."""
    await client.send(msgspec.json.encode(messages), text=True)
    return await receive(client, len(messages))


def words(topic: str, *contents: Any) -> list[dict[str, Any]]:
    """Messages on one topic."""
    return [{"topic": topic, "content": content} for content in contents]


async def pop(client: ClientConnection, **what: Any) -> dict[str, Any]:
    """Begin to pop, and return the answer."""
    await client.send(msgspec.json.encode({"pop": what}), text=True)
    (answer,) = await receive(client, 1)
    return answer


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


async def test_two_connections_share_a_consumer(queue: Service, dial: Dial) -> None:
    """Connections of one name share the work; another name gets everything again."""
    pusher = await dial(queue, "/pushmsg")
    one, two, other = [await dial(queue, "/popmsg") for _ in range(3)]
    for client, name in ((one, "billing"), (two, "billing"), (other, "audit")):
        await pop(client, consumer=name)
    await push(pusher, *words("t", *range(10)))
    await receive(other, 10)
    shares = {one: 0, two: 0}
    while sum(shares.values()) < 10:
        reading = {asyncio.ensure_future(client.recv()): client for client in shares}
        done, pending = await asyncio.wait(reading, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        for task in done:
            shares[reading[task]] += len(msgspec.json.decode(task.result()))
    assert sum(shares.values()) == 10


async def test_what_a_dead_consumer_held_goes_to_the_next(queue: Service, dial: Dial) -> None:
    """Records given and not done go to another connection, in order, before anything newer (promise 6)."""
    pusher, dying, heir = [await dial(queue, path) for path in ("/pushmsg", "/popmsg", "/popmsg")]
    await push(pusher, *words("t", 1, 2, 3, 4))
    await pop(dying, consumer="billing")
    await receive(dying, 4)
    await dying.send('{"done":1}')
    await (await dying.ping())
    await pop(heir, consumer="billing")
    dying.transport.abort()
    assert [message["content"] for message in await receive(heir, 3)] == [2, 3, 4]
    await push(pusher, *words("t", 5))
    assert [message["content"] for message in await receive(heir, 1)] == [5]


async def test_a_poison_message_becomes_a_dead_letter(start_service: StartService, dial: Dial) -> None:
    """A message that no connection survives goes to another topic, and the consumer goes on after it."""
    queue = await start_service(open_msgqueue, max_deliveries=2)
    pusher, watcher = await dial(queue, "/pushmsg"), await dial(queue, "/popmsg")
    await pop(watcher, topics=["$dead.>"])
    await push(pusher, *words("t", 1, 2, 3))
    for expected, done in (([1, 2, 3], 1), ([2], 0)):
        victim = await dial(queue, "/popmsg")
        await pop(victim, consumer="billing")
        assert [message["content"] for message in await receive(victim, len(expected))] == expected
        await victim.send(msgspec.json.encode({"done": done}), text=True)
        await victim.close()
    [letter] = await receive(watcher, 1)
    assert letter["topic"] == "$dead.billing"
    assert letter["content"]["deliveries"] == 2
    assert letter["content"]["message"]["content"] == 2
    heir = await dial(queue, "/popmsg")
    assert (await pop(heir, consumer="billing"))["seq"] == 2
    await push(pusher, *words("t", 4))
    assert [message["content"] for message in await receive(heir, 2)] == [3, 4]
    assert queue.app.metrics.get_sample_value("fanline_dead_letters_total") == 1


async def test_unfinished_work_is_bounded(queue: Service, dial: Dial) -> None:
    """A consumer that never says done is given only so much; then it goes on where it was."""
    pusher, popper = await dial(queue, "/pushmsg"), await dial(queue, "/popmsg")
    await push(pusher, *words("t", *range(1500)))
    await pop(popper, consumer="c")
    assert [message["content"] for message in await receive(popper, 1000)] == list(range(1000))
    await popper.send('{"done":1000}')
    assert [message["content"] for message in await receive(popper, 500)] == list(range(1000, 1500))


async def test_consumers_are_listed_and_forgotten(queue: Service, dial: Dial) -> None:
    """Durable consumers can be looked at; one that is not used can be removed, and then starts again."""
    pusher, popper, admin = [await dial(queue, path) for path in ("/pushmsg", "/popmsg", "/popmsg")]
    await push(pusher, *words("t", 1, 2, 3))
    await pop(popper, consumer="billing")
    await receive(popper, 3)
    await popper.send('{"done":2}')
    await (await popper.ping())
    await admin.send('{"consumers":true}')
    expected = {"name": "billing", "position": 2, "behind": 1, "connections": 1}
    expected |= {"failing": 0, "dead_letters": 0}
    assert await receive(admin, 1) == [{"consumers": [expected]}]
    await admin.send('{"forget":"billing"}')
    assert "1 connections share" in (await receive(admin, 1))[0]["reason"]
    await popper.close()
    await until(lambda: len(queue.connections) == 2)
    await admin.send('{"forget":"billing"}')
    assert await receive(admin, 1) == [{"forgotten": "billing"}]
    await admin.send('{"forget":"billing"}')
    assert "no durable consumer" in (await receive(admin, 1))[0]["reason"]
    again = await dial(queue, "/popmsg")
    assert (await pop(again, consumer="billing"))["seq"] == 0


# The plain dialect (line 9).


async def test_plain_consumer_dies_before_it_has_read(queue: Service, dial: Dial) -> None:
    """Messages that a plain subscriber did not read go to the next one (lines 4 and 8)."""
    pusher = await dial(queue, "/pushmsg")
    dying = await dial(queue, "/popmsg", v1=False)
    dying.transport.pause_reading()
    await push(pusher, *words("t", 1, 2))
    await until(lambda: len(queue.connections) == 2)
    dying.transport.abort()
    heir = await dial(queue, "/popmsg", v1=False)
    got = [msgspec.json.decode(await heir.recv()) for _ in range(2)]
    assert [frame["Content"] for frame in got] == ["1", "2"]


async def test_plain_consumer_resumes_where_the_last_one_stopped(queue: Service, dial: Dial) -> None:
    """Messages that a plain subscriber has read do not come again (line 9)."""
    pusher, first = await dial(queue, "/pushmsg"), await dial(queue, "/popmsg", v1=False)
    await push(pusher, *words("t", "one"))
    assert '"one"' in str(await first.recv())
    await (await first.ping())
    await first.close()
    await push(pusher, *words("t", "two"))
    second = await dial(queue, "/popmsg", v1=False)
    assert '"two"' in str(await second.recv())


async def test_plain_publisher(queue: Service, dial: Dial) -> None:
    """A Go publisher's frames are stored as they come, nothing is answered, nonsense is skipped (line 9)."""
    plain, popper = await dial(queue, "/pushmsg", v1=False), await dial(queue, "/popmsg", v1=False)
    for frame in ('{"Topic":"t","Content":"one"}', "nonsense", "", '{"Topic":"t","Content":"two"}'):
        await plain.send(frame)
    got = [msgspec.json.decode(await popper.recv()) for _ in range(2)]
    assert [(frame["Topic"], frame["Content"]) for frame in got] == [("t", "one"), ("t", "two")]
    await (await plain.ping())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(plain.recv(), 0.05)


async def test_plain_publisher_need_not_read(start_service: StartService, dial: Dial) -> None:
    """A Go publisher, which never reads and so answers no ping, is not cut for it (line 9)."""
    queue = await start_service(open_msgqueue, ping_interval=0.2, silence_limit=0.2)
    plain, v1 = await dial(queue, "/pushmsg", v1=False), await dial(queue, "/pushmsg")
    for client in (plain, v1):
        client.transport.pause_reading()
    await until(lambda: len(queue.connections) == 1)
    await plain.send('{"Topic":"t","Content":"late"}')
    popper = await dial(queue, "/popmsg", v1=False)
    assert '"late"' in str(await popper.recv())


async def test_plain_publisher_passes_on_something_enormous(start_service: StartService, dial: Dial) -> None:
    """An invalid message through a Go publisher does not close its connection (lines 6 and 9)."""
    queue = await start_service(open_msgqueue, max_content=1024)
    plain, popper = await dial(queue, "/pushmsg", v1=False), await dial(queue, "/popmsg", v1=False)
    await plain.send(["x" * 100] * 5_000)
    await plain.send('{"Topic":"t","Content":"good"}')
    assert '"good"' in str(await popper.recv())


# When the store fails.


def full_disk(_message: NewMessage) -> bool:
    """Refuse every message."""
    return True


async def test_nothing_is_acked_that_is_not_stored(
    start_service: StartService, dial: Dial, opened_stores: OpenedStores
) -> None:
    """While the log cannot be written, pushes wait and are then refused, and readiness says why; it heals."""
    queue = await start_service(partial(open_msgqueue, open_store=opened_stores.open), queue_wait=0.5)
    [store] = opened_stores
    pusher = await dial(queue, "/pushmsg")
    store.refuses = full_disk
    (refused,) = await push(pusher, {"topic": "t", "content": 1, "id": "a"})
    assert (refused["error"], refused["id"]) == ("queue-unavailable", "a")
    assert "disk is full" in refused["reason"]
    assert "disk is full" in (queue.app.readiness_problem() or "")
    store.refuses = None
    while "error" in refused:  # as long as the next attempt to write has not been made
        (refused,) = await push(pusher, {"topic": "t", "content": 1, "id": "a"})
    assert (refused["ok"], refused["seq"]) == ("a", 1)
    assert queue.app.readiness_problem() is None


async def test_a_defect_does_not_end_the_commits(
    start_service: StartService,
    dial: Dial,
    opened_stores: OpenedStores,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A commit that fails by a defect is refused and logged, readiness tells, and later ones succeed."""
    queue = await start_service(partial(open_msgqueue, open_store=opened_stores.open))
    [store] = opened_stores
    pusher = await dial(queue, "/pushmsg")

    def defect(message: NewMessage) -> bool:
        raise ZeroDivisionError(message.topic)

    store.refuses = defect
    (refused,) = await push(pusher, {"topic": "t", "content": 1, "id": "a"})
    assert (refused["error"], refused["id"]) == ("queue-unavailable", "a")
    assert "ZeroDivisionError" in (queue.app.readiness_problem() or "")
    assert [each for each in caplog.records if each.exc_info and each.exc_info[0] is ZeroDivisionError]
    store.refuses = None
    assert await push(pusher, {"topic": "t", "content": 1, "id": "a"}) == [{"ok": "a", "seq": 1}]
    assert queue.app.readiness_problem() is None


async def test_a_commit_that_hangs_is_an_error(
    start_service: StartService, dial: Dial, opened_stores: OpenedStores
) -> None:
    """A disk that does not answer makes msgqueue unready, and holds up its stop no longer than allowed."""
    queue = await start_service(
        partial(open_msgqueue, open_store=opened_stores.open), queue_wait=0.2, drain_timeout=0.5
    )
    answers = threading.Event()
    opened_stores[0].hang(answers)
    try:
        pusher = await dial(queue, "/pushmsg")
        await pusher.send('{"topic":"t","content":1}')
        await until(lambda: queue.app.readiness_problem() is not None)
        assert "a commit has not been finished for" in (queue.app.readiness_problem() or "")
        async with asyncio.timeout(DEADLINE):
            await queue.stop()
    finally:
        answers.set()


async def test_short_trouble_of_the_store_is_bridged(
    start_service: StartService, dial: Dial, opened_stores: OpenedStores
) -> None:
    """When the log can be written again soon enough, pushes were only slow; their order is kept."""
    queue = await start_service(partial(open_msgqueue, open_store=opened_stores.open))
    [store] = opened_stores
    pusher = await dial(queue, "/pushmsg")
    store.refuses = full_disk
    pushing = asyncio.create_task(push(pusher, *words("t", 1, 2)))
    await until(lambda: queue.app.readiness_problem() is not None)
    store.refuses = None
    assert [answer["seq"] for answer in await pushing] == [1, 2]


async def test_nothing_overtakes_what_was_refused(
    start_service: StartService, dial: Dial, opened_stores: OpenedStores
) -> None:
    """With what cannot be stored, all that waits behind it is refused, so that it comes again in order."""
    queue = await start_service(partial(open_msgqueue, open_store=opened_stores.open), queue_wait=0.5)
    [store] = opened_stores
    store.refuses = lambda message: bytes(message.content) == b'"first"'
    pusher = await dial(queue, "/pushmsg")
    await pusher.send('{"topic":"t","content":"first"}')
    await until(lambda: queue.app.readiness_problem() is not None)
    await pusher.send('{"topic":"t","content":"second"}')
    refused = await receive(pusher, 2)
    assert [answer.get("error") for answer in refused] == ["queue-unavailable", "queue-unavailable"]


async def test_plain_publisher_waits_for_the_store(
    start_service: StartService, dial: Dial, opened_stores: OpenedStores
) -> None:
    """A plain message that cannot be stored is kept until it can be, and its publisher waits."""
    queue = await start_service(partial(open_msgqueue, open_store=opened_stores.open))
    [store] = opened_stores
    plain, popper = await dial(queue, "/pushmsg", v1=False), await dial(queue, "/popmsg")
    await pop(popper)
    store.refuses = full_disk
    await plain.send('{"Topic":"t","Content":"patience"}')
    await until(lambda: queue.app.readiness_problem() is not None)
    store.refuses = None
    assert (await receive(popper, 1))[0]["content"] == "patience"


async def test_a_long_read_holds_up_no_other(
    start_service: StartService, dial: Dial, opened_stores: OpenedStores
) -> None:
    """Pages of one connection are read side by side; one that is not wanted any more is given up."""
    queue = await start_service(partial(open_msgqueue, open_store=opened_stores.open))
    (store,) = opened_stores
    store.held = asyncio.Event()
    reader = await dial(queue, "/popmsg")
    for ref in (1, 2):
        await reader.send(f'{{"read":{{"ref":{ref},"topics":["t"],"before":9}}}}')
    await reader.send('{"read":{"ref":3,"topics":["t"],"after":0}}')
    assert (await receive(reader, 1))[0]["page"] == 3
    assert store.held_reads == 2
    await reader.send('{"cancel":1}')
    (answer,) = await receive(reader, 1)
    assert (answer["page"], answer["error"]) == (1, "queue-unavailable")
    await until(lambda: store.held_reads == 1)
    await reader.close()
    await until(lambda: store.held_reads == 0)


async def test_unreadable_log_sends_consumers_away(
    start_service: StartService, dial: Dial, opened_stores: OpenedStores
) -> None:
    """When the log cannot be read consumers are told to come back later, not left waiting."""
    queue = await start_service(partial(open_msgqueue, open_store=opened_stores.open), recent_bytes=1024)
    pusher = await dial(queue, "/pushmsg")
    await push(pusher, *words("t", *("x" * 500 for _ in range(10))))

    opened_stores[0].is_unreadable = True
    from_start, share, plain = [await dial(queue, "/popmsg", v1=v1) for v1 in (True, True, False)]
    await from_start.send('{"pop":{"after":0}}')
    await share.send('{"pop":{"consumer":"c"}}')
    for client in (from_start, share, plain):
        await client.wait_closed()
        assert client.close_code == 1013
    reader = await dial(queue, "/popmsg")
    await reader.send('{"read":{"ref":9,"topics":["t"],"after":0}}')
    (answer,) = await receive(reader, 1)
    assert (answer["page"], answer["error"]) == (9, "queue-unavailable")


async def test_second_queue_on_the_same_log(
    queue: Service, start_service: StartService, tmp_path: Path
) -> None:
    """Two processes cannot have one log open: the second one does not start."""
    with pytest.raises(Exception, match=str(tmp_path / "data")):
        await start_service(open_msgqueue, lock_wait=0)


async def test_a_second_queue_waits_for_the_first_to_stop(
    queue: Service, start_service: StartService, dial: Dial, caplog: pytest.LogCaptureFixture
) -> None:
    """One that is started while another drains says so, and goes on with its log."""
    pusher = await dial(queue, "/pushmsg")
    await push(pusher, *words("t", 1))
    await pusher.close()
    starting = asyncio.ensure_future(start_service(open_msgqueue, lock_wait=DEADLINE))
    await until(lambda: "another msgqueue has it open" in caplog.text)
    await queue.stop()
    second = await starting
    popper = await dial(second, "/popmsg")
    await pop(popper, after=0)
    assert [message["content"] for message in await receive(popper, 1)] == [1]
