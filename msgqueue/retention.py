"""Retention: what the log lets go of, by the rules of the settings.

The first rule whose pattern matches a topic is the one that applies to it; what no rule matches is kept. A
message goes when it is older than ``max_age``, when there are ``max_count`` newer ones on its topic, or when
the newer ones under its rule have ``max_bytes`` together. So a topic always loses its oldest messages first.

Only the outline of the log is read for that, each line once to count it and once more, by each rule with
``max_age`` or ``max_bytes``, to judge it. All work is done in small steps, with rests that are longer than
they are: most of the store's time belongs to those who read and write.
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
from fanline.tasks import cancel_and_wait
from msgqueue.settings import RetentionRule
from msgqueue.store.base import Line, Store

logger = logging.getLogger(__name__)

SWEEP_SECONDS: Final = 1.0

# Lines read, and messages removed, in one step: a few milliseconds of the store's time.
STEP: Final = 500

# The rest after each step, in times of the step itself.
REST: Final = 3

# Topics whose rule is remembered.
KNOWN_TOPICS: Final = 65_536


class Account:
    """What is kept under one rule, and what of it is too much. Without I/O.

    Args:
        rule: The rule.

    Attributes:
        position: Up to here nothing is left that ``max_age`` or ``max_bytes`` could remove.
        crowded: How many messages each topic has too many.
    """

    def __init__(self, rule: RetentionRule) -> None:
        self.position = 0
        self.crowded: Counter[str] = Counter()
        self._rule = rule
        self._bytes = 0
        self._counts: Counter[str] = Counter()

    @property
    def must_count(self) -> bool:
        """Whether the rule asks how much there is."""
        return self._rule.max_count is not None or self._rule.max_bytes is not None

    @property
    def is_by_order(self) -> bool:
        """Whether the rule asks for the oldest messages, of whichever topic."""
        return self._rule.max_age is not None or self._rule.max_bytes is not None

    def add(self, line: Line) -> None:
        """Count a message."""
        self._bytes += line.size
        if self._rule.max_count is not None:
            self._counts[line.topic] += 1
            if self._counts[line.topic] > self._rule.max_count:
                self.crowded[line.topic] += 1

    def remove(self, line: Line) -> None:
        """Discount a message that was counted."""
        self._bytes -= line.size
        _decrease(self._counts, line.topic)
        _decrease(self.crowded, line.topic)

    def outdated(self, lines: Sequence[Line], now: float) -> Sequence[Line]:
        """Return those from the front that must go.

        Args:
            lines: Messages under this rule, in order.
            now: The time, in Unix seconds.
        """
        oldest = 0 if self._rule.max_age is None else (now - self._rule.max_age) * 1000
        excess = 0 if self._rule.max_bytes is None else self._bytes - self._rule.max_bytes
        for index, line in enumerate(lines):
            if line.time >= oldest and excess <= 0:
                return lines[:index]
            excess -= line.size
        return lines


def _decrease(counts: Counter[str], topic: str) -> None:
    counts[topic] -= 1
    if counts[topic] <= 0:
        del counts[topic]


class Accounts:
    """The accounts of all rules, and which of them a topic belongs to.

    Args:
        rules: The rules, the most important first.
    """

    def __init__(self, rules: Sequence[RetentionRule]) -> None:
        self.all = [Account(rule) for rule in rules]
        self.of = lru_cache(KNOWN_TOPICS)(self._find)
        self._index: PatternIndex[int] = PatternIndex()
        for number, rule in enumerate(rules):
            self._index.add(rule.topics, number)

    def _find(self, topic: str) -> Account | None:
        first = min(self._index.match(topic), default=None)
        return None if first is None else self.all[first]


class Retention:
    """Applies rules to a store, as long as it runs.

    Args:
        store: What is trimmed, by this alone.
        rules: The rules, the most important first.
        clock: Tells the time, in Unix seconds.

    Attributes:
        removed: How many messages were removed.
    """

    def __init__(
        self, store: Store, rules: Sequence[RetentionRule], *, clock: Callable[[], float] = time.time
    ) -> None:
        self.removed = 0
        self._store = store
        self._clock = clock
        self._accounts = Accounts(rules)
        self._counted = 0
        self._has_failed = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to sweep, if there are rules."""
        if self._accounts.all:
            self._task = asyncio.create_task(self._sweep_forever())

    async def close(self) -> None:
        """Stop, at once; a removal that is on its way may still be done."""
        if self._task is not None:
            await cancel_and_wait(self._task)

    async def sweep(self) -> None:
        """Remove everything that must go at present.

        Raises:
            StoreError: If the store cannot be read or written; the next sweep goes on from there.
        """
        head = (await self._store.bounds()).last
        if any(account.must_count for account in self._accounts.all):
            await self._count(head)
        for account in self._accounts.all:
            await self._trim_crowded(account)
            if account.is_by_order:
                await self._trim_oldest(account, head)

    async def _sweep_forever(self) -> None:
        while True:
            try:
                await self.sweep()
            except StoreError as error:
                if not self._has_failed:
                    logger.error("cannot remove old messages, will try again: %s", error)
                self._has_failed = True
            else:
                self._has_failed = False
            await asyncio.sleep(SWEEP_SECONDS)

    async def _count(self, head: int) -> None:
        async with aclosing(self._outline(self._counted, head)) as pages:
            async for lines in pages:
                for line in lines:
                    account = self._accounts.of(line.topic)
                    if account is not None:
                        account.add(line)
                self._counted = lines[-1].seq

    async def _trim_crowded(self, account: Account) -> None:
        while lines := await self._oldest_of_crowded(account):
            await self._trim(lines, account)

    async def _oldest_of_crowded(self, account: Account) -> list[Line]:
        """Return what is too much on single topics, of as many of them as it takes to fill a step."""
        found: list[Line] = []
        for topic, excess in account.crowded.items():
            async with _resting():
                found += await self._store.outline(0, topic=topic, limit=min(excess, STEP - len(found)))
            if len(found) == STEP:
                break
        return found

    async def _trim_oldest(self, account: Account, head: int) -> None:
        async with aclosing(self._outline(account.position, head)) as pages:
            async for lines in pages:
                own = [line for line in lines if self._accounts.of(line.topic) is account]
                gone = account.outdated(own, self._clock())
                await self._trim(gone, account)
                if len(gone) < len(own):
                    account.position = own[len(gone)].seq - 1
                    return
                account.position = lines[-1].seq

    async def _outline(self, after: int, head: int) -> AsyncGenerator[Sequence[Line], None]:
        """Yield the outline of the log between two positions, page by page."""
        while True:
            async with _resting():
                lines = await self._store.outline(after, limit=STEP)
            lines = lines[: bisect_right(lines, head, key=attrgetter("seq"))]
            if not lines:
                return
            yield lines
            after = lines[-1].seq

    async def _trim(self, lines: Sequence[Line], account: Account) -> None:
        if not lines:
            return
        async with _resting():
            await self._store.trim([line.seq for line in lines])
            for line in lines:
                account.remove(line)
            self.removed += len(lines)


@asynccontextmanager
async def _resting() -> AsyncIterator[None]:
    """Rest after the block, in proportion to how long it took."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    yield
    await asyncio.sleep(REST * (loop.time() - began))
