"""A well-behaved client, which times its own messages."""

import asyncio
import math
from collections.abc import Sequence
from typing import Final

from fanline.change_notifier import ChangeNotifier
from fanline.client import Publisher, PublishResult, Subscriber
from fanline.errors import FanlineError

WITNESS_TOPIC: Final = "witness.messages"
PUBLISH_EVERY: Final = 0.02


class Waits:
    """Seconds that acks and deliveries of one phase took."""

    def __init__(self) -> None:
        self.acks: list[float] = []
        self.deliveries: list[float] = []


class Witness:
    """Publishes and subscribes at a modest rate, until stopped.

    Args:
        publisher: Its client of publisher.
        subscriber: Its client of subscriber, which has subscribed to :data:`WITNESS_TOPIC`.

    Attributes:
        published: Messages handed over.
        received: Messages that came.
        troubles: What went wrong: messages refused, lost, repeated or out of order.
        waits: Where the waits of the messages are noted that are sent from now on.
    """

    def __init__(self, publisher: Publisher, subscriber: Subscriber) -> None:
        self.published = 0
        self.received = 0
        self.troubles: list[str] = []
        self.waits = Waits()
        self._publisher = publisher
        self._subscriber = subscriber
        self._clock = asyncio.get_running_loop().time
        self._sent: dict[int, tuple[float, Waits]] = {}
        self._acks: set[asyncio.Task[None]] = set()
        self._noted = ChangeNotifier()

    async def publish(self) -> None:
        """Publish until cancelled."""
        while True:
            number, now = self.published, self._clock()
            self.published += 1
            waits = self.waits
            self._sent[number] = now, waits
            result = await self._publisher.send(WITNESS_TOPIC, number)
            noting = asyncio.create_task(self._note_ack(result, now, waits))
            self._acks.add(noting)
            noting.add_done_callback(self._forget)
            await asyncio.sleep(PUBLISH_EVERY)

    async def receive(self) -> None:
        """Receive until cancelled."""
        async for message in self._subscriber:
            number = int(message.value())
            if number != self.received:
                self.troubles.append(f"message {number} came instead of {self.received}")
            self.received = number + 1
            sent_at, waits = self._sent.pop(number)
            waits.deliveries.append(self._clock() - sent_at)
            self._noted.fire()

    async def finish(self) -> None:
        """Wait until everything is acknowledged and received."""
        while self._acks or self.received < self.published:
            await asyncio.shield(self._noted.next)

    def _forget(self, noting: asyncio.Task[None]) -> None:
        self._acks.discard(noting)
        self._noted.fire()

    async def _note_ack(self, result: PublishResult, sent_at: float, waits: Waits) -> None:
        try:
            await result
        except FanlineError as error:
            self.troubles.append(f"a message was refused: {error}")
        waits.acks.append(self._clock() - sent_at)


def quantile(values: Sequence[float], share: float) -> float:
    """Return the least value that a share does not exceed.

    Without values it is NaN.
    """
    in_order = sorted(values)
    return in_order[max(0, math.ceil(share * len(in_order)) - 1)] if in_order else math.nan
