"""The connections to the pipeline: one to publish, one to subscribe."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Final, NoReturn

from chat.domain.events import ALL_TOPICS
from chat.settings import ChatSettings
from fanline import ErrorCode, FanlineError, Gap, Publisher, Rejected, Subscriber

# Seconds between attempts after the pipeline has refused this server, until an operator has fixed the cause.
RETRY_DELAY: Final = 5.0

Session = Callable[[Publisher, Subscriber], Awaitable[None]]

logger = logging.getLogger(__name__)


class LogReplaced(FanlineError):
    """The log is another one than that which was read."""


class PipelineConnection:
    """Connect to the pipeline, and reconnect after a refusal.

    The clients themselves re-establish a connection that is merely lost.

    Args:
        settings: The URLs of the pipeline.
        login: The user, the password, and how to verify the services.
        retry_delay: Seconds between attempts after a refusal.
    """

    def __init__(
        self, settings: ChatSettings, login: dict[str, Any], *, retry_delay: float = RETRY_DELAY
    ) -> None:
        self._settings = settings
        self._login = login
        self._retry_delay = retry_delay
        self._clients: Sequence[Publisher | Subscriber] = ()
        self._refusal: str | None = "not connected yet"

    @property
    def problem(self) -> str | None:
        """Reason why one of the connections is missing, or None."""
        return self._refusal or next((each.problem for each in self._clients if each.problem), None)

    async def run(self, after: Callable[[], int], session: Session) -> NoReturn:
        """Run a session on both connections, again after refusals, until cancelled.

        Args:
            after: Returns the position after which reading begins.
            session: Writes and reads until an error ends it.

        Raises:
            LogReplaced: If the position does not exist, or is one of another log.
            Exception: Any error of the session that is not a :class:`FanlineError`.
        """
        while True:
            refusals: list[FanlineError] = []
            try:
                await self._connect(after(), session)
            except* FanlineError as errors:
                refusals += _flatten(errors)
            for refusal in refusals:
                self._record(refusal)
            await asyncio.sleep(self._retry_delay)

    async def _connect(self, after: int, session: Session) -> None:
        publisher = Publisher(self._settings.publisher_url, **self._login)
        subscriber = Subscriber(
            ALL_TOPICS, url=self._settings.subscriber_url, after=after, on_gap=_take_gap, **self._login
        )
        async with publisher, subscriber:
            self._clients, self._refusal = (publisher, subscriber), None
            await session(publisher, subscriber)

    def _record(self, error: FanlineError) -> None:
        self._refusal = str(error)
        if isinstance(error, LogReplaced):
            raise error
        if isinstance(error, Rejected) and error.code == ErrorCode.BAD_POSITION:
            raise LogReplaced(error.reason) from error
        logger.warning("%s; next attempt in %g s", error, self._retry_delay)


def _flatten(errors: BaseExceptionGroup[FanlineError]) -> Iterator[FanlineError]:
    for error in errors.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _flatten(error)
        else:
            yield error


def _take_gap(gap: Gap) -> None:
    """Log a gap that retention has left in rooms.

    Retention must not leave one in chat.rooms.

    Raises:
        LogReplaced: If what follows is of another log.
    """
    if gap.is_new_log:
        raise LogReplaced("the subscriber service has another log")
    logger.info("positions %s to %s: some records were removed by retention", gap.first, gap.last)
