"""Tests of the signal that any number of waiters share."""

import asyncio

from fanline.change_notifier import ChangeNotifier
from tests.stubs import DEADLINE


async def test_all_waiters_are_woken() -> None:
    """One firing ends every wait that was begun before it."""
    signal = ChangeNotifier()
    waits = [asyncio.ensure_future(asyncio.wait([signal.next])) for _ in range(3)]
    await asyncio.sleep(0)
    signal.fire()
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(*waits)


async def test_a_change_between_taking_and_waiting_is_not_missed() -> None:
    """A future taken before the firing is done, however late it is waited for."""
    signal = ChangeNotifier()
    taken = signal.next
    signal.fire()
    async with asyncio.timeout(DEADLINE):
        await asyncio.shield(taken)


async def test_one_firing_does_not_end_later_waits() -> None:
    """Each firing counts once."""
    signal = ChangeNotifier()
    signal.fire()
    assert not signal.next.done()


async def test_a_cancelled_waiter_does_not_affect_others() -> None:
    """Neither the others that wait nor the next firing notice a shielded wait that was cancelled."""
    signal = ChangeNotifier()

    async def wait() -> None:
        await asyncio.shield(signal.next)

    gone, stays = asyncio.create_task(wait()), asyncio.create_task(wait())
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait([gone])
    signal.fire()
    async with asyncio.timeout(DEADLINE):
        await stays
    assert gone.cancelled()


async def test_it_can_be_fired_without_waiters() -> None:
    """Any number of times, and the next wait is still for the next firing."""
    signal = ChangeNotifier()
    for _ in range(3):
        signal.fire()
    taken = signal.next
    assert not taken.done()
    signal.fire()
    assert taken.done()
