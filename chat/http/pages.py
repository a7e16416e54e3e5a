"""The files of the web page, read once, and told apart by what is in them."""

import mimetypes
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

FOLDER: Final = Path(__file__).parent.parent / "static"


@dataclass(frozen=True)
class File:
    """A file, as a browser gets it.

    Attributes:
        body: What is in it.
        content_type: What that is.
        tag: Another one for whatever else may be in it.
    """

    body: bytes
    content_type: str
    tag: str

    async def answer(self, request: Request) -> Response:
        """Return the file; or, to a browser that has it already, only that it has not changed."""
        headers = {"ETag": self.tag, "Cache-Control": "no-cache"}
        if self.tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(self.body, 200, headers, self.content_type)


def routes(folder: Path = FOLDER) -> Iterator[Route]:
    """Yield the route of each file in a folder, at any depth; ``index.html`` is the page itself."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        place = "/" if path.name == "index.html" else f"/{path.relative_to(folder).as_posix()}"
        yield Route(place, _read(path).answer, methods=["GET"], include_in_schema=False)


def _read(path: Path) -> File:
    body = path.read_bytes()
    content_type, _ = mimetypes.guess_type(path.name)
    return File(body, content_type or "application/octet-stream", f'"{sha256(body).hexdigest()[:32]}"')
