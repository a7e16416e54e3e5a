"""Programs of the project as processes, forked by :mod:`tests.forking.server`."""

import asyncio
import atexit
import contextlib
import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT

ROOT = Path(__file__).resolve().parents[2]


@functools.cache
def _requests() -> socket.socket:
    """Start the server of this process, which ends with it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.forking.server", str(theirs.fileno())],
            cwd=ROOT,
            pass_fds=[theirs.fileno()],
        )

    def end() -> None:
        ours.close()
        server.wait()

    atexit.register(end)
    return ours


def fork(
    program: str,
    *arguments: str,
    environment: Mapping[str, str],
    files: Mapping[int, int],
    folder: Path = ROOT,
    new_session: bool = False,
    dies_by: signal.Signals = signal.SIGKILL,
) -> tuple[int, int]:
    """Run a program as a process.

    Args:
        program: A module, for ``python -m MODULE``, or an entry point, ``MODULE:FUNCTION``.
        arguments: Its command line.
        environment: All of its environment variables.
        files: Its open files, by their numbers there; 0 to 2 have to be among them.
        folder: Its working directory.
        new_session: Whether it leads a session of its own.
        dies_by: The signal that it gets when the tests end.

    Returns:
        Its pid, and a file from which its exit code can be read once it has ended.
    """
    request = {
        "program": program,
        "arguments": arguments,
        "environment": dict(environment),
        "targets": list(files),
        "folder": str(folder),
        "new_session": new_session,
        "dies_by": int(dies_by),
    }
    reader, writer = os.pipe()
    try:
        socket.send_fds(_requests(), [json.dumps(request).encode()], [writer, *files.values()])
    finally:
        os.close(writer)
    pid = b""
    while not pid.endswith(b"\n"):
        byte = os.read(reader, 1)
        assert byte, f"{program} was not started"
        pid += byte
    return int(pid), reader


def read_exit_code(status: int) -> int:
    """Wait until a forked program has ended, and return its exit code."""
    with open(status) as file:
        return int(file.readline())


async def start(
    program: str,
    *arguments: str,
    stdin: int = DEVNULL,
    stdout: int = PIPE,
    stderr: int = PIPE,
    more_files: Mapping[int, int] | None = None,
    environment: Mapping[str, str],
    folder: Path = ROOT,
    new_session: bool = False,
    dies_by: signal.Signals = signal.SIGKILL,
) -> "ForkedProcess":
    """Run a program as a process, with pipes, as :func:`asyncio.create_subprocess_exec` does."""
    with contextlib.ExitStack() as opened:
        theirs_in, writer = await _input(stdin, opened)
        theirs_out, reader = await _output(stdout, opened)
        theirs_err, errors = (theirs_out, None) if stderr == STDOUT else await _output(stderr, opened)
        pid, status = fork(
            program,
            *arguments,
            files={0: theirs_in, 1: theirs_out, 2: theirs_err, **(more_files or {})},
            environment=environment,
            folder=folder,
            new_session=new_session,
            dies_by=dies_by,
        )
    return ForkedProcess(pid, status, writer, reader, errors)


async def _input(file: int, opened: contextlib.ExitStack) -> tuple[int, asyncio.StreamWriter | None]:
    """Return the end of a standard input that is for the process, and ours if there is one."""
    if file != PIPE:
        return _given(file, opened), None
    ours, theirs = socket.socketpair()
    opened.enter_context(theirs)
    return theirs.fileno(), (await asyncio.open_connection(sock=ours))[1]


async def _output(file: int, opened: contextlib.ExitStack) -> tuple[int, asyncio.StreamReader | None]:
    """Return the end of an output that is for the process, and ours if there is one."""
    if file != PIPE:
        return _given(file, opened), None
    ours, theirs = os.pipe()
    opened.callback(os.close, theirs)
    return theirs, await _read_from(ours)


def _given(file: int, opened: contextlib.ExitStack) -> int:
    return opened.enter_context(open(os.devnull, "r+b")).fileno() if file == DEVNULL else file


async def _read_from(file: int) -> asyncio.StreamReader:
    stream = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: _Output(stream), os.fdopen(file, "rb"))
    return stream


class _Output(asyncio.StreamReaderProtocol):
    """A pipe that is read from, and closed at its end."""

    def eof_received(self) -> bool:
        super().eof_received()
        return False


def send_signal(pid: int, number: int) -> None:
    """Send a signal to a program, which may have ended just now."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def run(
    program: str, *arguments: str, environment: Mapping[str, str], folder: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, without input, and return what it has written."""
    with (
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
        open(os.devnull, "rb") as nothing,
    ):
        files = {0: nothing.fileno(), 1: out.fileno(), 2: err.fileno()}
        _, status = fork(program, *arguments, files=files, environment=environment, folder=folder)
        code = read_exit_code(status)
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(
            (program, *arguments), code, out.read().decode(), err.read().decode()
        )


class Background:
    """A program that runs, for tests without an event loop.

    Args:
        program: As for :func:`fork`.
        arguments: Its command line.
        environment: All of its environment variables.
        folder: Its working directory.
        stdout: What it writes to; the output of the tests by default.
    """

    def __init__(
        self,
        program: str,
        *arguments: str,
        environment: Mapping[str, str],
        folder: Path = ROOT,
        stdout: int = 1,
    ) -> None:
        with open(os.devnull, "rb") as nothing:
            files = {0: nothing.fileno(), 1: stdout, 2: 2}
            self._pid, self._status = fork(
                program, *arguments, files=files, environment=environment, folder=folder
            )
        self._code: int | None = None

    def poll(self) -> int | None:
        """Return its exit code, or None while it runs."""
        return self.wait(0)

    def wait(self, timeout: float | None = None) -> int | None:
        """Return its exit code, or None if it still runs after some seconds."""
        if self._code is None and select.select([self._status], [], [], timeout)[0]:
            self._code = read_exit_code(self._status)
        return self._code

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to it, unless it has ended."""
        if self.poll() is None:
            send_signal(self._pid, number)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)


class ForkedProcess:
    """A forked program, with what :class:`asyncio.subprocess.Process` has.

    Attributes:
        pid: Its process.
        returncode: Its exit code, or the negative number of its signal; None while it runs.
        stdin: Its standard input, if that is a pipe.
        stdout: Its standard output, if that is a pipe.
        stderr: Its standard error, if that is a pipe.
    """

    def __init__(
        self,
        pid: int,
        status: int,
        stdin: asyncio.StreamWriter | None,
        stdout: asyncio.StreamReader | None,
        stderr: asyncio.StreamReader | None,
    ) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        self._loop = asyncio.get_running_loop()
        self._ended = self._loop.create_future()
        self._loop.add_reader(status, self._end, status)

    def _end(self, status: int) -> None:
        self._loop.remove_reader(status)
        self.returncode = read_exit_code(status)
        if self.stdin is not None:
            self.stdin.transport.abort()
        self._ended.set_result(None)

    async def wait(self) -> int:
        """Wait until it has ended, and return its exit code."""
        await asyncio.shield(self._ended)
        assert self.returncode is not None
        return self.returncode

    async def communicate(self, data: bytes | None = None) -> tuple[bytes | None, bytes | None]:
        """Write to it, read all that it writes, and wait until it has ended."""
        if self.stdin is not None and self.returncode is None:
            self.stdin.write(data or b"")
            self.stdin.close()
        out, err = await asyncio.gather(_read_all(self.stdout), _read_all(self.stderr))
        await self.wait()
        return out, err

    def send_signal(self, number: int) -> None:
        """Send a signal to it, unless it has ended."""
        if self.returncode is None:
            send_signal(self.pid, number)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)


async def _read_all(stream: asyncio.StreamReader | None) -> bytes | None:
    return None if stream is None else await stream.read()
