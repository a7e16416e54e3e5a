"""The live end of the log: everything that msgqueue commits, from now on and without a hole.

After a lost connection it resumes where it was, so that subscribers do not notice. A queue that speaks the
plain dialect cannot resume; its messages are numbered here, for the order only, and subscribers are not
told these numbers.
"""

import logging
from collections.abc import Callable, Sequence

import msgspec
from websockets.asyncio.client import ClientConnection

from fanline.errors import Disconnected
from fanline.link import Link
from fanline.message import Dialect, Record, decode_plain, decode_record, encode, split_array
from fanline.pop_protocol import Pop, PopCommand, decode_popping
from subscriber.live import Live

logger = logging.getLogger(__name__)


class Tail:
    """Follows the log.

    Args:
        link: A link to ``/popmsg``, for this alone.
        live: Gets everything.
    """

    def __init__(self, link: Link, live: Live) -> None:
        self._link = link
        self._live = live

    async def run(self) -> None:
        """Follow until cancelled."""
        await self._link.run(self._session)

    async def _session(self, connection: ClientConnection) -> None:
        if self._link.dialect is Dialect.PLAIN:
            logger.warning("the queue speaks the plain dialect: subscribers cannot resume")
            if not self._live.is_ready:
                self._live.begin(0, can_resume=False)
            await self._follow(connection, self._number)
            return
        pop = Pop(after=self._live.head) if self._live.is_ready else Pop(after="latest")
        await connection.send(encode(PopCommand(pop=pop)), text=True)
        self._begin(await connection.recv(decode=False))
        await self._follow(connection, _records)

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
        async for frame in connection:
            try:
                records = read(frame.encode() if isinstance(frame, str) else frame)
            except msgspec.DecodeError as error:
                logger.warning("ignored a frame of the queue: %s", error)
            else:
                self._live.take(records)

    def _number(self, frame: bytes) -> Sequence[Record]:
        message = decode_plain(frame)
        return [Record(self._live.head + 1, message.topic, encode(message))]


def _records(frame: bytes) -> Sequence[Record]:
    if frame.startswith(b'{"drain"'):
        return ()
    return [decode_record(body) for body in split_array(frame)]
