"""Frames of ``/subscribe`` in v1 other than messages, of both sides.

A subscriber asks::

    {"sub": "orders.>", "after": 41, "epoch": "e9f86…"}   or "last": 50; without either, from now on
    {"sub": "sensors.*", "latest": true}                  the newest message of each topic, then what follows
    {"sub": "room.7", "presence": true, "as": "tablet"}   be present on the topic, while it is subscribed to
    {"unsub": "orders.>"}

and is told, between messages::

    {"subscribed": "orders.>", "seq": 41, "epoch": "e9f86…"}   everything after seq follows
    {"unsubscribed": "orders.>"}
    {"gap": {"from": 42, "to": 60}}                      retention has removed these positions
    {"error": CODE, "reason": SENTENCE, "sub": "orders.>"}   with "retry_ms": 1000 if it is "rate-limited"
    {"drain": {"retry_ms": 812}}                         the service stops: come back later

``epoch`` is the random name of the log; ``after`` without it is taken for a position of the present one. If
it is that of another log, everything of the present one follows, from 0 on, and the gap is of the other.
With ``latest`` it has the position up to which only the newest message of each topic comes.
``subscribed`` has ``"gap": {"from", "to"}`` if retention has removed part of what was asked for. Fields and
whole frames that are not known here are ignored, so that a newer service can say more.
"""

from typing import Final

import msgspec

from fanline.protocol.messages import GapRange
from fanline.protocol.publish import Drain


class SubscribeRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """Request for a pattern: after a position, the last, or new messages.

    ``last`` is a number of messages.

    Attributes:
        latest: Begin with the newest message of each topic.
        presence: Be present on the topic.
        session: The name to be present under.
    """

    sub: str
    after: int | None = None
    last: int | None = None
    epoch: str | None = None
    latest: bool = False
    presence: bool = False
    session: str | None = msgspec.field(name="as", default=None)

    @property
    def has_options(self) -> bool:
        """Return whether more is wanted than messages from now on."""
        return self.after is not None or self.last is not None or self.latest or self.presence


class UnsubscribeRequest(msgspec.Struct, frozen=True):
    """Asks for no more messages of a pattern."""

    unsub: str


class GapNotice(msgspec.Struct):
    """Tells a slow reader which messages retention removed before they were read."""

    gap: GapRange


class Subscribed(msgspec.Struct, omit_defaults=True):
    """The answer to :class:`SubscribeRequest`: everything after ``seq`` follows.

    Attributes:
        latest: Up to this position, only the newest message of each topic does.
        session: The name under which the user is present.
    """

    subscribed: str
    seq: int | None = None
    gap: GapRange | None = None
    epoch: str | None = None
    latest: int | None = None
    session: str | None = msgspec.field(name="as", default=None)


class Unsubscribed(msgspec.Struct):
    """The answer to :class:`UnsubscribeRequest`."""

    unsubscribed: str


class SubscribeRefusal(msgspec.Struct, omit_defaults=True):
    """Refusal of a request; ``sub`` or ``unsub`` is its pattern, if any."""

    error: str
    reason: str
    sub: str | None = None
    unsub: str | None = None
    retry_ms: int | None = None


class SubscriberNotice(msgspec.Struct):
    """Any notice to a subscriber, other than a message."""

    subscribed: str | None = None
    seq: int | None = None
    unsubscribed: str | None = None
    gap: GapRange | None = None
    epoch: str | None = None
    error: str | None = None
    reason: str = ""
    sub: str | None = None
    unsub: str | None = None
    retry_ms: float | None = None
    drain: Drain | None = None


decode_subscriber_notice: Final = msgspec.json.Decoder(SubscriberNotice).decode
