"""The contract of queue clients: the same tests for the remote and the local one."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from fanline.errors import ErrorCode, Rejected
from fanline.protocol import Ack, GapRange, NewMessage, Read, Record, Refusal
from fanline.queue.base import QueueClient
from fanline.queue.local import LocalQueue
from fanline.queue.remote import RemoteQueue
from fanline.tasks import running_task
from msgqueue.app import open_msgqueue
from msgqueue.consumers.registry import Consumers
from msgqueue.log import Log
from msgqueue.settings import MsgQueueSettings
from msgqueue.store.sqlite.engine import SqliteStore
from tests.conftest import StartService, until
from tests.stubs import DEADLINE

Outcome = Ack | Refusal

BUFFER_BYTES = 4 << 20


class Reply:
    """Waits for the outcome of one message."""

    def __init__(self) -> None:
        self.group: object = self
        self.outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def settle(self, outcome: Outcome) -> None:
        if not self.outcome.done():
            self.outcome.set_result(outcome)


class Listener:
    """Notes what it is fed with, in order."""

    def __init__(self, head: int | None = None) -> None:
        self.head = head or 0
        self.is_ready = head is not None
        self.can_resume = True
        self.epoch: str | None = None
        self.events: list[object] = []

    def begin(self, head: int, *, epoch: str | None, can_resume: bool) -> None:
        self.epoch = epoch
        self.head, self.can_resume, self.is_ready = head, can_resume, True
        self.events.append(("begin", head))

    def take(self, records: Sequence[Record]) -> None:
        for record in records:
            self.head = record.seq
            self.events.append(record.seq)

    def report(self, gap: GapRange) -> None:
        self.events.append(gap)

    def restart(self) -> None:
        self.is_ready = False
        self.events.append("restart")


@asynccontextmanager
async def local_queue(settings: MsgQueueSettings) -> AsyncIterator[LocalQueue]:
    """A log in this process, in the data folder of the settings."""
    store = await SqliteStore.open(settings.data_dir, dedupe_window=60)
    log = Log(store, cache_bytes=1 << 20, buffer_bytes=1 << 20, timeout=5)
    await log.start()
    consumers = Consumers(log)
    await consumers.start()
    try:
        yield LocalQueue(log, consumers, buffer_bytes=settings.queue_buffer)
    finally:
        await consumers.close()
        await log.close()


@asynccontextmanager
async def remote_queue(settings: MsgQueueSettings, start_service: StartService) -> AsyncIterator[RemoteQueue]:
    """A msgqueue in the data folder of the settings, over TLS WebSockets."""
    service = await start_service(open_msgqueue)
    url = f"wss://localhost:{service.port}"
    yield RemoteQueue.from_settings(settings.model_copy(update={"queue_url": url}))


@pytest.fixture(params=["remote", "local"])
async def queue(
    request: pytest.FixtureRequest,
    make_settings: Callable[..., MsgQueueSettings],
    start_service: StartService,
) -> AsyncIterator[QueueClient]:
    """A queue client of each kind; with what :func:`prefill` has stored before, if a test asks for it."""
    settings = make_settings(MsgQueueSettings, queue_buffer=BUFFER_BYTES)
    opening = local_queue(settings) if request.param == "local" else remote_queue(settings, start_service)
    async with opening as client, running_task(client.run()):
        yield client


@pytest.fixture
async def prefilled(make_settings: Callable[..., MsgQueueSettings]) -> Path:
    """A log of ten messages, of which retention has removed the first four, and a durable consumer at 7."""
    folder = make_settings(MsgQueueSettings).data_dir
    store = await SqliteStore.open(folder, dedupe_window=60)
    await store.append([new(number) for number in range(1, 11)])
    await store.trim([line.seq for line in await store.headers(0)][:4])
    await store.set_cursor("billing", 7)
    await store.close()
    return folder


def new(number: int, topic: str = "t", id: str | None = None) -> NewMessage:  # noqa: A002
    return NewMessage(topic, msgspec.Raw(str(number).encode()), id, sender="hello")


async def append(queue: QueueClient, *messages: NewMessage) -> list[Outcome]:
    """Append messages, and wait for their outcomes."""
    replies = [Reply() for _ in messages]
    for message, reply in zip(messages, replies, strict=True):
        queue.append(message, reply)
    async with asyncio.timeout(DEADLINE):
        return [await reply.outcome for reply in replies]


def positions(messages: Sequence[msgspec.Raw]) -> list[int]:
    return [msgspec.json.decode(message)["seq"] for message in messages]


async def test_appended_messages_get_positions_in_order(queue: QueueClient) -> None:
    """Each message has its own outcome, with the position after that of the message before."""
    outcomes = await append(queue, new(1, id="a"), new(2, id="b"), new(3, id="c"))
    assert outcomes == [Ack("a", 1), Ack("b", 2), Ack("c", 3)]
    assert queue.pending == 0


async def test_a_message_without_an_id_gets_one(queue: QueueClient) -> None:
    """The outcome shows it, in ``fanline serve`` as well, where it was null; no two are the same."""
    outcomes = await append(queue, new(1), new(2))
    shown = [outcome.ok for outcome in outcomes if isinstance(outcome, Ack) and outcome.ok is not None]
    assert len(set(shown)) == 2
    assert all(each.startswith("$") for each in shown)


async def test_a_repeated_id_is_stored_once(queue: QueueClient) -> None:
    """The outcome is the position of the first, and says so."""
    assert await append(queue, new(1, id="a"), new(1, id="a")) == [Ack("a", 1), Ack("a", 1, duplicate=True)]


async def test_flush_waits_for_every_message(queue: QueueClient) -> None:
    """Also for those whose outcome has no reply."""
    for number in range(1_000):
        queue.append(new(number), None)
    assert queue.pending == 1_000
    await queue.wait_for_space(None)
    async with asyncio.timeout(DEADLINE):
        await queue.flush()
    assert queue.pending == 0
    assert await append(queue, new(1, id="a")) == [Ack("a", 1_001)]


async def test_one_who_fills_the_buffer_is_held_back_alone(queue: QueueClient) -> None:
    """A flood of one user had all others wait until it was stored (line 47)."""
    large = msgspec.Raw(b'"' + b"x" * 1_000_000 + b'"')
    for _ in range(6):
        queue.append(NewMessage("t", large, sender="eve"), None)
    assert queue.is_full_for("eve")
    assert queue.is_full_for(None)
    assert not queue.is_full_for("bob")
    async with asyncio.timeout(DEADLINE):
        await queue.wait_for_space("bob")
        await asyncio.gather(queue.wait_for_space("eve"), queue.wait_for_space(None))
        await queue.flush()  # until then, the log may be full again with what has waited
    assert not queue.is_full_for("eve")


async def test_senders_without_a_reply_take_turns(queue: QueueClient) -> None:
    """A flood on one connection without acks does not hold up the messages of another of the same user."""
    for number in range(6_000):
        queue.append(new(number), None, sender="flooder")
    queue.append(new(1, topic="other"), None, sender="other")
    async with asyncio.timeout(DEADLINE), running_task(queue.follow(Listener())):
        await queue.flush()
        page = await queue.read(Read(["other"], after=0))
    (position,) = positions(page.messages)
    assert position < 4_000


async def test_follows_from_the_end_of_the_log(queue: QueueClient) -> None:
    """A new listener begins at the end, and gets what is stored from then on."""
    await append(queue, new(1), new(2))
    listener = Listener()
    async with running_task(queue.follow(listener)):
        await until(lambda: listener.is_ready)
        await append(queue, new(3), new(4))
        await until(lambda: listener.head == 4)
    assert listener.events == [("begin", 2), 3, 4]
    assert queue.problem is None or "not connected" in queue.problem


async def test_resumes_after_the_head_of_the_listener(queue: QueueClient) -> None:
    """Records stored in between come once, and then new ones."""
    await append(queue, *(new(number) for number in range(5)))
    listener = Listener(head=2)
    async with running_task(queue.follow(listener)):
        await until(lambda: listener.head == 5)
        await append(queue, new(6))
        await until(lambda: listener.head == 6)
    assert listener.events == [3, 4, 5, 6]


async def test_reports_a_gap_before_what_follows_it(prefilled: Path, queue: QueueClient) -> None:
    """A listener learns what retention has removed after its head."""
    listener = Listener(head=2)
    async with running_task(queue.follow(listener)):
        await until(lambda: listener.head == 10)
    assert listener.events == [GapRange(3, 4), 5, 6, 7, 8, 9, 10]


async def test_restarts_a_listener_when_the_log_is_another_one(queue: QueueClient) -> None:
    """A head after the end of the log belongs to a log that was replaced."""
    await append(queue, new(1))
    listener = Listener(head=100)
    async with running_task(queue.follow(listener)):
        await until(lambda: len(listener.events) == 2)
    assert listener.events == ["restart", ("begin", 1)]


async def test_restarts_a_listener_of_a_restored_log(queue: QueueClient) -> None:
    """A head that the log has belongs to another one all the same if that has another epoch."""
    await append(queue, new(1), new(2))
    listener = Listener(head=1)
    listener.epoch = "e000000000000"
    async with running_task(queue.follow(listener)):
        await until(lambda: len(listener.events) == 2)
    assert listener.events == ["restart", ("begin", 2)]
    assert listener.epoch not in (None, "e000000000000")


async def test_reads_pages(prefilled: Path, queue: QueueClient) -> None:
    """Forwards from after a position, backwards from before one, with the gap and the end of the log."""
    async with running_task(queue.follow(Listener())), asyncio.timeout(DEADLINE):
        page = await queue.read(Read(["t"], after=6, limit=2))
        assert (positions(page.messages), page.position, page.last, page.gap) == ([7, 8], 8, 10, None)
        page = await queue.read(Read(["t"], after=1, limit=1))
        assert (positions(page.messages), page.gap) == ([5], GapRange(2, 4))
        page = await queue.read(Read([">"], before=9, limit=3))
        assert (positions(page.messages), page.position) == ([6, 7, 8], 6)
        page = await queue.read(Read(["other"], after=10))
        assert (page.messages, page.position, page.last) == ([], 10, 10)


async def test_reads_the_newest_of_each_topic(queue: QueueClient) -> None:
    """Of each topic the newest record up to a position, in pages, and the end of the log (line 49)."""
    await append(queue, *(new(1, topic) for topic in ("a.x", "a.y", "a.x", "b", "a.y", "a.x")))
    async with running_task(queue.follow(Listener())), asyncio.timeout(DEADLINE):
        page = await queue.read(Read(["a.*"], after=0, limit=1, latest=5))
        assert (positions(page.messages), page.position, page.last) == ([3], 3, 6)
        page = await queue.read(Read(["a.*"], after=3, limit=1, latest=5))
        assert (positions(page.messages), page.position) == ([5], 5)


async def test_refuses_to_read_what_is_no_pattern(queue: QueueClient) -> None:
    """A page of something else is refused, with the code that subscribers know."""
    async with running_task(queue.follow(Listener())), asyncio.timeout(DEADLINE):
        with pytest.raises(Rejected) as rejected:
            await queue.read(Read(["a..b"], after=0))
    assert rejected.value.code == ErrorCode.BAD_TOPIC


async def test_lists_and_forgets_durable_consumers(prefilled: Path, queue: QueueClient) -> None:
    """A consumer is listed with its position, and is gone once it was forgotten."""
    states = [(state.name, state.position, state.behind) for state in await queue.consumers()]
    assert states == [("billing", 7, 3)]
    await queue.forget("billing")
    assert list(await queue.consumers()) == []
    with pytest.raises(Rejected, match="no durable consumer"):
        await queue.forget("billing")


class Topic:
    """Notes the records of a topic that a queue client feeds it with."""

    def __init__(self) -> None:
        self.events: list[object] = []

    def take(self, records: Sequence[Record]) -> None:
        self.events += [record.seq for record in records]

    def caught_up(self) -> None:
        self.events.append("end")


async def test_a_topic_is_followed_from_its_beginning(prefilled: Path, queue: QueueClient) -> None:
    """Its records that are there come first, then each new one; others do not come."""
    del prefilled
    await append(queue, new(11, "$t"), new(12, "t.t"), new(13, "$t"))
    topic = Topic()
    async with running_task(queue.follow_topic("$t", topic.take, topic.caught_up)):
        await until(lambda: topic.events == [11, 13, "end"])
        await append(queue, new(14), new(15, "$t"), new(16, "$"))
        await append(queue, new(17, "$t"))
        await until(lambda: topic.events == [11, 13, "end", 15, 17])


async def test_a_topic_without_records_is_caught_up_with(queue: QueueClient) -> None:
    """The end is told also where nothing is stored."""
    topic = Topic()
    async with running_task(queue.follow_topic("$t", topic.take, topic.caught_up)):
        await until(lambda: topic.events == ["end"])


async def test_ready_means_every_connection_is_up(
    make_settings: Callable[..., MsgQueueSettings], start_service: StartService
) -> None:
    """A client that follows a topic as well has no problem only once that is connected, and then none."""
    async with remote_queue(make_settings(MsgQueueSettings), start_service) as queue:
        topic = Topic()
        async with (
            running_task(queue.follow(Listener())),
            running_task(queue.follow_topic("$t", topic.take, topic.caught_up)),
            asyncio.timeout(DEADLINE),
        ):
            assert queue.problem is not None
            while queue.problem is not None:
                await asyncio.sleep(0)
            while topic.events != ["end"]:
                assert queue.problem is None
                await asyncio.sleep(0)
