"""Tests of tasks that end with a block of code."""

import asyncio
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosedError

from fanline.tasks import cancel_and_wait, running_task, start_task
from tests.stubs import DEADLINE

# Stops its parent, writes to it, and lets it go on once its timer has expired.
STOP = """
kill -STOP $PPID
until grep -q "State:.T" /proc/$PPID/status; do :; done
echo; touch "$1"; sleep 0.2
kill -CONT $PPID
"""

SLEEPER = """
import asyncio, pathlib, socket, subprocess, sys
import uvloop
from fanline.tasks import sleep_and_read

class Peer(asyncio.Protocol):
    heard = False

    def data_received(self, data):
        self.heard = True

async def main(stop, flag):
    ours, theirs = socket.socketpair()
    _, peer = await asyncio.get_running_loop().create_connection(Peer, sock=ours)
    with subprocess.Popen(["sh", "-c", stop, "sh", flag], stdout=theirs):
        await sleep_and_read(0.1)
        while not flag.exists():
            await sleep_and_read(0.1)
        print(peer.heard)

uvloop.run(main(sys.argv[1], pathlib.Path(sys.argv[2])))
"""


class Worker:
    """A coroutine that says when it runs and when it has ended."""

    def __init__(self) -> None:
        self.runs = asyncio.Event()
        self.ended = False

    async def work(self) -> None:
        self.runs.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # cleaning up may take a while
            self.ended = True


async def fail(error: Exception) -> None:
    raise error


async def return_at_once() -> None:
    pass


async def test_the_task_runs_while_the_block_does() -> None:
    """It is under way in the block, and has ended, its cleaning up included, behind it."""
    worker = Worker()
    async with asyncio.timeout(DEADLINE), running_task(worker.work()):
        await worker.runs.wait()
        assert not worker.ended
    assert worker.ended


async def test_the_task_ends_with_a_block_that_fails() -> None:
    """The block's own error passes, and the task does not outlive it."""
    worker = Worker()

    async def hold() -> None:
        async with running_task(worker.work()):
            await worker.runs.wait()
            raise LookupError

    with pytest.raises(LookupError):
        await hold()
    assert worker.ended


async def test_the_task_ends_with_a_block_that_is_cancelled() -> None:
    """Cancellation passes through, and the task does not outlive it."""
    worker = Worker()

    async def hold() -> None:
        async with running_task(worker.work()):
            await asyncio.Event().wait()

    holding = asyncio.create_task(hold())
    await worker.runs.wait()
    holding.cancel()
    await asyncio.wait([holding])
    assert holding.cancelled()
    assert worker.ended


async def test_a_defect_in_the_task_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """It is told at once, with its traceback; the block goes on to its end."""
    async with running_task(fail(ZeroDivisionError("a defect"))):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        [logged] = caplog.records
    assert caplog.records == [logged]
    assert logged.levelno == logging.ERROR
    assert logged.exc_info is not None
    assert isinstance(logged.exc_info[1], ZeroDivisionError)


async def test_a_task_that_ends_by_itself_is_no_defect(caplog: pytest.LogCaptureFixture) -> None:
    """Neither a return nor a lost connection is worth a line."""
    async with running_task(return_at_once()), running_task(fail(ConnectionClosedError(None, None))):
        await asyncio.sleep(0)
    assert not caplog.records


async def test_many_tasks_are_ended_together(caplog: pytest.LogCaptureFixture) -> None:
    """All are cancelled before any is waited for, and each one's error is logged."""
    worker = Worker()
    tasks = [
        start_task(each) for each in (fail(KeyError()), worker.work(), return_at_once(), fail(OSError()))
    ]
    await worker.runs.wait()
    await cancel_and_wait(*tasks)
    assert all(task.done() for task in tasks)
    assert worker.ended
    assert [logged.exc_info[0] for logged in caplog.records if logged.exc_info] == [KeyError, OSError]


async def test_ending_no_task_is_allowed() -> None:
    """A service that never started has none."""
    await cancel_and_wait()


async def test_peers_are_heard_before_they_are_judged(tmp_path: Path) -> None:
    """A process that stood still cut its clients, whose pongs it had yet to read."""
    command = [sys.executable, "-c", SLEEPER, STOP, str(tmp_path / "stopped")]
    program = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=DEADLINE)
    assert (program.stdout, program.stderr) == (b"True\n", b"")
