"""The files of the web page."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles

from chat.http.security_policy import content_security_policy
from fanline.server import single_header

FOLDER: Final = Path(__file__).parent.parent / "static"


def routes(folder: Path = FOLDER) -> Iterator[Route]:
    """Yield a route for each file of a folder, ``index.html`` as the page itself, and for links to rooms."""
    files = StaticFiles(directory=folder)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        yield _route("/" if name == "index.html" else f"/{name}", files, name)
    yield _route("/favicon.ico", files, "icon.svg")
    yield Route("/rooms/{id:path}", _show_room, methods=["GET"], include_in_schema=False)


def _route(path: str, files: StaticFiles, name: str) -> Route:
    async def serve(request: Request) -> Response:
        response = await files.get_response(name, request.scope)
        response.headers["Cache-Control"] = "no-cache"
        host = single_header(request.headers, "host")
        response.headers["Content-Security-Policy"] = content_security_policy(host)
        return response

    return Route(path, serve, methods=["GET"], include_in_schema=False)


async def _show_room(request: Request) -> Response:
    """Lead a person who has typed the address of a room to the room."""
    return RedirectResponse(f"/#{quote(request.path_params['id'], safe='')}")
