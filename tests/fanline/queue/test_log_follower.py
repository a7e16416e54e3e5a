"""Following the log of a msgqueue that does not deliver what it has."""

import ssl
from pathlib import Path

from fanline.client.transport.connection import ReconnectingConnection
from fanline.client.transport.login import Login
from fanline.queue.log_follower import LogFollower
from fanline.queue.page_reader import PageReader
from fanline.tasks import running_task
from tests.conftest import until
from tests.fanline.queue.test_conformance import Listener
from tests.stub_queue import StubQueue
from tests.stubs import DEADLINE, PASSWORD, USER


async def test_notices_that_nothing_comes(cert_dir: Path, tls: ssl.SSLContext) -> None:
    """A connection that is open and delivers nothing is a problem, until it delivers again."""
    async with StubQueue(cert_dir) as queue:

        def connect() -> ReconnectingConnection:
            login = Login.by_password(USER, PASSWORD)
            return ReconnectingConnection(f"{queue.url}/popmsg", login=login, tls=tls)

        listener = Listener()
        reader = PageReader(connect(), timeout=DEADLINE)
        follower = LogFollower(connect(), listener, reader, check_seconds=0.01)
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
