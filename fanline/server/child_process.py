"""Services as child processes: started, ready, restarted, stopped, never left behind."""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from fanline.backoff import Backoff
from fanline.errors import EXIT_CONFIGURATION, ConfigurationError
from fanline.setting_sources import ENV_PREFIX, variable_of
from fanline.settings import READY_FD_VARIABLE
from fanline.tasks import running_task

# Linux: the signal that a child gets when its parent dies (prctl(2)). Loaded before any fork, because
# little may safely be done between fork and exec.
_PR_SET_PDEATHSIG: Final = 1
_libc: Final = ctypes.CDLL(None)

# A child that ran this long before it died is started again at once, or nearly.
_STEADY_SECONDS: Final = 10.0

# Bytes that are read from a log at a time, and kept of a line before it is cut.
CHUNK: Final = 65_536


def die_with_parent(number: signal.Signals = signal.SIGTERM) -> Callable[[], None]:
    """Return the ``preexec_fn`` that signals a child when its parent dies.

    Args:
        number: SIGKILL for a child that may be stopped by SIGSTOP, which delays all other signals.
    """

    def arrange() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, number)

    return arrange


def module_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs an installed module.

    A file of that name in the current folder is not run.
    """
    return [sys.executable, "-P", "-m", module, *arguments]


def environment_of(settings: Mapping[str, object]) -> dict[str, str]:
    """Return this process's environment, with ``settings`` and no others of Fanline."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(ENV_PREFIX) and name != "WS_CERT_DIR"
    }
    return inherited | {variable_of(name): str(value) for name, value in settings.items()}


class LineSplitter:
    """Splits chunks of a log into lines, of at most :data:`CHUNK` bytes."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the lines that a chunk completes, without their ends."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) >= CHUNK:
            lines.append(self._rest)
            self._rest = b""
        return lines

    def end(self) -> list[bytes]:
        """Return the last line, if it has no end."""
        return [self._rest] if self._rest else []


class ChildProcess:
    """One run of a service in a child process and its session.

    :meth:`spawn` starts it.

    Attributes:
        pid: Its process.
        last_line: Last line of its log so far.
    """

    def __init__(self, process: asyncio.subprocess.Process, ready: int, on_line: Callable[[bytes], None]):
        self.pid = process.pid
        self.last_line = b""
        self._process = process
        self._on_line = on_line
        self._port = asyncio.create_task(_read_port(ready))
        self._copying = asyncio.create_task(self._copy_log())

    @classmethod
    async def spawn(
        cls,
        command: Sequence[str],
        environment: Mapping[str, str],
        on_line: Callable[[bytes], None],
        *,
        dies_by: signal.Signals = signal.SIGTERM,
    ) -> "ChildProcess":
        """Start a child process.

        Args:
            command: The command line.
            environment: All of its environment variables.
            on_line: Called with every line of its log, without its end. Its OSError, when the line cannot be
                shown, is ignored: a log that is not copied would stop the child.
            dies_by: The signal that it gets when this process dies.
        """
        reader, writer = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                env={**environment, READY_FD_VARIABLE: str(writer)},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                pass_fds=[writer],
                start_new_session=True,  # so that Ctrl-C reaches this process only, which stops its children
                preexec_fn=die_with_parent(dies_by),
            )
        except BaseException:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        return cls(process, reader, on_line)

    @property
    def is_running(self) -> bool:
        """Return whether the process exists."""
        return self._process.returncode is None

    async def listening(self) -> int | None:
        """Return the port as soon as the service listens.

        None if the service ends before.
        """
        return await asyncio.shield(self._port)

    async def wait(self) -> int:
        """Wait until it has ended, and return its exit code."""
        code = await self._process.wait()
        await asyncio.wait([self._copying, self._port])
        return code

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to it, unless it has ended."""
        if self.is_running:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def stop(self, timeout: float) -> int | None:
        """Ask the process to stop, and return its exit code.

        It is killed after ``timeout`` seconds; then the result is None.
        """
        self.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(timeout):
                return await self.wait()
        except TimeoutError:
            await self.kill()
            return None

    async def kill(self) -> None:
        """Kill the process, like a power cut, and wait for its end."""
        self.send_signal(signal.SIGKILL)
        await self.wait()

    async def _copy_log(self) -> None:
        assert self._process.stdout is not None
        splitter = LineSplitter()
        while chunk := await self._process.stdout.read(CHUNK):
            self._pass_on(splitter.feed(chunk))
        self._pass_on(splitter.end())

    def _pass_on(self, lines: Sequence[bytes]) -> None:
        for line in lines:
            self.last_line = line
            with contextlib.suppress(OSError):
                self._on_line(line)


async def _read_port(descriptor: int) -> int | None:
    """Read what :func:`fanline.server.process.report_ready` writes; None if nothing."""
    stream = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(descriptor, "rb")
    )
    try:
        line = await stream.readline()
    finally:
        transport.close()
    return int(line) if line else None


class Supervisor:
    """Runs a service as a child process, and restarts it with backoff.

    Args:
        name: The service.
        spawn: Starts it.
        say: Called with what happens to it, in words.

    Attributes:
        has_listened: Set once it has listened for the first time.
    """

    def __init__(
        self, name: str, spawn: Callable[[], Awaitable[ChildProcess]], say: Callable[[str], None]
    ) -> None:
        self.has_listened = asyncio.Event()
        self._name = name
        self._spawn = spawn
        self._say = say
        self._backoff = Backoff()
        self._stopping = asyncio.Event()
        self._listening: ChildProcess | None = None

    def stop(self) -> None:
        """Make :meth:`run` stop the service and return."""
        self._stopping.set()

    def reload(self) -> None:
        """Tell a listening service to read settings and files again.

        A service that does not listen yet reads them anyway.
        """
        if self._listening is not None:
            self._listening.send_signal(signal.SIGHUP)

    async def run(self, stop_timeout: float) -> None:
        """Run the service until :meth:`stop` is called.

        It is killed if it then takes longer than ``stop_timeout`` seconds.

        Raises:
            ConfigurationError: If the service cannot start as configured; its log says why.
        """
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            started = loop.time()
            code = await self._run_once(stop_timeout)
            if self._stopping.is_set():
                return
            if code == EXIT_CONFIGURATION:
                raise ConfigurationError(f"{self._name} cannot start; it says why above")
            if loop.time() - started > _STEADY_SECONDS:
                self._backoff.reset()
            self._say(f"has died ({_cause(code)}) and is started again")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self._backoff.next())

    async def _run_once(self, stop_timeout: float) -> int:
        child = await self._spawn()
        stopping = asyncio.create_task(self._stopping.wait())
        ending = asyncio.create_task(child.wait())
        try:
            async with running_task(self._note_listening(child)):
                await asyncio.wait([stopping, ending], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._listening = None
            stopping.cancel()
            if await child.stop(stop_timeout) is None:
                self._say("does not stop and is killed")
        return await ending

    async def _note_listening(self, child: ChildProcess) -> None:
        if await child.listening() is not None:
            self._listening = child
            self.has_listened.set()


def _cause(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
