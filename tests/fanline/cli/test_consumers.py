"""``fanline consumer``: looking after durable consumers from the command line, at a real msgqueue."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fanline.cli.consumers import total
from fanline.cli.main import app
from fanline.protocol import ConsumerState
from fanline.server import Service
from tests.conftest import Dial

Run = Callable[..., Awaitable[Result]]


@pytest.fixture
def run(queue: Service, cert_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command against msgqueue, in a thread."""
    monkeypatch.setenv("FANLINE_QUEUE_URL", f"wss://localhost:{queue.port}")
    monkeypatch.setenv("FANLINE_CERT_DIR", str(cert_dir))
    monkeypatch.setenv("FANLINE_QUEUE_WAIT", "5")

    async def in_thread(*words: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, app, ["consumer", *words])

    return in_thread


async def test_list_and_delete(queue: Service, dial: Dial, run: Run) -> None:
    """A consumer is shown with its position, and is gone after it was deleted."""
    popper = await dial(queue, "/popmsg")
    await popper.send('{"pop":{"consumer":"billing"}}')
    await popper.recv()
    listed = await run("list")
    assert listed.exit_code == 0
    assert "billing" in listed.output
    await popper.close()
    deleted = await run("delete", "billing")
    assert (deleted.exit_code, deleted.output) == (0, "billing: forgotten\n")
    assert "billing" not in (await run("list")).output


async def test_all_msgqueues_are_counted(
    queue: Service, dial: Dial, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a cluster each counts its own connections; here two are the same one (line 61)."""
    popper = await dial(queue, "/popmsg")
    await popper.send('{"pop":{"consumer":"billing"}}')
    await popper.recv()
    monkeypatch.setenv("FANLINE_QUEUE_URL", f"wss://localhost:{queue.port},wss://127.0.0.1:{queue.port}")
    listed = await run("list")
    assert listed.exit_code == 0
    assert re.search(r"billing\W+0\W+0\W+2\W", listed.output)


@pytest.mark.long
async def test_a_msgqueue_that_is_away_is_named(
    queue: Service, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The consumers are shown all the same, as the others tell them (line 61)."""
    monkeypatch.setenv("FANLINE_QUEUE_URL", f"wss://localhost:{queue.port},wss://localhost:1")
    listed = await run("list")
    assert listed.exit_code == 0
    assert "not counted: wss://localhost:1" in listed.stderr


def test_counts_of_msgqueues_are_added() -> None:
    """The position is the highest, and the backlog the smallest that any of them tells (line 61)."""
    one = [ConsumerState("billing", 7, 3, 2, 1, 0), ConsumerState("mail", 5, 0, 1)]
    other = [ConsumerState("billing", 6, 4, 1, 0, 5)]
    assert total([one, other]) == [ConsumerState("billing", 7, 3, 3, 1, 5), one[1]]


async def test_unknown_consumer(run: Run) -> None:
    """Deleting what is not there says so."""
    result = await run("delete", "nobody")
    assert result.exit_code != 0
    assert "there is no durable consumer" in str(result.exception)


async def test_queue_is_away(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """When msgqueue cannot be reached the command says so, in bounded time."""
    monkeypatch.setenv("FANLINE_QUEUE_URL", "wss://localhost:1")
    monkeypatch.setenv("FANLINE_QUEUE_WAIT", "0.5")
    result = await run("list")
    assert "cannot be reached" in str(result.exception)
