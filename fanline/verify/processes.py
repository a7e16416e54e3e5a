"""One service as a child process, to be killed, frozen, stopped and started again."""

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from fanline.errors import ConfigurationError
from fanline.server.child_process import die_with_parent

START_SECONDS: Final = 30.0

_LISTENING: Final = re.compile(rb"listening on https://[^:]+:(\d+)")


class ServiceProcess:
    """Runs one service, on another free port each time.

    Args:
        name: Which service.
        command: The command line that runs it.
        environment: Its environment.
        log: The file that its log is added to.
        on_port: Called with the port when it listens, and with None when it has ended.
        on_death: Called with the exit code when it has ended without being asked to.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        log: Path,
        on_port: Callable[[int | None], None],
        on_death: Callable[[int], None],
    ) -> None:
        self.name = name
        self._command = command
        self._environment = environment
        self._log = log
        self._on_port = on_port
        self._on_death = on_death
        self._last_line = b""
        self._is_ending = False
        self._process: asyncio.subprocess.Process | None = None
        self._watching: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        """Whether there is a process."""
        return self._watching is not None and not self._watching.done()

    async def start(self) -> None:
        """Start it, and wait until it listens.

        Raises:
            ConfigurationError: If it does not.
        """
        self._is_ending = True  # until it listens, its end is reported here, and not as a death
        self._process = await asyncio.create_subprocess_exec(
            *self._command, env=self._environment, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
            # SIGKILL, because it may be frozen; and a session of its own, so that Ctrl-C does not reach it.
            start_new_session=True, preexec_fn=die_with_parent(signal.SIGKILL),
        )  # fmt: skip
        listening: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._watching = asyncio.create_task(self._watch(self._process, listening))
        try:
            async with asyncio.timeout(START_SECONDS):
                port = await listening
        except TimeoutError:
            await self.kill()
            port = None
        if port is None:
            raise ConfigurationError(f"{self.name} does not start: {self._last_line.decode().strip()}")
        self._is_ending = False
        self._on_port(port)

    async def kill(self) -> None:
        """Kill it, as a power cut would."""
        self.send_signal(signal.SIGKILL)
        await self._ended()

    async def terminate(self, seconds: float) -> int | None:
        """Ask it to stop, and return its exit code; None if it took longer and was killed."""
        self.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(seconds):
                return await self._ended()
        except TimeoutError:
            await self.kill()
            return None

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs; SIGKILL and SIGTERM announce that it is to end."""
        self._is_ending |= number in (signal.SIGKILL, signal.SIGTERM)
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _ended(self) -> int:
        if self._process is None or self._watching is None:
            return 0
        await asyncio.wait([self._watching])
        return await self._process.wait()

    async def _watch(
        self, process: asyncio.subprocess.Process, listening: "asyncio.Future[int | None]"
    ) -> None:
        """Keep its log, and note its end."""
        assert process.stderr is not None
        with self._log.open("ab", buffering=0) as log:
            async for line in process.stderr:
                log.write(line)
                self._last_line = line
                if (found := _LISTENING.search(line)) and not listening.done():
                    listening.set_result(int(found[1]))
        code = await process.wait()
        if not listening.done():
            listening.set_result(None)
        self._on_port(None)
        if not self._is_ending:
            self._on_death(code)


def environment(settings: Mapping[str, object]) -> dict[str, str]:
    """Return this process's environment, with these settings and no others."""
    inherited = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("FANLINE_") and key != "WS_CERT_DIR"
    }
    return inherited | {f"FANLINE_{name.upper()}": str(value) for name, value in settings.items()}
