"""The files of the web page."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles

from chat.http.security_policy import content_security_policy
from fanline.server import single_header

FOLDER: Final = Path(__file__).parent.parent / "static"


def routes(folder: Path = FOLDER) -> Iterator[Route]:
    """Yield a route for each file of a folder; ``index.html`` is the page itself."""
    files = StaticFiles(directory=folder)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        yield _route("/" if name == "index.html" else f"/{name}", files, name)


def _route(path: str, files: StaticFiles, name: str) -> Route:
    async def serve(request: Request) -> Response:
        response = await files.get_response(name, request.scope)
        response.headers["Cache-Control"] = "no-cache"
        host = single_header(request.headers, "host")
        response.headers["Content-Security-Policy"] = content_security_policy(host)
        return response

    return Route(path, serve, methods=["GET"], include_in_schema=False)
