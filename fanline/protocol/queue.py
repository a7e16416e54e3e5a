"""Frames of ``/popmsg`` in v1, of both sides.

A consumer asks::

    {"pop": {"after": 41, "topics": ["orders.>"]}}    everything after a position (or "latest", "earliest")
    {"pop": {"consumer": "billing"}}                  a durable consumer's share; it says {"done": SEQ}
    {"read": {"ref": 7, "after": 41, "topics": […]}}  one page of the log, forwards or ("before") backwards
    {"read": {"ref": 8, "after": 0, "latest": 41, "topics": […]}}   of each topic the newest record up to 41
    {"cancel": 7}                                     do not go on with a page that was asked for
    {"consumers": true}                               the durable consumers there are
    {"forget": "billing"}                             remove one that is not used

and msgqueue answers::

    {"popping": null, "seq": 41}                      then arrays of messages
    {"gap": {"from": 42, "to": 60}}                   between these, if some were removed on the way
    {"page": 7, "messages": […], "position": 90, "last": 120}
    {"page": 7, "error": CODE, "reason": SENTENCE}
    {"consumers": [{"name": "billing", "position": 41, "behind": 79, "connections": 2, "failing": 0, …}]}
    {"forgotten": "billing"}

``popping`` and ``page`` have ``"epoch"``, the random name of the log. A pop may say of which log its position
is: ``{"pop": {"after": 41, "epoch": "e9f86d081884c"}}`` is refused, with ``bad-position``, by any other.
``popping`` and ``page`` have ``"gap": {"from", "to"}`` if retention has removed part of what was asked for.
"""

from typing import Literal

import msgspec

from fanline.protocol.codec import decode_record
from fanline.protocol.messages import GapRange, Page
from fanline.protocol.subscribe import GapNotice


class Pop(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """Request for everything from a position on, or a consumer's share.

    Attributes:
        epoch: Epoch of the log that ``after`` is a position of, if known.
    """

    after: int | Literal["latest", "earliest"] | None = None
    epoch: str | None = None
    topics: list[str] | None = None
    consumer: str | None = None


class Read(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """Request for one page: after a position, or the newest.

    Without ``after`` it has the newest records before a position.

    Attributes:
        latest: Return only the newest record of each topic up to this position.
    """

    topics: list[str]
    after: int | None = None
    before: int | None = None
    limit: int = 500
    ref: int = 0
    latest: int | None = None


class PopCommand(msgspec.Struct, omit_defaults=True):
    """One command; exactly one of the fields is set."""

    pop: Pop | None = None
    read: Read | None = None
    cancel: int | None = None
    done: int | None = None
    consumers: bool = False
    forget: str | None = None


class Popping(msgspec.Struct, omit_defaults=True):
    """The answer to :class:`Pop`: everything after ``seq`` follows."""

    popping: str | None
    seq: int
    gap: GapRange | None = None
    epoch: str | None = None


class PageAnswer(msgspec.Struct, omit_defaults=True):
    """The answer to :class:`Read`, or with ``error`` why there is none.

    Attributes:
        page: The ``ref`` of the request.
        messages: In the order of the log.
        position: How far the log was looked at: the next page is to begin after it, or, backwards, to end
            before it.
        last: Where the log ends.
        gap: What retention has removed after the position asked for.
        epoch: Epoch of the log.
    """

    page: int
    messages: list[msgspec.Raw] = []
    position: int = 0
    last: int = 0
    gap: GapRange | None = None
    epoch: str | None = None
    error: str | None = None
    reason: str = ""

    def records(self) -> Page:
        """Return the page's records, and the position that it reaches."""
        return Page([decode_record(bytes(message)) for message in self.messages], self.position)


class ConsumerState(msgspec.Struct):
    """A durable consumer: its position, its backlog and its connections.

    Attributes:
        failing: Messages that are not done and at which a connection has ended.
        dead_letters: Messages that it was too often ended at, since the start of msgqueue.
    """

    name: str
    position: int
    behind: int
    connections: int
    failing: int = 0
    dead_letters: int = 0


class ConsumerList(msgspec.Struct):
    """The answer to ``consumers``."""

    consumers: list[ConsumerState]


class Forgotten(msgspec.Struct):
    """The answer to ``forget``."""

    forgotten: str


decode_pop_command = msgspec.json.Decoder(PopCommand).decode
decode_gap_notice = msgspec.json.Decoder(GapNotice).decode
decode_popping = msgspec.json.Decoder(Popping).decode
decode_page = msgspec.json.Decoder(PageAnswer).decode
