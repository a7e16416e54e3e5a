"""A publisher, and a stub of the msgqueue that it forwards to."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fanline.server import Service
from publisher.app import open_publisher
from tests.conftest import StartService
from tests.stubs import StubPublisher


@pytest.fixture
async def queue(cert_dir: Path) -> AsyncIterator[StubPublisher]:
    """A stub of msgqueue's ``/pushmsg``."""
    async with StubPublisher(cert_dir) as stub:
        yield stub


@pytest.fixture
async def publisher(queue: StubPublisher, start_service: StartService) -> Service:
    """A publisher that forwards to the stub."""
    return await start_service(open_publisher, queue_url=queue.url)
