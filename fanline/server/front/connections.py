"""Open connections of a service: their number, liveness and closing."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from fanline.protocol import TokenAnswer, TokenNotice, encode
from fanline.security.authenticator import Unauthorized
from fanline.security.guesses import network
from fanline.security.logins import EndOf, VerifiedLogin
from fanline.server.accepting.cuts import Cut, Cuts
from fanline.server.accepting.peer import Peer
from fanline.server.channels.channel import Channel
from fanline.server.channels.limits import Limits
from fanline.server.http.event_stream import EventStream
from fanline.server.http.protocol import HttpProtocol
from fanline.server.websocket.connection import Connection, Opening
from fanline.server.websocket.frames import text_frame
from fanline.settings import Settings
from fanline.tasks import start_task

RenewLogin = Callable[[VerifiedLogin, str], Awaitable[VerifiedLogin]]


class OpenConnections:
    """The set of all open WebSockets and event streams of a service.

    Args:
        limits: Limits of each.
        return_spread: Seconds over which clients that are sent away are told to come back.
        cuts: Counts the connections that are cut because of what their clients do.
        renew_login: Returns the login of a newer token of the same user, or raises
            :class:`~fanline.security.authenticator.Unauthorized`.

    Attributes:
        per_user: How many each user has.
        per_network: How many each network has: an address, or in IPv6 a /64.
        tasks: What runs for connections, also for those that are lost.
    """

    def __init__(self, limits: Limits, return_spread: float, cuts: Cuts, renew_login: RenewLogin) -> None:
        self.per_user: Counter[str] = Counter()
        self.per_network: Counter[str] = Counter()
        self.tasks: set[asyncio.Task[None]] = set()
        self._limits = limits
        self._return_spread = return_spread
        self._cuts = cuts
        self._renew_login = renew_login
        self._channels: set[Channel] = set()

    def reload(self, settings: Settings) -> Collection[str]:
        """Apply changed limits to new connections; return the names of these settings."""
        self._return_spread = settings.return_spread
        self._limits = replace(
            self._limits,
            write_buffer=settings.write_buffer,
            ping_interval=settings.ping_interval,
            silence_limit=settings.silence_limit,
            max_unfinished=settings.unfinished_bytes,
            max_unread=settings.unread_bytes,
        )
        return (
            "write_buffer",
            "ping_interval",
            "silence_limit",
            "unfinished_bytes",
            "unread_bytes",
            "return_spread",
        )

    def __len__(self) -> int:
        return len(self._channels)

    def __iter__(self) -> Iterator[Channel]:
        return iter(tuple(self._channels))

    def accept(self, transport: asyncio.Transport, opening: Opening, peer: Peer) -> Connection:
        """Return the connection of a handshake that was accepted and answered."""
        peer.confirm()
        connection = Connection(transport, peer, opening, self._limits, self)
        self._add(connection)
        return connection

    def open_stream(self, protocol: HttpProtocol, login: VerifiedLogin, heartbeat: float) -> EventStream:
        """Return a new stream, counted as a connection of its user.

        It has not begun.
        """
        stream = EventStream(protocol, self._limits, self, login=login, heartbeat=heartbeat)
        self._add(stream)
        return stream

    @contextmanager
    def reserved(self, address: str) -> Iterator[None]:
        """Count a connection of an address while it is decided on."""
        key = network(address)
        self.per_network[key] += 1
        try:
            yield
        finally:
            _decrement(self.per_network, key)

    def remove(self, channel: Channel) -> None:
        """Forget a connection that is lost."""
        self._channels.discard(channel)
        _decrement(self.per_network, network(channel.peer.address))
        if (name := channel.user_name) is not None:
            _decrement(self.per_user, name)

    def create_task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a task that a stop of the service waits for."""
        task = start_task(work)
        self.track(task)
        return task

    async def renew(self, channel: Channel, login: VerifiedLogin, token: str) -> None:
        """Replace a channel's login by that of a newer, valid token.

        The client is told the result.

        Args:
            channel: The channel; its client speaks v1.
            login: Its login.
            token: The new token.
        """
        try:
            renewed = await self._renew_login(login, token)
        except Unauthorized as error:
            answer = TokenAnswer(error="unauthorized", reason=str(error))
        else:
            channel.login, channel.expires = renewed, renewed.expires
            channel.on_login()
            answer = TokenAnswer(expires=int(renewed.expires))
        channel.write(text_frame(encode(TokenNotice(answer))))

    def count_cut(self, channel: Channel, cut: Cut) -> None:
        """Count and log a connection that is cut for its client's behavior."""
        self._cuts.count(cut, channel.peer.address)

    def track(self, task: asyncio.Task[None]) -> None:
        """Make a stop of the service wait for a task."""
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def check_lives(self, now: float) -> None:
        """Look after all connections; called about once a second.

        Args:
            now: The event loop's time.
        """
        unfinished = {channel: size for channel in self if (size := channel.check_life(now))}
        _bound(unfinished, self._limits.max_unfinished, Cut.MEMORY)
        unread = {each: each.write_buffer_size for each in self if each.paused and each.is_open}
        _bound(unread, self._limits.max_unread, Cut.SLOW)

    def check_logins(self, end_of: EndOf) -> None:
        """Close the connections whose login is no longer what it was."""
        for channel in self:
            if channel.login is not None and (end := end_of(channel.login)):
                channel.cut(*end)

    def stop_listening(self) -> None:
        """Discard what the peers send from now on."""
        for channel in self:
            channel.stop_listening()

    def dismiss(self) -> None:
        """Close every connection, and tell each client when to come back.

        The times are spread.
        """
        for channel in self:
            channel.dismiss(self.draw_retry_ms())

    def draw_retry_ms(self) -> int:
        """Return milliseconds after which a client should come back, each time others."""
        # Not for secrecy: it keeps clients from returning all at once.
        return round(random.uniform(0, self._return_spread) * 1000)  # noqa: S311

    def abort(self) -> None:
        """Drop every connection at once."""
        for channel in self:
            channel.abort()

    def _add(self, channel: Channel) -> None:
        self._channels.add(channel)
        self.per_network[network(channel.peer.address)] += 1
        if (name := channel.user_name) is not None:
            self.per_user[name] += 1


def _bound(sizes: Mapping[Channel, int], limit: int, cut: Cut) -> None:
    """Drop the largest channels until the rest is within a limit."""
    excess = sum(sizes.values()) - limit
    for channel in sorted(sizes, key=sizes.__getitem__, reverse=True):
        if excess <= 0:
            break
        excess -= sizes[channel]
        channel.drop(cut)


def _decrement(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
