"""Lifecycle of a chat server: connect, read, beat, start over, drain."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final, NoReturn

from chat.domain import sentences
from chat.domain.errors import Unavailable
from chat.domain.events import ROOMS, SERVERS, Beat, Made
from chat.domain.names import new_key
from chat.domain.rooms import LOBBY
from chat.service.dependency_health import DependencyHealth
from chat.service.log_reader import LogReader, ServerState
from chat.service.pipeline import LogReplaced, PipelineConnection
from fanline import Publisher, Subscriber
from fanline.server import running_task

logger = logging.getLogger(__name__)


# Seconds within which a readiness probe is answered, whatever the other services do.
PROBE_TIMEOUT: Final = 0.8


class Lifecycle:
    """Keep one server connected to the pipeline, until its drain.

    Args:
        state: The state of this server.
        reader: Reads the log.
        pipeline: The connections.
        dependencies: The health of the services that chat depends on.
        check_interval: Seconds between checks of the pipeline, about which clients are told.
        drain_timeout: Seconds that a drain may take.
    """

    def __init__(
        self,
        state: ServerState,
        reader: LogReader,
        pipeline: PipelineConnection,
        dependencies: DependencyHealth,
        *,
        check_interval: float,
        drain_timeout: float,
    ) -> None:
        self._rooms = state.rooms
        self._presence = state.presence
        self._feed = state.feed
        self._writer = state.writer
        self._reader = reader
        self._pipeline = pipeline
        self._dependencies = dependencies
        self._check_interval = check_interval
        self._drain_timeout = drain_timeout
        self._is_away = False
        self._is_draining = False
        self._has_failed = False

    @property
    def is_ready(self) -> bool:
        """True once the log has been read up to its end."""
        return self._reader.is_ready

    @property
    def connection_problem(self) -> str | None:
        """Reason why this server is not connected to the pipeline, or None."""
        return self._pipeline.problem

    def require_ready(self) -> None:
        """Raise :class:`Unavailable` until the log has been read once."""
        if not self.is_ready:
            raise Unavailable(sentences.STARTING)

    def require_available(self) -> None:
        """Raise :class:`Unavailable` until the log is read and the pipeline answers."""
        self.require_ready()
        if self._is_away or self.connection_problem:
            raise Unavailable(sentences.AWAY)

    def require_open(self) -> None:
        """Raise :class:`Unavailable` unless new members and writes are accepted."""
        if self._is_draining:
            raise Unavailable(sentences.STOPPING)
        self.require_ready()

    async def problem(self) -> str | None:
        """Return why this server cannot work, or None."""
        if self._is_draining:
            return "this server stops"
        if self._has_failed:
            return "this server has failed and must be restarted; its log has the cause"
        if self.connection_problem:
            return self.connection_problem
        if not self.is_ready:
            return f"this server is still reading the log, and is at position {self._reader.position:,}"
        return await self._dependencies.problem(timeout=PROBE_TIMEOUT)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Stay connected during the block, and drain at its end.

        Becoming ready takes a while.
        """
        async with running_task(self._run()), running_task(self._watch()):
            try:
                yield
            finally:
                if not self._is_draining:
                    await self.drain()
                await self._dependencies.aclose()

    async def drain(self) -> None:
        """Close all clients with 1001, and wait for their leaves.

        The wait for them in the log is limited.
        """
        self._is_draining = True
        self._reader.close_all(sentences.SERVER_STOPS)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._drain_timeout):
                await self._presence.wait_until_empty()

    async def _run(self) -> None:
        try:
            while True:
                try:
                    await self._pipeline.run(lambda: self._reader.position, self._session)
                except LogReplaced as error:
                    logger.error("%s: the log was replaced, and is read from its beginning", error)
                    self._reader.start_over()
        except Exception:
            self._has_failed = True
            logger.critical("chat has failed", exc_info=True)

    async def _watch(self) -> NoReturn:
        """Tell the feed when the pipeline goes away or returns."""
        while True:
            await asyncio.sleep(self._check_interval)
            problem = self.connection_problem or await self._dependencies.problem()
            if self.is_ready and self._is_away != (problem is not None):
                self._is_away = problem is not None
                logger.warning("the pipeline is %s", f"away: {problem}" if problem else "back")
                # The reason itself, with its addresses, is for operators.
                self._feed.pipeline_changed(sentences.AWAY.text if self._is_away else None)

    async def _session(self, publisher: Publisher, subscriber: Subscriber) -> None:
        with self._writer.connected(publisher):
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read(subscriber))
                group.create_task(self._write(publisher))

    async def _write(self, publisher: Publisher) -> NoReturn:
        """Write a beat, and then a missing lobby.

        The beat shows where the log ended at the start.
        """
        await publisher.publish(SERVERS, Beat(self._presence.server))
        await self._reader.caught_up.wait()
        if LOBBY not in self._rooms.by_id:
            await publisher.publish(ROOMS, Made(LOBBY, "Lobby", new_key(), self._presence.server))
        await self._presence.run(publisher)

    async def _read(self, subscriber: Subscriber) -> None:
        async for message in subscriber:
            self._reader.take(message)
