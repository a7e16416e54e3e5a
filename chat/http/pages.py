"""The web page of chat, and links to rooms."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from fanline.server import WebPage, prefix_of

FOLDER: Final = Path(__file__).parent.parent / "static"


def routes(folder: Path = FOLDER) -> Iterator[Route]:
    """Yield the routes of a folder's page, its files, and rooms' links."""
    page = WebPage(folder)

    async def show_client(request: Request) -> Response:
        return page.show_always(request, "fanline.js")

    async def show_icon(request: Request) -> Response:
        return page.show_always(request, "icon.svg")

    yield from page.routes()
    yield Route("/fanline.js", show_client, include_in_schema=False)
    yield Route("/favicon.ico", show_icon, include_in_schema=False)
    yield Route("/rooms/{id:path}", _show_room, include_in_schema=False)


async def _show_room(request: Request) -> Response:
    """Redirect a person from a room's address to the room."""
    return RedirectResponse(f"{prefix_of(request)}/#{quote(request.path_params['id'], safe='')}")
