"""``fanline up``: the whole pipeline, and chat, as one command, in a new folder."""

import asyncio
import os
import re
import signal
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from chat.settings import ChatSettings
from fanline import Publisher
from fanline.cli.up import pipeline
from fanline.client import check_ready
from fanline.security.client_tls import client_context
from fanline.setting_sources import read
from tests.fanline.cli.commands import PROGRAM, Command, port_flags, running
from tests.forking import forked
from tests.stubs import DEADLINE, PASSWORD, USER

SERVICES = ("msgqueue", "publisher", "subscriber", "chat")


class Up(Command):
    """A running ``fanline up``."""

    def children(self) -> dict[str, int]:
        """Return the process of each service by its name."""
        pids = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        commands = {int(pid): Path(f"/proc/{pid}/cmdline").read_text().split("\0") for pid in pids}
        return {command[3]: pid for pid, command in commands.items() if "-m" in command}


@asynccontextmanager
async def running_up(folder: Path, *flags: str, ports: list[int] | None = None) -> AsyncIterator[Up]:
    """Run ``fanline up`` in a folder, on free ports; kill it at the end if it is still there."""
    where = port_flags(SERVICES, ports or [0] * len(SERVICES))
    async with running(folder, "up", *where, *flags, make=Up) as up:
        yield up


async def run(folder: Path, command: str) -> str:
    """Run a command line, and return what it writes."""
    process = await asyncio.create_subprocess_shell(command, cwd=folder, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(DEADLINE):
        return (await process.communicate())[0].decode()


async def test_from_nothing_to_a_published_message(tmp_path: Path) -> None:
    """In an empty folder it makes certificates, starts everything, says what to type, and that works.

    The command for the third terminal is for the ports of this run. Chat stores two messages at its own
    start, so that the first of a user has position 3, as the README shows it.
    """
    async with running_up(tmp_path) as up:
        await up.until("Fanline is ready")
        await up.until("and in a third")
        (url,) = re.findall(r"publish to +(wss://localhost:\d+)/publish\n", up.said)
        assert re.search(r"status page +https://localhost:\d+/admin\n", up.said)
        (chat,) = re.findall(r"chat +https://(localhost:\d+)/\n", up.said)
        assert "the password test, or enter as a guest" in up.said
        for name in SERVICES:
            assert f"{name} │" in up.said
        tls = client_context(tmp_path / "var/certs")
        async with Publisher(url, user=USER, password=PASSWORD, tls=tls) as publisher:
            assert (await publisher.publish("greetings", "hello")).seq == 3
        assert await run(tmp_path, re.findall(r"and in a third: +(.*)", up.said)[0]) == "stored at 4\n"
        await check_ready(f"wss://{chat}", tls=tls)
        up.process.send_signal(signal.SIGINT)
        assert await up.end() == 0
        assert "Traceback" not in up.said


async def test_keys_are_made_first_and_services_end_last(tmp_path: Path) -> None:
    """A key for each use of tokens is made before the first service starts, for its owner alone, and kept.

    When the command is killed itself, its services stop as well.
    """
    paths = tmp_path / "own" / "key", tmp_path / "own" / "chat-key"
    flags = "--token-key-file", str(paths[0]), "--chat-token-key-file", str(paths[1])
    async with running_up(tmp_path, *flags) as up:
        await up.until("INFO listening")
        made = [path.read_text() for path in paths]
        await up.until("and in a third")
        assert [path.read_text() for path in paths] == made
        children = up.children()
        up.process.kill()
        await up.end()
        async with asyncio.timeout(DEADLINE):
            while any(Path(f"/proc/{pid}").exists() for pid in children.values()):
                await asyncio.sleep(0.05)
    assert [stat.S_IMODE(path.stat().st_mode) for path in paths] == [0o600, 0o600]
    assert made[0] != made[1]
    assert not list((tmp_path / "var").glob("*.key"))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "the password test, or enter as a guest"),
        ({"chat_password": "my-secret"}, "the password that is set, or enter as a guest"),
        ({"chat_password_file": "file", "chat_guests": False}, "the password in file"),
        ({"chat_password_file": "file", "host": "0.0.0.0"}, "the password in file"),
    ],
)
def test_says_how_to_log_in_to_chat(values: dict[str, object], said: str) -> None:
    """It names the password of chat, but shows only the demo one."""
    assert pipeline.chat_login(read(ChatSettings, **values)) == said


async def test_services_that_die_are_started_again(tmp_path: Path) -> None:
    """A killed service is announced and started again; the others stay. All reload at SIGHUP (line 53).

    At the end services stop one after the other, in the order in which messages pass them: chat is the first.
    """
    async with running_up(tmp_path) as up:
        await up.until("and in a third")
        up.process.send_signal(signal.SIGHUP)
        for _ in SERVICES:
            await up.until("read the settings again; changed: none")
        for name in SERVICES:
            before = up.children()
            os.kill(before[name], signal.SIGKILL)
            await up.until(f"{name} │ has died (SIGKILL)")
            await up.until(f"{name} INFO listening")
            after = up.children()
            assert {each for each in before if before[each] == after[each]} == before.keys() - {name}
        up.process.send_signal(signal.SIGTERM)
        assert await up.end() == 0
    stops = re.findall(r"Z (\w+) INFO (stopping|stopped)$", up.said, re.MULTILINE)
    order = ("chat", "publisher", "msgqueue", "subscriber")
    assert stops == [(name, word) for name in order for word in ("stopping", "stopped")]


async def test_port_in_use(tmp_path: Path) -> None:
    """A port that is taken is named; everything stops; exit code 2, no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = [0, 0, taken.getsockname()[1], 0]
        async with running_up(tmp_path, ports=ports) as up:
            assert await up.end() == 2
            assert (
                f"subscriber_port: cannot listen on 127.0.0.1:{ports[2]}: address already in use" in up.said
            )
            assert "Traceback" not in up.said


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--max-content", "much"), "max_content: input should be a valid integer"),
        (("--no-such-flag", "1"), "--no-such-flag"),
        (("--config", "missing.toml"), "there is no file missing.toml"),
        (("--host", "0.0.0.0"), "fanline user add"),
    ],
)
async def test_wrong_setting(tmp_path: Path, flags: tuple[str, ...], sentence: str) -> None:
    """A wrong setting is one clear sentence and exit code 2."""
    async with running_up(tmp_path, *flags) as up:
        assert await up.end() == 2
        assert sentence in up.said
        assert "Traceback" not in up.said


async def test_unreadable_certificate(tmp_path: Path) -> None:
    """A certificate that is none is named, and left as it is (line 3)."""
    folder = tmp_path / "own"
    folder.mkdir()
    for name in ("ca.crt", "server.crt", "server.key"):
        (folder / name).write_text("not a certificate")
    async with running_up(tmp_path, "--cert-dir", str(folder)) as up:
        assert await up.end() == 2
        assert str(folder) in up.said
        assert "Traceback" not in up.said
    assert (folder / "server.crt").read_text() == "not a certificate"


def test_help_lists_the_settings(tmp_path: Path) -> None:
    """``--help`` says what can be set."""
    help_text = forked.run(PROGRAM, "up", "--help", environment=os.environ, folder=tmp_path)
    assert help_text.returncode == 0
    assert "--msgqueue-port" in help_text.stdout
    assert "--chat-password " not in help_text.stdout
