"""Services as child processes, played by small programs."""

import asyncio
import errno
import signal
import sys
from pathlib import Path

import pytest

from fanline.errors import ConfigurationError
from fanline.server.child_process import (
    CHUNK,
    ChildProcess,
    LineSplitter,
    Supervisor,
    environment_of,
    module_command,
)
from tests.conftest import until
from tests.stubs import DEADLINE

BEGIN = "import os, sys, time; ready = int(os.environ['FANLINE_READY_FD'])"
LISTEN = f"{BEGIN}; os.write(ready, b'4711' + bytes([10])); time.sleep(60)"


async def spawn(program: str, lines: list[bytes]) -> ChildProcess:
    return await ChildProcess.spawn([sys.executable, "-c", program], environment_of({}), lines.append)


def test_chunks_are_split_into_lines() -> None:
    """Wherever a chunk ends; the last line needs no end."""
    splitter = LineSplitter()
    assert splitter.feed(b"one\ntw") == [b"one"]
    assert splitter.feed(b"o\nthree") == [b"two"]
    assert splitter.end() == [b"three"]
    assert LineSplitter().end() == []


async def test_a_line_of_any_length_is_copied() -> None:
    """In pieces, with nothing lost."""
    lines: list[bytes] = []
    child = await spawn(f"print('x' * {3 * CHUNK + 5}); print('end')", lines)
    assert await child.wait() == 0
    assert b"".join(lines) == b"x" * (3 * CHUNK + 5) + b"end"
    assert lines[-1] == child.last_line == b"end"


async def test_copying_survives_any_bytes_and_no_space() -> None:
    """A log with bytes that are no UTF-8, or that cannot be written elsewhere, is read to its end."""
    lines: list[bytes] = []

    def fail(line: bytes) -> None:
        lines.append(line)
        raise OSError(errno.ENOSPC, "no space left")

    program = "import sys; [sys.stdout.buffer.write(bytes(range(256)) * 400) for _ in range(4)]"
    child = await ChildProcess.spawn([sys.executable, "-c", program], environment_of({}), fail)
    assert await child.wait() == 0
    assert len(b"\n".join(lines)) == 4 * 400 * 256


async def test_the_port_comes_through_the_descriptor() -> None:
    """The log output of the service does not matter."""
    lines: list[bytes] = []
    child = await spawn(f"print('listening on https://127.0.0.1:1', flush=True); {LISTEN}", lines)
    async with asyncio.timeout(DEADLINE):
        assert await child.listening() == 4711
    assert await child.stop(DEADLINE) == -signal.SIGTERM
    assert not child.is_running


async def test_a_service_that_ends_never_listens() -> None:
    """Waiting for its port ends with it."""
    child = await spawn("", [])
    async with asyncio.timeout(DEADLINE):
        assert await child.listening() is None
        assert await child.wait() == 0


async def test_a_service_that_does_not_stop_is_killed() -> None:
    """After the time that it has for that."""
    ignore = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    child = await spawn(f"{ignore}; {LISTEN}", [])
    async with asyncio.timeout(DEADLINE):
        await child.listening()
        assert await child.stop(0.1) is None
    assert not child.is_running


async def test_modules_in_the_current_folder_are_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that has the name of a service is not taken for it."""
    (tmp_path / "publisher.py").write_text("print('mine')")
    monkeypatch.chdir(tmp_path)
    lines: list[bytes] = []
    child = await ChildProcess.spawn(module_command("publisher", "--help"), environment_of({}), lines.append)
    assert await child.wait() == 0
    assert lines[0].startswith(b"usage: python -m publisher")


def test_settings_of_the_caller_do_not_reach_a_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything else in the environment does."""
    monkeypatch.setenv("FANLINE_LINK_PASSWORD", "secret")
    monkeypatch.setenv("WS_CERT_DIR", "/elsewhere")
    made = environment_of({"msgqueue_port": 0})
    assert made["FANLINE_MSGQUEUE_PORT"] == "0"
    assert "PATH" in made
    assert not {"FANLINE_LINK_PASSWORD", "WS_CERT_DIR"} & made.keys()


async def test_a_service_that_dies_is_started_again() -> None:
    """Its death is told, and a stop ends it."""
    told: list[str] = []
    children: list[ChildProcess] = []

    async def start() -> ChildProcess:
        children.append(await spawn(LISTEN, []))
        return children[-1]

    supervisor = Supervisor("service", start, told.append)
    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as tasks:
        tasks.create_task(supervisor.run(DEADLINE))
        await supervisor.has_listened.wait()
        children[0].send_signal(signal.SIGKILL)
        await until(lambda: len(children) == 2)
        supervisor.stop()
    assert told == ["has died (SIGKILL) and is started again"]
    assert not any(child.is_running for child in children)


async def test_a_wrong_configuration_ends_the_supervision() -> None:
    """Another start would end in the same way."""
    told: list[str] = []
    supervisor = Supervisor("service", lambda: spawn("raise SystemExit(2)", []), told.append)
    with pytest.raises(ConfigurationError, match="service cannot start"):
        await supervisor.run(DEADLINE)
    assert told == []
