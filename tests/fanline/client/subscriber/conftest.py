"""A subscribing client and its stub service, over real TLS."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from fanline import Message, Subscriber
from tests.stubs import DEADLINE, PASSWORD, USER, StubSubscriber

MakeSubscriber = Callable[..., Subscriber]


@pytest.fixture
async def stub(cert_dir: Path) -> AsyncIterator[StubSubscriber]:
    async with StubSubscriber(cert_dir) as running:
        yield running


@pytest.fixture
def make_subscriber(stub: StubSubscriber, tls: ssl.SSLContext) -> MakeSubscriber:
    """Make subscribers for the stub; the test enters them."""

    def make(*topics: str, **options: Any) -> Subscriber:
        return Subscriber(*topics, url=stub.url, user=USER, password=PASSWORD, tls=tls, **options)

    return make


@pytest.fixture
async def subscriber(make_subscriber: MakeSubscriber) -> AsyncIterator[Subscriber]:
    """A subscriber without subscriptions."""
    async with asyncio.timeout(DEADLINE), make_subscriber() as open_subscriber:
        yield open_subscriber


async def take(subscriber: Subscriber, count: int) -> list[Message]:
    async with asyncio.timeout(DEADLINE):
        return [await anext(subscriber) for _ in range(count)]


def values(messages: list[Message]) -> list[Any]:
    return [message.value() for message in messages]
