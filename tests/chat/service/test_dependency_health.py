"""Whether the services that chat stands on can do their work."""

import asyncio
import ssl

import pytest

from chat.service.dependency_health import FRESH, Neighbours
from tests.chat.conftest import OpenHouse, Services
from tests.stubs import DEADLINE


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def neighbours(services: Services, tls: ssl.SSLContext, clock: Clock) -> Neighbours:
    """The services of a pipeline, all of them ready; at first nothing is known of them."""
    urls = [f"wss://localhost:{each.port}" for each in (services.publisher, services.subscriber)]
    neighbours = Neighbours(urls, tls, clock=clock)
    async with asyncio.timeout(DEADLINE):
        while await neighbours.problem() is not None:
            clock.now += FRESH
    clock.now += FRESH
    return neighbours


async def test_all_are_ready(neighbours: Neighbours) -> None:
    """While all services can work there is no problem (line 30)."""
    assert await neighbours.problem() is None


async def test_one_is_not(neighbours: Neighbours, services: Services) -> None:
    """The problem is what the service says that cannot work (line 30)."""
    await services.msgqueue.stop()
    problem = await neighbours.problem()
    assert problem is not None
    assert "/pushmsg" in problem


async def test_one_is_away(neighbours: Neighbours, services: Services) -> None:
    """A service that does not answer is a problem, whichever of them it is (line 30)."""
    port = services.subscriber.port
    await services.subscriber.stop()
    problem = await neighbours.problem()
    assert problem is not None
    assert str(port) in problem


async def test_they_are_not_asked_for_every_question(
    neighbours: Neighbours, services: Services, clock: Clock
) -> None:
    """However many ask at once, the services are asked once a second at most."""
    assert await asyncio.gather(*(neighbours.problem() for _ in range(100))) == [None] * 100
    await services.publisher.stop()
    assert await neighbours.problem() is None
    clock.now += FRESH
    assert await neighbours.problem() is not None


async def test_the_house_says_so(open_house: OpenHouse, services: Services) -> None:
    """A house is healthy only while the queue behind both services is there (line 30)."""
    house = await open_house()
    await services.msgqueue.stop()
    problem = await house.problem()
    assert problem is not None
    assert "/pushmsg" in problem
    assert house.ready
