"""Fanline without asyncio: the same clients for code that waits in place.

::

    from fanline import History, Publisher, Subscriber, sync

    with sync.connect(Publisher(user="hello", password="test", tls=tls)) as publisher:
        ack = publisher.publish("orders.eu", {"total": 12.5})  # on disk, at position ack.seq
        for line in lines:
            publisher.send("lines", line)  # does not wait for the ack
    # here every line is on disk

    with sync.connect(Subscriber("orders.>", user="hello", password="test", tls=tls)) as subscriber:
        for message in subscriber:
            print(message.topic, message.value())

    with sync.connect(History(user="hello", password="test", tls=tls)) as history:
        page = history.page("orders.eu", limit=50)

The clients and their errors are those of :mod:`fanline.client`. They run in a thread of their own, which
answers pings and reads ahead while the program is busy. Any number of threads may use one at once.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Self, TypeVar, overload

from fanline.client.history import History, HistoryPage
from fanline.client.publisher import Publisher
from fanline.client.subscriber import Subscriber
from fanline.protocol import Ack, Message

T = TypeVar("T")


class _Loop:
    """An event loop in its own thread, during a ``with`` block."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fanline", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Return the result of a coroutine.

        It is cancelled if the calling thread is interrupted.
        """
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        finally:
            future.cancel()


class BlockingPublisher:
    """Publishes messages, as :class:`~fanline.Publisher` does."""

    def __init__(self, publisher: Publisher, loop: _Loop) -> None:
        self._publisher = publisher
        self._loop = loop

    def publish(
        self,
        topic: str,
        content: Any,
        *,
        id: str | None = None,  # noqa: A002 - wire name
        traceparent: str | None = None,
        timeout: float | None = None,
    ) -> Ack:
        """Publish one message and wait until it is on disk: :meth:`fanline.Publisher.publish`."""
        return self._loop.call(
            self._publisher.publish(topic, content, id=id, traceparent=traceparent, timeout=timeout)
        )

    def send(
        self,
        topic: str,
        content: Any,
        *,
        id: str | None = None,  # noqa: A002 - wire name
        traceparent: str | None = None,
    ) -> None:
        """Send one message; :meth:`flush` or the block's end raises failures."""
        self._loop.call(self._publisher.send(topic, content, id=id, traceparent=traceparent))

    def flush(self) -> None:
        """Wait until every message sent so far has its answer: :meth:`fanline.Publisher.flush`."""
        self._loop.call(self._publisher.flush())


class BlockingSubscriber:
    """Receives messages, as :class:`~fanline.Subscriber` does: iterate over it."""

    def __init__(self, subscriber: Subscriber, loop: _Loop) -> None:
        self._messages: AsyncIterator[Message] = aiter(subscriber)
        self._loop = loop

    def __iter__(self) -> Iterator[Message]:
        return self

    def __next__(self) -> Message:
        return self.receive()

    def receive(self, timeout: float | None = None) -> Message:
        """Return the next message.

        Args:
            timeout: Seconds to wait for it; None waits as long as it takes.

        Raises:
            TimeoutError: If there is none in time; it is returned by the next call.
            FanlineError: As iterating over :class:`~fanline.Subscriber` does.
        """
        return self._loop.call(self._next(timeout))

    async def _next(self, timeout: float | None) -> Message:
        async with asyncio.timeout(timeout):
            return await anext(self._messages)


class BlockingHistory:
    """Reads pages of the log, as :class:`~fanline.History` does."""

    def __init__(self, history: History, loop: _Loop) -> None:
        self._history = history
        self._loop = loop

    def page(
        self,
        topic: str,
        *,
        after: int | None = None,
        before: int | None = None,
        last: int | None = None,
        limit: int = 100,
        epoch: str | None = None,
    ) -> HistoryPage:
        """Return a page of the log: :meth:`fanline.History.page`."""
        return self._loop.call(
            self._history.page(topic, after=after, before=before, last=last, limit=limit, epoch=epoch)
        )


@overload
def connect(client: Publisher) -> AbstractContextManager[BlockingPublisher]: ...
@overload
def connect(client: Subscriber) -> AbstractContextManager[BlockingSubscriber]: ...
@overload
def connect(client: History) -> AbstractContextManager[BlockingHistory]: ...


def connect(client: Publisher | Subscriber | History) -> AbstractContextManager[Any]:
    """Enter a client, and return its blocking counterpart for a block.

    Leaving the block does what leaving the ``async with`` block of the client does: a publisher waits for
    every ack.

    Args:
        client: The client, not entered yet.
    """
    return _connected(client)


@contextmanager
def _connected(client: Publisher | Subscriber | History) -> Iterator[Any]:
    with _Loop() as loop:
        loop.call(client.__aenter__())
        try:
            yield _blocking(client, loop)
        except BaseException as error:
            loop.call(client.__aexit__(type(error), error, error.__traceback__))
            raise
        loop.call(client.__aexit__(None, None, None))


def _blocking(
    client: Publisher | Subscriber | History, loop: _Loop
) -> BlockingPublisher | BlockingSubscriber | BlockingHistory:
    if isinstance(client, Publisher):
        return BlockingPublisher(client, loop)
    if isinstance(client, Subscriber):
        return BlockingSubscriber(client, loop)
    return BlockingHistory(client, loop)
