"""The connections to the pipeline: one to write with, one to read with."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Final, NoReturn

from chat.domain.events import EVERYTHING
from fanline.client import Gap, Publisher, Subscriber
from fanline.errors import ErrorCode, FanlineError, Rejected
from fanline.settings import Settings

# Seconds until the pipeline is tried again after it has refused this server, which may be put right there.
REFUSED_DELAY: Final = 5.0

Session = Callable[[Publisher, Subscriber], Awaitable[None]]

logger = logging.getLogger(__name__)


class AnotherLog(FanlineError):
    """The log ends before the position up to which it has been read: it is not the same as before."""


class Uplink:
    """Connects to the pipeline, and again where the connections have ended for good.

    A connection that is merely lost is made again by the clients themselves.

    Args:
        settings: Where the pipeline is.
        login: Who to log in as, and how to verify the services.
    """

    def __init__(self, settings: Settings, login: dict[str, Any]) -> None:
        self._settings = settings
        self._login = login
        self._clients: Sequence[Publisher | Subscriber] = ()
        self._refusal: str | None = "not connected yet"

    @property
    def problem(self) -> str | None:
        """Why there is no connection at this moment, in one sentence; None while there are both."""
        return self._refusal or next((each.problem for each in self._clients if each.problem), None)

    async def run(self, after: Callable[[], int], session: Session) -> NoReturn:
        """Run a session on both connections, until cancelled, and another one when it was refused.

        Args:
            after: Returns the position behind which to begin to read.
            session: Writes and reads until an error ends it.

        Raises:
            AnotherLog: If there is no such position any more.
            Exception: Whatever the session raises that is not about the pipeline.
        """
        while True:
            refusals: list[FanlineError] = []
            try:
                await self._connect(after(), session)
            except* FanlineError as errors:
                refusals += _flat(errors)
            for refusal in refusals:
                self._note(refusal)
            await asyncio.sleep(REFUSED_DELAY)

    async def _connect(self, after: int, session: Session) -> None:
        publisher = Publisher(self._settings.publisher_url, **self._login)
        subscriber = Subscriber(
            EVERYTHING, url=self._settings.subscriber_url, after=after, on_gap=_note_gap, **self._login
        )
        async with publisher, subscriber:
            self._clients, self._refusal = (publisher, subscriber), None
            await session(publisher, subscriber)

    def _note(self, error: FanlineError) -> None:
        self._refusal = str(error)
        if isinstance(error, Rejected) and error.code == ErrorCode.BAD_POSITION:
            raise AnotherLog(error.reason) from error
        logger.warning("%s; next attempt in %g s", error, REFUSED_DELAY)


def _flat(errors: BaseExceptionGroup[FanlineError]) -> Iterator[FanlineError]:
    for error in errors.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _flat(error)
        else:
            yield error


def _note_gap(gap: Gap) -> None:
    """Say what retention has removed: as it should be for what was said, but never for chat.rooms."""
    logger.info("positions %s to %s: some are not in the log any more", gap.first, gap.last)
