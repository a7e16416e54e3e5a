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
        self._check: asyncio.Task[str | None] | None = None
        self._expires = float("-inf")

    async def problem(self, *, timeout: float | None = None) -> str | None:
        """Return why a service is not ready, or None.

        Args:
            timeout: Seconds to wait for the services; None for as long as a check takes.
        """
        if self._check is None or (self._check.done() and self._clock() >= self._expires):
            self._check = asyncio.create_task(self._check_all())
        try:
            async with asyncio.timeout(timeout):
                return await asyncio.shield(self._check)
        except TimeoutError:
            return f"not all of {', '.join(self._urls)} have answered within {timeout:g} s"

    async def aclose(self) -> None:
        """Cancel a check that is in progress."""
        if self._check is not None:
            self._check.cancel()
            await asyncio.wait([self._check])

    async def _check_all(self) -> str | None:
        answers = await asyncio.gather(*map(self._check_one, self._urls))
        self._expires = self._clock() + MAX_AGE
        return next((answer for answer in answers if answer), None)

    async def _check_one(self, url: str) -> str | None:
        try:
            await check_ready(url, tls=self._tls)
        except FanlineError as error:
            return str(error)
        return None
