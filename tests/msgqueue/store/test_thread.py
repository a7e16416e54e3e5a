"""Tests of the thread next to the event loop."""

import asyncio
import threading
from collections.abc import AsyncIterator
from functools import partial

import pytest

from msgqueue.store.thread import CallThread
from tests.stubs import DEADLINE


@pytest.fixture
async def thread() -> AsyncIterator[CallThread]:
    thread = CallThread("store-test")
    yield thread
    thread.stop()


async def test_calls_one_after_the_other(thread: CallThread) -> None:
    """Functions are called in the order in which they came, on the thread, and their results come back."""
    called: list[tuple[int, str]] = []

    def note(number: int) -> int:
        called.append((number, threading.current_thread().name))
        return number

    async with asyncio.timeout(DEADLINE):
        results = await asyncio.gather(*(thread.call(partial(note, n)) for n in range(20)))
    assert results == list(range(20))
    assert called == [(number, "store-test") for number in range(20)]


async def test_raises_what_was_raised(thread: CallThread) -> None:
    """The error of a function is raised where it is awaited, and the thread continues."""

    def fail() -> None:
        raise OSError("no")

    async with asyncio.timeout(DEADLINE):
        with pytest.raises(OSError, match="no"):
            await thread.call(fail)
        assert await thread.call(lambda: 7) == 7


async def test_tells_of_success_before_the_future_is_done(thread: CallThread) -> None:
    """``on_success`` is called on the event loop, and first."""
    told: list[tuple[int, bool, bool]] = []
    here = threading.get_ident()

    def tell(result: int) -> None:
        told.append((result, done.done(), threading.get_ident() == here))

    done = thread.call(lambda: 7, tell)
    async with asyncio.timeout(DEADLINE):
        assert await done == 7
    assert told == [(7, False, True)]


async def test_a_call_that_is_not_awaited_is_made(thread: CallThread) -> None:
    """A wait that was cancelled does not take the call back, nor what comes of it, nor the later ones."""
    gate, told = threading.Event(), asyncio.Event()
    waiting = asyncio.ensure_future(asyncio.wait_for(thread.call(gate.wait, lambda _: told.set()), DEADLINE))
    failing = thread.call(lambda: 1 // 0)
    await asyncio.sleep(0)
    waiting.cancel()
    failing.cancel()
    gate.set()
    async with asyncio.timeout(DEADLINE):
        await told.wait()
        assert await thread.call(lambda: 7) == 7
    assert waiting.cancelled()
    assert failing.cancelled()


async def test_stops_after_what_was_handed_over(thread: CallThread) -> None:
    """Calls made before the stop are made, and then the thread ends."""
    last = thread.call(threading.current_thread)
    thread.stop()
    async with asyncio.timeout(DEADLINE):
        ended = await last
    await asyncio.to_thread(ended.join, DEADLINE)
    assert not ended.is_alive()


def test_outlives_a_closed_event_loop() -> None:
    """A result for which there is no event loop any more is dropped."""
    gate = threading.Event()

    async def leave() -> threading.Thread:
        thread = CallThread("store-test")
        worker = await thread.call(threading.current_thread)
        thread.call(gate.wait)
        thread.stop()
        return worker

    worker = asyncio.run(leave())
    gate.set()
    worker.join(DEADLINE)
    assert not worker.is_alive()
