"""Members who have gone, until it is in the log."""

import asyncio
from typing import Any, cast

from chat.domain.events import Left
from chat.service.pending_leaves import PendingLeaves
from fanline.client import Publisher
from fanline.tasks import running_task
from tests.conftest import until


class FakePublisher:
    """Notes what is sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, object, str]] = []

    async def send(self, topic: str, content: object, *, id: str) -> Any:  # noqa: A002
        self.sent.append((topic, content, id))


def left(member: str) -> Left:
    return Left("k", member, "Ada", "s")


async def test_a_leave_is_written_once() -> None:
    """A leave is written once, with an id that is the same on every server."""
    leaves, publisher = PendingLeaves(), FakePublisher()
    leaves.add("a", left("m"))
    async with running_task(leaves.run(cast("Publisher", publisher))):
        await until(lambda: len(publisher.sent) == 1)
        leaves.add("a", left("m"))
        leaves.add("b", left("n"))
        await until(lambda: len(publisher.sent) == 2)
    assert publisher.sent == [
        ("chat.room.a", left("m"), "left:m"),
        ("chat.room.b", left("n"), "left:n"),
    ]


async def test_a_leave_is_written_until_it_comes_back() -> None:
    """A leave that has not come back is written again with the next publisher."""
    leaves = PendingLeaves()
    for member in ("m", "n"):
        leaves.add("a", left(member))
    first, second = FakePublisher(), FakePublisher()
    async with running_task(leaves.run(cast("Publisher", first))):
        await until(lambda: len(first.sent) == 2)
    leaves.discard("m")
    async with running_task(leaves.run(cast("Publisher", second))):
        await until(lambda: len(second.sent) == 1)
        assert second.sent[0][2] == "left:n"
        settled = asyncio.create_task(leaves.wait_until_empty())
        await asyncio.sleep(0)
        assert not settled.done()
        leaves.discard("n")
        await settled
    assert not leaves


async def test_a_discarded_leave_is_not_written() -> None:
    """A leave that has come back, or whose room is deleted, is not written."""
    leaves, publisher = PendingLeaves(), FakePublisher()
    for member in ("m", "n"):
        leaves.add("a", left(member))
    leaves.discard("m")
    leaves.discard("unknown")
    async with running_task(leaves.run(cast("Publisher", publisher))):
        await until(lambda: len(publisher.sent) == 1)
    assert publisher.sent[0][2] == "left:n"


async def test_clearing_forgets_all_leaves() -> None:
    """After clearing, no leave is pending."""
    leaves = PendingLeaves()
    await leaves.wait_until_empty()
    leaves.add("a", left("m"))
    leaves.clear()
    await leaves.wait_until_empty()
    assert not leaves
