"""Tests of listeners: they get all events, and none of them delays another."""

import asyncio
from collections.abc import Sequence

import pytest

from fanline.hub import Event, EventType, Hub, HubClosed, Missed
from fanline.hub.listener import STOP_TIMEOUT
from tests.conftest import until
from tests.stubs import DEADLINE


class Recorder:
    """A listener that can be told to wait, or to fail, and remembers what it was called with."""

    def __init__(self) -> None:
        self.calls: list[Sequence[Event | Missed]] = []
        self.failing = False
        self.free = asyncio.Event()
        self.free.set()

    def __repr__(self) -> str:
        return "the recorder"

    async def __call__(self, events: Sequence[Event | Missed]) -> None:
        self.calls.append(events)
        await self.free.wait()
        if self.failing:
            raise OSError("no space left")

    @property
    def ids(self) -> list[int | Missed]:
        """The ids of all events, in order, among the notes of what was missed."""
        return [event if isinstance(event, Missed) else event.id for call in self.calls for event in call]


@pytest.fixture
def hub() -> Hub:
    return Hub("lobby", max_pending=5)


async def test_a_listener_has_every_event(hub: Hub) -> None:
    """From when it was attached to the close of the hub, whose end it waits for (line 36)."""
    hub.message("ada", "too early")
    recorder = Recorder()
    hub.attach_listener(recorder)
    hub.add("ada", "1")
    hub.message("ada", "hello")
    async with asyncio.timeout(DEADLINE):
        await until(lambda: recorder.ids == [2, 3])
        hub.remove("ada", "1")
        await hub.close()
    assert recorder.ids == [2, 3, 4, 5]
    last = recorder.calls[-1][-1]
    assert isinstance(last, Event)
    assert last.type is EventType.CLOSE


async def test_many_listeners_have_the_same(hub: Hub) -> None:
    """Each of them has everything (line 36)."""
    recorders = [Recorder() for _ in range(100)]
    for recorder in recorders:
        hub.attach_listener(recorder)
    for text in "abcd":
        hub.message("ada", text)
    async with asyncio.timeout(DEADLINE):
        await hub.close()
    assert all(recorder.ids == [1, 2, 3, 4, 5] for recorder in recorders)


async def test_stopping_flushes(hub: Hub) -> None:
    """One that is detached takes what came before, and nothing that comes after (line 36)."""
    recorder, other = Recorder(), Recorder()
    attachment = hub.attach_listener(recorder)
    hub.attach_listener(other)
    for text in "abc":
        hub.message("ada", text)
    assert not recorder.calls
    async with asyncio.timeout(DEADLINE):
        await attachment.stop()
        hub.message("ada", "too late")
        await attachment.stop()
        await hub.close()
    assert recorder.ids == [1, 2, 3]
    assert other.ids == [1, 2, 3, 4, 5]


async def test_a_stalled_listener_delays_no_other(hub: Hub) -> None:
    """The others get all events; it gets the number of events it missed (line 36)."""
    stalled, brisk = Recorder(), Recorder()
    stalled.free.clear()
    hub.attach_listener(stalled)
    hub.attach_listener(brisk)
    stream = hub.add("ada", "1")
    async with asyncio.timeout(DEADLINE):
        await until(lambda: stalled.ids == [1])
        for number in range(2, 21):
            hub.message("ada", "hello")
            await until(lambda number=number: number in brisk.ids)  # type: ignore[misc]
            assert await stream.wait()
            stream.take_all()
        assert stalled.ids == [1]
        assert stream.missed == 0
        stalled.free.set()
        await hub.close()
    assert brisk.ids == list(range(1, 22))
    assert stalled.ids == [1, 2, 3, 4, 5, 6, Missed(14), 21]


async def test_a_listener_that_fails_is_told_what_it_missed(
    hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    """It is called again with what comes next, and the number of what it did not take first (line 36)."""
    recorder = Recorder()
    recorder.failing = True
    hub.attach_listener(recorder)
    hub.message("ada", "one")
    hub.message("ada", "two")
    async with asyncio.timeout(DEADLINE):
        await until(lambda: len(recorder.calls) == 1)
        hub.message("ada", "three")
        await until(lambda: len(recorder.calls) == 2)
        recorder.failing = False
        hub.message("ada", "four")
        await hub.close()
    assert recorder.ids == [1, 2, Missed(2), 3, Missed(3), 4, 5]
    assert [record.getMessage() for record in caplog.records] == [
        "the recorder has failed; events missed: 2",
        "the recorder has failed; events missed: 3",
    ]
    assert "OSError: no space left" in caplog.text


async def test_closing_does_not_wait_for_a_stalled_listener_for_ever(
    hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    """After the time it is cut short, and what it has not taken is logged; the others are done (line 36)."""
    stalled, brisk = Recorder(), Recorder()
    stalled.free.clear()
    attachment = hub.attach_listener(stalled)
    hub.attach_listener(brisk)
    hub.message("ada", "hello")
    async with asyncio.timeout(DEADLINE):
        await until(lambda: stalled.ids == [1])
        for text in "abcdefgh":
            hub.message("ada", text)
    async with asyncio.timeout(STOP_TIMEOUT / 2):
        await hub.close(timeout=0.01)
    assert attachment.task.cancelled()
    assert brisk.ids == [1, 2, 3, 4, 5, 6, Missed(3), 10]
    assert [record.getMessage() for record in caplog.records] == [
        "the recorder was stopped before it had taken all; events missed: 10"
    ]


async def test_closing_may_be_cancelled(hub: Hub) -> None:
    """Nothing of it runs on then, and the hub is closed (line 37)."""
    stalled = Recorder()
    stalled.free.clear()
    attachment = hub.attach_listener(stalled)
    hub.message("ada", "hello")
    closing = asyncio.create_task(hub.close())
    async with asyncio.timeout(DEADLINE):
        await until(lambda: bool(stalled.calls))
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
    assert attachment.task.cancelled()
    with pytest.raises(HubClosed):
        hub.attach_listener(stalled)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_two_may_close_at_once(hub: Hub) -> None:
    """Both wait until the listeners are done, and there is one event."""
    recorder = Recorder()
    recorder.free.clear()
    hub.attach_listener(recorder)
    closings = [asyncio.create_task(hub.close()) for _ in range(2)]
    async with asyncio.timeout(DEADLINE):
        await until(lambda: bool(recorder.calls))
        assert not any(closing.done() for closing in closings)
        recorder.free.set()
        await asyncio.gather(*closings)
    assert recorder.ids == [1]


async def test_a_listener_whose_program_ends_does_not_lose_in_silence(
    hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    """Its task is cancelled with all others, and says what was not taken, if anything (line 36)."""
    for texts in ((), ("one", "two")):
        attachment = hub.attach_listener(Recorder())
        await asyncio.sleep(0)
        for text in texts:
            hub.message("ada", text)
        attachment.task.cancel()
        await asyncio.wait({attachment.task})
    assert [record.getMessage() for record in caplog.records] == [
        "the recorder was stopped before it had taken all; events missed: 2"
    ]


async def test_a_listener_may_use_the_hub(hub: Hub) -> None:
    """A message that it sends is an event like any other, and comes to it later."""
    seen: list[str | None] = []

    async def echo(events: Sequence[Event | Missed]) -> None:
        for event in events:
            assert isinstance(event, Event)
            seen.append(event.message)
            if event.user == "ada":
                hub.message("echo", f"{event.message}, {event.message}")

    hub.attach_listener(echo)
    hub.message("ada", "hello")
    async with asyncio.timeout(DEADLINE):
        await until(lambda: len(seen) == 2)
        await hub.close()
    assert seen == ["hello", "hello, hello", None]
