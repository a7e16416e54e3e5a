"""The way from a request for a WebSocket to its endpoint."""

import asyncio
from collections.abc import Mapping
from http import HTTPStatus

from starlette.routing import compile_path
from starlette.types import Scope

from fanline.protocol import SUBPROTOCOL
from fanline.server.access import Access, address_of
from fanline.server.app import Endpoint, OpenEndpoint
from fanline.server.front.connections import OpenConnections
from fanline.server.http.middleware import common_headers
from fanline.server.request.problems import HttpProblem, ProblemCode, Refusals
from fanline.server.request.proxies import TrustedProxies
from fanline.server.websocket.connection import Opening
from fanline.server.websocket.handshake import Handshake, HandshakeProtocol


class WebSocketGate:
    """Opens WebSockets: path, origin, login, limits, in this order.

    Args:
        endpoints: The endpoints, by path.
        access: Decides who may open them.
        connections: The open connections.
        refusals: Counts the refused requests.
        proxies: Tells the addresses of clients behind proxies.
    """

    def __init__(
        self,
        endpoints: Mapping[str, Endpoint | OpenEndpoint],
        access: Access,
        connections: OpenConnections,
        refusals: Refusals,
        proxies: TrustedProxies,
    ) -> None:
        self._endpoints = [(*compile_path(path), endpoint) for path, endpoint in endpoints.items()]
        self._access = access
        self._connections = connections
        self._refusals = refusals
        self._proxies = proxies

    def open(self, transport: asyncio.Transport, scope: Scope, early: bytes) -> None:
        """Begin a handshake."""
        self._proxies.resolve(scope)
        handshake = HandshakeProtocol(
            transport,
            scope,
            decide=self._decide,
            accept=self._connections.accept,
            early=early,
            common_headers=lambda handshake: common_headers(handshake, self._access),
            refusals=self._refusals,
        )
        self._connections.track(handshake.task)

    async def _decide(self, handshake: Handshake) -> Opening:
        endpoint = self._find(handshake)
        self._access.check_origin(handshake)
        if isinstance(endpoint, OpenEndpoint):
            self._access.check_connections(handshake, None, self._connections)
            with self._connections.reserved(address_of(handshake)):
                return await endpoint.open(handshake)
        login = await self._access.identify(handshake, services_only=endpoint.services_only)
        self._access.check_connections(handshake, login, self._connections)
        is_v1 = SUBPROTOCOL in handshake.offered
        return Opening(
            make_handler=endpoint.make_handler,
            login=login,
            expires=login.expires,
            subprotocol=SUBPROTOCOL if is_v1 else None,
            is_one_way=endpoint.is_one_way and not is_v1,
        )

    def _find(self, handshake: Handshake) -> Endpoint | OpenEndpoint:
        path = handshake.scope["path"]
        for regex, _, convertors, endpoint in self._endpoints:
            if match := regex.match(path):
                handshake.scope["path_params"] = {
                    name: convertors[name].convert(value) for name, value in match.groupdict().items()
                }
                return endpoint
        raise HttpProblem(HTTPStatus.NOT_FOUND, ProblemCode.NOT_FOUND, f"there is nothing at {path}")
