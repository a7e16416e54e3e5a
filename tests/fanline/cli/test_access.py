"""``fanline disconnect`` and ``fanline revoke``, at a real msgqueue."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fanline.cli.main import app
from fanline.server import Service
from tests.conftest import Dial

Run = Callable[..., Awaitable[Result]]


@pytest.fixture
def run(queue: Service, cert_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command against msgqueue, in a thread."""
    monkeypatch.setenv("FANLINE_QUEUE_URL", f"wss://localhost:{queue.port}")
    monkeypatch.setenv("FANLINE_CERT_DIR", str(cert_dir))

    async def in_thread(*words: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, app, words)

    return in_thread


async def test_commands_write_to_the_log(queue: Service, dial: Dial, run: Run) -> None:
    """Each is one message on $access, as the user of the services, and is on disk at the end (line 46)."""
    said = [
        await run("disconnect", "alice"),
        await run("revoke", "abc"),
        await run("revoke", "--user", "page", "--before", "2026-01-02T03:04:05Z"),
        await run("revoke", "--user", "page", "--before", "1700000000"),
    ]
    assert [result.exit_code for result in said] == [0, 0, 0, 0]
    assert said[2].output == "page: tokens issued before 2026-01-02T03:04:05Z revoked (position 3)\n"
    popper = await dial(queue, "/popmsg")
    await popper.send('{"pop":{"after":0,"topics":["$access"]}}')
    await popper.recv()
    messages = json.loads(await popper.recv())
    assert [(message["from"], message["content"]) for message in messages] == [
        ("hello", {"type": "disconnect", "user": "alice"}),
        ("hello", {"type": "revoke-token", "jti": "abc"}),
        ("hello", {"type": "revoke-user", "user": "page", "before": 1767323045.0}),
        ("hello", {"type": "revoke-user", "user": "page", "before": 1700000000.0}),
    ]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), "name the token by its JTI"),
        (("abc", "--user", "page"), "name the token by its JTI"),
        (("abc", "--before", "1"), "--before goes with --user"),
        (("--user", "page", "--before", "soon"), "is not a time"),
        (("--user", "page", "--before", "99999999999"), "is in the future"),
    ],
)
def test_what_cannot_be_meant_is_refused(words: tuple[str, ...], complaint: str) -> None:
    """A revocation names one token, or a user and perhaps a time of the past."""
    assert complaint in str(CliRunner().invoke(app, ["revoke", *words]).exception)


def test_an_unreachable_log_is_an_error(cert_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command says so, in bounded time."""
    monkeypatch.setenv("FANLINE_QUEUE_URL", "wss://localhost:1")
    monkeypatch.setenv("FANLINE_CERT_DIR", str(cert_dir))
    monkeypatch.setenv("FANLINE_QUEUE_WAIT", "0.5")
    result = CliRunner().invoke(app, ["disconnect", "alice"])
    assert "cannot be reached" in str(result.exception)
