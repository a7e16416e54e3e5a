"""``/pushmsg``: messages in, acks out, in the same order.

One task reads frames and puts their messages in line for a commit; a second one answers, frame by frame,
when each has been committed. So a publisher may have any number of frames on the way, up to a limit beyond
which it is simply not read from.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry, Counter

from fanline.background import beside
from fanline.backoff import Backoff
from fanline.connection import Connection, text_frame
from fanline.errors import Closed, ErrorCode, Rejected, StoreError
from fanline.message import (
    Ack,
    Dialect,
    NewMessage,
    Refusal,
    check_message,
    decode_published,
    encode,
    refusal,
)
from msgqueue.log import Log
from msgqueue.store.base import Receipt

logger = logging.getLogger(__name__)

# Frames that one connection may have waiting for their answer.
MAX_FRAMES_IN_FLIGHT: Final = 1_000


class _Pushed(NamedTuple):
    """What one frame brought: an entry per message, and the receipts to come for those that were taken."""

    entries: Sequence[NewMessage | Rejected]
    receipts: asyncio.Future[list[Receipt]]


class PushEndpoint:
    """Handles the connections to ``/pushmsg``.

    Args:
        log: Where the messages go.
        max_content: Largest content of one message, in bytes.
        metrics: Where to register the counters.
    """

    def __init__(self, log: Log, *, max_content: int, metrics: CollectorRegistry) -> None:
        self._log = log
        self._max_content = max_content
        self._stored = Counter("fanline_messages_stored", "Messages stored.", registry=metrics)
        self._duplicates = Counter(
            "fanline_messages_duplicate", "Messages not stored because their id was known.", registry=metrics
        )
        self._refused = Counter("fanline_messages_refused", "Messages refused.", ["code"], registry=metrics)

    async def handle(self, connection: Connection) -> None:
        """Serve one publisher until it goes away."""
        if connection.dialect is Dialect.PLAIN:
            await self._handle_plain(connection)
        else:
            await self._handle_v1(connection)

    async def _handle_v1(self, connection: Connection) -> None:
        pushed: asyncio.Queue[_Pushed] = asyncio.Queue(MAX_FRAMES_IN_FLIGHT)
        async with beside(self._answer(connection, pushed)):
            async for frame in connection.frames():
                entries = self._read(frame, connection)
                accepted = [entry for entry in entries if isinstance(entry, NewMessage)]
                await pushed.put(_Pushed(entries, self._log.append(accepted)))
                await self._log.room()

    async def _handle_plain(self, connection: Connection) -> None:
        """Serve a publisher that gets no acks: while the log cannot be written, it is not read from."""
        # The original publisher passes on messages of any size, in fragments, and would not reconnect.
        connection.cut_short()
        async for frame in connection.frames():
            entries = self._read(frame, connection)
            for entry in entries:
                if isinstance(entry, Rejected):
                    logger.info("ignored a frame of %s: %s", connection.user.name, entry)
            await self._store([entry for entry in entries if isinstance(entry, NewMessage)])

    def _read(self, frame: bytes, connection: Connection) -> list[NewMessage | Rejected]:
        return [self._check(entry, connection) for entry in decode_published(frame, connection.dialect)]

    def _check(self, entry: NewMessage | Rejected, connection: Connection) -> NewMessage | Rejected:
        if isinstance(entry, NewMessage):
            rejected = check_message(entry, max_content=self._max_content)
            if rejected is None:
                if entry.sender is None:
                    entry.sender = connection.user.name
                return entry
            entry = rejected
        self._refused.labels(entry.code).inc()
        return entry

    async def _store(self, messages: Sequence[NewMessage]) -> None:
        backoff = Backoff()
        while messages:
            try:
                self._count(await self._log.append(messages))
            except StoreError:
                await asyncio.sleep(backoff.next())
            else:
                return

    async def _answer(self, connection: Connection, pushed: asyncio.Queue[_Pushed]) -> None:
        while True:
            entries, receipts = await pushed.get()
            answers = await self._outcome(entries, receipts)
            if answers:
                connection.write(text_frame(encode(answers)))
                await connection.writable()

    async def _outcome(
        self, entries: Sequence[NewMessage | Rejected], receipts: asyncio.Future[list[Receipt]]
    ) -> list[Ack | Refusal]:
        try:
            stored = await receipts
        except (StoreError, Closed) as error:
            reason = f"the log cannot be written: {error}"
            return [
                refusal(entry)
                if isinstance(entry, Rejected)
                else Refusal(ErrorCode.QUEUE_UNAVAILABLE, reason, entry.id)
                for entry in entries
            ]
        self._count(stored)
        in_order = iter(stored)
        return [
            refusal(entry) if isinstance(entry, Rejected) else Ack(entry.id, *next(in_order))
            for entry in entries
        ]

    def _count(self, receipts: Sequence[Receipt]) -> None:
        duplicates = sum(receipt.duplicate for receipt in receipts)
        self._duplicates.inc(duplicates)
        self._stored.inc(len(receipts) - duplicates)
