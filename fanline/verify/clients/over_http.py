"""A publisher by POST, and a reader of server-sent events.

Both speak HTTP by hand.
"""

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

import httpx
import msgspec

from fanline.verify.clients.load import Load
from fanline.verify.clients.publishers import Sender
from fanline.verify.clients.subscribers import Reader
from fanline.verify.clients.wire import MAX_RETRY_SECONDS, OPEN_SECONDS, RETRY_SECONDS, Stored, ToldGap
from fanline.verify.system.installation import Place

# A request without an answer for this long is made again, with the same ids.
ANSWER_SECONDS: Final = 6.0

# A stream without so much as a comment for this long is given up.
_SILENCE_SECONDS: Final = 6.0


class _Entry(msgspec.Struct):
    """The answer for one message: an ack, or an error."""

    seq: int = 0
    error: str | None = None
    reason: str = ""


class _Problem(msgspec.Struct):
    code: str
    detail: str
    messages: list[_Entry] | None = None


_decode_entries: Final = msgspec.json.Decoder(list[_Entry]).decode
_decode_entry: Final = msgspec.json.Decoder(_Entry).decode
_decode_problem: Final = msgspec.json.Decoder(_Problem).decode
_encode_lines: Final = msgspec.json.Encoder().encode_lines

_MANY: Final = "/messages"


class ByPost(Sender):
    """Publishes by POST, and repeats messages without ack in order.

    A request has one message, or many.
    """

    async def publish(self) -> None:
        """See :meth:`Sender.publish`."""
        place = self.load.place
        async with _client(place, place.publisher_url, silence=ANSWER_SECONDS) as http:
            while burst := await self.next_burst():
                await self._post_until_acked(http, [self.hand_over() for _ in range(burst)])

    async def _post_until_acked(self, http: httpx.AsyncClient, numbers: Sequence[int]) -> None:
        while True:
            try:
                numbers = await self._post(http, numbers)
            except httpx.TransportError:
                self.load.reconnects += 1
            except msgspec.DecodeError as error:
                self.sent.troubles.append(f"what came cannot be read: {error}")
            if not numbers:
                return
            await asyncio.sleep(RETRY_SECONDS)

    async def _post(self, http: httpx.AsyncClient, numbers: Sequence[int]) -> Sequence[int]:
        """Make one request, and return the messages to send again."""
        response = await http.send(self._request(http, numbers))
        entries = self._entries(response)
        return numbers if entries is None else self._settle(numbers, entries)

    def _settle(self, numbers: Sequence[int], entries: Sequence[_Entry]) -> Sequence[int]:
        again = []
        for number, entry in zip(numbers, entries, strict=True):
            if entry.error is None:
                self.note_ack(number, entry.seq)
            elif entry.error == "queue-unavailable":
                again.append(number)
            else:
                self.sent.troubles.append(f"{entry.error} for message {number}: {entry.reason}")
        return again

    def _request(self, http: httpx.AsyncClient, numbers: Sequence[int]) -> httpx.Request:
        if len(numbers) == 1:
            (number,) = numbers
            path, content = f"/topics/{self.sent.topic(number)}/messages", bytes(self.content(number))
            headers = {"Idempotency-Key": self.id(number), "Content-Type": "application/json"}
        else:
            path, headers = _MANY, {"Content-Type": "application/x-ndjson"}
            content = _encode_lines(
                {"topic": self.sent.topic(number), "content": self.content(number), "id": self.id(number)}
                for number in numbers
            )
        return http.build_request("POST", path, content=content, headers=headers)

    def _entries(self, response: httpx.Response) -> Sequence[_Entry] | None:
        """Return the answers for a request's messages; None to repeat it."""
        status = response.status_code
        if status in (HTTPStatus.OK, HTTPStatus.CREATED):
            are_many = response.request.url.path == _MANY
            return _decode_entries(response.content) if are_many else [_decode_entry(response.content)]
        problem = _decode_problem(response.content)
        if problem.messages is not None:
            return problem.messages
        if status != HTTPStatus.SERVICE_UNAVAILABLE:
            self.sent.troubles.append(f"{status}, {problem.code}: {problem.detail}")
        return None


_decode_data: Final = msgspec.json.Decoder(Stored).decode
_decode_gap: Final = msgspec.json.Decoder(ToldGap).decode


class EventReader(Reader):
    """Receives server-sent events, and resumes by their ids like a browser."""

    def __init__(self, load: Load, name: str, patterns: Sequence[str], start: int) -> None:
        super().__init__(load, name, patterns, start)
        self._last_id: str | None = None
        self._retry_seconds = RETRY_SECONDS
        self._on_state = load.count_reconnects()

    async def receive(self) -> None:
        """See :meth:`Reader.receive`."""
        place = self.load.place
        async with _client(place, place.subscriber_url, silence=_SILENCE_SECONDS) as http:
            while True:
                self._retry_seconds = RETRY_SECONDS
                query, headers = self._request()
                try:
                    async with http.stream("GET", "/events", params=query, headers=headers) as response:
                        await self._read(response)
                except httpx.TransportError:
                    pass
                except msgspec.DecodeError as error:
                    self.received.troubles.append(f"what came cannot be read: {error}")
                await asyncio.sleep(self._retry_seconds)

    def _request(self) -> tuple[httpx.QueryParams, dict[str, str]]:
        query = httpx.QueryParams([("topic", pattern) for pattern in self.received.patterns])
        headers = {"Accept": "text/event-stream"}
        if self._last_id is None:
            return query.set("after", self.received.start), headers
        return query, headers | {"Last-Event-ID": self._last_id}

    async def _read(self, response: httpx.Response) -> None:
        if response.status_code != HTTPStatus.OK:
            problem = _decode_problem(await response.aread())
            self.received.troubles.append(f"{response.status_code}, {problem.code}: {problem.detail}")
            return
        self._on_state(None)
        kind, event_id, data = "message", self._last_id, list[str]()
        async for line in response.aiter_lines():
            field, _, value = line.partition(": ")
            if field == "id":
                event_id = value
            elif field == "event":
                kind = value
            elif field == "data":
                data.append(value)
            elif field == "retry":
                self._retry_seconds = min(int(value) / 1_000, MAX_RETRY_SECONDS)
            elif not line:
                self._take(kind, "\n".join(data))
                self._last_id = event_id  # not before: the connection may be lost within the event
                kind, data = "message", []

    def _take(self, kind: str, data: str) -> None:
        if kind == "message" and data:
            message = _decode_data(data)
            self.note(message.topic, bytes(message.content), message.seq)
        elif kind == "gap":
            gap = _decode_gap(data)
            self.received.gaps.append((gap.first, gap.last))


def _client(place: Place, url: str, *, silence: float) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=url.replace("wss://", "https://", 1),
        verify=place.tls,
        auth=(place.user, place.password),
        timeout=httpx.Timeout(OPEN_SECONDS, read=silence),
        trust_env=False,
    )
