"""The health of the services that chat depends on."""

import asyncio
import socket
import ssl

import pytest

from chat.service.dependency_health import MAX_AGE, DependencyHealth
from tests.chat.conftest import OpenServer, Services
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
async def dependencies(services: Services, tls: ssl.SSLContext, clock: Clock) -> DependencyHealth:
    """The services of a pipeline, all of them ready; at first nothing is known of them."""
    urls = [f"wss://localhost:{each.port}" for each in (services.publisher, services.subscriber)]
    dependencies = DependencyHealth(urls, tls, clock=clock)
    async with asyncio.timeout(DEADLINE):
        while await dependencies.problem() is not None:
            clock.now += MAX_AGE
    clock.now += MAX_AGE
    return dependencies


async def test_no_problem_while_all_are_ready(dependencies: DependencyHealth) -> None:
    """While all services can work there is no problem (line 30)."""
    assert await dependencies.problem() is None


async def test_a_service_that_is_not_ready_is_a_problem(
    dependencies: DependencyHealth, services: Services
) -> None:
    """The problem is what the service says that cannot work (line 30)."""
    await services.msgqueue.stop()
    problem = await dependencies.problem()
    assert problem is not None
    assert "not ready" in problem


async def test_a_service_that_is_away_is_a_problem(
    dependencies: DependencyHealth, services: Services
) -> None:
    """A service that does not answer is a problem, whichever of them it is (line 30)."""
    port = services.subscriber.port
    await services.subscriber.stop()
    problem = await dependencies.problem()
    assert problem is not None
    assert str(port) in problem


async def test_checks_are_shared_for_a_second(
    dependencies: DependencyHealth, services: Services, clock: Clock
) -> None:
    """However many ask at once, the services are asked once a second at most."""
    assert await asyncio.gather(*(dependencies.problem() for _ in range(100))) == [None] * 100
    await services.publisher.stop()
    assert await dependencies.problem() is None
    clock.now += MAX_AGE
    assert await dependencies.problem() is not None


async def test_a_black_hole_does_not_delay_the_answer(tls: ssl.SSLContext) -> None:
    """Within its timeout the answer names a service that accepts a connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as black_hole:  # what connects is never taken
        url = f"wss://localhost:{black_hole.getsockname()[1]}"
        dependencies = DependencyHealth([url], tls)
        problem = await dependencies.problem(timeout=0.1)
        await dependencies.aclose()
    assert problem is not None
    assert url in problem
    assert "0.1 s" in problem


async def test_a_server_reports_its_dependencies(open_server: OpenServer, services: Services) -> None:
    """A server is healthy only while msgqueue behind both services is there (line 30)."""
    server = await open_server()
    await services.msgqueue.stop()
    problem = await server.lifecycle.problem()
    assert problem is not None
    assert "not ready" in problem
    assert server.lifecycle.is_ready
