"""End of standard output's reader, as in ``clientdemo sub T | head``."""

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
    """Run the block, and end it when standard output is closed.

    The reader of a pipe closes it. Without this a program that waits would notice only when it next writes.

    Raises:
        BrokenPipeError: If the reader closed the pipe.
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
            # The write end of a pipe is never readable: the only event it can report is an error.
            loop.add_reader(STDOUT, end)
            yield
    except TimeoutError:
        raise BrokenPipeError from None
    finally:
        loop.remove_reader(STDOUT)


def abandon_output() -> None:
    """Discard further output, because the reader of standard output has closed it."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
