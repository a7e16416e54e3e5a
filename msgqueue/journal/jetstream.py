"""The journal in a stream of NATS JetStream, on three servers."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final, Self

import msgspec

from fanline.backoff import Backoff
from fanline.errors import ConfigurationError
from msgqueue.journal.base import Ends, Entry, Journal, JournalDamage, JournalError
from msgqueue.journal.session import NatsLogin, Session
from msgqueue.journal.stream import Answer, differences, ends_of, stream_config

logger = logging.getLogger(__name__)

# At the start, the servers are waited for so long.
_OPEN_SECONDS: Final = 30.0

# A server that leads no more may tell of an older end of the stream; none does so for longer.
STALE_SECONDS: Final = 20.0


class JetStreamJournal(Journal):
    """The connection of one msgqueue. Made by :meth:`open`.

    Args:
        urls: The servers, ``tls://HOST:PORT``.
        stream: Name of the stream.
        login: How to connect.
    """

    def __init__(self, urls: Sequence[str], stream: str, login: NatsLogin) -> None:
        self._urls = list(urls)
        self._stream = stream
        self._login = login
        self._session: Session | None = None
        self._connecting = asyncio.Lock()
        self._backoff = Backoff(first=0.1, cap=1.0)
        self._last = 0  # index of the newest entry that was read
        self._short_since: float | None = None

    @classmethod
    async def open(
        cls,
        urls: Sequence[str],
        stream: str,
        login: NatsLogin,
        *,
        max_bytes: int,
        max_payload: int,
        timeout: float = _OPEN_SECONDS,
    ) -> Self:
        """Connect to one of the servers, and create a missing stream.

        Args:
            urls: The servers, ``tls://HOST:PORT``.
            stream: Name of the stream.
            login: How to connect.
            max_bytes: The size above which a new stream refuses frames.
            max_payload: Size of the largest frame; a server must take as much.
            timeout: Seconds for which the servers are waited for.

        Raises:
            ConfigurationError: If no server answers, or the stream or a server is not as it must be.
        """
        journal = cls(urls, stream, login)
        try:
            await journal._open(max_bytes, max_payload, timeout)
        except BaseException:
            await journal.close()
            raise
        return journal

    async def append(self, frame: bytes, *, is_first: bool = False) -> None:
        """See :meth:`Journal.append`."""
        session = await self._connected()
        await session.publish(frame, is_first=is_first)

    async def follow(self, last: int) -> AsyncGenerator[Sequence[Entry], None]:
        """See :meth:`Journal.follow`."""
        self._last = last
        while True:
            try:
                session = await self._connected()
                await self._require_last()
                async with aclosing(session.deliveries(max(1, self._last))) as deliveries:
                    async for entries in deliveries:
                        self._backoff.reset()
                        yield entries
                        self._last = max(self._last, entries[-1].index)
            except JournalError as error:
                logger.warning("the journal is read on from another server: %s", error)
                self.change_server()
                await asyncio.sleep(self._backoff.next())

    async def ends(self) -> Ends:
        """See :meth:`Journal.ends`."""
        return ends_of((await self._info()).state)

    async def trim(self, first: int) -> None:
        """See :meth:`Journal.trim`."""
        session = await self._connected()
        await session.ask(f"STREAM.PURGE.{self._stream}", msgspec.json.encode({"seq": first}))

    def change_server(self) -> None:
        """See :meth:`Journal.change_server`."""
        if self._session is not None:
            self._session.leave()

    async def close(self) -> None:
        """See :meth:`Journal.close`."""
        if self._session is not None:
            await self._session.close()

    async def _open(self, max_bytes: int, max_payload: int, timeout: float) -> None:
        failure = "no server was tried"
        try:
            async with asyncio.timeout(timeout):
                while True:
                    try:
                        await self._prepare(max_bytes, max_payload)
                    except JournalError as error:
                        failure = str(error)
                        self.change_server()
                        await asyncio.sleep(self._backoff.next())
                    else:
                        return
        except TimeoutError:
            raise ConfigurationError(f"nats_urls: no journal after {timeout:.0f} s: {failure}") from None

    async def _prepare(self, max_bytes: int, max_payload: int) -> None:
        session = await self._connected()
        if session.max_payload < max_payload:
            raise ConfigurationError(
                f"nats_urls: a server takes {session.max_payload:,} bytes at most, and a frame may have"
                f" {max_payload:,}: set max_payload: 8MB in the configuration of each NATS server"
            )
        answer = await self._info()
        if answer.error is not None:
            request = msgspec.json.encode(stream_config(self._stream, max_bytes))
            answer = await session.ask(f"STREAM.CREATE.{self._stream}", request)
        if wrong := differences(self._stream, answer.config):
            raise ConfigurationError(
                f"nats_stream: {self._stream} cannot be a journal: {'; '.join(wrong)}; choose another name"
            )

    async def _info(self) -> Answer:
        session = await self._connected()
        return await session.ask(f"STREAM.INFO.{self._stream}")

    async def _require_last(self) -> None:
        """Check that the stream still has what was read from it.

        Raises:
            JournalDamage: If it has lost entries.
            JournalError: If it seems so, which a server that is no leader any more may say for some time.
        """
        ends = ends_of((await self._info()).state)
        if ends.first > self._last + 1:
            raise JournalDamage(f"the journal begins at entry {ends.first}, and {self._last + 1} is needed")
        if ends.last >= self._last:
            self._short_since = None
            return
        now = asyncio.get_running_loop().time()
        self._short_since = self._short_since or now
        words = f"the journal ends at entry {ends.last}, and this msgqueue has applied {self._last}"
        if now - self._short_since > STALE_SECONDS:
            raise JournalDamage(f"{words}: the stream {self._stream} has lost entries, or was made again")
        raise JournalError(words)

    async def _connected(self) -> Session:
        """Return the session, connecting to the next server if there is none.

        Raises:
            JournalError: If that server cannot be reached.
        """
        async with self._connecting:
            if self._session is not None and not self._session.is_lost:
                return self._session
            await self.close()
            self._session = None
            self._urls.append(self._urls.pop(0))
            self._session = await Session.connect(self._urls[0], self._stream, self._login)
            return self._session
