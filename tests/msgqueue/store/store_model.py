"""A log as a plain list, and what a store must do to agree with it."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import strategies as st

from fanline.protocol import Message, NewMessage, Record, decode_message, encode
from fanline.protocol.topics import matches
from msgqueue.store.base import AppendResult, Bounds, RecordHeader, Store

WINDOW = 10.0
START = 1_700_000_000.0

OpenStore = Callable[[Path, "Clock"], Awaitable[Store]]


class Clock:
    """A clock that stands still until it is set; the window of :data:`WINDOW` is measured by it."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now

    @property
    def ms(self) -> int:
        return round(self.now * 1000)


def new(
    topic: str = "a",
    content: object = "text",
    *,
    id: str | None = None,  # noqa: A002 - wire name
    sender: str | None = "hello",
) -> NewMessage:
    """Return a message to append."""
    return NewMessage(topic, msgspec.Raw(encode(content)), id, sender)


def sizes(records: Sequence[Record]) -> int:
    """Return how many bytes the bodies of some records have together."""
    return sum(len(record.body) for record in records)


@dataclass
class Model:
    """The log that a store should be."""

    clock: Clock
    records: list[Record] = field(default_factory=list)
    ids: dict[str, tuple[int, int]] = field(default_factory=dict)
    cursors: dict[str, int] = field(default_factory=dict)
    gone: list[Record] = field(default_factory=list)
    last: int = 0
    time: int = 0

    def append(self, messages: Sequence[NewMessage]) -> list[AppendResult]:
        self.time = max(self.time, self.clock.ms) if messages else self.time
        return [self._append(message) for message in messages]

    def _append(self, message: NewMessage) -> AppendResult:
        key = f"{message.sender} {message.id}"
        seq, time = self.ids.get(key, (0, 0))
        if message.id is not None and seq and time >= self.time - WINDOW * 1000:
            return AppendResult(seq, duplicate=True)
        self.last += 1
        if message.id is not None:
            self.ids[key] = (self.last, self.time)
        shown = None if message.id is None or message.id.startswith("$") else message.id
        stored = Message(message.topic, message.content, self.last, self.time, shown, message.sender)
        self.records.append(Record(self.last, message.topic, encode(stored)))
        return AppendResult(self.last, duplicate=False)

    def matching(self, patterns: Sequence[str] | None) -> list[Record]:
        return [record for record in self.records if is_wanted(patterns, record)]

    def before(
        self, position: int, patterns: Sequence[str] | None, limit: int, max_bytes: int
    ) -> list[Record]:
        newest = [record for record in self.matching(patterns) if record.seq < position][-limit:]
        while len(newest) > 1 and sizes(newest) > max_bytes:
            newest = newest[1:]
        return newest

    def newest(self, until: int, patterns: Sequence[str]) -> list[Record]:
        of_topics = {record.topic: record for record in self.matching(patterns) if record.seq <= until}
        return sorted(of_topics.values())

    def is_topped(self, record: Record, until: int) -> bool:
        """Return whether a newer record of the topic was trimmed: retention never does that."""
        return any(gone.topic == record.topic and record.seq < gone.seq <= until for gone in self.gone)

    def headers(self, after: int, topic: str | None, limit: int) -> list[RecordHeader]:
        own = self.matching(None if topic is None else [topic])
        return [header_of(record) for record in own if record.seq > after][:limit]

    def trim(self, seqs: Collection[int]) -> None:
        self.gone += [record for record in self.records if record.seq in seqs]
        self.records = [record for record in self.records if record.seq not in seqs]

    def trimmed(self, patterns: Sequence[str] | None) -> int:
        return max((record.seq for record in self.gone if is_wanted(patterns, record)), default=0)

    def bounds(self) -> Bounds:
        return Bounds(self.records[0].seq if self.records else self.last + 1, self.last)


def header_of(record: Record) -> RecordHeader:
    return RecordHeader(record.seq, record.topic, decode_message(record.body).time, len(record.body))


def is_wanted(patterns: Sequence[str] | None, record: Record) -> bool:
    return patterns is None or any(matches(pattern, record.topic) for pattern in patterns)


class Pair:
    """A store and its model, to which the same is done."""

    def __init__(self, folder: Path, open_store: OpenStore) -> None:
        self.clock = Clock()
        self.model = Model(self.clock)
        self.store: Store
        self._folder = folder
        self._open = open_store
        self._followed: list[Record] = []

    async def open(self) -> None:
        self.store = await self._open(self._folder, self.clock)
        self.store.follow(self._followed.extend)

    async def append(self, messages: list[NewMessage]) -> None:
        before = len(self.model.records)
        self._followed.clear()
        expected = self.model.append(messages)
        assert await self.store.append(messages) == expected
        assert self._followed == self.model.records[before:]

    async def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds

    async def read(self, after: int, patterns: list[str] | None, limit: int, max_bytes: int) -> None:
        page = await self.store.read(after, patterns=patterns, limit=limit, max_bytes=max_bytes)
        assert page.records == [
            record for record in self.model.matching(patterns) if after < record.seq <= page.position
        ]
        assert len(page.records) <= limit
        assert len(page.records) <= 1 or sizes(page.records) <= max_bytes
        assert page.position > after or page.position >= self.model.last

    async def read_back(self, before: int, patterns: list[str] | None, limit: int, max_bytes: int) -> None:
        records = await self.store.read_back(before, patterns=patterns, limit=limit, max_bytes=max_bytes)
        assert records == self.model.before(before, patterns, limit, max_bytes)

    async def read_newest(self, until: int, patterns: list[str], limit: int, max_bytes: int) -> None:
        until = min(until, self.model.last)  # no reader asks beyond the log, whose end is then kept
        expected = self.model.newest(until, patterns)
        found: list[Record] = []
        position = -1
        while position < until:
            page = await self.store.read_newest(
                until, max(0, position), patterns=patterns, limit=limit, max_bytes=max_bytes
            )
            assert page.position > position
            assert len(page.records) <= limit
            assert len(page.records) <= 1 or sizes(page.records) <= max_bytes
            found += page.records
            position = page.position
        assert [each for each in expected if not self.model.is_topped(each, until)] == [
            each for each in found if not self.model.is_topped(each, until)
        ]

    async def headers(self, after: int, topic: str | None, limit: int) -> None:
        assert await self.store.headers(after, topic=topic, limit=limit) == self.model.headers(
            after, topic, limit
        )

    async def trim(self, seqs: list[int]) -> None:
        self.model.trim(seqs)
        await self.store.trim(seqs)

    async def trimmed(self, patterns: list[str] | None, after: int) -> None:
        expected = self.model.trimmed(patterns)
        found = await self.store.trimmed(patterns, after=after)
        assert found == expected if expected > after else found <= after

    async def set_cursor(self, name: str, position: int) -> None:
        self.model.cursors[name] = position
        await self.store.set_cursor(name, position)

    async def delete_cursor(self, name: str) -> None:
        self.model.cursors.pop(name, None)
        await self.store.delete_cursor(name)

    async def reopen(self) -> None:
        await self.store.close()
        await self.open()

    async def compare(self) -> None:
        assert await self.store.bounds() == self.model.bounds()
        assert await self.store.cursors() == self.model.cursors


Step = tuple[Callable[..., Awaitable[None]], dict[str, Any]]

_topics = st.sampled_from(["a", "a.b", "a.c", "b", "b.c", "a.b.c", "$sys.a"])
_patterns = st.none() | st.lists(
    _topics | st.sampled_from([">", "*", "a.*", "a.>", "*.c", "*.*.c", "$sys.>", "none", "none.*"]),
    max_size=4,
)
_positions = st.integers(0, 40)
_limits = st.integers(1, 12)
_bytes = st.integers(1, 4000)
_messages = st.lists(
    st.builds(
        new,
        _topics,
        st.text(max_size=100) | st.lists(st.integers(), max_size=3),
        id=st.none() | st.sampled_from(["1", "2", "$1", 'quote"', "back\\slash", "ünïcode✓"]),
        sender=st.sampled_from([None, "hello", "other"]),
    ),
    min_size=3,
    max_size=12,
)


def _step(
    function: Callable[..., Awaitable[None]], /, **arguments: st.SearchStrategy[Any]
) -> st.SearchStrategy[Step]:
    return st.tuples(st.just(function), st.fixed_dictionaries(arguments))


STEPS = st.lists(
    st.one_of(
        _step(Pair.append, messages=_messages),
        _step(Pair.append, messages=_messages),
        _step(Pair.pass_time, seconds=st.sampled_from([-20, 0.001, 2, 4.999, 5, 10, 10.001])),
        _step(Pair.read, after=_positions, patterns=_patterns, limit=_limits, max_bytes=_bytes),
        _step(Pair.read_back, before=_positions, patterns=_patterns, limit=_limits, max_bytes=_bytes),
        _step(
            Pair.read_newest,
            until=_positions,
            patterns=_patterns.map(lambda patterns: patterns or [">"]),
            limit=_limits,
            max_bytes=_bytes,
        ),
        _step(Pair.headers, after=_positions, topic=st.none() | _topics | st.just("none"), limit=_limits),
        _step(Pair.trim, seqs=st.lists(_positions, max_size=12)),
        _step(Pair.trimmed, patterns=_patterns, after=_positions),
        _step(Pair.set_cursor, name=st.sampled_from("xyz"), position=_positions),
        _step(Pair.delete_cursor, name=st.sampled_from("xyz")),
        _step(Pair.reopen),
    ),
    min_size=15,
    max_size=40,
)


def agree(open_store: OpenStore, steps: list[Step]) -> None:
    """Do the steps to a new store and to a model, and compare the two after each."""

    async def go(folder: Path) -> None:
        pair = Pair(folder, open_store)
        await pair.open()
        for function, arguments in steps:
            await function(pair, **arguments)
            await pair.compare()
        await pair.store.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(go(Path(folder)))
