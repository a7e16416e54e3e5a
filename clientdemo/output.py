"""Standard output, and what to do when its reader goes away: ``clientdemo sub T | head``."""

import asyncio
import os
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

STDOUT: Final = 1


@asynccontextmanager
async def while_output_is_read() -> AsyncIterator[None]:
    """Run the block, and end it when standard output is a pipe that nobody reads any more.

    Without this a program that is waiting would notice only when it next writes.

    Raises:
        BrokenPipeError: If that was so.
    """
    if not stat.S_ISFIFO(os.fstat(STDOUT).st_mode):
        yield
        return
    loop = asyncio.get_running_loop()

    def end() -> None:
        loop.remove_reader(STDOUT)
        scope.reschedule(loop.time())

    try:
        async with asyncio.timeout(None) as scope:
            # The end that is written to is never readable: the only event that it can report is an error.
            loop.add_reader(STDOUT, end)
            yield
    except TimeoutError:
        raise BrokenPipeError from None
    finally:
        loop.remove_reader(STDOUT)


def abandon_output() -> None:
    """Write to nowhere from now on: whoever reads standard output has closed it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
