"""Run tasks that end with the block of code that started them."""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from websockets.exceptions import ConnectionClosed

logger = logging.getLogger(__name__)


@asynccontextmanager
async def running_task(coroutine: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run a coroutine as a task during the block; then cancel it and wait for it.

    The task may end earlier: because its connection closed, which the block notices itself, or because of a
    defect, which is logged.
    """
    task = asyncio.create_task(coroutine)
    try:
        yield
    finally:
        await cancel_and_wait(task)


async def cancel_and_wait(*tasks: asyncio.Task[None]) -> None:
    """Cancel tasks, wait until they have ended, and log their errors."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
    for task in tasks:
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, ConnectionClosed):
            logger.error("a background task failed", exc_info=error)
