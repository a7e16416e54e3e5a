"""``GET /topics/{pattern}/events`` and ``GET /events``: messages as server-sent events.

::

    /topics/orders.*/events?after=41       one topic or pattern
    /events?topic=orders.*&topic=stock.eu  several

    retry: 2904                            when to come back, in milliseconds
    id: 41-e9f86d081884c                   everything after this position of this log follows

    id: 42-e9f86d081884c
    data: {"topic": "orders.eu", …}        a message, as fanline.v1 delivers it

    event: gap
    data: {"from": 43, "to": 60}           retention has removed these positions

    event: end
    data: {"code": 1001, "reason": "…"}    why the stream ends

Options are those of ``sub``. ``Last-Event-ID``, with which a browser comes back, counts for more than they.
"""

from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import parse_qsl

from prometheus_client import Counter
from starlette.requests import Request

from fanline.errors import ErrorCode, Rejected
from fanline.protocol import GapNotice, parse_position
from fanline.protocol.topics import require_pattern
from fanline.server import ClientRates, EventStream, StreamEndpoint, address_of, rate_refusal, single_header
from subscriber.backlog import Start
from subscriber.commands import OPTIONS, Command, parse_switch, subscribe_command
from subscriber.delivery import Delivery
from subscriber.frame_codec import EventFrames, FrameCodec, parse_event_id

PATHS: Final = ("/topics/{topic:path}/events", "/events")

_NO_OPTIONS: Final = frozenset({"topic", "token"})


class Events:
    """Opens streams of events.

    Args:
        make_delivery: Makes the delivery to a stream.
        codec: Makes the events.
        heartbeat: Seconds of silence after which a stream has a comment.
        rates: Limits the commands of each user and address, of which each topic is one.
        rejected: Counts rejected requests, by code.
    """

    def __init__(
        self,
        make_delivery: Callable[[EventStream, FrameCodec], Delivery],
        codec: EventFrames,
        *,
        heartbeat: float,
        rates: ClientRates,
        rejected: Counter,
    ) -> None:
        self._make_delivery = make_delivery
        self._codec = codec
        self._heartbeat = heartbeat
        self._rates = rates
        self._rejected = rejected

    @property
    def streams(self) -> dict[str, StreamEndpoint]:
        """Endpoints, by path."""
        return dict.fromkeys(PATHS, StreamEndpoint(open=self._open, heartbeat=self._heartbeat))

    async def _open(self, request: Request, stream: EventStream) -> bytes:
        """Subscribe a stream as requested, and return its first bytes."""
        try:
            commands = _parse(request)
            self._charge(request, len(commands))
            delivery = self._make_delivery(stream, self._codec)
            stream.on_close = delivery.on_close
            return self._encode_opening(await delivery.begin(commands))
        except Rejected as rejected:
            self._rejected.labels(rejected.code).inc()
            raise

    def _charge(self, request: Request, count: int) -> None:
        """Refuse a stream of a client that asks for too many topics.

        Raises:
            Rejected: If there are too many.
        """
        excess = self._rates.admit(request.user, address_of(request), count)
        if excess is not None:
            raise rate_refusal(excess, "commands")

    def _encode_opening(self, starts: Sequence[Start]) -> bytes:
        """Return the first position and gaps, from which a client resumes."""
        codec = self._codec
        gaps = dict.fromkeys(start.gap for start in starts if start.gap is not None)
        opening = codec.encode_id(min(start.after for start in starts)) + b"\n"
        return opening + b"".join(codec.encode_notice(GapNotice(gap)) for gap in gaps)


def _parse(request: Request) -> Sequence[Command]:
    """Return what a request asks for, a command for each pattern.

    Raises:
        Rejected: If it cannot be understood.
    """
    query = parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
    topics = [value for name, value in query if name == "topic"]
    topics += [request.path_params["topic"]] if "topic" in request.path_params else []
    if not topics:
        raise Rejected(ErrorCode.BAD_COMMAND, "name the topics: /events?topic=TOPIC&topic=TOPIC")
    options = {name: _parse_option(name, value) for name, value in query if name not in _NO_OPTIONS}
    if last_event_id := single_header(request.headers, "last-event-id"):
        position, epoch = parse_event_id(last_event_id)
        options = {name: options[name] for name in options.keys() & {"presence", "as"}}
        options |= {"after": position, "epoch": epoch}
    for topic in topics:
        require_pattern(topic)
    return [subscribe_command(topic, options) for topic in dict.fromkeys(topics)]


def _parse_option(name: str, value: str) -> object:
    if name not in OPTIONS:
        raise Rejected(ErrorCode.BAD_COMMAND, f"there is no parameter {name[:40]!a}")
    if name in ("epoch", "as"):
        return value
    return parse_switch(value) if name in ("latest", "presence") else parse_position(name, value)
