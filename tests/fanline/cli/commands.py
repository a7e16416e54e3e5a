"""The ``fanline`` command as a process."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from subprocess import DEVNULL
from typing import TypeVar

from fanline.setting_sources import ENV_PREFIX
from tests.forking import forked
from tests.forking.forked import ForkedProcess
from tests.stubs import DEADLINE

# The command ``fanline``.
PROGRAM = "fanline.cli.main:main"


class Command:
    """A running command.

    Attributes:
        process: The process.
        said: Its standard error so far.
    """

    def __init__(self, process: ForkedProcess) -> None:
        self.process = process
        self.said = ""

    async def until(self, text: str) -> None:
        """Wait until it has said something; what was said before does not count."""
        assert self.process.stderr is not None
        seen = ""
        async with asyncio.timeout(DEADLINE):
            while text not in seen:
                line = (await self.process.stderr.readline()).decode()
                assert line, self.said
                seen += line
                self.said += line

    async def end(self) -> int:
        """Wait until it has ended, and return its exit code."""
        assert self.process.stderr is not None
        async with asyncio.timeout(DEADLINE):
            self.said += (await self.process.stderr.read()).decode()
            return await self.process.wait()


SomeCommand = TypeVar("SomeCommand", bound=Command)


@asynccontextmanager
async def running(
    folder: Path, *words: str, make: Callable[[ForkedProcess], SomeCommand]
) -> AsyncIterator[SomeCommand]:
    """Run ``fanline`` in a folder, without settings from outside; kill it at the end if it is still there."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(ENV_PREFIX)}
    process = await forked.start(PROGRAM, *words, environment=environment, folder=folder, stdout=DEVNULL)
    try:
        yield make(process)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def port_flags(services: tuple[str, ...], ports: list[int]) -> list[str]:
    """Return the flags that give each service its port."""
    return [
        part for name, port in zip(services, ports, strict=True) for part in (f"--{name}-port", str(port))
    ]
