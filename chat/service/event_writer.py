"""Writing to the log, and waiting for what was written to come back from it."""

import asyncio
import secrets
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from chat.domain.errors import Unavailable
from chat.domain.events import Event
from chat.domain.state import Change
from fanline.client import Publisher
from fanline.errors import FanlineError, Rejected


class Written(NamedTuple):
    """What became of an event that is in the log.

    Attributes:
        seq: Its position.
        has_come_back: Whether it is known if it counts. It is not if an earlier attempt had stored it
            already, or if it is stored but has not come back yet.
        change: What it has changed; None if it does not count.
    """

    seq: int
    has_come_back: bool
    change: Change | None = None


class Journal:
    """Writes events, and recognizes them when they come back. Any number of tasks may write at once.

    Args:
        patience: Seconds that writing may take.

    Attributes:
        position: Up to where the log has come back.
        publisher: What to write with; None while there is none.
    """

    def __init__(self, patience: float) -> None:
        self.position = 0
        self.publisher: Publisher | None = None
        self._patience = patience
        self._waiting: defaultdict[str, list[asyncio.Future[Written]]] = defaultdict(list)

    async def write(self, topic: str, event: Event, id: str | None = None) -> Written:  # noqa: A002
        """Write an event, and wait until it has come back.

        If cancelled, the event may be stored or not.

        Args:
            topic: Where to write it.
            event: What to write.
            id: What tells it from all others, so that it is stored once however often it is written.

        Raises:
            Rejected: If the pipeline refuses it.
            Unavailable: If the pipeline has not stored it in time. It may still be stored, unless the text
                says otherwise; writing it again with the same id is safe.
        """
        id = id or secrets.token_urlsafe(12)  # noqa: A001
        written: Written | None = None
        with self._expect(id) as coming:
            try:
                async with asyncio.timeout(self._patience):
                    written = await self._store(topic, event, id)
                    if written.seq > self.position:
                        await coming
            except TimeoutError:
                pass
            if coming.done() and not coming.cancelled():
                return coming.result()
        if written is None:
            raise Unavailable(f"it could not be stored in time: {self._problem}")
        return written

    def settle(self, seq: int, id: str | None, change: Change | None) -> None:  # noqa: A002
        """Note that the log has come back up to a position, and what stood there.

        Args:
            seq: The position.
            id: The id of what stood there.
            change: What it has changed; None if it does not count.
        """
        self.position = seq
        if id is None:
            return
        for coming in self._waiting.pop(id, ()):
            if not coming.done():
                coming.set_result(Written(seq, has_come_back=True, change=change))

    async def _store(self, topic: str, event: Event, id: str) -> Written:  # noqa: A002
        if self.publisher is None:
            raise Unavailable("there is no connection to the pipeline; try again later")
        try:
            ack = await self.publisher.publish(topic, event, id=id)
        except Rejected:
            raise
        except FanlineError as error:
            raise Unavailable(f"it was not stored: {error}") from error
        return Written(ack.seq, has_come_back=False)

    @property
    def _problem(self) -> str:
        problem = self.publisher and self.publisher.problem
        return problem or "the pipeline does not answer"

    @contextmanager
    def _expect(self, id: str) -> Iterator[asyncio.Future[Written]]:  # noqa: A002
        coming: asyncio.Future[Written] = asyncio.get_running_loop().create_future()
        self._waiting[id].append(coming)
        try:
            yield coming
        finally:
            if id in self._waiting:
                self._waiting[id].remove(coming)
                if not self._waiting[id]:
                    del self._waiting[id]
