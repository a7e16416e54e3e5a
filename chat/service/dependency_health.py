"""Whether the services that chat stands on can do their work."""

import asyncio
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Final

from fanline.client import check_ready
from fanline.errors import FanlineError

# Seconds for which an answer counts: whoever asks chat, and however often, asks the others no more than that.
FRESH: Final = 1.0


class Neighbours:
    """Asks services whether they are ready. Any number of tasks may ask at once.

    Args:
        urls: The services, ``wss://HOST:PORT``.
        tls: How to verify them.
        clock: Seconds of a clock that never goes back.
    """

    def __init__(
        self, urls: Sequence[str], tls: ssl.SSLContext, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._urls = urls
        self._tls = tls
        self._clock = clock
        self._turn = asyncio.Lock()
        self._problem: str | None = None
        self._fresh_until = float("-inf")

    async def problem(self) -> str | None:
        """Return in one sentence why one of them is not ready, or None if all are."""
        async with self._turn:
            if self._clock() >= self._fresh_until:
                self._problem = await self._ask()
                self._fresh_until = self._clock() + FRESH
            return self._problem

    async def _ask(self) -> str | None:
        answers = await asyncio.gather(*map(self._ask_one, self._urls))
        return next((answer for answer in answers if answer), None)

    async def _ask_one(self, url: str) -> str | None:
        try:
            await check_ready(url, tls=self._tls)
        except FanlineError as error:
            return str(error)
        return None
