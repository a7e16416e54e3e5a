"""A msgqueue for commands."""

import pytest

from fanline.server import Service
from msgqueue.app import open_msgqueue
from tests.conftest import StartService


@pytest.fixture
async def queue(start_service: StartService) -> Service:
    """A running msgqueue."""
    return await start_service(open_msgqueue)
