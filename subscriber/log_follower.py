"""The live end of the log: everything that msgqueue commits, from now on and without a hole.

After a lost connection it resumes where it was, so that subscribers do not notice. A queue that speaks the
plain dialect cannot resume; its messages are numbered here, for the order only, and subscribers are not
told these numbers.
"""

import logging
from collections.abc import Callable, Sequence

import msgspec
from websockets.asyncio.client import ClientConnection

from fanline.client.connection import ReconnectingConnection
from fanline.errors import Disconnected
from fanline.protocol import (
    Dialect,
    Pop,
    PopCommand,
    Record,
    decode_gap_notice,
    decode_plain,
    decode_popping,
    decode_record,
    encode,
    split_array,
)
from fanline.tasks import running_task
from subscriber.history_reader import Archive
from subscriber.live_feed import Live

logger = logging.getLogger(__name__)


class Tail:
    """Follows the log.

    Args:
        link: A link to ``/popmsg``, for this alone.
        live: Gets everything.
        archive: Is kept connected while the queue speaks v1.
    """

    def __init__(self, link: ReconnectingConnection, live: Live, archive: Archive) -> None:
        self._link = link
        self._live = live
        self._archive = archive

    async def run(self) -> None:
        """Follow until cancelled."""
        await self._link.run(self._session)

    async def _session(self, connection: ClientConnection) -> None:
        has_log = self._link.dialect is Dialect.V1
        if self._live.is_ready and self._live.can_resume != has_log:
            logger.warning("the queue was replaced by one that speaks the other dialect")
            self._live.restart()
        await (self._follow_log(connection) if has_log else self._follow_plain(connection))

    async def _follow_log(self, connection: ClientConnection) -> None:
        pop = Pop(after=self._live.head) if self._live.is_ready else Pop(after="latest")
        await connection.send(encode(PopCommand(pop=pop)), text=True)
        self._begin(await connection.recv(decode=False))
        async with running_task(self._archive.run()):
            await self._follow(connection, self._read)

    async def _follow_plain(self, connection: ClientConnection) -> None:
        logger.warning("the queue speaks the plain dialect: subscribers cannot resume")
        if not self._live.is_ready:
            self._live.begin(0, can_resume=False)
        await self._follow(connection, self._number)

    def _begin(self, frame: bytes) -> None:
        try:
            answer = decode_popping(frame)
        except msgspec.DecodeError:
            logger.error("the queue refuses to resume after %d: %r", self._live.head, frame[:200])
            self._live.restart()
            raise Disconnected(
                "the queue does not know the position reached: its log is another one"
            ) from None
        if not self._live.is_ready:
            self._live.begin(answer.seq, can_resume=True)
        elif answer.gap is not None:
            self._live.report(answer.gap)

    async def _follow(self, connection: ClientConnection, read: Callable[[bytes], Sequence[Record]]) -> None:
        while True:
            # Undecoded: the original msgqueue passes on whatever it was given, as text.
            frame = await connection.recv(decode=False)
            try:
                records = read(frame)
            except msgspec.DecodeError as error:
                logger.warning("ignored a frame of the queue: %s", error)
            else:
                self._live.take(records)

    def _number(self, frame: bytes) -> Sequence[Record]:
        message = decode_plain(frame)
        return [Record(self._live.head + 1, message.topic, encode(message))]

    def _read(self, frame: bytes) -> Sequence[Record]:
        if frame.startswith(b'{"drain"'):
            return ()
        if frame.startswith(b'{"gap"'):
            self._live.report(decode_gap_notice(frame).gap)
            return ()
        return [decode_record(body) for body in split_array(frame)]
