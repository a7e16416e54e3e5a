"""Tasks that end with the block of code that started them."""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from websockets.exceptions import ConnectionClosed

logger = logging.getLogger(__name__)


async def sleep_and_read(seconds: float) -> None:
    """Sleep, then let the event loop read what has arrived.

    A process that stood still, because it or its machine was stopped, finds its timers first and what its
    peers have sent in time only then. Who judges peers by their silence sleeps by this.

    Args:
        seconds: How long to sleep.
    """
    await asyncio.sleep(seconds)
    await asyncio.sleep(0)


def start_task(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Run a coroutine as a task that logs its defects at once.

    :func:`cancel_and_wait` ends it. It may end earlier: because its connection closed, or by a defect.
    """
    task = asyncio.create_task(coroutine)
    task.add_done_callback(_log_defect)
    return task


def _log_defect(task: asyncio.Task[None]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, ConnectionClosed):
        logger.error("a background task has failed", exc_info=error)


@asynccontextmanager
async def running_task(coroutine: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run a coroutine as a task during the block, then end it.

    The task is one of :func:`start_task`.
    """
    task = start_task(coroutine)
    try:
        yield
    finally:
        await cancel_and_wait(task)


async def cancel_and_wait(*tasks: asyncio.Task[None]) -> None:
    """Cancel tasks that :func:`start_task` has started, and wait until they have ended."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
