"""Messages of a connection, read and checked, for ``/publish`` and ``/pushmsg``."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter

from fanline.errors import CloseCode, ErrorCode, Rejected
from fanline.protocol import NewMessage, check_message
from fanline.security.users import User
from fanline.server.accepting.rates import Excess
from fanline.server.websocket.connection import Connection
from fanline.token_bucket import TokenBucket

logger = logging.getLogger(__name__)

# So many may be refused at once, and so many a second: a program with a defect is told what is wrong with
# each, and one that sends nothing else costs no more than others.
MAX_REFUSALS: Final = 1_000
REFUSALS_PER_SECOND: Final = 100

# Likewise, of what exceeds a rate: a client may have sent that much before it is told.
MAX_RATE_REFUSALS: Final = 20_000

CheckRights = Callable[[NewMessage, User], Rejected | None]


def _allow(message: NewMessage, user: User) -> None:
    del message, user


class MessageReader:
    """Reads and checks the messages of all connections to one endpoint.

    Args:
        max_content: Largest content of one message, in bytes.
        registry: Where the counter of refused messages is registered.
        check_rights: Returns why a user may not publish a message, or None.
    """

    def __init__(
        self, *, max_content: int, registry: CollectorRegistry, check_rights: CheckRights = _allow
    ) -> None:
        self._max_content = max_content
        self._check_rights = check_rights
        self._refused = Counter("fanline_messages_refused", "Messages refused.", ["code"], registry=registry)

    def read(self, frame: bytes, connection: Connection) -> list[NewMessage | Rejected]:
        """Return the messages of a frame in order, or their rejections."""
        return self.check(connection.dialect.codec.decode_published(frame), connection.user)

    def check(self, entries: Sequence[NewMessage | Rejected], user: User) -> list[NewMessage | Rejected]:
        """Return a user's entries in order, with rejections of unacceptable messages."""
        checked: list[NewMessage | Rejected] = []
        check_rights, max_content, name = self._check_rights, self._max_content, user.name
        for entry in entries:
            if isinstance(entry, NewMessage):
                rejected = check_message(entry, max_content=max_content) or check_rights(entry, user)
                if rejected is None and entry.sender is None:
                    entry.sender = name
            else:
                rejected = entry
            if rejected is not None:
                self._refused.labels(rejected.code).inc()
            checked.append(rejected or entry)
        return checked


def rate_refusal(excess: Excess, what: str, message_id: str | None = None) -> Rejected:
    """Return the refusal of what exceeds a rate.

    Args:
        excess: Whose rate, and for how long.
        what: What there is too much of, in the plural.
        message_id: The id of the message.
    """
    seconds, whose = excess
    reason = f"too many {what} of this {whose}; all are refused for {seconds:.1f} s"
    return Rejected(ErrorCode.RATE_LIMITED, reason, message_id, math.ceil(seconds * 1_000))


class RefusalLimit:
    """Closes a connection of which too much is refused.

    The close code is 1008, or 1013 if it exceeds a rate.

    Args:
        connection: The connection.
    """

    __slots__ = ("_bucket", "_connection", "_rate_bucket", "is_exceeded")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._bucket: TokenBucket | None = None  # most connections need none
        self._rate_bucket: TokenBucket | None = None
        self.is_exceeded = False

    def count(self, rejected: Rejected) -> None:
        """Count a refusal for which the client is to blame."""
        now = time.monotonic()
        if rejected.code == ErrorCode.RATE_LIMITED:
            self._count_rate_refusal(rejected, now)
            return
        if self._bucket is None:
            self._bucket = TokenBucket(REFUSALS_PER_SECOND, MAX_REFUSALS, now)
        if not self._bucket.take(1, now):
            self.is_exceeded = True
            reason = f"more than {MAX_REFUSALS:,} refusals; the last one: {rejected.reason}"
            self._connection.cut(CloseCode.POLICY, reason)

    def _count_rate_refusal(self, rejected: Rejected, now: float) -> None:
        if self._rate_bucket is None:
            self._rate_bucket = TokenBucket(REFUSALS_PER_SECOND, MAX_RATE_REFUSALS, now)
        if not self._rate_bucket.take(1, now):
            self.is_exceeded = True
            self._connection.cut(CloseCode.TRY_AGAIN_LATER, rejected.reason)


class PlainMessages:
    """Handles a connection without answers, ignoring messages that cannot be accepted.

    Args:
        connection: The connection.
        reader: Reads its frames.
        accept: Takes the messages of one frame, none if they are refused, and the size of that.
    """

    def __init__(
        self,
        connection: Connection,
        reader: MessageReader,
        accept: Callable[[Sequence[NewMessage], int], None],
    ) -> None:
        self._connection = connection
        self._reader = reader
        self._accept = accept
        self._ignored = 0

    def on_frame(self, payload: bytes) -> None:
        """Accept the messages of a frame."""
        accepted = []
        for entry in self._reader.read(payload, self._connection):
            if isinstance(entry, NewMessage):
                accepted.append(entry)
                continue
            self._ignored += 1
            if self._ignored == 1:
                logger.info("ignoring frames of %s: %s", self._connection.user.name, entry)
        self._accept(accepted, len(payload))

    def on_close(self) -> None:
        """Log how many were ignored."""
        if self._ignored > 1:
            logger.info("ignored %d frames of %s", self._ignored, self._connection.user.name)
