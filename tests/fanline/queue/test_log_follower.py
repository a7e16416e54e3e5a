"""Following the log of a msgqueue that does not deliver what it has."""

import ssl
from pathlib import Path

import pytest

from fanline.client.transport.connection import ReconnectingConnection
from fanline.client.transport.login import Login
from fanline.queue.log_follower import LogFollower
from fanline.queue.page_reader import PageReader
from fanline.tasks import running_task
from tests.conftest import until
from tests.fanline.queue.test_conformance import Listener
from tests.stub_queue import StubQueue
from tests.stubs import DEADLINE, PASSWORD, USER


def new_follower(queue: StubQueue, listener: Listener, tls: ssl.SSLContext) -> LogFollower:
    def connect() -> ReconnectingConnection:
        login = Login.by_password(USER, PASSWORD)
        return ReconnectingConnection(f"{queue.url}/popmsg", login=login, tls=tls)

    reader = PageReader(connect(), timeout=DEADLINE)
    return LogFollower(connect(), listener, reader, check_seconds=0.01)


@pytest.mark.parametrize("frame", ['[{"seq":2,"topic":1}]', '{"gap":{"from":"x"}}', "[{"])
async def test_reconnects_after_what_cannot_be_read(cert_dir: Path, tls: ssl.SSLContext, frame: str) -> None:
    """Records after it would hide the missing one, which comes again; unknown frames are ignored (line 8)."""
    async with StubQueue(cert_dir) as queue:
        listener = Listener()
        async with running_task(new_follower(queue, listener, tls).run()):
            await until(lambda: queue.is_popped and listener.is_ready)
            (connection,) = queue.followers
            await connection.send('[{"news":"of a later version"}]', text=True)
            await queue.publish(("t", 1))
            await until(lambda: listener.head == 1)
            assert queue.followers == [connection]
            lost = queue.store("t", 2)
            await connection.send(frame, text=True)
            await connection.send(queue.store("t", 3).body, text=True)
            await until(lambda: listener.head == 3)
            assert listener.events == [("begin", 0), 1, lost.seq, 3]


async def test_notices_that_nothing_comes(cert_dir: Path, tls: ssl.SSLContext) -> None:
    """A connection that is open and delivers nothing is a problem, until it delivers again."""
    async with StubQueue(cert_dir) as queue:
        listener = Listener()
        follower = new_follower(queue, listener, tls)
        async with running_task(follower.run()):
            await until(lambda: listener.is_ready)
            await queue.publish(("t", 1))
            await until(lambda: listener.head == 1)
            assert follower.problem is None
            record = queue.store("t", 2)
            await until(lambda: follower.problem is not None)
            assert follower.problem == "the log ends at 2, and nothing has come after 1"
            listener.take([record])
            await until(lambda: follower.problem is None)
