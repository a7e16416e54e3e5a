"""``GET /topics/{topic}/messages``: a topic's log, page by page over HTTP.

::

    ?after=41&limit=100     what follows a position, oldest first
    ?before=41&limit=100    what precedes it; within the page the oldest is still first
    ?last=50                the newest; without any parameter the newest 100

The answer is a JSON array of messages. ``Link`` headers lead to the pages on both sides (RFC 8288): ``next``
to what is newer, ``prev`` to what is older, until a page is empty. A page may hold fewer messages than its
limit where they are large. A header
``Fanline-Gap: 12-30`` names the positions that retention has removed from the page, and ``Fanline-Epoch`` is
the random name of the log.
"""

import asyncio
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from fanline.errors import ErrorCode, Rejected
from fanline.protocol import PageAnswer, Read, encode, parse_position
from fanline.protocol.topics import require_pattern
from fanline.queue.page_turns import PageTurns
from fanline.server import prefix_of, query_of

PATH: Final = "/topics/{topic:path}/messages"

_DEFAULT_LIMIT: Final = 100
MAX_MESSAGES: Final = 1_000

# A page that has grown to this is not filled up further.
MAX_BYTES: Final = 1 << 20

# Steps of 16,384 records after which a page is not filled up further.
MAX_STEPS: Final = 16

# Requests of one user that may wait for their turn.
_MAX_WAITING: Final = 64

# How often it is looked if the client of a request that waits is still there.
_CHECK_SECONDS: Final = 0.5


class History:
    """Answers requests for pages of the log.

    Args:
        pages: Where they are read, in turn with all others.
        patience: Seconds that a request waits for msgqueue.
    """

    def __init__(self, pages: PageTurns, *, patience: float) -> None:
        self._pages = pages
        self._patience = patience

    async def show(self, request: Request) -> Response:
        """Return a page.

        Raises:
            Rejected: If there is something wrong with the request, or msgqueue does not answer.
        """
        topic = request.path_params["topic"]
        query = query_of(request)
        query.pop("token", None)
        require_pattern(topic)
        request.user.require_subscribe(topic)
        read = _parse(topic, query)
        page = await self._read(request, read)
        headers = _headers(prefix_of(request), read, page)
        return Response(encode(page.messages), headers=headers, media_type="application/json")

    async def _read(self, request: Request, read: Read) -> PageAnswer:
        """Return a full page, if there is one.

        With a wildcard, msgqueue may look at the log in steps.
        """
        page = await self._ask(request, read)
        steps = 1
        while read.after is not None and page.position < page.last and _has_room(page, read.limit):
            rest = Read(read.topics, after=page.position, limit=read.limit - len(page.messages))
            more = await self._ask(request, rest)
            steps += 1
            if more.position <= page.position:
                break
            more.messages = page.messages + more.messages
            more.gap = page.gap
            page = more
            # An empty page would be taken for the end of the log.
            if (steps >= MAX_STEPS and page.messages) or await request.is_disconnected():
                break
        return page

    async def _ask(self, request: Request, read: Read) -> PageAnswer:
        """Return a page, unless the client leaves.

        A client that has left ends the reading.
        """
        user: str = request.user.name
        asking = asyncio.create_task(self._pages.read(user, read, most_waiting=_MAX_WAITING))
        try:
            async with asyncio.timeout(self._patience):
                while not (await asyncio.wait([asking], timeout=_CHECK_SECONDS))[0]:
                    if await request.is_disconnected():
                        raise Rejected(ErrorCode.QUEUE_UNAVAILABLE, "the client has left")
                return asking.result()
        except TimeoutError:
            raise Rejected(ErrorCode.QUEUE_UNAVAILABLE, "msgqueue does not answer; try again") from None
        finally:
            asking.cancel()


def _has_room(page: PageAnswer, limit: int) -> bool:
    return len(page.messages) < limit and sum(map(len, page.messages)) < MAX_BYTES


def _parse(topic: str, query: Mapping[str, str]) -> Read:
    unknown = sorted(query.keys() - {"after", "before", "last", "limit"})
    if unknown:
        raise Rejected(ErrorCode.BAD_COMMAND, f"there is no parameter {unknown[0]!a}")
    numbers = {name: parse_position(name, value) for name, value in query.items()}
    if len(numbers.keys() & {"after", "before", "last"}) > 1:
        raise Rejected(ErrorCode.BAD_COMMAND, "after, before and last exclude each other")
    limit = numbers.get("last", numbers.get("limit", _DEFAULT_LIMIT))
    if not 1 <= limit <= MAX_MESSAGES:
        raise Rejected(ErrorCode.BAD_POSITION, f"limit and last must be 1 to {MAX_MESSAGES:,}")
    return Read([topic], after=numbers.get("after"), before=numbers.get("before"), limit=limit)


class _Position(msgspec.Struct):
    seq: int


def _headers(prefix: str, read: Read, page: PageAnswer) -> dict[str, str]:
    seqs = [msgspec.json.decode(message, type=_Position).seq for message in page.messages]
    path = f"{prefix}/topics/{quote(read.topics[0])}/messages"
    links = [f'<{path}?after={seqs[-1] if seqs else _place(read, page)}&limit={read.limit}>; rel="next"']
    if seqs:
        links.append(f'<{path}?before={seqs[0]}&limit={read.limit}>; rel="prev"')
    headers = {"Link": ", ".join(links)}
    if page.gap is not None:
        headers["Fanline-Gap"] = f"{page.gap.first}-{page.gap.last}"
    if page.epoch is not None:
        headers["Fanline-Epoch"] = page.epoch
    return headers


def _place(read: Read, page: PageAnswer) -> int:
    """Return the position at which an empty page lies."""
    if read.after is not None:
        return max(read.after, page.position)
    return page.last if read.before is None else max(read.before - 1, 0)
