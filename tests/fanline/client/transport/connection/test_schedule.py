"""When the next attempt is made."""

import asyncio
import logging
import ssl

import pytest

from tests.fanline.client.transport.connection.conftest import Attempts, link_to, running
from tests.stubs import DEADLINE, Stub


@pytest.mark.parametrize(("steady_seconds", "resets"), [(DEADLINE, 0), (0.0, 1)])
async def test_starts_over_only_after_a_connection_that_held(
    stub: Stub, tls: ssl.SSLContext, steady_seconds: float, resets: int
) -> None:
    """A peer that takes every connection and drops it at once is asked less and less often."""
    attempts = Attempts()
    async with running(link_to(stub, tls, backoff=attempts, steady_seconds=steady_seconds)):
        await stub.until(lambda: len(stub.connections) == 1)
        stub.drop()
        await attempts.until(1)
        assert attempts.resets == resets


async def test_comes_back_when_the_peer_says(
    stub: Stub, tls: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    """A delay that the peer asked for replaces the usual one, once, within limits."""
    caplog.set_level(logging.INFO, "fanline.client.transport.connection")
    attempts = Attempts()
    link = link_to(stub, tls, backoff=attempts)
    async with running(link):
        await stub.until(lambda: len(stub.connections) == 1)
        link.retry_after(-1)
        stub.drop()
        await stub.until(lambda: len(stub.paths) == 2 and len(stub.connections) == 1)
        assert attempts.count == 0
        stub.drop()
        await attempts.until(1)
        await stub.until(lambda: len(stub.paths) == 3 and len(stub.connections) == 1)
        link.retry_after(86_400)
        stub.drop()
        while "60.0 s" not in caplog.text:
            await asyncio.sleep(0)
