"""One service as a child process, for kills, freezes and restarts."""

import asyncio
import resource
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from fanline.errors import ConfigurationError
from fanline.server.child_process import ChildProcess

START_SECONDS: Final = 30.0


class ServiceProcess:
    """Runs one service, on another free port each time.

    Args:
        name: The service.
        command: The command line that runs it.
        environment: Its environment.
        log: The file that its log is appended to.
        on_port: Called with the port when it listens, and with None when it has ended.
        on_death: Called with the exit code when it has ended without being asked to.
        start_timeout: Seconds that it may take until it listens.
        port: Where it listens, if it does not report that.
    """

    def __init__(  # noqa: PLR0913 - each is one fact about a process
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        log: Path,
        on_port: Callable[[int | None], None],
        on_death: Callable[[int], None],
        start_timeout: float = START_SECONDS,
        port: int | None = None,
    ) -> None:
        self._port = port
        self.name = name
        self._command = command
        self._environment = environment
        self._log = log
        self._on_port = on_port
        self._on_death = on_death
        self._start_timeout = start_timeout
        self._is_ending = False
        self._child: ChildProcess | None = None
        self._watching: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        """Return whether there is a process."""
        return self._watching is not None and not self._watching.done()

    @property
    def pid(self) -> int | None:
        """Process id of the service; None without a process."""
        return self._child.pid if self._child is not None and self.is_running else None

    @property
    def resident_bytes(self) -> int:
        """The memory that it has resident; 0 without a process."""
        if (pid := self.pid) is None:
            return 0
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize()

    async def start(self) -> None:
        """Start it, and wait until it listens.

        Raises:
            ConfigurationError: If it does not.
        """
        self._is_ending = True  # until it listens, its end is reported here, and not as a death
        # SIGKILL, because it may be frozen when this process dies.
        child = await ChildProcess.spawn(
            self._command, self._environment, self._write_log, dies_by=signal.SIGKILL
        )
        self._child = child
        self._watching = asyncio.create_task(self._watch(child))
        try:
            async with asyncio.timeout(self._start_timeout):
                port = self._port or await child.listening()
        except TimeoutError:
            port = None
        if port is None:
            await self.kill()
            raise ConfigurationError(f"{self.name} does not start: {child.last_line.decode()}")
        self._is_ending = False
        self._on_port(port)

    async def kill(self) -> None:
        """Kill it, as a power cut would."""
        self._is_ending = True
        if self._child is not None and self._watching is not None:
            await self._child.kill()
            await asyncio.wait([self._watching])

    async def terminate(self, timeout: float) -> int | None:
        """Ask the process to stop, and return its exit code.

        It is killed after ``timeout`` seconds; then the result is None.
        """
        self._is_ending = True
        if self._child is None or self._watching is None:
            return 0
        code = await self._child.stop(timeout)
        await asyncio.wait([self._watching])
        return code

    def freeze(self) -> None:
        """Stop it in its tracks, if it runs, until :meth:`thaw`."""
        if self._child is not None:
            self._child.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Resume the process."""
        if self._child is not None:
            self._child.send_signal(signal.SIGCONT)

    def _write_log(self, line: bytes) -> None:
        with self._log.open("ab") as log:
            log.write(line + b"\n")

    async def _watch(self, child: ChildProcess) -> None:
        code = await child.wait()
        self._on_port(None)
        if not self._is_ending:
            self._on_death(code)
