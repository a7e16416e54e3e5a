"""Publishers: two through the public client, and one with raw frames."""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from websockets.asyncio.client import ClientConnection

from fanline.client import Publisher, PublishResult
from fanline.client.transport.connection import run_until_first
from fanline.errors import FanlineError
from fanline.verify.clients.load import Load
from fanline.verify.clients.wire import RawClient, Retry
from fanline.verify.wait_for import happens

# Messages that go out at once, at most, and that may be without an ack.
MAX_BURST: Final = 20
_WINDOW: Final = 200

# Of how many of the newest messages the one by hand takes one to send it again.
REPEATABLE: Final = 100


class Sender(ABC):
    """Publishes until the load is over, and waits for acks.

    Args:
        load: The run.
        number: Which of its publishers this one is.
    """

    def __init__(self, load: Load, number: int) -> None:
        self.load = load
        self.number = number
        self.sent = load.sent[number]
        self.rng = load.rng(self.sent.name)

    async def run(self) -> None:
        """Publish; record permanent errors."""
        try:
            await self.publish()
        except* FanlineError as group:
            self.sent.troubles.extend(str(error) for error in group.exceptions)

    @abstractmethod
    async def publish(self) -> None:
        """Publish until the load is over and everything has its ack."""

    async def next_burst(self) -> int:
        """Wait as the rate demands, and return how many messages follow.

        It is 0 if the load is over.
        """
        burst = self.rng.randint(1, MAX_BURST)
        return 0 if await happens(self.load.is_over, burst / self.load.rate) else burst

    def hand_over(self) -> int:
        """Note that one more message is sent, and return its number."""
        return self.sent.hand_over(self.load.now)

    def content(self, number: int) -> msgspec.Raw:
        """Return the JSON text of a message."""
        return msgspec.Raw(self.load.workload.content(self.number, number))

    def id(self, number: int) -> str:
        """Return the idempotency key of a message."""
        return self.load.workload.id(self.number, number)

    def note_ack(self, number: int, seq: int) -> None:
        """Note an ack."""
        self.sent.ack(number, seq, self.load.now)

    def client(self, window: int) -> Publisher:
        """Return a public client."""
        place = self.load.place
        return Publisher(
            place.publisher_url,
            user=place.user,
            password=place.password,
            tls=place.tls,
            window=window,
            on_state=self.load.count_reconnects(),
        )


class Pipelined(Sender):
    """Sends many messages at a time, with ids by the client."""

    async def publish(self) -> None:
        """See :meth:`Sender.publish`."""
        results: asyncio.Queue[tuple[int, PublishResult] | None] = asyncio.Queue()
        async with self.client(_WINDOW) as client, asyncio.TaskGroup() as tasks:
            tasks.create_task(self._take_acks(results))
            while burst := await self.next_burst():
                for _ in range(burst):
                    number = self.hand_over()
                    result = await client.send(self.sent.topic(number), self.content(number))
                    results.put_nowait((number, result))
            results.put_nowait(None)

    async def _take_acks(self, results: asyncio.Queue[tuple[int, PublishResult] | None]) -> None:
        while (handed_over := await results.get()) is not None:
            number, result = handed_over
            self.note_ack(number, (await result).seq)


class OneByOne(Sender):
    """Waits for each ack before the next message, with own ids."""

    async def publish(self) -> None:
        """See :meth:`Sender.publish`."""
        async with self.client(1) as client:
            while burst := await self.next_burst():
                for _ in range(burst):
                    await self._publish_one(client)

    async def _publish_one(self, client: Publisher) -> None:
        number = self.hand_over()
        ack = await client.publish(self.sent.topic(number), self.content(number), id=self.id(number))
        self.note_ack(number, ack.seq)


class _Message(msgspec.Struct):
    topic: str
    content: msgspec.Raw
    id: str


class _Drain(msgspec.Struct):
    retry_ms: float


class _Answer(msgspec.Struct):
    ok: str | None = None
    seq: int = 0
    error: str | None = None
    reason: str = ""
    drain: _Drain | None = None


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(_Answer | list[_Answer]).decode


class ByHand(Sender, RawClient):
    """Speaks the protocol itself, and sometimes repeats acknowledged messages.

    After a lost connection it sends everything again that has no ack.
    """

    # How often it sends an old message again.
    repeat_share = 0.02

    def __init__(self, load: Load, number: int) -> None:
        Sender.__init__(self, load, number)
        RawClient.__init__(self, load, f"{load.place.publisher_url}/publish", self.sent.troubles)
        self._unanswered: deque[int] = deque()
        self._answered = asyncio.Event()
        self._is_finished = False

    async def publish(self) -> None:
        """See :meth:`Sender.publish`."""
        await self.keep_speaking()

    @property
    def is_done(self) -> bool:
        """See :attr:`RawClient.is_done`."""
        return self._is_finished

    async def speak(self, connection: ClientConnection) -> None:
        """See :meth:`RawClient.speak`."""
        self._unanswered = deque(number for number in self._unanswered if not self.sent.seqs[number])
        await run_until_first(self._write(connection), self._read(connection))

    async def _write(self, connection: ClientConnection) -> None:
        if self._unanswered:
            await self._send(connection, self._unanswered)
        while burst := await self.next_burst():
            numbers = [*self._repeats(), *(self.hand_over() for _ in range(burst))]
            self._unanswered.extend(numbers)
            await self._send(connection, numbers)
            await self._fewer_than(_WINDOW)
        await self._fewer_than(1)
        self._is_finished = True

    async def _send(self, connection: ClientConnection, numbers: Iterable[int]) -> None:
        messages = [
            _Message(self.sent.topic(number), self.content(number), self.id(number)) for number in numbers
        ]
        await connection.send(_encode(messages), text=True)

    def _repeats(self) -> Sequence[int]:
        """Return acknowledged messages to repeat: one of the newest, or none.

        The first one comes soon, others now and then.
        """
        if self.sent.repeats and self.rng.random() > self.repeat_share:
            return ()
        newest = range(max(0, len(self.sent) - REPEATABLE), len(self.sent))
        acked = [number for number in newest if self.sent.seqs[number]]
        chosen = self.rng.sample(acked, min(1, len(acked)))
        self.sent.repeats += len(chosen)
        return chosen

    async def _fewer_than(self, limit: int) -> None:
        """Wait until fewer messages than that are without an answer."""
        while len(self._unanswered) >= limit:
            self._answered.clear()
            await self._answered.wait()

    async def _read(self, connection: ClientConnection) -> None:
        while True:
            said = _decode(await connection.recv(decode=False))
            for answer in said if isinstance(said, list) else [said]:
                self._take(answer)

    def _take(self, answer: _Answer) -> None:
        if answer.drain is not None:
            self.obey_drain(answer.drain.retry_ms)
            return
        if answer.error == "queue-unavailable":
            raise Retry
        if answer.ok is None and answer.error is None:
            return  # nothing that is known here
        due = self.id(self._unanswered[0]) if self._unanswered else None
        if answer.error is None and answer.ok != due:
            self.troubles.append(f"an ack for {answer.ok}, where one for {due} was expected")
            raise Retry
        if self._unanswered:
            self._settle(self._unanswered.popleft(), answer)

    def _settle(self, number: int, answer: _Answer) -> None:
        self._answered.set()
        if answer.error is None:
            self.note_ack(number, answer.seq)
        else:
            self.troubles.append(f"{answer.error} for message {number}: {answer.reason}")


KINDS: Final[Sequence[type[Sender]]] = (Pipelined, ByHand, OneByOne)
