"""``GET /admin/status`` and ``GET /admin/connections``: what a service tells admins of itself.

::

    GET /admin/status?samples=360          readiness with reasons, and the newest measurements
    GET /admin/connections?user=alice      open connections, those that the most bytes wait for first
    GET /admin/connections?skip=100&limit=100

A service with several workers answers by one of them, and tells how many there are.
"""

import asyncio
import heapq
import os
import socket
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cache
from importlib import metadata
from itertools import islice
from typing import Any, Final, Protocol

import msgspec
from prometheus_client import CollectorRegistry
from starlette.requests import Request
from starlette.responses import Response

from fanline.errors import ErrorCode, Rejected
from fanline.protocol import encode, parse_position
from fanline.security.users import User
from fanline.server.channels.channel import Channel
from fanline.server.http.event_stream import EventStream
from fanline.server.status.series import KEPT, STEP_SECONDS, Series

MAX_LISTED: Final = 500
_DEFAULT_LIMIT: Final = 100

# Connections that are looked at before the rest of the service gets its turn.
_SLICE: Final = 2_000


class ServiceStatus(msgspec.Struct):
    """State of a service.

    Attributes:
        service: Its name.
        version: Of Fanline.
        host: Name of its machine.
        pid: Its process.
        workers: How many processes share its port; another one may answer the next time.
        started: When it was started, in Unix seconds.
        time: Its clock, in Unix seconds.
        problem: Why it cannot do its work; null if it can.
        notices: What is unusual, but no problem.
        certificate_expires: When its certificate expires, in Unix seconds.
        step: Seconds between two samples.
        taken: How many samples were taken so far: with it a program asks for new ones alone.
        series: Samples by measurement, the newest last; null where a value is unknown.
        facts: Further facts of the service.
    """

    service: str
    version: str
    host: str
    pid: int
    workers: int
    started: float
    time: float
    problem: str | None
    notices: Sequence[str]
    certificate_expires: float
    step: float
    taken: int
    series: dict[str, list[float | None]]
    facts: Mapping[str, Any]


class ConnectionStatus(msgspec.Struct):
    """One open connection.

    Attributes:
        user: Who logged in; null if the endpoint has users of its own.
        address: IP address of the client.
        port: Its port.
        kind: ``websocket`` or ``events``.
        waiting_bytes: Bytes that it has yet to read.
        slow: Whether these are too many for live delivery.
        topics: Patterns that it has subscribed to, the first of them.
        topic_count: How many there are.
        behind: Messages of the log, of all topics, that it has yet to be sent; null if it is sent none.
    """

    user: str | None
    address: str
    port: int
    kind: str
    waiting_bytes: int
    slow: bool
    topics: Sequence[str] = ()
    topic_count: int = 0
    behind: int | None = None


class ConnectionPage(msgspec.Struct):
    """A page of the open connections.

    Attributes:
        service: Name of the service.
        total: How many there are, of the user asked for.
        connections: Those asked for.
    """

    service: str
    total: int
    connections: list[ConnectionStatus]


class SubscriptionSummary(msgspec.Struct):
    """The subscriptions of a connection, as far as they are shown."""

    topics: Sequence[str]
    topic_count: int
    behind: int


DescribeConnections = Callable[[Collection[Channel]], Mapping[Channel, SubscriptionSummary]]


class Source(Protocol):
    """Interface of a service, for its status."""

    @property
    def metrics(self) -> CollectorRegistry:
        """All metrics."""
        ...

    @property
    def readiness_problem(self) -> Callable[[], str | None]:
        """Returns why it cannot do its work."""
        ...

    @property
    def notices(self) -> Callable[[], Sequence[str]]:
        """Returns what is unusual."""
        ...

    @property
    def facts(self) -> Callable[[], Mapping[str, object]]:
        """Returns further facts."""
        ...

    @property
    def describe_connections(self) -> DescribeConnections:
        """Returns what is known of the subscriptions of connections."""
        ...


class StatusReporter:
    """Reports how a service does.

    Args:
        source: The service.
        name: Its name.
        workers: How many processes share its port.
        connections: Returns its open connections.
        problems: Returns why changed files cannot be used.
        certificate_expires: Returns when the certificate expires, in Unix seconds.
        clock: Returns Unix seconds.
    """

    def __init__(
        self,
        source: Source,
        name: str,
        workers: int,
        *,
        connections: Callable[[], Sequence[Channel]],
        problems: Callable[[], Sequence[str]],
        certificate_expires: Callable[[], float],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._source = source
        self._name = name
        self._workers = workers
        self._connections = connections
        self._problems = problems
        self._certificate_expires = certificate_expires
        self._clock = clock
        self._started = clock()
        self._series = Series()

    async def run(self) -> None:
        """Take a sample every few seconds, until cancelled."""
        while True:
            self._series.take(time.monotonic(), self._source.metrics.collect())
            await asyncio.sleep(STEP_SECONDS)

    def status(self, samples: int) -> ServiceStatus:
        """Return how the service does.

        Args:
            samples: How many of the newest samples to include.
        """
        return ServiceStatus(
            service=self._name,
            version=installed_version(),
            host=socket.gethostname(),
            pid=os.getpid(),
            workers=self._workers,
            started=self._started,
            time=self._clock(),
            problem=self._source.readiness_problem(),
            notices=[*self._other_workers(), *self._source.notices(), *self._problems()],
            certificate_expires=self._certificate_expires(),
            step=STEP_SECONDS,
            taken=self._series.taken,
            series=self._series.newest(samples),
            facts=self._source.facts(),
        )

    def _other_workers(self) -> Iterator[str]:
        if self._workers > 1:
            yield (
                f"figures and connections are of process {os.getpid()}, one of {self._workers} workers; "
                "disconnecting a user reaches all of them"
            )

    async def connections(self, user: str | None, skip: int, limit: int) -> ConnectionPage:
        """Return open connections, those that the most bytes wait for first.

        Args:
            user: Only those of this user; None for all.
            skip: How many to leave out.
            limit: Most connections returned.
        """
        channels, waiting = iter(self._connections()), list[tuple[int, int, Channel]]()
        while some := tuple(islice(channels, _SLICE)):
            waiting += [
                (each.write_buffer_size, id(each), each)
                for each in some
                if each.is_open and user in (None, each.user_name)
            ]
            await asyncio.sleep(0)
        shown = [channel for _, _, channel in heapq.nlargest(skip + limit, waiting)[skip:]]
        known = self._source.describe_connections(shown)
        return ConnectionPage(
            self._name, len(waiting), [_describe(channel, known.get(channel)) for channel in shown]
        )

    async def show_status(self, request: Request) -> Response:
        """Answer ``GET /admin/status``."""
        require_admin(request.user)
        (samples,) = read_numbers(request, samples=(1, KEPT))
        return json_response(self.status(samples))

    async def show_connections(self, request: Request) -> Response:
        """Answer ``GET /admin/connections``."""
        require_admin(request.user)
        skip, limit = read_numbers(request, skip=(0, 10_000), limit=(_DEFAULT_LIMIT, MAX_LISTED))
        return json_response(await self.connections(request.query_params.get("user"), skip, limit))


@cache  # it parses the whole description of the package
def installed_version() -> str:
    """Return the version of Fanline that is installed."""
    return metadata.version("fanline")


def require_admin(user: User) -> None:
    """Refuse a request of a user who is no admin.

    Raises:
        Rejected: If the user is none.
    """
    if not user.may_administer:
        raise Rejected(ErrorCode.FORBIDDEN, "only a user with the role admin or service may do this")


def read_numbers(request: Request, **numbers: tuple[int, int]) -> list[int]:
    """Return parameters of a query that are numbers.

    Args:
        request: The request.
        numbers: For each its default and its highest value, by name.

    Raises:
        Rejected: If one is no number, or too high.
    """
    found = []
    for name, (default, highest) in numbers.items():
        value = parse_position(name, request.query_params.get(name, str(default)))
        if value > highest:
            raise Rejected(ErrorCode.BAD_COMMAND, f"{name} must be 0 to {highest:,}")
        found.append(value)
    return found


def json_response(value: object) -> Response:
    """Return an answer in JSON."""
    return Response(encode(value), media_type="application/json")


def _describe(channel: Channel, known: SubscriptionSummary | None) -> ConnectionStatus:
    status = ConnectionStatus(
        user=channel.user_name,
        address=channel.peer.address,
        port=channel.peer.port,
        kind="events" if isinstance(channel, EventStream) else "websocket",
        waiting_bytes=channel.write_buffer_size,
        slow=channel.paused,
    )
    if known is not None:
        status.topics, status.topic_count = known.topics, known.topic_count
        status.behind = known.behind
    return status
