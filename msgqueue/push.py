"""``/pushmsg``: messages in, acks out, in the same order.

A task for each connection reads frames and puts their messages in line for a commit; each frame is answered
when that is done. So a publisher may have any number of frames on the way, until so much waits for the disk
that it is simply not read from.
"""

import asyncio
import logging
from collections.abc import Sequence
from functools import partial

from prometheus_client import CollectorRegistry, Counter

from fanline.backoff import Backoff
from fanline.errors import ErrorCode, Rejected, StoreError
from fanline.protocol import (
    Ack,
    Dialect,
    NewMessage,
    Refusal,
    check_message,
    encode,
    refusal,
)
from fanline.server import metrics
from fanline.server.connection import Connection, text_frame
from msgqueue.log import Log
from msgqueue.store.base import Receipt

logger = logging.getLogger(__name__)


class PushEndpoint:
    """Handles the connections to ``/pushmsg``.

    Args:
        log: Where the messages go.
        max_content: Largest content of one message, in bytes.
        registry: Where to register the counters.
    """

    def __init__(self, log: Log, *, max_content: int, registry: CollectorRegistry) -> None:
        self._log = log
        self._max_content = max_content
        self._stored = self._duplicates = 0
        metrics.counter(registry, "fanline_messages_stored", "Messages stored.", lambda: self._stored)
        metrics.counter(
            registry,
            "fanline_messages_duplicate",
            "Messages not stored because their id was known.",
            lambda: self._duplicates,
        )
        self._refused = Counter("fanline_messages_refused", "Messages refused.", ["code"], registry=registry)

    async def handle(self, connection: Connection) -> None:
        """Serve one publisher until it goes away."""
        if connection.dialect is Dialect.PLAIN:
            await self._handle_plain(connection)
        else:
            await self._handle_v1(connection)

    async def _handle_v1(self, connection: Connection) -> None:
        async for frame in connection.frames():
            entries = self._read(frame, connection)
            accepted = [entry for entry in entries if isinstance(entry, NewMessage)]
            receipts = self._log.append(accepted)
            # The log settles its futures in the order of the appends, and so the answers keep to it.
            receipts.add_done_callback(partial(self._answer, connection, entries))
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
        return [self._check(entry, connection) for entry in connection.dialect.codec.decode_published(frame)]

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

    def _answer(
        self,
        connection: Connection,
        entries: Sequence[NewMessage | Rejected],
        receipts: asyncio.Future[list[Receipt]],
    ) -> None:
        error = receipts.exception()
        answers = self._acks(entries, receipts.result()) if error is None else _refusals(entries, error)
        if answers:
            connection.write(text_frame(encode(answers)))

    def _acks(
        self, entries: Sequence[NewMessage | Rejected], receipts: Sequence[Receipt]
    ) -> list[Ack | Refusal]:
        self._count(receipts)
        in_order = iter(receipts)
        return [
            refusal(entry) if isinstance(entry, Rejected) else Ack(entry.id, *next(in_order))
            for entry in entries
        ]

    def _count(self, receipts: Sequence[Receipt]) -> None:
        duplicates = sum(receipt.duplicate for receipt in receipts)
        self._duplicates += duplicates
        self._stored += len(receipts) - duplicates


def _refusals(entries: Sequence[NewMessage | Rejected], error: BaseException) -> list[Ack | Refusal]:
    reason = f"the log cannot be written: {error}"
    return [
        refusal(entry)
        if isinstance(entry, Rejected)
        else Refusal(ErrorCode.QUEUE_UNAVAILABLE, reason, entry.id)
        for entry in entries
    ]
