"""Declaration of a service: its paths, readiness and lifecycle."""

from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Final

import prometheus_client
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from fanline.protocol import Record
from fanline.server.channels.channel import Channel
from fanline.server.http.event_stream import OpenStream
from fanline.server.status.report import DescribeConnections, SubscriptionSummary
from fanline.server.websocket.connection import MakeHandler, Opening
from fanline.server.websocket.handshake import Handshake

Page = Callable[[Request], Awaitable[Response]]

FollowAccess = Callable[[Callable[[Sequence[Record]], None], Callable[[], None]], Coroutine[Any, Any, None]]

MAX_BODY: Final = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A WebSocket path for users who log in.

    Attributes:
        make_handler: Makes the handler of a new connection.
        services_only: Whether users need the role ``service``; then no token is a login.
        is_one_way: Whether a plain client has nothing to read here, and so may not answer pings either.
        receives: Types of the frames of clients in ``fanline.v1``, as they are decoded.
        sends: Types of the frames to clients.
    """

    make_handler: MakeHandler
    services_only: bool = False
    is_one_way: bool = False
    receives: tuple[type, ...] = ()
    sends: tuple[type, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenEndpoint:
    """A WebSocket path that decides itself who may open it.

    Attributes:
        open: Decides on a handshake; called after the origin was checked. It raises
            :class:`~fanline.server.request.problems.HttpProblem` to refuse, and undoes what it did when it is
            cancelled, because the client has left.
    """

    open: Callable[[Handshake], Awaitable[Opening]]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamEndpoint:
    """A path of server-sent events, for users who log in.

    Attributes:
        open: Subscribes a stream to what a request asks for, and returns what the stream begins with. It may
            raise :class:`~fanline.errors.Rejected` or :class:`~fanline.server.request.problems.HttpProblem`.
        heartbeat: Seconds of silence after which a comment is written.
    """

    open: OpenStream
    heartbeat: float


def _know_nothing(channels: Collection[Channel]) -> Mapping[Channel, SubscriptionSummary]:
    del channels
    return {}


def _take_nothing(settings: object) -> Collection[str]:
    del settings
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """One service.

    Attributes:
        is_shared: Whether other processes listen on the port as well.
        max_frame: Largest message that a client may send, in bytes.
        metrics: Shown at ``/metrics``.
        endpoints: WebSocket paths, in the syntax of Starlette's routes.
        pages: What answers GET, for users who log in, by path: the user is ``request.user``. It may raise
            :class:`~fanline.errors.Rejected` or :class:`~fanline.server.request.problems.HttpProblem`.
        posts: What answers POST, likewise.
        streams: Server-sent events, by path.
        descriptions: What OpenAPI says of pages, posts and streams, by path.
        described_types: Types that the descriptions refer to, besides those of all services.
        max_body: Largest body of a request, in bytes.
        example: A command to try the service with, for its first page; ``{url}`` stands for its URL.
        routes: What answers other requests; each decides itself who may make them.
        readiness_problem: Returns why the service cannot do its work at present, or None if it can.
        notices: Returns further sentences of ``/readyz?verbose``: what is unusual, but no problem.
        facts: Returns what the service tells admins of itself, besides its metrics.
        describe_connections: Returns what is known of the subscriptions of connections.
        drain: Finishes what is in progress; called when no new connection is accepted any more.
        reload: Takes over changed settings of the service, and returns the names of those that it can take.
        follow_access: Feeds a function with all access changes in the log, until cancelled, and calls the
            other whenever all of them were taken; None without a log.
    """

    max_frame: int
    metrics: prometheus_client.CollectorRegistry
    readiness_problem: Callable[[], str | None]
    drain: Callable[[], Awaitable[None]]
    follow_access: FollowAccess | None = None
    reload: Callable[[Any], Collection[str]] = _take_nothing
    notices: Callable[[], Sequence[str]] = tuple
    facts: Callable[[], Mapping[str, object]] = dict
    describe_connections: DescribeConnections = _know_nothing
    endpoints: Mapping[str, Endpoint | OpenEndpoint] = field(default_factory=dict)
    pages: Mapping[str, Page] = field(default_factory=dict)
    posts: Mapping[str, Page] = field(default_factory=dict)
    streams: Mapping[str, StreamEndpoint] = field(default_factory=dict)
    descriptions: Mapping[str, Any] = field(default_factory=dict)
    described_types: Sequence[type] = ()
    max_body: int = MAX_BODY
    routes: Sequence[BaseRoute] = ()
    is_shared: bool = False
    example: str = "curl -u USER '{url}/readyz?verbose'"


OpenedApp = AbstractAsyncContextManager[App]
