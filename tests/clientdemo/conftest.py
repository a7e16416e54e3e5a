"""Runs ``python -m clientdemo`` as a process of its own, between two stub services."""

import asyncio
import os
import pty
import re
import signal
import termios
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE
from typing import BinaryIO

import pytest

from tests.clientdemo.stub_chat import StubChat
from tests.forking import forked
from tests.forking.forked import ForkedProcess
from tests.stubs import DEADLINE, StubPublisher, StubSubscriber

_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|[()][AB0]|[=>])")


@dataclass
class Result:
    """How a process ended, and what it wrote."""

    code: int
    out: str
    err: str


class Process:
    """A running client, connected by pipes."""

    def __init__(self, process: ForkedProcess) -> None:
        self.process = process

    async def line(self) -> str:
        """Return the next line of standard output."""
        return await _line(self.process.stdout)

    async def error_line(self) -> str:
        """Return the next line of standard error."""
        return await _line(self.process.stderr)

    async def type(self, line: str) -> None:
        """Write a line to standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())
        await self.process.stdin.drain()

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    async def end(self, stdin: bytes = b"") -> Result:
        """Write the rest of standard input, close it, and wait for the end."""
        async with asyncio.timeout(DEADLINE):
            out, err = await self.process.communicate(stdin)
        assert self.process.returncode is not None
        result = Result(self.process.returncode, (out or b"").decode(), (err or b"").decode())
        assert "Traceback" not in result.err
        return result


async def _line(stream: asyncio.StreamReader | None) -> str:
    assert stream is not None
    async with asyncio.timeout(DEADLINE):
        return (await stream.readline()).decode().rstrip("\n")


class Terminal:
    """A running client at a terminal of its own."""

    def __init__(self, process: ForkedProcess, master: int) -> None:
        self.process = process
        self._master = master
        self._text = ""
        self._seen = 0
        self._changed = asyncio.Event()
        asyncio.get_running_loop().add_reader(master, self._read)

    async def ready(self) -> None:
        """Wait for the prompt; before it, control keys are for the terminal and not for the client."""
        await self.expect(r"\n>[ \x08]")

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._master, keys.encode())

    async def expect(self, pattern: str) -> str:
        """Wait until something matching appears on the screen, behind what was expected before."""
        async with asyncio.timeout(DEADLINE):
            while not (found := re.search(pattern, self._text[self._seen :])):
                self._changed.clear()
                await self._changed.wait()
        self._seen += found.end()
        return found[0]

    @property
    def text(self) -> str:
        """Everything shown so far, without colors and cursor movements."""
        return self._text

    async def end(self) -> int:
        """Wait for the end, and return the exit code."""
        async with asyncio.timeout(DEADLINE):
            return await self.process.wait()

    def close(self) -> None:
        """Close the terminal."""
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)

    def _read(self) -> None:
        try:
            data = os.read(self._master, 65_536)
        except OSError:  # the process has ended
            asyncio.get_running_loop().remove_reader(self._master)
            return
        self._text += _ESCAPES.sub("", data.decode(errors="replace"))
        self._changed.set()


@pytest.fixture
async def publisher(cert_dir: Path) -> AsyncIterator[StubPublisher]:
    async with StubPublisher(cert_dir) as stub:
        yield stub


@pytest.fixture
async def subscriber(cert_dir: Path) -> AsyncIterator[StubSubscriber]:
    async with StubSubscriber(cert_dir) as stub:
        yield stub


@pytest.fixture
async def chat(cert_dir: Path, environment: dict[str, str]) -> AsyncIterator[StubChat]:
    """A chat service, where the client looks for it."""
    async with StubChat(cert_dir) as stub:
        environment["FANLINE_CHAT_PORT"] = str(stub.port)
        yield stub


@pytest.fixture
def environment(
    publisher: StubPublisher, subscriber: StubSubscriber, cert_dir: Path, tmp_path: Path
) -> dict[str, str]:
    """The environment of the client; a test may change it before it starts one."""
    foreign = ("FANLINE_", "CLIENTDEMO_", "WS_CERT_DIR", "XDG_")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)} | {
        "CLIENTDEMO_PUBLISHER": publisher.url,
        "CLIENTDEMO_SUBSCRIBER": subscriber.url,
        "FANLINE_CERT_DIR": str(cert_dir),
        "HOME": str(tmp_path / "home"),
        "TZ": "UTC",
    }


Start = Callable[..., Awaitable[Process]]
Run = Callable[..., Awaitable[Result]]
Open = Callable[..., Awaitable[Terminal]]


@pytest.fixture
async def start(environment: Mapping[str, str]) -> AsyncIterator[Start]:
    """Start clients; those that still run at the end are killed."""
    running: list[ForkedProcess] = []

    async def start_one(
        *arguments: str, stdin: int | BinaryIO = PIPE, stdout: int | BinaryIO = PIPE
    ) -> Process:
        process = await forked.start(
            "clientdemo",
            *arguments,
            environment=environment,
            stdin=stdin if isinstance(stdin, int) else stdin.fileno(),
            stdout=stdout if isinstance(stdout, int) else stdout.fileno(),
        )
        running.append(process)
        return Process(process)

    yield start_one
    for process in running:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@pytest.fixture
def run(start: Start) -> Run:
    """Run a client to its end."""

    async def run_one(*arguments: str, stdin: bytes = b"") -> Result:
        return await (await start(*arguments)).end(stdin)

    return run_one


@pytest.fixture
async def open_terminal(environment: Mapping[str, str]) -> AsyncIterator[Open]:
    """Start interactive clients at terminals; those that still run at the end are killed."""
    # Without this the library waits for a terminal that says where its cursor is.
    settings = {"PROMPT_TOOLKIT_NO_CPR": "1", "TERM": "xterm"}
    async with AsyncExitStack() as opened:

        async def open_one(*arguments: str) -> Terminal:
            master, slave = pty.openpty()
            termios.tcsetwinsize(slave, (40, 160))
            process = await forked.start(
                "clientdemo",
                *arguments,
                environment={**environment, **settings},
                stdin=slave,
                stdout=slave,
                stderr=slave,
                new_session=True,
            )
            os.close(slave)
            terminal = Terminal(process, master)
            opened.push_async_callback(_finish, terminal)
            return terminal

        yield open_one


async def _finish(terminal: Terminal) -> None:
    with suppress(ProcessLookupError):
        terminal.process.kill()
    await terminal.process.wait()
    terminal.close()
