"""Delivery to one subscriber: its waiting, and its one task.

:mod:`subscriber.subscription` decides, without waiting. This waits for the log and for the connection, in one
task at most: a subscriber that is live has none.
"""

import asyncio
from collections.abc import Sequence
from typing import Final, TypeVar

from fanline.errors import CloseCode, ErrorCode, Rejected
from fanline.protocol import PageAnswer, Read, SubscribeRefusal
from fanline.queue.page_turns import PageTurns
from fanline.server import Channel
from subscriber.backlog import Need, Start, Steps
from subscriber.commands import Command
from subscriber.frame_codec import FrameCodec
from subscriber.live_feed import LiveFeed
from subscriber.subscription import Subscription

T = TypeVar("T")

_UNREACHABLE: Final = "msgqueue cannot be reached; the subscription was not made"
_NO_ANSWER: Final = "msgqueue does not answer; the subscription was not made"


class Delivery:
    """Delivers to one subscriber what its subscription decides.

    A task exists only while there is something to wait for: while the subscriber catches up.

    Args:
        channel: Its connection.
        codec: Makes its frames.
        feed: The live end of the log.
        pages: Reads the rest of the log, in turn with all others.
        max_subscriptions: How many patterns it may hold.
        timeout: Seconds that a command may wait for msgqueue.
    """

    __slots__ = ("_channel", "_feed", "_pages", "_subscription", "_task", "_timeout")

    def __init__(
        self,
        channel: Channel,
        codec: FrameCodec,
        feed: LiveFeed,
        pages: PageTurns,
        *,
        max_subscriptions: int,
        timeout: float,
    ) -> None:
        self._channel = channel
        self._feed = feed
        self._pages = pages
        self._timeout = timeout
        self._subscription = Subscription(
            channel, codec, feed, user=channel.user, max_patterns=max_subscriptions
        )
        self._task: asyncio.Task[None] | None = None
        channel.on_pause = self._on_pause
        channel.on_login = self._on_login

    async def begin(self, commands: Sequence[Command]) -> Sequence[Start]:
        """Make several subscriptions as one, and return each one's start.

        Nothing is written before they are made.

        Raises:
            Rejected: If the subscriptions cannot be made.
        """
        steps = self._subscription.begin(commands)
        try:
            needs = next(steps)
        except StopIteration as end:
            starts: Sequence[Start] = end.value
        else:
            starts = await self._complete(steps, needs)
        self._ensure_task()
        return starts

    def on_close(self) -> None:
        """End the subscription."""
        self._subscription.close()
        if self._task is not None:
            self._task.cancel()

    def _on_pause(self) -> None:
        self._subscription.leave_live()
        self._ensure_task()

    def _on_login(self) -> None:
        for pattern, rejected in self._subscription.change_user(self._channel.user):
            self._subscription.send(SubscribeRefusal(rejected.code, rejected.reason, sub=pattern))

    async def _complete(self, steps: Steps[T], needs: Need) -> T:
        """Execute the rest of a command, and return its result.

        Raises:
            Rejected: If it cannot be executed, or msgqueue does not give in time what it needs.
        """
        try:
            async with asyncio.timeout(self._timeout):
                while True:
                    needs = steps.send(await self._fetch(needs))
        except StopIteration as end:
            result: T = end.value
            return result
        except TimeoutError:
            reason = _NO_ANSWER if isinstance(needs, Read) else _UNREACHABLE
            raise Rejected(ErrorCode.QUEUE_UNAVAILABLE, reason) from None

    async def _fetch(self, needs: Need) -> PageAnswer | None:
        if isinstance(needs, Read):
            return await self._pages.read(self._channel.user.name, needs)
        await needs.wait_until_ready()
        return None

    # The task.

    @property
    def _has_work(self) -> bool:
        return self._subscription.is_catching_up

    def _ensure_task(self) -> None:
        if self._task is None and self._has_work:
            self._task = self._channel.create_task(self._work())

    async def _work(self) -> None:
        try:
            while self._has_work:
                await self._step()
        except Rejected as rejected:
            self._subscription.cut(CloseCode.TRY_AGAIN_LATER, f"cannot catch up: {rejected.reason}")
        finally:
            if self._task is asyncio.current_task():
                self._task = None

    async def _step(self) -> None:
        """Take one step back to live, when the subscriber takes data."""
        await self._channel.writable()
        async with self._feed.turn:
            grown = self._feed.grown.next
            read = self._subscription.advance()
            await asyncio.sleep(0)  # live deliveries, and then the next one that catches up
        if read is not None:
            page = await self._pages.read(self._channel.user.name, read)
            async with self._feed.turn:
                self._subscription.take_page(read, page)
                await asyncio.sleep(0)
        elif self._subscription.is_ahead and not self._channel.paused:
            await asyncio.shield(grown)
