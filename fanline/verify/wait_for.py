"""Waiting, with an end to it."""

import asyncio
from collections.abc import Callable
from typing import Final

POLL_SECONDS: Final = 0.1


async def happens(event: asyncio.Event, seconds: float) -> bool:
    """Wait some seconds for an event; return whether it happened."""
    try:
        async with asyncio.timeout(max(seconds, 0)):
            await event.wait()
    except TimeoutError:
        pass
    return event.is_set()


async def settles(is_done: Callable[[], bool], progress: Callable[[], int], *, quiet: float) -> bool:
    """Wait until something is done, or nothing moves any more.

    Args:
        is_done: What is waited for.
        progress: A figure that grows while there is hope.
        quiet: Seconds without growth after which there is none.

    Returns:
        Whether it was done.
    """
    loop = asyncio.get_running_loop()
    seen, since = progress(), loop.time()
    while not is_done():
        if loop.time() - since > quiet:
            return False
        await asyncio.sleep(POLL_SECONDS)
        if progress() != seen:
            seen, since = progress(), loop.time()
    return True
