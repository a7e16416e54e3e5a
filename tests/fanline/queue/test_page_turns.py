"""Turns of those who read pages: each user gets theirs, however much others have asked for."""

import asyncio
from typing import cast

import pytest

from fanline.errors import ErrorCode, Rejected
from fanline.protocol import PageAnswer, Read
from fanline.queue.base import QueueClient
from fanline.queue.page_turns import PageTurns


class SlowQueue:
    """A queue that answers when a test says so.

    Attributes:
        asked: The topics of the requests that have arrived, in order.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._answers: list[asyncio.Future[PageAnswer]] = []

    async def read(self, read: Read) -> PageAnswer:
        """Wait for :meth:`answer`."""
        self.asked += read.topics
        self._answers.append(asyncio.get_running_loop().create_future())
        return await self._answers[-1]

    async def answer(self) -> None:
        """Answer the oldest request, if any, and let the next one come."""
        if self._answers:
            answer = self._answers.pop(0)
            if not answer.done():
                answer.set_result(PageAnswer(0))
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.fixture
def queue() -> SlowQueue:
    return SlowQueue()


@pytest.fixture
def turns(queue: SlowQueue) -> PageTurns:
    """Return turns of which three are in progress at a time, two of one user."""
    return PageTurns(cast("QueueClient", queue), at_once=3)


async def ask(turns: PageTurns, user: str, count: int) -> list[asyncio.Task[PageAnswer]]:
    """Make requests of a user, named after the user and numbered, and wait until they are made."""
    tasks = [asyncio.create_task(turns.read(user, Read([f"{user}{n}"]))) for n in range(count)]
    await asyncio.sleep(0)
    return tasks


async def test_users_take_turns(queue: SlowQueue, turns: PageTurns) -> None:
    """One with two requests does not wait for another one's hundred, nor for the end of any of them."""
    tasks = await ask(turns, "a", 100)
    assert queue.asked == ["a0", "a1"]
    tasks += await ask(turns, "b", 2) + await ask(turns, "c", 1)
    assert queue.asked == ["a0", "a1", "b0"]
    for _ in range(4):
        await queue.answer()
    assert queue.asked == ["a0", "a1", "b0", "a2", "b1", "c0", "a3"]
    for _ in range(100):
        await queue.answer()
    assert len(queue.asked) == 103
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("is_running", [True, False])
async def test_a_cancelled_request_gives_its_turn_away(
    queue: SlowQueue, turns: PageTurns, *, is_running: bool
) -> None:
    """A page that is not waited for any more is not read, and holds up nothing."""
    tasks = await ask(turns, "a", 4)
    cancelled = tasks[0 if is_running else 2]
    cancelled.cancel()
    await asyncio.wait([cancelled])
    for _ in range(9):
        await queue.answer()
    await asyncio.wait(tasks)
    assert ("a2" in queue.asked) is is_running
    assert queue.asked[-1] == "a3"


async def test_a_cancelled_turn_is_passed_on(queue: SlowQueue, turns: PageTurns) -> None:
    """One that is cancelled just as its turn comes leaves it to the next."""
    tasks = await ask(turns, "a", 4)
    tasks[0].cancel()
    tasks[2].cancel()
    await asyncio.wait([tasks[0], tasks[2]])
    for _ in range(9):
        await queue.answer()
    await asyncio.wait(tasks)
    assert queue.asked == ["a0", "a1", "a3"]


async def test_refuses_what_would_wait_too_long(queue: SlowQueue, turns: PageTurns) -> None:
    """A user with many requests that wait gets an error for one more; another user does not."""
    tasks = await ask(turns, "a", 5)
    with pytest.raises(Rejected) as rejected:
        await turns.read("a", Read(["a"]), most_waiting=3)
    assert rejected.value.code == ErrorCode.QUEUE_UNAVAILABLE
    other = asyncio.create_task(turns.read("b", Read(["b"]), most_waiting=3))
    await asyncio.sleep(0)
    for _ in range(9):
        await queue.answer()
    await asyncio.gather(*tasks, other)
