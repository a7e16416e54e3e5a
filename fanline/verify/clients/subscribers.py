"""Subscribers: several through the public client, one with raw frames."""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final

import msgspec
from websockets.asyncio.client import ClientConnection

from fanline.client import Gap, Message, Subscriber
from fanline.errors import FanlineError
from fanline.verify.clients.load import Load
from fanline.verify.clients.wire import RawClient, Retry, ToldGap
from fanline.verify.verdict.observations import UNKNOWN, Received
from fanline.verify.wait_for import happens

# How a slow one reads: so many messages, then a nap; and now and then a long one.
HANDFUL: Final = 40
NAP: Final = 0.2
LONG_NAP: Final = 5.0
LONG_NAPS: Final = 0.03


class Reader(ABC):
    """Receives until it is cancelled.

    Args:
        load: The run.
        name: Who it is, for people.
        patterns: What to subscribe to.
        start: Position behind which to begin.

    Attributes:
        has_one_pattern: Whether it keeps one position for all, and so has one subscription only.
    """

    # Whether how long a message takes to it tells something about the services.
    keeps_up = True
    has_one_pattern = False
    # Seconds for which one who comes and goes stays, and stays away, at most.
    max_stay = 6.0
    max_rest = 2.0

    def __init__(self, load: Load, name: str, patterns: Sequence[str], start: int) -> None:
        self.load = load
        self.received = Received(name, patterns, start)
        self.rng = load.rng(name)

    async def run(self) -> None:
        """Receive; record permanent errors."""
        try:
            await self.receive()
        except FanlineError as error:
            self.received.troubles.append(str(error))

    @abstractmethod
    async def receive(self) -> None:
        """Receive until cancelled."""

    def note(self, topic: str, content: bytes, seq: int) -> None:
        """Note a message."""
        key = self.load.workload.identify(topic, content)
        self.received.note(seq, key)
        if self.keeps_up and key != UNKNOWN:
            self.load.note_delay(key)

    def note_message(self, message: Message) -> None:
        """Note a message of the public client."""
        self.note(message.topic, bytes(message.content), message.seq)

    def note_gap(self, gap: Gap) -> None:
        """Note what is gone."""
        self.received.gaps.append((gap.first or 0, gap.last or 0))

    def client(self, *, after: int | None) -> Subscriber:
        """Return a public client that begins after a position."""
        place = self.load.place
        return Subscriber(
            *self.received.patterns if after is not None else (),
            url=place.subscriber_url,
            user=place.user,
            password=place.password,
            tls=place.tls,
            after=after,
            on_gap=self.note_gap,
            on_state=self.load.count_reconnects(),
        )


class Steady(Reader):
    """Stays, and keeps up."""

    async def receive(self) -> None:
        """See :meth:`Reader.receive`."""
        async with self.client(after=self.received.start) as client:
            async for message in client:
                self.note_message(message)


class Slow(Reader):
    """Reads slowly, with pauses longer than the services allow."""

    keeps_up = False

    async def receive(self) -> None:
        """See :meth:`Reader.receive`."""
        async with self.client(after=self.received.start) as client:
            async for message in client:
                self.note_message(message)
                if len(self.received) % HANDFUL == 0:
                    is_long = self.rng.random() < LONG_NAPS
                    await happens(self.load.is_healed, LONG_NAP if is_long else NAP)


class Visitor(Reader):
    """Comes and goes, and resumes by itself after its last message."""

    has_one_pattern = True
    keeps_up = False

    async def receive(self) -> None:
        """See :meth:`Reader.receive`."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._stay()), self.client(after=self.received.position) as client:
                    async for message in client:
                        self.note_message(message)
            await happens(self.load.is_healed, self.rng.uniform(0, self.max_rest))

    def _stay(self) -> float | None:
        return None if self.load.is_healed.is_set() else self.rng.uniform(0, self.max_stay)


class Latecomer(Reader):
    """Comes in the middle, and wants what is new from then on."""

    has_one_pattern = True

    async def receive(self) -> None:
        """See :meth:`Reader.receive`."""
        await happens(self.load.is_healed, self.rng.uniform(0, self.max_stay))
        async with self.client(after=None) as client:
            self.received.start_at(await client.subscribe(self.received.patterns[0]))
            async for message in client:
                self.note_message(message)


class _Drain(msgspec.Struct):
    retry_ms: float


class _Said(msgspec.Struct):
    """Any frame to a subscriber."""

    topic: str | None = None
    content: msgspec.Raw = msgspec.Raw(b"null")
    seq: int = 0
    gap: ToldGap | None = None
    error: str | None = None
    reason: str = ""
    drain: _Drain | None = None


_decode: Final = msgspec.json.Decoder(_Said).decode


class ByHand(Reader, RawClient):
    """Speaks the protocol itself."""

    has_one_pattern = True

    def __init__(self, load: Load, name: str, patterns: Sequence[str], start: int) -> None:
        Reader.__init__(self, load, name, patterns, start)
        RawClient.__init__(self, load, f"{load.place.subscriber_url}/subscribe", self.received.troubles)

    async def receive(self) -> None:
        """See :meth:`Reader.receive`."""
        await self.keep_speaking()

    @property
    def is_done(self) -> bool:
        """See :attr:`RawClient.is_done`."""
        return False

    async def speak(self, connection: ClientConnection) -> None:
        """See :meth:`RawClient.speak`."""
        pattern, after = self.received.patterns[0], self.received.position
        await connection.send(f"sub {pattern} after={after}")
        while True:
            self._take(_decode(await connection.recv(decode=False)))

    def _take(self, said: _Said) -> None:
        if said.topic is not None:
            self.note(said.topic, bytes(said.content), said.seq)
        elif said.drain is not None:
            self.obey_drain(said.drain.retry_ms)
        elif said.error == "queue-unavailable":
            raise Retry
        elif said.error is not None:
            self.troubles.append(f"{said.error}: {said.reason}")
        elif said.gap is not None:
            self.received.gaps.append((said.gap.first, said.gap.last))


KINDS: Final[Sequence[type[Reader]]] = (Steady, ByHand, Slow, Visitor, Latecomer)
