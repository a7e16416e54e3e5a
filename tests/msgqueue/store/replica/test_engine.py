"""The engine of a cluster, on a journal in memory: what it promises besides the contract of every store."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings

from fanline.errors import ConfigurationError, Rejected, StoreError
from msgqueue.consumers.consumer import Consumer
from msgqueue.consumers.registry import Consumers
from msgqueue.journal.base import JournalError
from msgqueue.log import Log
from msgqueue.store.base import AppendResult, OutcomeUnknown
from msgqueue.store.replica.engine import ReplicaStore
from msgqueue.store.replica.patience import Patience
from msgqueue.store.replica.shares import GONE_MS, STEP_MS
from msgqueue.store.sqlite.engine import SqliteStore
from tests.msgqueue.journal.memory_journal import HostileLog, MemoryJournal
from tests.msgqueue.store.replica.engines import QUICK, Journals
from tests.msgqueue.store.store_model import STEPS, WINDOW, Clock, Step, agree, new

IMPATIENT = Patience(resend=0.005, move=0.01, give_up=0.05, tick=0.01, ready=0.02)


class Leaderless(MemoryJournal):
    """A journal that refuses its first entry, or loses it without an answer, as it has no leader yet."""

    losses: Sequence[Exception | None] = ()

    async def append(self, frame: bytes, *, is_first: bool = False) -> None:
        if not self.losses:
            await super().append(frame, is_first=is_first)
        else:
            failure, *self.losses = self.losses
            if failure is not None:
                raise failure


async def test_a_new_journal_may_have_no_leader_yet(tmp_path: Path) -> None:
    """A msgqueue that made the stream waits for its leader, instead of ending."""
    clock = Clock()
    [journal] = Leaderless.connected(HostileLog(Random(1), time=lambda: clock.ms), ["a"])
    journal.losses = [JournalError("the stream has no leader"), None]
    store = await ReplicaStore.join(tmp_path, journal, dedupe_window=WINDOW, clock=clock, patience=QUICK)
    assert not journal.losses
    assert len(await store.append([new("t", 1)])) == 1
    await store.close()


class Cluster:
    """Replicas on one journal, each in a folder of its name."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self.clock = Clock()
        self.log = HostileLog(Random(1), time=lambda: self.clock.ms)
        self.folder = folder
        self._stack = stack

    async def join(self, name: str, patience: Patience = QUICK, *, reserve: int = 0) -> ReplicaStore:
        store = await ReplicaStore.join(
            self.folder / name,
            MemoryJournal.connected(self.log, [name])[0],
            dedupe_window=WINDOW,
            disk_reserve=reserve,
            clock=self.clock,
            patience=patience,
        )
        self._stack.push_async_callback(store.close)
        return store

    async def consumers(self, name: str) -> tuple[ReplicaStore, Log, Consumers]:
        """Join, and serve durable consumers."""
        store = await self.join(name)
        log = Log(store, cache_bytes=1 << 20, buffer_bytes=1 << 20, timeout=60)
        self._stack.push_async_callback(log.close)
        await log.start()
        consumers = Consumers(log)
        self._stack.push_async_callback(consumers.close)
        await consumers.start()
        return store, log, consumers


async def take(consumer: Consumer, member: str) -> list[int]:
    async with asyncio.timeout(30):
        return [record.seq for record in await consumer.take(member)]


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with AsyncExitStack() as stack:
        yield Cluster(tmp_path, stack)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


@given(steps=STEPS)
@settings(max_examples=3)
def test_three_replicas_are_one_log(steps: list[Step]) -> None:
    """Any call to any of three replicas, on a journal that fails, gives what a plain list would (line 59)."""
    agree(Journals(rate=0.2).open_three, steps)


async def test_all_replicas_have_one_epoch(cluster: Cluster) -> None:
    """Positions of one replica mean the same on the other, and after a restart (line 61)."""
    first, second = await cluster.join("a"), await cluster.join("b")
    assert await first.append([new(id="x")]) == [AppendResult(1, duplicate=False)]
    assert await second.append([new(id="x")]) == [AppendResult(1, duplicate=True)]
    await first.close()
    again = await cluster.join("a")
    assert first.epoch == second.epoch == again.epoch
    assert await again.append([new()]) == [AppendResult(2, duplicate=False)]


async def test_ready_only_while_frames_come_back(cluster: Cluster) -> None:
    """A replica that the journal does not answer says so; its writers learn that nothing is known."""
    store = await cluster.join("a", IMPATIENT._replace(ready=0.2))
    await until(lambda: store.problem is None)
    cluster.log.fail("no quorum")
    with pytest.raises(OutcomeUnknown, match=r"the journal has not confirmed for .* s: no quorum"):
        await store.append([new()])
    await until(lambda: "nothing has come back from the journal" in (store.problem or ""))
    cluster.log.heal()
    await until(lambda: store.problem is None)


async def test_goes_on_when_the_disk_has_room_again(cluster: Cluster, tmp_path: Path) -> None:
    """A full disk stops a replica, and neither damages it nor loses what others have stored."""
    other = await cluster.join("b")
    store = await cluster.join("a", IMPATIENT, reserve=1 << 60)
    await other.append([new()])
    await until(lambda: "the disk is full" in (store.problem or ""))
    with pytest.raises(OutcomeUnknown, match="the journal has not confirmed"):
        await store.catch_up()
    await store.close()
    again = await cluster.join("a")
    await again.catch_up()
    assert (await again.read(0)).records == (await other.read(0)).records != []


async def test_a_cluster_goes_on_from_a_single_machine(cluster: Cluster) -> None:
    """A log of one machine becomes the beginning of the cluster's: its positions and epoch stand."""
    alone = await SqliteStore.open(cluster.folder / "a", dedupe_window=WINDOW, clock=cluster.clock)
    await alone.append([new(), new()])
    await alone.close()
    store = await cluster.join("a")
    assert store.epoch == alone.epoch
    assert await store.append([new()]) == [AppendResult(3, duplicate=False)]
    with pytest.raises(ConfigurationError, match=r"begins after position 2, and data_dir .* ends at 0"):
        await cluster.join("b")
    await store.close()
    with pytest.raises(ConfigurationError, match="it is a replica in a cluster"):
        await SqliteStore.open(cluster.folder / "a", dedupe_window=WINDOW, clock=cluster.clock)


async def test_a_foreign_log_does_not_join(cluster: Cluster) -> None:
    """A log with messages of its own cannot become a replica of another one."""
    await cluster.join("a")
    alone = await SqliteStore.open(cluster.folder / "b", dedupe_window=WINDOW, clock=cluster.clock)
    await alone.append([new()])
    await alone.close()
    with pytest.raises(ConfigurationError, match="the journal is that of another log"):
        await cluster.join("b")


async def test_a_journal_that_lost_frames_is_noticed_at_the_start(cluster: Cluster) -> None:
    """A journal that ends too early, or was made again, is not written to (line 62)."""
    store = await cluster.join("a")
    await store.append([new()])
    await store.close()
    del cluster.log.entries[1:]
    with pytest.raises(
        ConfigurationError, match="the journal ends at entry 1, and this msgqueue has applied"
    ):
        await cluster.join("a")
    assert len(cluster.log.entries) == 1


async def test_a_journal_that_lost_frames_is_noticed_while_running(cluster: Cluster) -> None:
    """Other frames in the place of those that were applied stop the acknowledgements (line 62)."""
    store = await cluster.join("a")
    await store.append([new()])
    await store.close()
    index = len(cluster.log.entries)
    cluster.log.entries[-1] = replace(cluster.log.entries[-1], frame=cluster.log.entries[0].frame)
    again = await cluster.join("a")
    await until(lambda: f"entry {index} of the journal is another one" in (again.problem or ""))
    with pytest.raises(StoreError, match="a back-up of a sound msgqueue, or a new journal, is needed"):
        await again.append([new()])


async def test_the_journal_is_trimmed_when_all_have_it(cluster: Cluster) -> None:
    """After two days, what both msgqueues have on disk is gone; both go on, and a new one needs a back-up."""
    first, second = [await cluster.join(name, QUICK._replace(trim=0)) for name in "ab"]
    for _ in range(2):
        await first.append([new()])
        await second.append([new()])
        cluster.clock.now += 2 * 86_400
    for store in (first, second, first):
        await store.catch_up()
    entries = first.cluster.entries
    await first.tidy()
    assert cluster.log.first > 1
    assert first.cluster.entries >= entries > 0  # the figures are those since the start
    await first.close()
    again = await cluster.join("a")
    assert await again.append([new()]) == [AppendResult(5, duplicate=False)]
    await second.catch_up()
    assert (await second.read(0)).records == (await again.read(0)).records
    with pytest.raises(ConfigurationError, match="its first entries no more: make a back-up with"):
        await cluster.join("c")


async def test_msgqueues_share_a_durable_consumer(cluster: Cluster) -> None:
    """Each message goes to one msgqueue; what a connection leaves goes to one at the other (line 61)."""
    first, log, consumers = await cluster.consumers("a")
    second, _, others = await cluster.consumers("b")
    one, other = consumers.get("billing", 0), others.get("billing", 0)
    await first.append([new(), new(), new()])
    assert await take(one, "x") == [1, 2, 3]
    one.done("x", 1)
    await second.append([new()])
    assert await take(other, "y") == [4]
    other.done("y", 4)
    await until(lambda: [each.position for each in others.states()] == [1])
    other.leave("y")
    with pytest.raises(Rejected, match="another msgqueue has connections"):
        await others.forget("billing")
    one.leave("x")
    assert await take(other, "y") == [2, 3]
    other.done("y", 3)
    await until(lambda: [each.position for each in consumers.states()] == [4])
    await until(lambda: [each.position for each in others.states()] == [4])
    other.leave("y")
    await consumers.forget("billing")
    await second.catch_up()
    assert consumers.states() == others.states() == []
    assert await second.cursors() == {}
    assert log.head == 4


async def test_what_a_dead_msgqueue_dealt_goes_to_others(cluster: Cluster) -> None:
    """It comes again after a quarter of a minute of silence, or when the msgqueue is back (line 61)."""
    first, _, consumers = await cluster.consumers("a")
    second, _, others = await cluster.consumers("b")
    await first.append([new(), new()])
    assert await take(consumers.get("billing", 0), "x") == [1, 2]
    cluster.log.cut_off("a")
    await second.catch_up()
    other = others.get("billing", 0)
    for _ in range(GONE_MS // STEP_MS):
        cluster.clock.now += STEP_MS / 1000
        assert not second.claims.is_claimable("billing", 2)
        await second.catch_up()
    assert await take(other, "y") == [1, 2]
    cluster.log.heal()
    consumers.get("billing", 0).done("x", 2)
    other.done("y", 1)
    await until(lambda: others.states()[0].position == 1)
    await first.catch_up()
    assert consumers.states()[0].position == 1


async def test_a_consumer_of_a_single_machine_goes_on(cluster: Cluster) -> None:
    """Its position is where the cluster begins, and the cluster's is where a single machine would."""
    alone = await SqliteStore.open(cluster.folder / "a", dedupe_window=WINDOW, clock=cluster.clock)
    await alone.append([new(), new(), new()])
    await alone.set_cursor("billing", 1)
    await alone.close()
    store, _, consumers = await cluster.consumers("a")
    consumer = consumers.get("billing", 0)
    assert await take(consumer, "x") == [2, 3]
    consumer.done("x", 2)
    await until(lambda: store.claims.positions() == {"billing": 2})
    assert await store.cursors() == {"billing": 2}
