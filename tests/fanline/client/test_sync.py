"""The clients without asyncio, in another thread than the services that they use."""

import asyncio
import ssl
from functools import partial
from itertools import islice
from typing import Any

import pytest

from fanline import History, Publisher, Rejected, Subscriber, sync
from msgqueue.app import open_msgqueue
from publisher.app import open_publisher
from subscriber.app import open_subscriber
from tests.conftest import StartService
from tests.stubs import DEADLINE, PASSWORD, USER


@pytest.fixture
async def clients(start_service: StartService, tls: ssl.SSLContext) -> tuple[Any, Any, Any]:
    """Makers of the three clients, for a new pipeline."""
    queue = await start_service(open_msgqueue)
    url = f"wss://localhost:{queue.port}"
    publisher = await start_service(open_publisher, queue_url=url)
    subscriber = await start_service(open_subscriber, queue_url=url)
    login: dict[str, Any] = {"user": USER, "password": PASSWORD, "tls": tls}
    reading: dict[str, Any] = {"url": f"wss://localhost:{subscriber.port}", **login}
    return (
        partial(Publisher, url=f"wss://localhost:{publisher.port}", **login),
        partial(Subscriber, **reading),
        partial(History, **reading),
    )


async def test_program_without_asyncio(clients: tuple[Any, Any, Any]) -> None:
    """It publishes, receives what it has published, and reads it back."""
    make_publisher, make_subscriber, make_history = clients

    def program() -> None:
        with sync.connect(make_publisher()) as publisher:
            assert publisher.publish("orders.eu", 1).seq == 1
            for n in (2, 3):
                publisher.send("orders.eu", n)
            publisher.flush()
            publisher.send("orders.eu", 4)
        with sync.connect(make_subscriber("orders.*", after=0)) as subscriber:
            assert [message.value() for message in islice(subscriber, 4)] == [1, 2, 3, 4]
            with pytest.raises(TimeoutError):
                subscriber.receive(timeout=0)
        with sync.connect(make_history()) as history:
            page = history.page("orders.eu", last=2)
        assert [message.value() for message in page.messages] == [3, 4]
        assert page.epoch

    async with asyncio.timeout(DEADLINE):
        await asyncio.to_thread(program)


async def test_errors_are_raised_in_place(clients: tuple[Any, Any, Any]) -> None:
    """A refusal is raised by the call, or by the end of the block; a block that fails ends at once.

    Each client has connected before: asyncio does not close a connection whose opening is cancelled in the
    turn in which it begins, and warns of it at some later time.
    """

    def program() -> None:
        with sync.connect(clients[0]()) as publisher:
            publisher.publish("a", 1)
            with pytest.raises(Rejected):
                publisher.publish("or ders", 1)
        with pytest.raises(Rejected):
            send_nonsense()
        with pytest.raises(ZeroDivisionError):
            fail()

    def send_nonsense() -> None:
        with sync.connect(clients[0]()) as publisher:
            publisher.publish("a", 2)
            publisher.send("or ders", 1)

    def fail() -> None:
        with sync.connect(clients[1]("a", after=0)) as subscriber:
            subscriber.receive()
            raise ZeroDivisionError

    async with asyncio.timeout(DEADLINE):
        await asyncio.to_thread(program)
