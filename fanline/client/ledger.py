"""What a subscriber has asked for, and how far it has got with each: enough to resume from. No I/O."""

from dataclasses import dataclass

from fanline.client.frames import Subscribe
from fanline.topics import PatternIndex


@dataclass(frozen=True)
class Gap:
    """Messages that will not come, because retention had dropped them before they were asked for.

    Attributes:
        topic: The subscription that misses them; None if all of them may.
        first: The first position that is missing.
        last: The last one.
    """

    topic: str | None
    first: int
    last: int


@dataclass(eq=False)
class _Entry:
    """One subscription.

    Attributes:
        request: What was asked and is not answered yet.
        position: Up to where everything on it has been received; None before the first answer.
    """

    pattern: str
    request: Subscribe | None = None
    position: int | None = None

    def resumption(self) -> Subscribe:
        """Return what to ask for on a new connection."""
        return self.request or Subscribe(self.pattern, after=self.position)


class Ledger:
    """Subscriptions by pattern.

    It relies on one promise of the server: from the answer to a subscription on, what matches its pattern
    comes in the order of the log, also where other subscriptions match it as well.
    """

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._live: PatternIndex[_Entry] = PatternIndex()

    def __contains__(self, pattern: str) -> bool:
        return pattern in self._entries

    def ask(self, request: Subscribe) -> None:
        """Note a request; a subscription that there is already goes on until the answer."""
        self._entries.setdefault(request.sub, _Entry(request.sub)).request = request

    def confirm(self, pattern: str, seq: int | None) -> None:
        """Note the answer: from here on, everything on ``pattern`` after ``seq`` comes."""
        entry = self._entries.get(pattern)
        if entry is None:
            return
        entry.request = None
        entry.position = seq if seq is not None else entry.position or 0
        self._live.add(pattern, entry)

    def refuse(self, pattern: str) -> None:
        """Note a refusal: the subscription is not there, unless it was before this request."""
        entry = self._entries.get(pattern)
        if entry is None:
            return
        was_a_repeat = entry.request is not None and entry in self._live.match(pattern)
        entry.request = None
        if not was_a_repeat:
            self.forget(pattern)

    def forget(self, pattern: str) -> None:
        """Take a subscription out, if it is there."""
        entry = self._entries.pop(pattern, None)
        if entry is not None:
            self._live.discard(pattern, entry)

    def skip(self, pattern: str, seq: int) -> None:
        """Do not ask for anything up to ``seq`` again: it is gone."""
        entry = self._entries.get(pattern)
        if entry is not None and entry.position is not None:
            entry.position = max(entry.position, seq)

    def admit(self, topic: str, seq: int) -> bool:
        """Note a message, and return whether it is new to a subscription that it matches."""
        is_new = False
        for entry in self._live.match(topic):
            if entry.position is not None and seq > entry.position:
                entry.position = seq
                is_new = True
        return is_new

    def wants(self, topic: str) -> bool:
        """Whether any subscription matches ``topic``."""
        return next(self._live.match(topic), None) is not None

    def suspend(self) -> list[Subscribe]:
        """Note that the connection is gone, and return what to ask for on the next one."""
        self._live = PatternIndex()
        return [entry.resumption() for entry in self._entries.values()]
