"""Retention: the rules by which old messages are removed from the log.

The first rule whose pattern matches a topic is the one that applies to it; a message that no rule matches is
kept. A message is removed when it is older than ``max_age``, when there are ``max_count`` newer ones on its
topic, or when the newer ones under its rule have ``max_bytes`` together.
So a topic always loses its oldest messages first.

Only headers are read for that, each of them once to count it and once more, by each rule with
``max_age`` or ``max_bytes``, to judge it. All work is done in small steps, each followed by a longer
pause: most of the store's time is for reads and appends.
"""

import asyncio
import logging
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import lru_cache
from operator import attrgetter
from typing import Final

from fanline.errors import StoreError
from fanline.protocol.topics import PatternIndex
from fanline.tasks import cancel_and_wait, start_task
from msgqueue.settings import RetentionRule
from msgqueue.store.base import RecordHeader, Store

logger = logging.getLogger(__name__)

SWEEP_SECONDS: Final = 1.0

# Headers read, and messages removed, in one step: a few milliseconds of the store's time.
_STEP: Final = 500

# The pause after each step, in multiples of the step itself.
REST: Final = 3

# Topics whose rule is remembered.
KNOWN_TOPICS: Final = 65_536


class RuleUsage:
    """The messages kept under one rule, and those over its limits.

    It does no I/O.

    Args:
        rule: The rule.

    Attributes:
        position: Up to here nothing is left that ``max_age`` or ``max_bytes`` could remove.
        counts: How many messages each topic has, if the rule limits that.
        over_limit: How many messages each topic has too many.
    """

    def __init__(self, rule: RetentionRule) -> None:
        self.position = 0
        self.counts: Counter[str] = Counter()
        self.over_limit: Counter[str] = Counter()
        self._rule = rule
        self._bytes = 0

    @property
    def must_count(self) -> bool:
        """True if the rule limits a count or a size."""
        return self._rule.max_count is not None or self._rule.max_bytes is not None

    @property
    def is_by_order(self) -> bool:
        """True if the rule removes its oldest messages, whatever their topic."""
        return self._rule.max_age is not None or self._rule.max_bytes is not None

    def add(self, header: RecordHeader) -> None:
        """Count a message."""
        self._bytes += header.size
        if self._rule.max_count is not None:
            self.counts[header.topic] += 1
            if self.counts[header.topic] > self._rule.max_count:
                self.over_limit[header.topic] += 1

    def remove(self, header: RecordHeader) -> None:
        """Subtract a message that was counted."""
        self._bytes -= header.size
        _decrease(self.counts, header.topic)
        _decrease(self.over_limit, header.topic)

    def expired(self, headers: Sequence[RecordHeader], now: float | None) -> Sequence[RecordHeader]:
        """Return the messages from the front that must be removed.

        Args:
            headers: Messages under this rule, in order.
            now: The time, in Unix seconds; None if no message is to be removed for its age.
        """
        oldest = 0 if self._rule.max_age is None or now is None else (now - self._rule.max_age) * 1000
        excess = 0 if self._rule.max_bytes is None else self._bytes - self._rule.max_bytes
        for index, header in enumerate(headers):
            if header.time >= oldest and excess <= 0:
                return headers[:index]
            excess -= header.size
        return headers


def _decrease(counts: Counter[str], topic: str) -> None:
    counts[topic] -= 1
    if counts[topic] <= 0:
        del counts[topic]


class RuleUsages:
    """The usage of every rule, found by topic.

    Args:
        rules: The rules, the most important first.
    """

    def __init__(self, rules: Sequence[RetentionRule]) -> None:
        self.all = [RuleUsage(rule) for rule in rules]
        self.of = lru_cache(KNOWN_TOPICS)(self._find)
        self._index: PatternIndex[int] = PatternIndex()
        for number, rule in enumerate(rules):
            self._index.add(rule.topics, number)

    def _find(self, topic: str) -> RuleUsage | None:
        first = min(self._index.match(topic), default=None)
        return None if first is None else self.all[first]


class Retention:
    """Applies the rules to a store once a second.

    Args:
        store: What is trimmed, by this alone.
        rules: The rules, the most important first.
        clock: Tells the time, in Unix seconds, or None while it cannot be trusted.
        step: Headers read, and messages removed, in one step.
        pause: Seconds from the end of a sweep to the next.

    Attributes:
        removed: How many messages were removed.
        rules: The rules in force.
    """

    def __init__(
        self,
        store: Store,
        rules: Sequence[RetentionRule],
        *,
        clock: Callable[[], float | None] = time.time,
        step: int = _STEP,
        pause: float = SWEEP_SECONDS,
    ) -> None:
        self.removed = 0
        self._store = store
        self._clock = clock
        self._step = step
        self._pause = pause
        self.rules = rules
        self._usages = RuleUsages(rules)
        self._counted = 0
        self._has_failed = False
        self._task: asyncio.Task[None] | None = None
        self._removal: asyncio.Task[None] | None = None  # the last one

    def replace(self, rules: Sequence[RetentionRule]) -> None:
        """Apply other rules, once a removal in progress is done."""
        if rules == self.rules:
            return
        self.rules = rules
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._usages, self._counted = RuleUsages(rules), 0
        self.start()

    def start(self) -> None:
        """Start to sweep, if there are rules."""
        if self._usages.all:
            self._task = start_task(self._sweep_forever())

    async def close(self) -> None:
        """Stop at once; a removal in progress may still be done."""
        await cancel_and_wait(*(task for task in (self._task, self._removal) if task is not None))

    async def sweep(self) -> None:
        """Remove all messages that the rules do not keep.

        Raises:
            StoreError: If the store cannot be read or written; the next sweep goes on from there.
        """
        head = (await self._store.bounds()).last
        if any(usage.must_count for usage in self._usages.all):
            await self._count(head)
        for usage in self._usages.all:
            await self._trim_over_limit(usage)
            if usage.is_by_order:
                await self._trim_oldest(usage, head)

    async def _sweep_forever(self) -> None:
        if self._removal is not None:  # by other rules; what it removes must not be counted
            await asyncio.wait([self._removal])
        while True:
            try:
                await self.sweep()
            except StoreError as error:
                if not self._has_failed:
                    logger.error("cannot remove old messages, will try again: %s", error)
                self._has_failed = True
            else:
                self._has_failed = False
            await asyncio.sleep(self._pause)

    async def _count(self, head: int) -> None:
        async with aclosing(self._headers(self._counted, head)) as pages:
            async for headers in pages:
                for header in headers:
                    usage = self._usages.of(header.topic)
                    if usage is not None:
                        usage.add(header)
                self._counted = headers[-1].seq

    async def _trim_over_limit(self, usage: RuleUsage) -> None:
        while headers := await self._oldest_over_limit(usage):
            await self._trim(headers, usage)

    async def _oldest_over_limit(self, usage: RuleUsage) -> list[RecordHeader]:
        """Return enough messages over their topics' limits for one step."""
        found: list[RecordHeader] = []
        for topic, excess in usage.over_limit.items():
            async with _resting():
                found += await self._store.headers(0, topic=topic, limit=min(excess, self._step - len(found)))
            if len(found) == self._step:
                break
        return found

    async def _trim_oldest(self, usage: RuleUsage, head: int) -> None:
        async with aclosing(self._headers(usage.position, head)) as pages:
            async for headers in pages:
                own = [header for header in headers if self._usages.of(header.topic) is usage]
                gone = usage.expired(own, self._clock())
                await self._trim(gone, usage)
                if len(gone) < len(own):
                    usage.position = own[len(gone)].seq - 1
                    return
                usage.position = headers[-1].seq

    async def _headers(self, after: int, head: int) -> AsyncGenerator[Sequence[RecordHeader], None]:
        """Yield the headers of the log between two positions, page by page."""
        while True:
            async with _resting():
                headers = await self._store.headers(after, limit=self._step)
            headers = headers[: bisect_right(headers, head, key=attrgetter("seq"))]
            if not headers:
                return
            yield headers
            after = headers[-1].seq

    async def _trim(self, headers: Sequence[RecordHeader], usage: RuleUsage) -> None:
        if not headers:
            return
        async with _resting():
            self._removal = asyncio.create_task(self._remove(headers, usage))
            await asyncio.shield(self._removal)  # the store would do it also if it were cancelled

    async def _remove(self, headers: Sequence[RecordHeader], usage: RuleUsage) -> None:
        await self._store.trim([header.seq for header in headers])
        for header in headers:
            usage.remove(header)
        self.removed += len(headers)


@asynccontextmanager
async def _resting() -> AsyncIterator[None]:
    """Pause after the block, in proportion to how long it took."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    yield
    await asyncio.sleep(REST * (loop.time() - began))
