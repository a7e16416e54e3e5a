"""Reader of one topic at msgqueue, over a separate connection."""

from collections.abc import Callable, Sequence

import msgspec
from websockets.asyncio.client import ClientConnection

from fanline.errors import Disconnected
from fanline.protocol import (
    PageAnswer,
    Pop,
    PopCommand,
    Read,
    Record,
    decode_page,
    decode_popping,
    decode_records,
    encode,
)


class TopicFollower:
    """Reads the records of a topic in pages, then new ones.

    Each new record is taken as it is stored. After a lost connection it continues where it was; of another
    log it reads everything.

    Args:
        topic: The topic.
        take: Gets the records, in order.
        caught_up: Called whenever the end of the log is reached.
    """

    def __init__(
        self, topic: str, take: Callable[[Sequence[Record]], None], caught_up: Callable[[], None]
    ) -> None:
        self._topics = [topic]
        self._take = take
        self._caught_up = caught_up
        self._position = 0
        self._epoch: str | None = None

    async def serve(self, connection: ClientConnection) -> None:
        """Follow on one connection to ``/popmsg``, in v1, until it ends."""
        while not await self._read_page(connection):
            pass
        self._caught_up()
        pop = Pop(self._position, self._epoch, self._topics)
        await connection.send(encode(PopCommand(pop=pop)), text=True)
        try:
            decode_popping(await connection.recv(decode=False))
        except msgspec.DecodeError as error:
            raise Disconnected("msgqueue does not let the topic be followed") from error
        while True:
            self._take_frame(await connection.recv(decode=False))

    async def _read_page(self, connection: ClientConnection) -> bool:
        """Take the next page; return whether the log ends there."""
        read = Read(self._topics, after=self._position)
        await connection.send(encode(PopCommand(read=read)), text=True)
        page = _decode_page(await connection.recv(decode=False))
        if page.epoch != self._epoch:
            is_first = self._epoch is None
            self._epoch = page.epoch
            if not is_first:
                self._position = 0
                return False
        found = page.records()
        self._position = found.position
        self._take(found.records)
        return self._position >= page.last

    def _take_frame(self, frame: bytes) -> None:
        try:
            records = decode_records(frame)  # what a gap notice tells of cannot be had
        except msgspec.DecodeError as error:
            raise Disconnected("msgqueue has sent what is no record") from error
        if records:
            self._position = records[-1].seq
            self._take(records)


def _decode_page(frame: bytes) -> PageAnswer:
    try:
        page = decode_page(frame)
    except msgspec.DecodeError as error:
        raise Disconnected("msgqueue does not answer with a page of the log") from error
    if page.error is not None:
        raise Disconnected(f"msgqueue does not let the log be read: {page.reason}")
    return page
