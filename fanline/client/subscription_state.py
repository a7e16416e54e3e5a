"""Subscriptions of a client and their positions, to resume them. No I/O."""

from dataclasses import dataclass

from fanline.protocol import SubscribeRequest
from fanline.protocol.topics import PatternIndex, has_wildcard


@dataclass(frozen=True)
class Gap:
    """Messages that will not come.

    Attributes:
        topic: The subscription that misses them; None if all of them may.
        first: The first position that is missing; retention had dropped it before it was asked for. None if
            msgqueue keeps no positions, so that what came between two connections is unknown.
        last: The last one; None likewise.
        is_new_log: Whether the log is another one, such as a restored copy: positions start again, and all of
            its messages follow.
    """

    topic: str | None
    first: int | None = None
    last: int | None = None
    is_new_log: bool = False


@dataclass(eq=False)
class _Entry:
    """One subscription.

    Attributes:
        request: What was asked; None once it has been answered.
        position: Up to where everything on it has been received; None if msgqueue keeps no positions.
        is_live: Whether it has been answered on the present connection.
        epoch: Which log the position is of, if that is known.
        session: The name under which to be present on the topic, if at all.
    """

    request: SubscribeRequest | None
    position: int | None = None
    is_live: bool = False
    epoch: str | None = None
    session: str | None = None


class SubscriptionState:
    """Subscriptions by pattern.

    It relies on one promise of the server: from the answer to a subscription on, what matches its pattern
    comes in the order of the log, also where other subscriptions match it as well.
    """

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._index: PatternIndex[_Entry] = PatternIndex()
        self._early: set[int] = set()

    def ask(self, request: SubscribeRequest) -> None:
        """Note a request; asking again for a pattern changes nothing."""
        if request.sub not in self._entries:
            entry = self._entries[request.sub] = _Entry(request, epoch=request.epoch, session=request.session)
            self._index.add(request.sub, entry)

    def confirm(self, pattern: str, seq: int | None, epoch: str | None = None) -> bool:
        """Note the answer: from here on, everything on ``pattern`` after ``seq`` comes.

        Args:
            pattern: What was asked for.
            seq: The position; None if msgqueue keeps none.
            epoch: Which log it is of.

        Returns:
            Whether messages may have been missed since the last connection.
        """
        entry = self._entries.get(pattern)
        if entry is None or entry.is_live:
            return False
        is_blind = entry.request is None and entry.position is None
        if epoch != entry.epoch:
            self._early.clear()
        entry.request, entry.position, entry.is_live, entry.epoch = None, seq, True, epoch
        return is_blind

    def is_of_another_log(self, pattern: str, epoch: str | None) -> bool:
        """Return whether a subscription's position is of another log than ``epoch``."""
        entry = self._entries.get(pattern)
        return entry is not None and entry.epoch not in (None, epoch)

    def refuse(self, pattern: str) -> None:
        """Remove a refused subscription, unless it was answered before."""
        entry = self._entries.get(pattern)
        if entry is not None and not entry.is_live:
            self.forget(pattern)

    def forget(self, pattern: str) -> None:
        """Take a subscription out, if it is there."""
        entry = self._entries.pop(pattern, None)
        if entry is not None:
            self._index.discard(pattern, entry)

    def skip(self, pattern: str, seq: int) -> None:
        """Skip positions of a topic up to ``seq``, which are gone.

        Of a pattern with wildcards some of it may remain, as its topics are not all kept equally long.
        """
        entry = self._entries.get(pattern)
        if entry is not None and entry.position is not None and not has_wildcard(pattern):
            entry.position = max(entry.position, seq)

    def admit(self, topic: str, seq: int) -> bool:
        """Note a message, and return whether it is new to a subscription."""
        is_due = is_early = False
        for entry in self._index.match(topic):
            if not entry.is_live:
                is_early = True
            elif entry.position is None:
                is_due = True
            elif seq > entry.position:
                entry.position = seq
                is_due = True
        return is_due and self._is_first(seq, is_early=is_early)

    def _is_first(self, seq: int, *, is_early: bool) -> bool:
        """Return whether a message is new to its subscription.

        One that comes early, for one subscription while another that it matches is not answered yet, may
        come for that one again.
        """
        had_before = seq in self._early
        if is_early and seq:
            self._early.add(seq)
        else:
            self._early.discard(seq)
        return not had_before

    def wants(self, topic: str) -> bool:
        """Return whether a subscription matches ``topic``."""
        return next(self._index.match(topic), None) is not None

    def resume(self) -> list[SubscribeRequest]:
        """Note a new connection, and return the requests for it."""
        for entry in self._entries.values():
            entry.is_live = False
        return [
            entry.request
            or SubscribeRequest(
                pattern,
                after=entry.position,
                epoch=entry.epoch,
                presence=entry.session is not None,
                session=entry.session,
            )
            for pattern, entry in self._entries.items()
        ]
