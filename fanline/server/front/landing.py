"""Default first page of a service, with the addresses of everything."""

from collections.abc import Iterator
from html import escape
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from fanline.server.access import is_host, single_header
from fanline.server.app import App, Page
from fanline.server.front.description import path_in_openapi
from fanline.server.request.problems import html_page
from fanline.server.request.proxies import prefix_of
from fanline.server.status.report import installed_version

# Of a service that its clients reach without TLS, through a proxy.
_SCHEMES: Final = {("http", "https"): "http", ("http", "wss"): "ws"}


def landing_page(service: str, app: App) -> Page:
    """Return a service's first page: HTML for browsers, text for others.

    Args:
        service: Its name.
        app: The service.
    """
    title = f"Fanline {service} {installed_version()}"

    async def show(request: Request) -> Response:
        url, own = _url(request), request.scope["scheme"]
        places = [(what, _SCHEMES.get((own, scheme), scheme), path) for what, scheme, path in _places(app)]
        example = app.example.format(url=f"{own}://{url}")
        if "text/html" not in request.headers.get("accept", ""):
            lines = [f"{what:<34} {scheme}://{url}{path}" for what, scheme, path in places]
            return PlainTextResponse("\n".join([title, "", *lines, "", f"    {example}", ""]))
        items = "".join(_item(what, scheme, url, path) for what, scheme, path in places)
        tried = f"<p>Try it:</p>\n<pre>{escape(example)}</pre>"
        return HTMLResponse(html_page(escape(title), f"<ul>{items}</ul>\n{tried}"))

    return show


def _places(app: App) -> Iterator[tuple[str, str, str]]:
    """Yield each thing's name, the scheme of its URL, and its path."""
    for route in app.routes:
        if isinstance(route, Route) and "GET" in (route.methods or ()) and not route.param_convertors:
            yield "Page", "https", route.path
    for path in app.endpoints:
        yield "WebSocket", "wss", path
    for what, paths in {"POST": app.posts, "GET": app.pages, "Server-sent events": app.streams}.items():
        for path in paths:
            yield what, "https", path_in_openapi(path)
    yield "Health", "https", "/healthz"
    yield "Readiness", "https", "/readyz?verbose"
    yield "Metrics", "https", "/metrics"
    yield "Description of HTTP (OpenAPI)", "https", "/openapi.json"
    if app.endpoints:
        yield "Description of WebSockets (AsyncAPI)", "https", "/asyncapi.json"


def _item(what: str, scheme: str, url: str, path: str) -> str:
    address = escape(f"{scheme}://{url}{path}")
    is_link = scheme.startswith("http") and what != "POST" and "{" not in path
    shown = f'<a href="{address}">{address}</a>' if is_link else f"<code>{address}</code>"
    return f"<li>{escape(what)}: {shown}"


def _url(request: Request) -> str:
    """Return host and path prefix, as the client knows them."""
    host = single_header(request.headers, "host") or ""
    return f"{host if is_host(host) else 'localhost'}{prefix_of(request)}"
