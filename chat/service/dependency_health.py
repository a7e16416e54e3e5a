"""The health of the services that chat depends on."""

import asyncio
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Final

from fanline import FanlineError, check_ready

# Seconds for which an answer is reused, so that frequent checks of chat do not multiply.
MAX_AGE: Final = 1.0


class DependencyHealth:
    """Check whether services are ready. Concurrent calls share one check.

    Args:
        urls: The services, ``wss://HOST:PORT``.
        tls: How to verify them.
        clock: Returns seconds of a monotonic clock.
    """

    def __init__(
        self, urls: Sequence[str], tls: ssl.SSLContext, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._urls = urls
        self._tls = tls
        self._clock = clock
        self._lock = asyncio.Lock()
        self._problem: str | None = None
        self._expires = float("-inf")

    async def problem(self) -> str | None:
        """Return in one sentence why a service is not ready; None if all are."""
        async with self._lock:
            if self._clock() >= self._expires:
                self._problem = await self._check_all()
                self._expires = self._clock() + MAX_AGE
            return self._problem

    async def _check_all(self) -> str | None:
        answers = await asyncio.gather(*map(self._check, self._urls))
        return next((answer for answer in answers if answer), None)

    async def _check(self, url: str) -> str | None:
        try:
            await check_ready(url, tls=self._tls)
        except FanlineError as error:
            return str(error)
        return None
