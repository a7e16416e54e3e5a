"""Channels: the common part of all connections that messages are written to.

Data is written ready-made, many messages at once. The transport's write buffer is the only queue of a
channel. Its high-water mark is where a consumer counts as slow: :attr:`Channel.on_pause` is called. A peer
that is slow but does read is left alone; one that takes nothing for the ``silence_limit`` is cut.
"""

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

from fanline.errors import CloseCode
from fanline.security.logins import VerifiedLogin
from fanline.security.users import User
from fanline.server.accepting.cuts import Cut
from fanline.server.accepting.peer import Peer
from fanline.server.accepting.progress import measure_progress
from fanline.server.channels.limits import Limits

# Seconds between two looks whether a channel that rests is closing.
LONGEST_REST: Final = 0.5


class Channels(Protocol):
    """Interface of the set that a channel belongs to."""

    def remove(self, channel: "Channel") -> None:
        """Forget a channel that is lost."""
        ...

    def create_task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a task that a stop of the service waits for."""
        ...

    async def renew(self, channel: "Channel", login: VerifiedLogin, token: str) -> None:
        """Replace a channel's login by that of a newer, valid token.

        The client is told the result.
        """
        ...

    def count_cut(self, channel: "Channel", cut: Cut) -> None:
        """Count and log a channel that is cut for its client's behavior."""
        ...


def do_nothing() -> None:
    """Do nothing: the initial value of :attr:`Channel.on_pause`."""


class Channel(asyncio.Protocol):
    """A connection to a client that is written to.

    Args:
        transport: The connection below it.
        peer: The other side.
        limits: Limits of this connection.
        channels: The set that it belongs to.
        login: Who logged in; None if the endpoint has users of its own.
        expires: Until when the login is valid, in Unix seconds.

    Attributes:
        login: As given.
        peer: As given.
        expires: As given.
        paused: Whether the write buffer is above its mark: the consumer is slow.
        on_login: Called when another token has replaced that of :attr:`login`.
        on_pause: Called, possibly from inside :meth:`write`, when that begins.
    """

    __slots__ = (
        "__weakref__", "_abort_timer", "_acked", "_channels", "_is_open", "_limits", "_loop", "_progress_at",
        "_transport", "_writable", "expires", "login", "on_login", "on_pause", "paused", "peer",
    )  # fmt: skip

    def __init__(
        self,
        transport: asyncio.Transport,
        peer: Peer,
        limits: Limits,
        channels: Channels,
        *,
        login: VerifiedLogin | None,
        expires: float,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self.peer = peer
        self._limits = limits
        self._channels = channels
        self.login = login
        self.expires = expires
        self.on_login: Callable[[], None] = do_nothing
        self.on_pause: Callable[[], None] = do_nothing
        self.paused = False
        self._is_open = True
        self._progress_at = self._loop.time()
        self._acked = 0
        self._writable: asyncio.Future[None] | None = None
        self._abort_timer: asyncio.TimerHandle | None = None

    @property
    def user(self) -> User:
        """The user who logged in."""
        assert self.login is not None
        return self.login.user

    @property
    def user_name(self) -> str | None:
        """Name of the user; None if the endpoint has its own users."""
        return self.login.user.name if self.login is not None else None

    @property
    def write_buffer_size(self) -> int:
        """Bytes that are written and not yet taken by the kernel."""
        return self._transport.get_write_buffer_size()

    @property
    def is_open(self) -> bool:
        """Return whether it is neither closing nor lost."""
        return self._is_open

    def write(self, data: bytes) -> None:
        """Write complete frames without waiting; do nothing on a closing channel."""
        if self._is_open:
            self._transport.write(data)

    async def writable(self) -> None:
        """Wait until the write buffer has room, or the connection is lost.

        There is room below the low-water mark.
        """
        if self.paused:
            if self._writable is None:
                self._writable = self._loop.create_future()
            await asyncio.shield(self._writable)

    async def rest(self, seconds: float) -> None:
        """Wait so many seconds, or about until the channel is closing."""
        while seconds > 0 and self._is_open:
            await asyncio.sleep(min(seconds, LONGEST_REST))
            seconds -= LONGEST_REST

    def create_task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a task, whose end a stopping service awaits."""
        return self._channels.create_task(work)

    # Life and end.

    @abstractmethod
    def check_life(self, now: float) -> int:
        """Look after the channel; called about once a second.

        Args:
            now: The event loop's time.

        Returns:
            The bytes of a message that has not arrived whole.
        """

    @abstractmethod
    def stop_listening(self) -> None:
        """Discard what the peer asks for from now on."""

    @abstractmethod
    def dismiss(self, retry_ms: int) -> None:
        """Close, because the service stops.

        Args:
            retry_ms: Milliseconds after which to tell the client to come back, if it can be told.
        """

    @abstractmethod
    def cut(self, code: int, reason: str) -> None:
        """Close without waiting for the peer.

        The peer is told why, and the connection is torn down after the ``close_timeout``.

        Args:
            code: A close code.
            reason: A sentence.
        """

    def drop(self, cut: Cut) -> None:
        """Close because of the client's behavior, and read no more.

        The client is told why, if it reads.
        """
        self._channels.count_cut(self, cut)
        self.cut(CloseCode.TRY_AGAIN_LATER, cut.reason)
        self._transport.close()

    def abort(self) -> None:
        """Drop the connection at once."""
        self._transport.abort()

    def pause_writing(self) -> None:
        """Tell the handler that this consumer is slow."""
        self.paused = True
        self._progress_at = self._loop.time()
        self._acked = measure_progress(self._transport)
        self.on_pause()

    def resume_writing(self) -> None:
        """Wake those that wait until the consumer takes more."""
        self.paused = False
        self._wake_writers()

    # Steps of subclasses.

    def _find_reason_to_cut(self, now: float) -> tuple[CloseCode, str] | None:
        """Return why to close the channel, if there is a reason.

        Either its login has expired, or its consumer takes nothing.
        """
        if self._limits.wall_clock() >= self.expires:
            return CloseCode.LOGGED_OUT, "the token or the certificate has expired; log in again"
        if not self.paused:
            return None
        if (acked := measure_progress(self._transport)) != self._acked:
            self._acked, self._progress_at = acked, now
        elif now - self._progress_at > self._limits.silence_limit:
            return CloseCode.SLOW_CONSUMER, "nothing was read; reconnect with after"
        return None

    def _begin_to_close(self) -> None:
        """Write nothing more, and drop the connection after the ``close_timeout``."""
        self._is_open = False
        self._abort_within(self._limits.close_timeout)

    def _abort_within(self, seconds: float) -> None:
        """Drop the connection after ``seconds``, at most the ``close_timeout``."""
        if self._abort_timer is not None:
            self._abort_timer.cancel()
        seconds = min(seconds, self._limits.close_timeout)
        self._abort_timer = self._loop.call_later(seconds, self._transport.abort)

    def _release(self) -> None:
        """Forget everything but those who wait, because the connection is lost."""
        self._is_open = self.paused = False
        if self._abort_timer is not None:
            self._abort_timer.cancel()
        self.on_login = self.on_pause = do_nothing
        self._channels.remove(self)

    def _wake_writers(self) -> None:
        if self._writable is not None:
            self._writable.set_result(None)
            self._writable = None
