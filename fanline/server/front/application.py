"""A service's HTTP application: its routes, and answers to all other requests."""

import asyncio
from collections.abc import Callable, Sequence
from http import HTTPStatus

import prometheus_client
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route, Router
from starlette.types import Receive, Scope, Send

from fanline.server.access import Access
from fanline.server.app import App, Endpoint, Page, StreamEndpoint
from fanline.server.front.connections import OpenConnections
from fanline.server.front.description import describe_http, describe_websockets
from fanline.server.http.event_stream import answer_with_stream
from fanline.server.http.middleware import common_headers
from fanline.server.request.problems import HttpProblem, ProblemCode, translated_refusals
from fanline.server.request.proxies import prefix_of
from fanline.server.status.report import StatusReporter


class Application:
    """Answers the requests for one service by its routes.

    Args:
        app: The service.
        access: Decides who may see its pages.
        connections: The open connections, to which event streams are added.
        retiring: Set once the service is about to stop: then it is not ready.
        problems: Returns why changed files cannot be used.
        reporter: Tells admins how the service does; None where it does not.
        has_open_metrics: Show the metrics without a login.
    """

    def __init__(
        self,
        app: App,
        *,
        access: Access,
        connections: OpenConnections,
        retiring: asyncio.Event,
        problems: Callable[[], Sequence[str]],
        reporter: StatusReporter | None,
        has_open_metrics: bool = False,
    ) -> None:
        async def show_metrics(_: Request) -> Response:
            text = prometheus_client.generate_latest(app.metrics)
            return Response(text, headers={"Content-Type": prometheus_client.CONTENT_TYPE_LATEST})

        async def show_readiness(request: Request) -> Response:
            problem, changes = app.readiness_problem(), problems()
            status = HTTPStatus.OK if problem is None else HTTPStatus.SERVICE_UNAVAILABLE
            is_verbose = "verbose" in request.query_params
            has_reasons = problem is not None or (is_verbose and changes)
            if has_reasons and ("authorization" in request.headers or request.state.peer.certificate):
                await access.identify(request, needs_password=True)
            else:  # the reasons have addresses and files of the installation
                problem = problem and "not ready; a login shows why"
                changes = changes and ["a changed file or setting cannot be used; a login shows which"]
            notices = [*app.notices(), *changes] if is_verbose else ()
            return PlainTextResponse("".join(f"{line}\n" for line in (problem or "ok", *notices)), status)

        # Routes are tried in turn: first those that are asked often.
        self._routes: list[BaseRoute] = [
            *(Route(path, _for_users(page, access), methods=["POST"]) for path, page in app.posts.items()),
            *(Route(path, _for_users(page, access)) for path, page in app.pages.items()),
            *app.routes,  # before ours, so that a service can describe its health in a way of its own
            *(() if has_open_metrics else _documents(app)),
            Route("/healthz", _show_health),
            Route("/readyz", show_readiness),
            Route(
                "/metrics",
                show_metrics if has_open_metrics else _for_users(show_metrics, access, needs_password=True),
            ),
            *(() if reporter is None else _status(reporter, access)),
            *(Route(path, _stream(each, access, connections)) for path, each in app.streams.items()),
            *(Route(path, _upgrade_required(access, endpoint)) for path, endpoint in app.endpoints.items()),
        ]
        self._router = Router(self._routes, redirect_slashes=False)
        self._retiring = retiring

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            HttpProblem: If it is refused.
        """
        if scope["path"] == "/readyz" and self._retiring.is_set():
            detail = "the service is stopping"
            raise HttpProblem(HTTPStatus.SERVICE_UNAVAILABLE, ProblemCode.UNAVAILABLE, detail)
        if not scope["path"]:  # the prefix alone: from there, links of pages would lead elsewhere
            await RedirectResponse(f"{prefix_of(HTTPConnection(scope))}/")(scope, receive, send)
            return
        try:
            await self._router({**scope, "app": self}, receive, send)
        except HTTPException as error:
            await self._answer_unrouted(scope, error)(scope, receive, send)

    def _answer_unrouted(self, scope: Scope, error: HTTPException) -> Response:
        """Answer what no route does: OPTIONS, a wrong path, a wrong method."""
        path = scope["path"]
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            allowed = (("Allow", self._methods(path)),)
            if scope["method"] == "OPTIONS":
                return Response(status_code=HTTPStatus.NO_CONTENT, headers=dict(allowed))
            detail = f"{scope['method']} is not possible at {path}"
            raise HttpProblem(HTTPStatus.METHOD_NOT_ALLOWED, ProblemCode.METHOD_NOT_ALLOWED, detail, allowed)
        if error.status_code == HTTPStatus.NOT_FOUND:
            raise HttpProblem(HTTPStatus.NOT_FOUND, ProblemCode.NOT_FOUND, f"there is nothing at {path}")
        raise HttpProblem(HTTPStatus(error.status_code), ProblemCode.BAD_REQUEST, error.detail)

    def _methods(self, path: str) -> str:
        """Return what is possible at a path."""
        methods = {"OPTIONS"}
        for route in self._routes:
            if isinstance(route, Route) and route.path_regex.match(path):
                methods |= route.methods or set()
        if "GET" in methods:
            methods.add("HEAD")  # the middleware answers it everywhere
        return ", ".join(sorted(methods))


def _documents(app: App) -> list[BaseRoute]:
    """Return the routes of a service's public API descriptions."""
    documents = {"/openapi.json": describe_http(app)}
    if any(isinstance(endpoint, Endpoint) for endpoint in app.endpoints.values()):
        documents["/asyncapi.json"] = describe_websockets(app)

    async def show(request: Request) -> Response:
        prefix = prefix_of(request)
        servers = {"servers": [{"url": prefix}]} if prefix and "openapi" in request.url.path else {}
        return JSONResponse(documents[request.url.path] | servers)

    return [Route(path, show) for path in documents]


def _status(reporter: StatusReporter, access: Access) -> list[BaseRoute]:
    pages = {"/admin/status": reporter.show_status, "/admin/connections": reporter.show_connections}
    return [Route(path, _for_users(page, access, needs_password=True)) for path, page in pages.items()]


async def _show_health(_: Request) -> Response:
    return PlainTextResponse("ok\n")


def _for_users(page: Page, access: Access, *, needs_password: bool = False) -> Page:
    """Return a page that is shown after origin and login."""

    async def show(request: Request) -> Response:
        access.check_origin(request)
        request.scope["user"] = (await access.identify(request, needs_password=needs_password)).user
        with translated_refusals():
            return await page(request)

    return show


def _stream(endpoint: StreamEndpoint, access: Access, connections: OpenConnections) -> Page:
    """Return a page that streams events, after origin and login."""

    async def show(request: Request) -> Response:
        access.check_origin(request)
        login = await access.identify(request)
        access.check_connections(request, login, connections)
        request.scope["user"] = login.user
        with translated_refusals():
            return await answer_with_stream(
                request,
                login,
                endpoint.open,
                connections,
                heartbeat=endpoint.heartbeat,
                headers=common_headers(request, access),
            )

    return show


def _upgrade_required(access: Access, endpoint: object) -> Page:
    """Return the answer to a plain request at a WebSocket's path.

    It comes after the request's login.
    """

    async def refuse(request: Request) -> Response:
        access.check_origin(request)
        if isinstance(endpoint, Endpoint):
            await access.identify(request, services_only=endpoint.services_only)
        if _is_half_a_handshake(request.headers):
            detail = "the handshake of a WebSocket has Connection: Upgrade and Upgrade: websocket"
            raise HttpProblem(HTTPStatus.BAD_REQUEST, ProblemCode.BAD_REQUEST, detail)
        detail = "this is a WebSocket: connect with wss, by a WebSocket client"
        raise HttpProblem(
            HTTPStatus.UPGRADE_REQUIRED,
            ProblemCode.UPGRADE_REQUIRED,
            detail,
            (("Upgrade", "websocket"), ("Connection", "Upgrade")),
        )

    return refuse


def _is_half_a_handshake(headers: Headers) -> bool:
    """Return whether a plain request has other headers of a handshake.

    The original services answer these with 400. An upgrade to HTTP/2 is what some clients add to any request.
    """
    has_key = "sec-websocket-key" in headers or "sec-websocket-version" in headers
    return has_key or headers.get("upgrade", "h2c").lower() != "h2c"
