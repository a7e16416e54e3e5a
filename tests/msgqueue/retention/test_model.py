"""Any rules on any log: what they say stays."""

import asyncio
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from fanline.protocol.topics import matches
from msgqueue.settings import RetentionRule
from msgqueue.store.base import Bounds, RecordHeader
from tests.msgqueue.retention.conftest import quick_retention, rule
from tests.msgqueue.store.store_model import Clock

_lines = st.lists(
    st.tuples(st.sampled_from(["a", "a.b", "b", "c.d"]), st.integers(0, 50), st.integers(1, 2000)),
    max_size=40,
)
_rules = st.lists(
    st.builds(
        rule,
        st.sampled_from(["a", "a.>", "*", "c.*", ">"]),
        max_age=st.none() | st.integers(1, 200),
        max_count=st.none() | st.integers(1, 5),
        max_bytes=st.none() | st.integers(1024, 5000),
    ),
    max_size=3,
)


def should_keep(
    headers: Sequence[RecordHeader], rules: Sequence[RetentionRule], now: float
) -> list[RecordHeader]:
    """Return what is left, worked out from the rules as they are told."""
    left: list[RecordHeader] = []
    spent = dict.fromkeys(range(len(rules)), 0)
    counts: dict[str, int] = {}
    is_full: set[int] = set()
    for header in reversed(headers):
        number = next((n for n, each in enumerate(rules) if matches(each.topics, header.topic)), None)
        if number is not None:
            each = rules[number]
            if each.max_age is not None and header.time < (now - each.max_age) * 1000:
                continue
            counts[header.topic] = counts.get(header.topic, 0) + 1
            if each.max_count is not None and counts[header.topic] > each.max_count:
                continue
            if each.max_bytes is not None and spent[number] + header.size > each.max_bytes:
                is_full.add(number)
            if number in is_full:
                continue
            spent[number] += header.size
        left.append(header)
    return left[::-1]


class HeaderStore:
    """A store with nothing but headers."""

    def __init__(self) -> None:
        self.stored: list[RecordHeader] = []
        self.newest = 0

    async def bounds(self) -> Bounds:
        return Bounds(1, self.newest)

    async def headers(self, after: int, *, topic: str | None = None, limit: int) -> list[RecordHeader]:
        return [header for header in self.stored if header.seq > after and topic in (None, header.topic)][
            :limit
        ]

    async def trim(self, seqs: Sequence[int]) -> None:
        self.stored = [header for header in self.stored if header.seq not in seqs]


@given(batches=st.lists(_lines, max_size=3), rules=_rules)
@settings(max_examples=50)
def test_leaves_what_the_rules_say(
    batches: list[list[tuple[str, int, int]]], rules: list[RetentionRule]
) -> None:
    """Whatever comes, sweep by sweep, what is left is what the rules of the documentation leave."""

    async def go() -> None:
        store = HeaderStore()
        clock = Clock()
        retention = quick_retention(store, rules, clock=clock)  # type: ignore[arg-type]
        seq = 0
        for batch in batches:
            for topic, pause, size in batch:
                clock.now += pause
                seq += 1
                store.stored.append(RecordHeader(seq, topic, clock.ms, size))
            store.newest = seq
            expected = should_keep(store.stored, rules, clock.now)
            await retention.sweep()
            assert store.stored == expected

    asyncio.run(go())


async def test_leaves_new_messages_for_the_next_sweep(clock: Clock) -> None:
    """Messages not counted yet are not removed, so that the count stays right."""
    store = HeaderStore()
    retention = quick_retention(store, [rule(max_age=1, max_bytes=2000)], clock=clock)  # type: ignore[arg-type]
    store.stored = [RecordHeader(seq, "t", 0, 1000) for seq in range(1, 9)]
    store.newest = 5
    await retention.sweep()
    assert [header.seq for header in store.stored] == [6, 7, 8]
    store.stored = [header._replace(time=clock.ms) for header in store.stored]
    store.newest = 8
    await retention.sweep()
    assert [header.seq for header in store.stored] == [7, 8]
