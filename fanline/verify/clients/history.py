"""The final log: read by subscription, and page by page."""

import asyncio
import http.client
import re
from http import HTTPStatus
from typing import Final
from urllib.parse import quote, urlsplit

import msgspec

from fanline.errors import Disconnected, FanlineError
from fanline.protocol import basic_authorization
from fanline.verify.clients.load import Load
from fanline.verify.clients.subscribers import Steady
from fanline.verify.clients.wire import Stored
from fanline.verify.system.installation import Place
from fanline.verify.verdict.observations import Received

_PAGE: Final = 1_000
HTTP_SECONDS: Final = 30.0

_LINK: Final = re.compile(r'<([^>]*)>; rel="(\w+)"')


class LogReader(Steady):
    """Reads the log by a subscription that begins in the past."""

    keeps_up = False


class _Page(msgspec.Struct):
    """One page, and the links to the next ones."""

    messages: list[Stored]
    next: str | None
    prev: str | None
    gap: tuple[int, int] | None


_decode: Final = msgspec.json.Decoder(list[Stored]).decode


class PageReader:
    """Reads a topic over HTTP, page by page in either direction.

    Args:
        load: The run.
        topic: What to read.
        start: Position after which the run began.
        backwards: Which way.
    """

    def __init__(self, load: Load, topic: str, start: int, *, backwards: bool) -> None:
        way = "backwards" if backwards else "forwards"
        self.received = Received(f"history of {topic} {way}", [topic], start)
        self._load = load
        self._path = f"/topics/{quote(topic)}/messages"
        self._backwards = backwards

    async def run(self) -> None:
        """Read everything; what goes wrong is noted."""
        try:
            await (self._read_backwards() if self._backwards else self._read_forwards())
        except FanlineError as error:
            self.received.troubles.append(str(error))

    async def _read_forwards(self) -> None:
        path: str | None = f"{self._path}?after={self.received.start}&limit={_PAGE}"
        while path is not None and (page := await self._get(path)).messages:
            self._note(page)
            path = page.next

    async def _read_backwards(self) -> None:
        pages = []
        path: str | None = f"{self._path}?last={_PAGE}"
        while path is not None:
            pages.append(await self._get(path))
            path = pages[-1].prev
        for page in reversed(pages):
            self._note(page)

    async def _get(self, path: str) -> _Page:
        return await asyncio.to_thread(_get, self._load.place, path)

    def _note(self, page: _Page) -> None:
        if page.gap is not None:
            self.received.gaps.append(page.gap)
        for message in page.messages:
            key = self._load.workload.identify(message.topic, bytes(message.content))
            self.received.note(message.seq, key)


def _get(place: Place, path: str) -> _Page:
    """Return one page.

    Raises:
        Disconnected: If there is no such answer.
    """
    url = urlsplit(place.subscriber_url)
    assert url.hostname is not None
    connection = http.client.HTTPSConnection(url.hostname, url.port, timeout=HTTP_SECONDS, context=place.tls)
    try:
        connection.request(
            "GET", path, headers={"Authorization": basic_authorization(place.user, place.password)}
        )
        response = connection.getresponse()
        body = response.read()
        if response.status != HTTPStatus.OK:
            raise Disconnected(f"GET {path} was answered with {response.status}: {body[:200]!r}")
        return _page(body, response.headers)
    except (OSError, http.client.HTTPException, msgspec.DecodeError) as error:
        raise Disconnected(f"GET {path}: {error}") from error
    finally:
        connection.close()


def _page(body: bytes, headers: http.client.HTTPMessage) -> _Page:
    links = {rel: path for path, rel in _LINK.findall(headers.get("Link", ""))}
    first, _, last = headers.get("Fanline-Gap", "").partition("-")
    gap = (int(first), int(last)) if last else None
    return _Page(_decode(body), links.get("next"), links.get("prev"), gap)
