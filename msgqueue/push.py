"""``/pushmsg``: messages in, acks out, in the same order.

The messages of each frame wait for a commit, and the frame is answered when that is done. So a publisher may
have any number of frames in progress, until so much waits for the disk that it is not read from.
"""

import asyncio
from collections.abc import Sequence
from functools import partial

from prometheus_client import CollectorRegistry

from fanline.backoff import Backoff
from fanline.errors import ErrorCode, Rejected, StoreError
from fanline.protocol import Ack, Dialect, NewMessage, Refusal, encode, refusal
from fanline.server import Connection, Handler, MessageReader, PlainMessages, text_frame
from msgqueue.log import Log
from msgqueue.store.base import AppendResult


class PushEndpoint:
    """Makes the handlers of the connections to ``/pushmsg``.

    Args:
        log: Where the messages go.
        max_content: Largest content of one message, in bytes.
        registry: Where to register the counters of refused messages.
    """

    def __init__(self, log: Log, *, max_content: int, registry: CollectorRegistry) -> None:
        self._log = log
        self._reader = MessageReader(max_content=max_content, registry=registry)

    def open(self, connection: Connection) -> Handler:
        """Return the handler of a connection."""
        if connection.dialect is Dialect.V1:
            return _Pushing(connection, self._reader, self)
        # The original publisher passes on messages of any size, in fragments, and would not reconnect.
        connection.cut_short()

        def accept(accepted: Sequence[NewMessage], _: int) -> None:
            if accepted:
                connection.pause_reading_during(self._store(accepted))

        return PlainMessages(connection, self._reader, accept)

    def append(self, entries: Sequence[NewMessage | Rejected], connection: Connection) -> None:
        """Store what can be accepted; when that is done, reply to all."""
        accepted = [entry for entry in entries if isinstance(entry, NewMessage)]
        results = self._log.append(accepted)
        # The log settles its futures in the order of the appends, and so the answers keep to it.
        results.add_done_callback(partial(self._answer, connection, entries))
        if self._log.is_full:
            connection.pause_reading_during(self._log.wait_for_space())

    async def _store(self, messages: Sequence[NewMessage]) -> None:
        """Store messages that get no ack: try until it succeeds."""
        backoff = Backoff()
        while True:
            try:
                await self._log.append(messages)
            except StoreError:
                await asyncio.sleep(backoff.next())
            else:
                return

    @staticmethod
    def _answer(
        connection: Connection,
        entries: Sequence[NewMessage | Rejected],
        results: asyncio.Future[list[AppendResult]],
    ) -> None:
        error = results.exception()
        answers = _acks(entries, results.result()) if error is None else _refusals(entries, error)
        if answers:
            connection.write(text_frame(encode(answers)))


class _Pushing:
    """The handler of a v1 connection."""

    def __init__(self, connection: Connection, reader: MessageReader, endpoint: PushEndpoint) -> None:
        self._connection = connection
        self._reader = reader
        self._endpoint = endpoint

    def on_frame(self, payload: bytes) -> None:
        self._endpoint.append(self._reader.read(payload, self._connection), self._connection)

    def on_close(self) -> None:
        """Store what was sent all the same; nothing is to be released."""


def _acks(entries: Sequence[NewMessage | Rejected], results: Sequence[AppendResult]) -> list[Ack | Refusal]:
    in_order = iter(results)
    return [
        refusal(entry) if isinstance(entry, Rejected) else Ack(entry.id, *next(in_order)) for entry in entries
    ]


def _refusals(entries: Sequence[NewMessage | Rejected], error: BaseException) -> list[Ack | Refusal]:
    reason = f"the log cannot be written: {error}"
    return [
        refusal(entry)
        if isinstance(entry, Rejected)
        else Refusal(ErrorCode.QUEUE_UNAVAILABLE, reason, entry.id)
        for entry in entries
    ]
