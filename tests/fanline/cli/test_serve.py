"""``fanline serve``: the whole pipeline, and chat, in one process."""

import asyncio
import re
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from msgspec import Raw

from fanline import Publisher, Subscriber
from fanline.cli.serve import local_queue
from fanline.client import check_ready
from fanline.protocol import NewMessage
from fanline.security.client_tls import client_context
from msgqueue.app import OpenedLog
from publisher.settings import PublisherSettings
from tests.fanline.cli.commands import Command, port_flags, running
from tests.fanline.cli.up.test_pipeline import SERVICES
from tests.forking.forked import ForkedProcess
from tests.processes import free_ports
from tests.stubs import DEADLINE, PASSWORD, USER

COUNT = 200


class Serve(Command):
    """A running ``fanline serve``."""

    def __init__(self, process: ForkedProcess, folder: Path, ports: list[int]) -> None:
        super().__init__(process)
        self.folder = folder
        self.ports = dict(zip(SERVICES, ports, strict=True))

    def publisher(self) -> Publisher:
        """Return a publisher, not yet connected."""
        tls = client_context(self.folder / "var/certs")
        url = f"wss://localhost:{self.ports['publisher']}"
        return Publisher(url, user=USER, password=PASSWORD, tls=tls)

    def subscriber(self, pattern: str, after: int) -> Subscriber:
        """Return a subscriber, not yet connected."""
        tls = client_context(self.folder / "var/certs")
        url = f"wss://localhost:{self.ports['subscriber']}"
        return Subscriber(pattern, url=url, after=after, user=USER, password=PASSWORD, tls=tls)


@asynccontextmanager
async def running_serve(
    folder: Path, *flags: str, ports: list[int] | None = None, has_one_port: bool = False
) -> AsyncIterator[Serve]:
    """Run ``fanline serve`` in a folder, on free ports; kill it at the end if it is still there."""
    ports = ports or (free_ports(1) * len(SERVICES) if has_one_port else free_ports(len(SERVICES)))
    port_flag = ("--serve-port", str(ports[0])) if has_one_port else port_flags(SERVICES, ports)
    make = partial(Serve, folder=folder, ports=ports)
    async with running(folder, "serve", *port_flag, *flags, make=make) as serve:
        yield serve


@pytest.mark.parametrize("has_one_port", [False, True], ids=["ports", "port"])
async def test_messages_pass_and_ctrl_c_ends_it(tmp_path: Path, has_one_port: bool) -> None:
    """From an empty folder to a delivered message and a chat that is ready, in one process (line 52)."""
    async with running_serve(tmp_path, has_one_port=has_one_port) as serve, asyncio.timeout(DEADLINE):
        await serve.until("and in a third")
        assert Path(f"/proc/{serve.process.pid}/task/{serve.process.pid}/children").read_text() == ""
        tls = client_context(tmp_path / "var/certs")
        for name, port in serve.ports.items():
            path = f"/{name}" if has_one_port else ""
            await check_ready(f"wss://localhost:{port}{path}", tls=tls)
        async with serve.publisher() as publisher, serve.subscriber("orders.*", after=0) as subscriber:
            ack = await publisher.publish("orders.eu", {"id": 1})
            message = await anext(subscriber)
            assert (message.topic, message.value(), message.seq) == ("orders.eu", {"id": 1}, ack.seq)
        path = "/msgqueue" if has_one_port else ""
        url = f"https://localhost:{serve.ports['msgqueue']}{path}/metrics"
        async with httpx.AsyncClient(verify=tls, auth=(USER, PASSWORD), trust_env=False) as http:
            assert re.search(
                r"^fanline_messages_stored_total [1-9]", (await http.get(url)).text, re.MULTILINE
            )
        serve.process.send_signal(signal.SIGINT)
        assert await serve.end() == 0
        assert "Traceback" not in serve.said


async def test_what_was_acknowledged_survives_sigkill(tmp_path: Path) -> None:
    """After SIGKILL and a new start a subscriber gets everything acknowledged, once, in order (line 52)."""
    ports = free_ports(len(SERVICES))
    async with running_serve(tmp_path, ports=ports) as serve, asyncio.timeout(DEADLINE):
        await serve.until("and in a third")
        async with serve.publisher() as publisher:
            acks = await asyncio.gather(*(publisher.publish("orders.eu", n) for n in range(COUNT)))
            serve.process.send_signal(signal.SIGKILL)
            await serve.process.wait()
    async with running_serve(tmp_path, ports=ports) as serve, asyncio.timeout(DEADLINE):
        await serve.until("and in a third")
        async with serve.subscriber("orders.*", after=acks[0].seq - 1) as subscriber:
            received = [(await anext(subscriber)).value() for _ in range(COUNT)]
    assert received == list(range(COUNT))


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--workers", "2"), "workers: fanline serve is one process"),
        (
            ("--serve-port", "0", "--chat-listen", "http://127.0.0.1:0"),
            "chat_listen: with serve_port, all services listen at serve_listen",
        ),
        (("--no-such-flag", "1"), "--no-such-flag: no such flag"),
    ],
)
async def test_wrong_settings_end_in_one_sentence(
    tmp_path: Path, flags: tuple[str, ...], sentence: str
) -> None:
    """Say on standard error what cannot be done, and exit with 2."""
    async with running_serve(tmp_path, *flags) as serve:
        assert await serve.end() == 2
        assert sentence in serve.said
        assert "Traceback" not in serve.said


async def test_queue_buffer_counts_in_one_process(make_settings: Callable[..., PublisherSettings]) -> None:
    """Each service stops reading when so many bytes wait for the log, as when msgqueue is apart (line 52)."""
    log: Any = SimpleNamespace(is_full=False)
    opened = OpenedLog(log, log, log, log, log)
    queue = local_queue(opened, make_settings(PublisherSettings, queue_buffer=100_000))
    assert not queue.is_full_for(None)
    queue.append(NewMessage("t", Raw(b"1" * 100_000)), None)
    assert queue.is_full_for(None)


async def test_a_second_one_on_the_same_log_is_refused(tmp_path: Path) -> None:
    """Two processes never write one log; the second one says who has it."""
    async with running_serve(tmp_path) as serve:
        await serve.until("and in a third")
        async with running_serve(tmp_path, "--lock-wait", "0") as second:
            assert await second.end() == 2
            assert "Traceback" not in second.said
            assert "another msgqueue has it open" in second.said
