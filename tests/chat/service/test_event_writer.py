"""Writing to the log, and recognizing what comes back."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from chat.domain.errors import Unavailable
from chat.domain.events import SERVERS, Beat
from chat.domain.room import Change
from chat.service.event_writer import EventWriter, Written
from fanline.errors import Disconnected, FanlineError, LoginRefused, Rejected
from fanline.protocol import Ack
from tests.stubs import DEADLINE

BEAT = Beat("s")
CHANGE = Change(BEAT)

MakeWriter = Callable[..., EventWriter]


class FakePublisher:
    """A publisher whose answers are given by the test.

    Attributes:
        ids: The id of each message, in order.
        answers: What each is answered with, in order.
        problem: Why there is no connection.
    """

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.answers: list[asyncio.Future[Ack]] = []
        self.problem: str | None = None
        self.asked = asyncio.Event()

    async def publish(self, topic: str, content: object, *, id: str) -> Ack:  # noqa: A002
        self.ids.append(id)
        self.answers.append(asyncio.get_running_loop().create_future())
        self.asked.set()
        return await self.answers[-1]


@pytest.fixture
def publisher() -> FakePublisher:
    return FakePublisher()


@pytest.fixture
def make_writer(publisher: Any) -> Iterator[MakeWriter]:
    """Make writers that are connected to the publisher."""
    with ExitStack() as connections:

        def make(timeout: float = DEADLINE) -> EventWriter:
            writer = EventWriter(timeout)
            connections.enter_context(writer.connected(publisher))
            return writer

        yield make


@pytest.fixture
def writer(make_writer: MakeWriter) -> EventWriter:
    return make_writer()


async def begin(writer: EventWriter, publisher: FakePublisher, id: str = "x") -> "asyncio.Task[Written]":  # noqa: A002
    """Begin to write, and return when the publisher has been asked to."""
    publisher.asked.clear()
    writing = asyncio.create_task(writer.write(SERVERS, BEAT, id))
    await publisher.asked.wait()
    return writing


async def test_returns_when_it_has_come_back(writer: EventWriter, publisher: FakePublisher) -> None:
    """Writing returns once the event is stored and has come back, and says what it has changed."""
    writing = await begin(writer, publisher)
    publisher.answers[0].set_result(Ack("x", 7))
    writer.settle(6, "other", CHANGE)
    writer.settle(7, "x", CHANGE)
    assert await writing == Written(7, has_come_back=True, change=CHANGE)


async def test_it_may_come_back_before_its_ack(writer: EventWriter, publisher: FakePublisher) -> None:
    """Which of the two is first does not matter."""
    writing = await begin(writer, publisher)
    writer.settle(7, "x", None)
    publisher.answers[0].set_result(Ack("x", 7))
    assert await writing == Written(7, has_come_back=True, change=None)


async def test_an_earlier_event_does_not_come_back(writer: EventWriter, publisher: FakePublisher) -> None:
    """A repetition of what came back earlier returns the position, and does not wait."""
    writer.settle(9, "y", CHANGE)
    writing = await begin(writer, publisher)
    publisher.answers[0].set_result(Ack("x", 7, duplicate=True))
    async with asyncio.timeout(DEADLINE / 2):
        assert await writing == Written(7, has_come_back=False)


async def test_two_write_the_same(writer: EventWriter, publisher: FakePublisher) -> None:
    """Two who write with the same id, one repeating the other, are both told."""
    both = [await begin(writer, publisher) for _ in range(2)]
    publisher.answers[0].set_result(Ack("x", 7))
    publisher.answers[1].set_result(Ack("x", 7, duplicate=True))
    writer.settle(7, "x", CHANGE)
    assert await asyncio.gather(*both) == [Written(7, has_come_back=True, change=CHANGE)] * 2


async def test_each_gets_an_id(writer: EventWriter, publisher: FakePublisher) -> None:
    """An event without an id gets one."""
    for n in range(2):
        publisher.asked.clear()
        writing = asyncio.create_task(writer.write(SERVERS, BEAT))
        await publisher.asked.wait()
        publisher.answers[n].set_result(Ack("x", n + 1))
        writer.settle(n + 1, publisher.ids[n], CHANGE)
        assert (await writing).has_come_back
    assert publisher.ids[0] != publisher.ids[1]


async def test_a_write_fails_after_its_timeout(make_writer: MakeWriter, publisher: FakePublisher) -> None:
    """A write that is not stored in time fails with the publisher's reason (line 25)."""
    writer = make_writer(0.01)
    with pytest.raises(Unavailable, match="the pipeline does not answer"):
        await writer.write(SERVERS, BEAT, "x")
    publisher.problem = "it is not connected"
    with pytest.raises(Unavailable, match="it is not connected"):
        await writer.write(SERVERS, BEAT, "x")


async def test_stored_but_not_back_in_time(make_writer: MakeWriter, publisher: FakePublisher) -> None:
    """A write that is stored and does not come back in time does not fail."""
    writer = make_writer(0.05)
    writing = await begin(writer, publisher)
    publisher.answers[0].set_result(Ack("x", 7))
    assert await writing == Written(7, has_come_back=False)


async def test_back_but_never_acked(make_writer: MakeWriter, publisher: FakePublisher) -> None:
    """A write that has come back succeeds without an ack."""
    writer = make_writer(0.05)
    writing = await begin(writer, publisher)
    writer.settle(7, "x", CHANGE)
    assert await writing == Written(7, has_come_back=True, change=CHANGE)


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (Rejected("too-big", "too big"), Rejected),
        (Disconnected("gone"), Unavailable),
        (LoginRefused("who are you"), Unavailable),
    ],
)
async def test_refusals_of_the_pipeline_are_translated(
    writer: EventWriter, publisher: FakePublisher, error: FanlineError, raised: type[FanlineError]
) -> None:
    """A refusal of the message is passed on; any trouble with the pipeline means that it is unavailable."""
    writing = await begin(writer, publisher)
    publisher.answers[0].set_exception(error)
    with pytest.raises(raised):
        await writing


async def test_without_a_publisher() -> None:
    """Without any connection nothing is even tried."""
    with pytest.raises(Unavailable):
        await EventWriter(DEADLINE).write(SERVERS, BEAT)


async def test_a_cancelled_write_is_forgotten(writer: EventWriter, publisher: FakePublisher) -> None:
    """A cancelled write is forgotten, and what comes back of it later does no harm (line 37)."""
    writing = await begin(writer, publisher)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert not writer.waiting
    writer.settle(7, "x", CHANGE)
    writer.settle(8, None, None)
    assert writer.position == 8
