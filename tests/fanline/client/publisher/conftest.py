"""A publishing client and its stub service, over real TLS."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from fanline import (
    Publisher,
    Rejected,
)
from tests.stubs import DEADLINE, PASSWORD, USER, StubPublisher

MakePublisher = Callable[..., Publisher]


@pytest.fixture
async def stub(cert_dir: Path) -> AsyncIterator[StubPublisher]:
    async with StubPublisher(cert_dir) as running:
        yield running


@pytest.fixture
def make_publisher(stub: StubPublisher, tls: ssl.SSLContext) -> MakePublisher:
    """Make publishers for the stub; the test enters them."""

    def make(**options: Any) -> Publisher:
        return Publisher(stub.url, user=USER, password=PASSWORD, tls=tls, **options)

    return make


@pytest.fixture
async def publisher(make_publisher: MakePublisher) -> AsyncIterator[Publisher]:
    async with asyncio.timeout(DEADLINE), make_publisher() as open_publisher:
        yield open_publisher


def refused(code: str = "forbidden") -> Rejected:
    return Rejected(code, "hello may not publish there")


def nested(depth: int) -> list[Any]:
    content: list[Any] = []
    for _ in range(depth):
        content = [content]
    return content
