"""Publishers and subscribers of a run as tasks, until its end."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, Self

from fanline.protocol.topics import matches_any
from fanline.verify.clients import over_http, publishers, subscribers
from fanline.verify.clients.load import Load
from fanline.verify.clients.publishers import Sender
from fanline.verify.clients.subscribers import Reader
from fanline.verify.verdict.observations import Received
from fanline.verify.wait_for import settles

# Nothing has moved for so long, and for as long as the services wait for msgqueue: longer than any delay of
# a client before it connects again, and what the attempt itself may take.
QUIET_SECONDS: Final = 15.0

SENDERS: Final[Sequence[type[Sender]]] = (*publishers.KINDS, over_http.ByPost)
READERS: Final[Sequence[type[Reader]]] = (*subscribers.KINDS, over_http.EventReader)


class Traffic:
    """Publishes and receives while an ``async with`` block runs.

    Args:
        load: The run.
        subscribers: How many there are.
        start: Position behind which the run begins.
    """

    def __init__(self, load: Load, *, subscribers: int, start: int) -> None:
        self._load = load
        self._readers = [_make_reader(load, number, start) for number in range(subscribers)]
        self._senders = [SENDERS[number % len(SENDERS)](load, number) for number in range(len(load.sent))]
        self._sending: list[asyncio.Task[None]] = []
        self._reading: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._reading = [asyncio.create_task(reader.run()) for reader in self._readers]
        self._sending = [asyncio.create_task(sender.run()) for sender in self._senders]
        return self

    async def __aexit__(self, *_: object) -> None:
        await _end(*self._sending, *self._reading)

    async def finish_sending(self) -> None:
        """Stop publishing, and wait for the last acks, while any come."""
        self._load.is_over.set()
        await settles(
            lambda: all(task.done() for task in self._sending),
            lambda: self._load.acked,
            quiet=_quiet_seconds(self._load),
        )
        await _end(*self._sending)

    async def finish_reading(self) -> None:
        """Wait until every subscriber has everything, as long as anything comes."""
        heads = self._load.heads()
        pending = [(reader, _goal(heads, reader.received)) for reader in self._readers]
        await settles(
            lambda: all(_is_there(reader, goal) for reader, goal in pending),
            lambda: self._load.delivered,
            quiet=_quiet_seconds(self._load),
        )
        await _end(*self._reading)


async def read_to_the_end(reader: Reader) -> None:
    """Read the log with one more reader, until no message comes."""
    goal = _goal(reader.load.heads(), reader.received)
    reading = asyncio.create_task(reader.run())
    try:
        await settles(
            lambda: _is_there(reader, goal),
            lambda: len(reader.received),
            quiet=_quiet_seconds(reader.load),
        )
    finally:
        await _end(reading)


def _quiet_seconds(load: Load) -> float:
    return QUIET_SECONDS + load.place.patience


async def _end(*tasks: asyncio.Task[None]) -> None:
    """Cancel tasks, wait for their end, and raise their errors."""
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, Exception):
            raise outcome


def _goal(heads: Mapping[str, int], received: Received) -> int:
    """Return the position of the last message that a reader should receive."""
    return max(
        (seq for topic, seq in heads.items() if matches_any(received.patterns, topic)),
        default=0,
    )


def _is_there(reader: Reader, goal: int) -> bool:
    return bool(reader.received.troubles) or reader.received.position >= goal


def _make_reader(load: Load, number: int, start: int) -> Reader:
    """Return a subscriber of a run.

    Each kind has its turn, and each set of patterns.
    """
    kind = READERS[number % len(READERS)]
    forms = load.workload.subscriptions
    patterns = forms[number % len(forms)]
    if kind.has_one_pattern:
        patterns = patterns[:1]
    reader = kind(load, f"subscriber {number} ({kind.__name__.lower()})", patterns, start)
    load.received.append(reader.received)
    return reader
