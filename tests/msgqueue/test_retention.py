"""Retention: what each rule removes, what it leaves, and what is said of it to those who resume."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import ClientConnection

from fanline.errors import StoreError
from fanline.protocol.topics import matches
from fanline.server import Service
from msgqueue.app import open_msgqueue
from msgqueue.retention import Retention, RuleUsages
from msgqueue.settings import RetentionRule
from msgqueue.store.base import Bounds, RecordHeader
from msgqueue.store.sqlite.engine import SqliteStore
from publisher.app import open_publisher
from subscriber.app import open_subscriber
from tests.conftest import Dial, StartService, until
from tests.msgqueue.conftest import OpenedStores
from tests.msgqueue.store.store_model import WINDOW, Clock, new
from tests.stubs import DEADLINE

DAY = 86_400


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(tmp_path: Path, clock: Clock) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(tmp_path / "data", dedupe_window=WINDOW, clock=clock)
    yield store
    await store.close()


# Sweeps often, in steps so small that every test takes several.
quick_retention = partial(Retention, step=3, pause=0.01)


def rule(topics: str = ">", **limits: Any) -> RetentionRule:
    return RetentionRule(topics=topics, **limits)


def trimmed(queue: Service) -> float | None:
    """Return how many messages retention has removed."""
    return queue.app.metrics.get_sample_value("fanline_messages_trimmed_total")


async def append_on(store: SqliteStore, *topics: str) -> None:
    await store.append([new(topic) for topic in topics])


async def kept(store: SqliteStore) -> dict[str, list[int]]:
    """Return the positions that are left, by topic."""
    left: dict[str, list[int]] = {}
    for header in await store.headers(0, limit=10_000):
        left.setdefault(header.topic, []).append(header.seq)
    return left


# What the rules say.


async def test_keeps_everything_without_a_rule(store: SqliteStore, clock: Clock) -> None:
    """A message that no rule matches stays, whatever its age."""
    await append_on(store, "a", "b", "$sys.a")
    clock.now += 1000 * DAY
    await quick_retention(store, [], clock=clock).sweep()
    await quick_retention(store, [rule("b", max_age=DAY), rule("*", max_age=2000 * DAY)], clock=clock).sweep()
    assert await kept(store) == {"a": [1], "$sys.a": [3]}


async def test_removes_what_is_too_old(store: SqliteStore, clock: Clock) -> None:
    """A message is kept for its age, to the millisecond, and then goes."""
    retention = quick_retention(store, [rule("a.>", max_age=60)], clock=clock)
    await append_on(store, *["a.x", "b", "a.y"] * 4)
    clock.now += 30
    await append_on(store, "a.x", "b")
    clock.now += 30
    await retention.sweep()
    assert (await store.bounds()).first == 1
    clock.now += 0.001
    await retention.sweep()
    assert await kept(store) == {"a.x": [13], "b": [2, 5, 8, 11, 14]}
    clock.now += 30
    await retention.sweep()
    assert await kept(store) == {"b": [2, 5, 8, 11, 14]}
    assert retention.removed == 9


async def test_keeps_so_many_of_each_topic(store: SqliteStore) -> None:
    """``max_count`` counts each topic for itself, at the first sweep and with what comes later."""
    retention = quick_retention(store, [rule("room.*", max_count=2)])
    await append_on(store, *["room.1"] * 9, "room.2", "lobby", *["room.3"] * 3)
    await retention.sweep()
    assert await kept(store) == {"room.1": [8, 9], "room.2": [10], "lobby": [11], "room.3": [13, 14]}
    await append_on(store, "room.2", "room.2", "room.1")
    await retention.sweep()
    assert await kept(store) == {"room.1": [9, 17], "room.2": [15, 16], "lobby": [11], "room.3": [13, 14]}
    assert await store.trimmed(["room.1"]) == 8
    assert await store.trimmed(["room.2"]) == 10
    assert await store.trimmed(["lobby"]) == 0


async def test_keeps_so_many_bytes_of_all_topics_together(store: SqliteStore) -> None:
    """``max_bytes`` is a budget for the rule: the oldest go first, whichever topic they are on."""
    await store.append([new(f"t.{n % 3}", "x" * 900) for n in range(10)])
    await append_on(store, "other")
    newest = await store.headers(0)
    budget = sum(header.size for header in newest[6:10])
    retention = quick_retention(store, [rule("t.>", max_bytes=budget)])
    await retention.sweep()
    assert await store.headers(0) == newest[6:]
    await store.append([new("t.9", "x" * 10)])
    await retention.sweep()
    assert [header.seq for header in await store.headers(0)] == [8, 9, 10, 11, 12]


async def test_other_rules_apply_at_once(store: SqliteStore) -> None:
    """Rules that replace others count from the beginning of the log, also where there were none (line 53)."""
    await append_on(store, *["a", "b"] * 5)
    retention = quick_retention(store, [])
    retention.start()
    for topics, left in (("a", {"a": [9], "b": [2, 4, 6, 8, 10]}), (">", {"a": [9], "b": [10]})):
        retention.replace([rule(topics, max_count=1)])
        async with asyncio.timeout(DEADLINE):
            while await kept(store) != left:
                await asyncio.sleep(0.005)
    await retention.close()


async def test_the_first_rule_that_matches_applies(store: SqliteStore) -> None:
    """A rule without limits keeps what later ones would remove; a later rule does not add to an earlier."""
    rules = [rule("a.keep"), rule("a.*", max_count=2), rule(">", max_count=1)]
    await append_on(store, *["a.keep", "a.x", "b"] * 3)
    await quick_retention(store, rules).sweep()
    assert await kept(store) == {"a.keep": [1, 4, 7], "a.x": [5, 8], "b": [9]}


async def test_counts_a_topic_under_its_own_rule_alone(store: SqliteStore) -> None:
    """Messages under one rule take nothing of the budget of another."""
    await store.append([new("a", "x" * 5000), new("b", "x" * 500), new("b", "x" * 500)])
    await quick_retention(store, [rule("a", max_bytes=6000), rule("*", max_bytes=2000)]).sweep()
    assert await kept(store) == {"a": [1], "b": [2, 3]}


async def test_goes_on_after_a_restart(store: SqliteStore, clock: Clock) -> None:
    """A new process counts what is there, and removes what has become too much."""
    rules = [rule(max_count=3, max_age=60)]
    await append_on(store, *["a"] * 5)
    await quick_retention(store, rules, clock=clock).sweep()
    await append_on(store, "a", "b")
    await quick_retention(store, rules, clock=clock).sweep()
    assert await kept(store) == {"a": [4, 5, 6], "b": [7]}
    clock.now += 61
    await append_on(store, "b")
    await quick_retention(store, rules, clock=clock).sweep()
    assert await kept(store) == {"b": [8]}


async def test_goes_on_after_an_error(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next sweep removes the same messages, and counts them once."""
    trim = store.trim
    failures = iter([False, True, True, False])

    async def failing(seqs: Sequence[int]) -> None:
        if next(failures, False):
            raise StoreError("no")
        await trim(seqs)

    monkeypatch.setattr(store, "trim", failing)
    await append_on(store, *["a"] * 20)
    retention = quick_retention(store, [rule(max_count=2)])
    for _ in range(2):
        with pytest.raises(StoreError):
            await retention.sweep()
    await retention.sweep()
    assert await kept(store) == {"a": [19, 20]}
    assert retention.removed == 18


async def test_tells_of_an_error_once(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While the store fails it says so once, and goes on by itself."""
    attempts = 0
    bounds = store.bounds

    async def failing() -> Any:
        nonlocal attempts
        attempts += 1
        if attempts < 4:
            raise StoreError("the disk is on fire")
        return await bounds()

    monkeypatch.setattr(store, "bounds", failing)
    await append_on(store, *["a"] * 5)
    retention = quick_retention(store, [rule(max_count=1)])
    retention.start()
    await until(lambda: retention.removed == 4)
    await retention.close()
    assert [record.message for record in caplog.records] == [
        "cannot remove old messages, will try again: the disk is on fire"
    ]


async def test_appends_pass_between_the_steps(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """While much is being removed, appends are stored: no trim is longer than a step."""
    await append_on(store, *["a"] * 1000)
    steps: list[int] = []
    trim = store.trim

    async def watched(seqs: Sequence[int]) -> None:
        steps.append(len(seqs))
        await trim(seqs)

    monkeypatch.setattr(store, "trim", watched)
    retention = quick_retention(store, [rule("a", max_count=100)], step=10)
    sweeping = asyncio.create_task(retention.sweep())
    while not sweeping.done():
        await append_on(store, "b")
    await sweeping
    assert steps == [10] * 90
    left = await kept(store)
    assert left["a"] == list(range(901, 1001))
    assert len(left["b"]) > 10


_lines = st.lists(
    st.tuples(st.sampled_from(["a", "a.b", "b", "c.d"]), st.integers(0, 50), st.integers(1, 2000)),
    max_size=40,
)
_rules = st.lists(
    st.builds(
        rule,
        st.sampled_from(["a", "a.>", "*", "c.*", ">"]),
        max_age=st.none() | st.integers(1, 200),
        max_count=st.none() | st.integers(1, 5),
        max_bytes=st.none() | st.integers(1024, 5000),
    ),
    max_size=3,
)


def should_keep(
    headers: Sequence[RecordHeader], rules: Sequence[RetentionRule], now: float
) -> list[RecordHeader]:
    """Return what is left, worked out from the rules as they are told."""
    left: list[RecordHeader] = []
    spent = dict.fromkeys(range(len(rules)), 0)
    counts: dict[str, int] = {}
    is_full: set[int] = set()
    for header in reversed(headers):
        number = next((n for n, each in enumerate(rules) if matches(each.topics, header.topic)), None)
        if number is not None:
            each = rules[number]
            if each.max_age is not None and header.time < (now - each.max_age) * 1000:
                continue
            counts[header.topic] = counts.get(header.topic, 0) + 1
            if each.max_count is not None and counts[header.topic] > each.max_count:
                continue
            if each.max_bytes is not None and spent[number] + header.size > each.max_bytes:
                is_full.add(number)
            if number in is_full:
                continue
            spent[number] += header.size
        left.append(header)
    return left[::-1]


class HeaderStore:
    """A store with nothing but headers."""

    def __init__(self) -> None:
        self.stored: list[RecordHeader] = []
        self.newest = 0

    async def bounds(self) -> Bounds:
        return Bounds(1, self.newest)

    async def headers(self, after: int, *, topic: str | None = None, limit: int) -> list[RecordHeader]:
        return [header for header in self.stored if header.seq > after and topic in (None, header.topic)][
            :limit
        ]

    async def trim(self, seqs: Sequence[int]) -> None:
        self.stored = [header for header in self.stored if header.seq not in seqs]


@given(batches=st.lists(_lines, max_size=3), rules=_rules)
@settings(max_examples=50, deadline=None)
def test_leaves_what_the_rules_say(
    batches: list[list[tuple[str, int, int]]], rules: list[RetentionRule]
) -> None:
    """Whatever comes, sweep by sweep, what is left is what the rules of the documentation leave."""

    async def go() -> None:
        store = HeaderStore()
        clock = Clock()
        retention = quick_retention(store, rules, clock=clock)  # type: ignore[arg-type]
        seq = 0
        for batch in batches:
            for topic, pause, size in batch:
                clock.now += pause
                seq += 1
                store.stored.append(RecordHeader(seq, topic, clock.ms, size))
            store.newest = seq
            expected = should_keep(store.stored, rules, clock.now)
            await retention.sweep()
            assert store.stored == expected

    asyncio.run(go())


async def test_leaves_new_messages_for_the_next_sweep(clock: Clock) -> None:
    """Messages not counted yet are not removed, so that the count stays right."""
    store = HeaderStore()
    retention = quick_retention(store, [rule(max_age=1, max_bytes=2000)], clock=clock)  # type: ignore[arg-type]
    store.stored = [RecordHeader(seq, "t", 0, 1000) for seq in range(1, 9)]
    store.newest = 5
    await retention.sweep()
    assert [header.seq for header in store.stored] == [6, 7, 8]
    store.stored = [header._replace(time=clock.ms) for header in store.stored]
    store.newest = 8
    await retention.sweep()
    assert [header.seq for header in store.stored] == [7, 8]


def test_forgets_topics_that_are_gone() -> None:
    """Nothing is kept in memory of a topic without messages."""
    usages = RuleUsages([rule(max_count=1)])
    usage = usages.all[0]
    headers = [RecordHeader(seq, f"t.{seq % 10}", 0, 1) for seq in range(20)]
    for header in headers:
        usage.add(header)
    assert usage.over_limit == {f"t.{n}": 1 for n in range(10)}
    for header in headers:
        usage.remove(header)
    assert not usage.over_limit
    assert not usage.counts


# What the services do with it.


async def receive(client: ClientConnection, count: int) -> list[Any]:
    async with asyncio.timeout(DEADLINE):
        frames = [json.loads(await client.recv()) for _ in range(count)]
    for frame in frames:
        if isinstance(frame, dict):
            frame.pop("epoch", None)
    return frames


async def publish(client: ClientConnection, topic: str, *contents: int) -> list[int]:
    """Publish, one after the other, and return the positions."""
    positions = []
    for content in contents:
        await client.send(json.dumps({"topic": topic, "content": content}))
        [ack] = await receive(client, 1)
        positions.append((ack[0] if isinstance(ack, list) else ack)["seq"])
    return positions


async def first_of_log(client: ClientConnection, topics: list[str]) -> int:
    """Return the position of the oldest message that msgqueue still has, over ``/popmsg``."""
    await client.send(json.dumps({"read": {"topics": topics, "after": 0, "limit": 1}}))
    [page] = await receive(client, 1)
    return int(page["messages"][0]["seq"]) if "messages" in page else 0


async def test_who_resumes_is_told_what_is_gone(start_service: StartService, dial: Dial) -> None:
    """The gap is that of the subscriber's own topics, and behind it comes everything left (promise 4)."""
    limits = {"recent_bytes": 1024, "retention": [{"topics": "few.*", "max_count": 3}]}
    queue = await start_service(open_msgqueue, **limits)
    url = f"wss://localhost:{queue.port}"
    publisher = await start_service(open_publisher, queue_url=url)
    pusher = await dial(publisher, "/publish")
    for n in range(10):
        await publish(pusher, "few.a", n)
        await publish(pusher, "all.a", n)
    await publish(pusher, "few.b", 0)
    await publish(pusher, "all.b", *range(20))  # pushes the others out of memory
    reader = await dial(queue, "/popmsg")
    while await first_of_log(reader, ["few.a"]) < 15:
        pass
    subscriber = await start_service(open_subscriber, queue_url=url)

    async def resume(pattern: str, after: int, count: int) -> tuple[Any, list[int]]:
        client = await dial(subscriber, "/subscribe")
        await client.send(f"sub {pattern} after={after}")
        answer, *messages = await receive(client, 1 + count)
        return answer, [message["seq"] for message in messages]

    assert await resume("few.a", 0, 3) == (
        {"subscribed": "few.a", "seq": 0, "gap": {"from": 1, "to": 13}},
        [15, 17, 19],
    )
    assert await resume("few.*", 5, 4) == (
        {"subscribed": "few.*", "seq": 5, "gap": {"from": 6, "to": 13}},
        [15, 17, 19, 21],
    )
    everything = [*range(2, 15, 2), *range(15, 42)]
    gap = {"from": 1, "to": 13}
    assert await resume(">", 0, len(everything)) == ({"subscribed": ">", "seq": 0, "gap": gap}, everything)
    assert await resume("few.a", 13, 3) == ({"subscribed": "few.a", "seq": 13}, [15, 17, 19])
    assert await resume("few.b", 0, 1) == ({"subscribed": "few.b", "seq": 0}, [21])
    assert await resume("all.a", 0, 10) == ({"subscribed": "all.a", "seq": 0}, list(range(2, 21, 2)))


async def test_removed_messages_in_memory_are_no_gap(start_service: StartService, dial: Dial) -> None:
    """Messages removed from disk and delivered from memory are not reported (promise 4)."""
    queue = await start_service(open_msgqueue, retention=[{"topics": "t", "max_count": 1}])
    client = await dial(queue, "/pushmsg")
    await client.send(json.dumps([{"topic": "t", "content": n} for n in range(5)]))
    await client.recv()
    await until(lambda: trimmed(queue) == 4)
    reader = await dial(queue, "/popmsg")
    await reader.send('{"pop":{"after":0}}')
    answer, messages = await receive(reader, 2)
    assert answer == {"popping": None, "seq": 0}
    assert [message["seq"] for message in messages] == [1, 2, 3, 4, 5]


async def test_positions_go_on_after_everything_was_removed(start_service: StartService, dial: Dial) -> None:
    """When all is gone, and after a restart, the next message gets the next position (promise 2)."""
    rules = [{"topics": ">", "max_age": 0.001}]
    first = await start_service(open_msgqueue, retention=rules)
    pusher = await dial(first, "/pushmsg")
    await pusher.send(json.dumps([{"topic": "t", "content": n} for n in range(7)]))
    await pusher.recv()
    await until(lambda: trimmed(first) == 7)
    await first.stop()
    second = await start_service(open_msgqueue)
    reader = await dial(second, "/popmsg")
    await reader.send('{"pop":{"after":0}}')
    assert await receive(reader, 1) == [{"popping": None, "seq": 0, "gap": {"from": 1, "to": 7}}]
    durable = await dial(second, "/popmsg")
    await durable.send('{"pop":{"consumer":"billing","after":3}}')
    assert await receive(durable, 1) == [{"popping": "billing", "seq": 3, "gap": {"from": 4, "to": 7}}]
    pusher = await dial(second, "/pushmsg")
    assert await publish(pusher, "t", 7) == [8]
    for client in (reader, durable):
        [[message]] = await receive(client, 1)
        assert message["seq"] == 8


async def test_a_reader_on_its_way_is_told_what_is_gone(
    start_service: StartService, dial: Dial, monkeypatch: pytest.MonkeyPatch, opened_stores: OpenedStores
) -> None:
    """A gap ahead of a late reader is named before the next message (promise 4)."""
    queue = await start_service(partial(open_msgqueue, open_store=opened_stores.open), recent_bytes=1024)
    pusher = await dial(queue, "/pushmsg")
    await pusher.send(json.dumps([{"topic": "t", "content": "x" * 100_000} for _ in range(6)]))
    await pusher.recv()
    [store] = opened_stores
    read = store.read

    async def read_and_trim(after: int, **how: Any) -> Any:
        if after == 2:
            await store.trim([3, 4])
        return await read(after, **how)

    monkeypatch.setattr(store, "read", read_and_trim)
    reader = await dial(queue, "/popmsg")
    await reader.send('{"pop":{"after":0}}')
    answer, first, gap, second = await receive(reader, 4)
    assert answer == {"popping": None, "seq": 0}
    assert [message["seq"] for message in first] == [1, 2]
    assert gap == {"gap": {"from": 3, "to": 4}}
    assert [message["seq"] for message in second] == [5, 6]
