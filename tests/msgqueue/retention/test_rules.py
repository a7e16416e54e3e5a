"""Rules: messages that each removes and leaves, and errors on the way."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from fanline.errors import StoreError
from msgqueue.retention import RuleUsages
from msgqueue.store.base import RecordHeader
from msgqueue.store.sqlite.engine import SqliteStore
from tests.conftest import until
from tests.msgqueue.retention.conftest import DAY, append_on, kept, quick_retention, rule
from tests.msgqueue.store.store_model import Clock, new
from tests.stubs import DEADLINE


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


async def test_other_rules_wait_for_a_removal_in_progress(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its messages are not counted under them, which would make them remove too much (line 53)."""
    trim, headers = store.trim, store.headers
    is_trimming, may_trim, has_trimmed = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def finish_trim(seqs: Sequence[int]) -> None:
        await may_trim.wait()
        await trim(seqs)
        has_trimmed.set()

    async def slow_trim(seqs: Sequence[int]) -> None:
        is_trimming.set()
        await asyncio.shield(asyncio.create_task(finish_trim(seqs)))

    async def headers_after_trim(*args: Any, topic: str | None = None, **kwargs: Any) -> list[RecordHeader]:
        if topic is not None and is_trimming.is_set():  # everything has been counted
            may_trim.set()
            await has_trimmed.wait()
        return await headers(*args, topic=topic, **kwargs)

    await append_on(store, *["a"] * 4)
    monkeypatch.setattr(store, "trim", slow_trim)
    monkeypatch.setattr(store, "headers", headers_after_trim)
    retention = quick_retention(store, [rule(max_count=3)])
    retention.start()
    await is_trimming.wait()
    for count in (1, 2):  # also if they are replaced before they apply
        retention.replace([rule(max_count=count)])
        await asyncio.sleep(0)
    for _ in range(20):
        await store.bounds()
    may_trim.set()
    async with asyncio.timeout(DEADLINE):
        while retention.removed < 2:
            await asyncio.sleep(0.005)
    await retention.close()
    assert await kept(store) == {"a": [3, 4]}


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
