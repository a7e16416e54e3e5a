"""The newest part of the log, followed without a gap.

After a lost connection it resumes where it was, so that the listener does not notice. A queue that speaks
the plain dialect cannot resume; its messages are numbered here, for their order only.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from websockets.asyncio.client import ClientConnection

from fanline.client.transport.connection import ReconnectingConnection
from fanline.errors import Disconnected, ErrorCode, Rejected
from fanline.protocol import (
    Dialect,
    Pop,
    PopCommand,
    Read,
    Record,
    Refusal,
    decode_gap_notice,
    decode_plain,
    decode_popping,
    decode_records,
    decode_refusal,
    encode,
)
from fanline.queue.base import LogListener
from fanline.queue.page_reader import PageReader
from fanline.tasks import running_task

logger = logging.getLogger(__name__)

_CHECK_SECONDS: Final = 5.0


class LogFollower:
    """Follows the log of msgqueue.

    Args:
        link: A connection to ``/popmsg``, for this alone.
        listener: Gets everything.
        reader: Is kept connected while msgqueue speaks v1.
        check_seconds: How often the listener's head is compared with the end of the log.

    Attributes:
        problem: Why the listener does not get what the log has, or None if it does.
    """

    def __init__(
        self,
        link: ReconnectingConnection,
        listener: LogListener,
        reader: PageReader,
        *,
        check_seconds: float = _CHECK_SECONDS,
    ) -> None:
        self.problem: str | None = None
        self._check_seconds = check_seconds
        self._link = link
        self._listener = listener
        self._reader = reader

    async def run(self) -> None:
        """Follow until cancelled."""
        await self._link.run(self._serve)

    async def _serve(self, connection: ClientConnection) -> None:
        has_log = self._link.dialect is Dialect.V1
        if self._listener.is_ready and self._listener.can_resume != has_log:
            logger.warning("msgqueue was replaced by one that speaks the other dialect")
            self._listener.restart()
        await (self._follow_log(connection) if has_log else self._follow_plain(connection))

    async def _follow_log(self, connection: ClientConnection) -> None:
        listener = self._listener
        pop = Pop(listener.head, listener.epoch) if listener.is_ready else Pop("latest")
        await connection.send(encode(PopCommand(pop=pop)), text=True)
        answer = await connection.recv(decode=False)
        if answer.startswith(b'{"drain"'):
            return  # msgqueue closes the connection
        self._begin(answer)
        async with running_task(self._reader.run()), running_task(self._check_forever()):
            await self._feed(connection, self._read)

    async def _check_forever(self) -> None:
        """Report a problem when a live connection delivers nothing new."""
        self.problem = None
        missing: int | None = None  # the end of the log at the last check, if the listener had not got there
        while True:
            await asyncio.sleep(self._check_seconds)
            head = self._listener.head
            try:
                last = (await self._reader.read(Read([], after=head, limit=1))).last
            except Rejected:
                continue  # which says nothing about this
            is_stuck = missing is not None and self._listener.head < missing
            self.problem = (
                f"the log ends at {last}, and nothing has come after {self._listener.head}"
                if is_stuck
                else None
            )
            missing = last if self._listener.head < last else None

    async def _follow_plain(self, connection: ClientConnection) -> None:
        logger.warning("msgqueue speaks the plain dialect: subscribers cannot resume")
        self._reader.has_log = False
        if not self._listener.is_ready:
            self._listener.begin(0, epoch=None, can_resume=False)
        await self._feed(connection, self._number)

    def _begin(self, frame: bytes) -> None:
        listener = self._listener
        try:
            answer = decode_popping(frame)
        except msgspec.DecodeError:
            refusal = _refusal(frame)
            if refusal.error != ErrorCode.BAD_POSITION:
                raise Disconnected(f"msgqueue cannot be followed: {refusal.reason}") from None
            logger.error("msgqueue refuses to resume after %d: %s", listener.head, refusal.reason)
            listener.restart()
            raise Disconnected(
                "msgqueue does not know the position reached: its log is another one"
            ) from None
        self._reader.has_log = True
        self._reader.epoch = answer.epoch
        if not listener.is_ready:
            listener.begin(answer.seq, epoch=answer.epoch, can_resume=True)
        elif answer.gap is not None:
            listener.report(answer.gap)

    async def _feed(self, connection: ClientConnection, read: Callable[[bytes], Sequence[Record]]) -> None:
        while True:
            # Undecoded: the original msgqueue passes on whatever it was given, as text.
            self._listener.take(read(await connection.recv(decode=False)))

    def _number(self, frame: bytes) -> Sequence[Record]:
        try:
            message = decode_plain(frame)
        except msgspec.DecodeError as error:
            logger.warning("ignored a frame of msgqueue: %s", error)
            return ()
        return [Record(self._listener.head + 1, message.topic, encode(message))]

    def _read(self, frame: bytes) -> Sequence[Record]:
        """Return the records of a frame, after reporting a gap.

        Raises:
            Disconnected: If they cannot be read. Those that follow would hide that they are missing; after
                reconnecting they come again.
        """
        try:
            if frame.startswith(b'{"gap"'):
                self._listener.report(decode_gap_notice(frame).gap)
                return ()
            return decode_records(frame)
        except msgspec.DecodeError as error:
            raise Disconnected(f"msgqueue has sent what cannot be read: {error}") from error


def _refusal(frame: bytes) -> Refusal:
    try:
        return decode_refusal(frame)
    except msgspec.DecodeError:
        raise Disconnected(f"msgqueue has sent no answer, but {frame[:200]!r}") from None
