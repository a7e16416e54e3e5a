"""Publishing over HTTP: ``POST /topics/{topic}/messages`` for one message, ``POST /messages`` for many.

::

    POST /topics/orders.eu/messages      the body is the content: application/json, or text/plain for a string
    POST /messages                       messages as on /publish: application/json, one or an array of them,
                                         or application/x-ndjson, one to a line

The answer comes when msgqueue has answered: 201 with the ack, or 200 if all of it was stored before. For many
it is an array with one entry for each message, in order. If any is refused it is a problem, with the highest
status of the refusals, and for many with that array as its member ``messages``.

The header ``traceparent`` (W3C Trace Context) names the trace of all messages that name none themselves.
"""

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from fanline.errors import ErrorCode, Rejected
from fanline.protocol import MAX_ELEMENTS, Ack, Dialect, NewMessage, Refusal, decode_content, encode
from fanline.security.users import User
from fanline.server import (
    HttpProblem,
    Page,
    ProblemCode,
    address_of,
    problem_of,
    rate_refusal,
    status_of,
)
from publisher.intake import SLICE, Intake
from publisher.ordered_replies import OrderedReplies, Outcome

_JSON: Final = "application/json"
_TEXT: Final = "text/plain"
_LINES: Final = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})

_CHARSETS: Final = frozenset({"charset=utf-8", 'charset="utf-8"'})

_KEY_HEADER: Final = "idempotency-key"
_TRACE_HEADER: Final = "traceparent"


class HttpIntake:
    """Answers requests that publish.

    Args:
        intake: Checks and forwards the messages.
        timeout: Seconds that a request waits while msgqueue takes no more.
    """

    def __init__(self, intake: Intake, *, timeout: float) -> None:
        self._intake = intake
        self._timeout = timeout

    @property
    def posts(self) -> dict[str, Page]:
        """Handlers of POST, by path."""
        return {"/topics/{topic:path}/messages": self._publish_one, "/messages": self._publish_many}

    async def _publish_one(self, request: Request) -> Response:
        media_type = _media_type(request.headers, {_JSON, _TEXT})
        message_id = _read_key(request.headers)
        body = await self._read_body(request)
        if not body and media_type == _JSON:
            raise Rejected(ErrorCode.BAD_JSON, "the body is empty: it is to be the content, as JSON")
        content = decode_content(body if media_type == _JSON else encode(_decode_text(body)))
        traceparent = request.headers.get(_TRACE_HEADER)
        message = NewMessage(request.path_params["topic"], content, message_id, traceparent=traceparent)
        (outcome,) = await self._publish([message], request)
        if isinstance(outcome, Refusal):
            raise problem_of(Rejected(outcome.error, outcome.reason))
        return Response(encode(outcome), _status([outcome]), media_type=_JSON)

    async def _publish_many(self, request: Request) -> Response:
        media_type = _media_type(request.headers, {_JSON, *_LINES})
        if _KEY_HEADER in request.headers:
            reason = 'each of these messages has an id of its own, in its field "id"'
            raise Rejected(ErrorCode.BAD_ID, reason)
        body = await self._read_body(request)
        entries = _read_messages(body, is_lines=media_type in _LINES)
        self._intake.charge(request.user, address_of(request), len(entries) - 1)
        if (traceparent := request.headers.get(_TRACE_HEADER)) is not None:
            for entry in entries:
                if isinstance(entry, NewMessage) and entry.traceparent is None:
                    entry.traceparent = traceparent
        outcomes = await self._publish(entries, request)
        if refusals := [outcome for outcome in outcomes if isinstance(outcome, Refusal)]:
            raise _problem(refusals, outcomes)
        return Response(encode(outcomes), _status(outcomes), media_type=_JSON)

    async def _read_body(self, request: Request) -> bytes:
        """Return the body, charging the client for it and one message.

        That is before it is parsed, which costs the service as much if it is refused.

        Raises:
            Rejected: If the client exceeds a rate.
        """
        body = await request.body()
        excess = self._intake.admit(request.user, address_of(request), 1, len(body))
        if excess is not None:
            raise rate_refusal(excess, "messages")
        return body

    async def _publish(self, entries: Sequence[NewMessage | Rejected], request: Request) -> Sequence[Outcome]:
        """Forward messages, and return the outcome of each when all are known."""
        user: User = request.user
        address = address_of(request)
        try:
            async with asyncio.timeout(self._timeout):
                await self._intake.wait_for_queue(user)
        except TimeoutError:
            raise Rejected(ErrorCode.QUEUE_UNAVAILABLE, "msgqueue does not keep up; try again") from None
        began, outcomes = self._intake.acks.clock(), Outcomes(len(entries))
        for start in range(0, len(entries), SLICE):
            if start:
                await asyncio.sleep(0)  # the others have their turn
            self._intake.forward(self._intake.check(entries[start : start + SLICE], user, address), outcomes)
        settled = await outcomes.complete
        if any(isinstance(outcome, Ack) for outcome in settled):
            self._intake.acks.note(began)
        return settled


class Outcomes(OrderedReplies):
    """The outcomes of the messages of one request.

    Args:
        count: How many there will be.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self.complete: asyncio.Future[Sequence[Outcome]] = asyncio.get_running_loop().create_future()
        self._count = count
        self._outcomes: list[Outcome] = []

    def on_settled(self) -> None:
        """Complete the request with the last one."""
        self._outcomes += self.take()
        if len(self._outcomes) == self._count and not self.complete.done():
            self.complete.set_result(self._outcomes)


def _status(outcomes: Sequence[Outcome]) -> HTTPStatus:
    is_repeated = all(isinstance(outcome, Ack) and outcome.duplicate for outcome in outcomes)
    return HTTPStatus.OK if is_repeated else HTTPStatus.CREATED


def _problem(refusals: Sequence[Refusal], outcomes: Sequence[Outcome]) -> HttpProblem:
    gravest = max(refusals, key=lambda refusal: status_of(refusal.error))
    detail = f"{len(refusals):,} of {len(outcomes):,} messages refused; messages has an entry for each"
    return HttpProblem(status_of(gravest.error), gravest.error, detail, members={"messages": outcomes})


def _media_type(headers: Headers, allowed: set[str]) -> str:
    """Return the media type of a plain body in UTF-8.

    A compressed body, or one in another charset, is refused.

    Raises:
        HttpProblem: 415.
    """
    if headers.get("content-encoding", "identity") != "identity":
        reason = "a compressed body is not taken: send it without Content-Encoding"
        raise _unsupported(reason, ("Accept-Encoding", "identity"))
    media_type, *parameters = headers.get("content-type", "").lower().replace(" ", "").split(";")
    if media_type not in allowed:
        expected = " or ".join(sorted(allowed))
        raise _unsupported(f"the Content-Type of the body must be {expected}", ("Accept", expected))
    if any(each.startswith("charset") and each not in _CHARSETS for each in parameters):
        raise _unsupported("the charset of the body must be UTF-8", ("Accept-Charset", "utf-8"))
    return media_type


def _unsupported(detail: str, header: tuple[str, str]) -> HttpProblem:
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    return HttpProblem(status, ProblemCode.UNSUPPORTED_MEDIA_TYPE, detail, (header,))


def _read_key(headers: Headers) -> str | None:
    """Return the id that ``Idempotency-Key`` gives, with or without quotes around it."""
    keys = headers.getlist(_KEY_HEADER)
    if not keys:
        return None
    if len(keys) > 1:
        raise Rejected(ErrorCode.BAD_ID, "there is more than one Idempotency-Key")
    try:
        key = keys[0].encode("latin-1").decode()
    except UnicodeDecodeError:
        raise Rejected(ErrorCode.BAD_ID, "the Idempotency-Key is not valid UTF-8") from None
    is_quoted = len(key) > 1 and key[0] == key[-1] == '"'
    return key[1:-1] if is_quoted else key


def _decode_text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise Rejected(ErrorCode.BAD_JSON, "the body is not valid UTF-8") from None


def _read_messages(body: bytes, *, is_lines: bool) -> Sequence[NewMessage | Rejected]:
    decode = Dialect.V1.codec.decode_published
    frames = body.split(b"\n", MAX_ELEMENTS) if is_lines else [body]
    if len(frames) > MAX_ELEMENTS and frames[-1].strip():
        raise Rejected(ErrorCode.TOO_BIG, f"the body has more than {MAX_ELEMENTS:,} lines; split it")
    entries = [entry for frame in frames for entry in decode(frame)]
    if not entries:
        raise Rejected(ErrorCode.BAD_MESSAGE, "the body has no message")
    return entries
