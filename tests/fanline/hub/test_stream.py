"""Tests of what waits for one reader."""

import asyncio
from collections import deque
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanline.hub import BadLimit, Missed, Stream
from tests.stubs import DEADLINE

TAKE_ONE, TAKE_ALL = "take one", "take all"

steps = st.lists(st.integers(0, 9) | st.just(TAKE_ONE) | st.just(TAKE_ALL), max_size=60)


class Item:
    """One of a numbered series, of some size."""

    def __init__(self, number: int, size: int) -> None:
        self.number = number
        self.size = size


class Model:
    """A stream as a list of numbers that fit, and the rules of what fits."""

    def __init__(self, max_count: int, max_size: int) -> None:
        self.held: deque[Item] = deque()
        self._max_count = max_count
        self._max_size = max_size

    def fits(self, item: Item) -> bool:
        return not self.held or (
            len(self.held) < self._max_count
            and sum(each.size for each in [*self.held, item]) <= self._max_size
        )


def take_one(stream: Stream[Item]) -> list[Item | Missed]:
    """Iterate one step, without an event loop; an empty list if that would have to wait."""
    if not len(stream):
        return []
    try:
        anext(stream).__await__().send(None)
    except StopIteration as taken:
        return [taken.value]
    raise AssertionError("it waited though there was something")


def account(taken: Sequence[Item | Missed]) -> list[int | None]:
    """Return the items of a reader: a number for each, None for each it was told it missed."""
    known: list[int | None] = []
    for each in taken:
        known += [None] * each.count if isinstance(each, Missed) else [each.number]
    return known


@settings(max_examples=100)
@given(steps, st.integers(1, 5), st.integers(0, 20))
def test_what_is_missing_is_told_in_its_place(steps: list[int | str], max_count: int, max_size: int) -> None:
    """The reader gets what fitted, in order, and in the place of the rest their number (line 36)."""
    stream = Stream[Item](max_count, max_size=max_size, size_of=lambda item: item.size)
    model = Model(max_count, max_size)
    expected: list[int | None] = []
    taken: list[Item | Missed] = []
    for step in steps:
        if isinstance(step, int):
            item = Item(len(expected), step)
            fits = model.fits(item)
            assert stream.put(item) is fits
            if fits:
                model.held.append(item)
            expected.append(item.number if fits else None)
        elif step == TAKE_ALL:
            taken += stream.take_all()
            model.held.clear()
        else:
            one = take_one(stream)
            taken += one
            if one and one[0] in model.held:
                model.held.popleft()
    taken += stream.take_all()
    assert account(taken) == expected
    assert stream.missed == expected.count(None)
    assert len(stream) == 0


def test_one_note_for_all_that_are_missing_in_a_place() -> None:
    """However many do not fit, what is held does not grow (line 36)."""
    stream = Stream[str](2)
    for item in ["a", "b", *"x" * 1_000]:
        stream.put(item)
    assert len(stream) == 3
    assert stream.take_all() == ["a", "b", Missed(1_000)]
    assert stream.take_all() == []


def test_it_is_full_by_count_or_by_size() -> None:
    """Whichever comes first; what is larger than all is taken when it is alone."""
    stream = Stream[bytes](3, max_size=10, size_of=len)
    assert [stream.put(item) for item in (b"12345", b"1234", b"12", b"1", b"")] == [
        True,
        True,
        False,
        True,
        False,
    ]
    stream.take_all()
    assert stream.put(b"x" * 11)
    assert not stream.put(b"")


@pytest.mark.parametrize("max_count", [0, -1])
def test_a_stream_holds_one_item_at_least(max_count: int) -> None:
    """The error says what was given, and what could have been."""
    with pytest.raises(BadLimit, match=f"^max_count must be 1 or more, not {max_count}$") as caught:
        Stream[str](max_count)
    assert (caught.value.name, caught.value.value, caught.value.lowest) == ("max_count", max_count, 1)


def test_there_is_always_room_for_the_last() -> None:
    """A reader that missed much is told how it ended nevertheless."""
    stream = Stream[str](1)
    for item in "abc":
        stream.put(item)
    stream.close("the end")
    stream.close("another end")
    assert not stream.put("d")
    assert stream.take_all() == ["a", Missed(2), "the end"]
    assert stream.missed == 2


async def test_iterating_gives_what_is_there_then_ends() -> None:
    """Also what was put before the stream was closed."""
    stream = Stream[str](2)
    for item in "abcd":
        stream.put(item)
    stream.close()
    assert [item async for item in stream] == ["a", "b", Missed(2)]
    assert [item async for item in stream] == []
    assert not await stream.wait()


async def test_a_reader_waits_for_what_comes() -> None:
    """And for the end, if nothing else comes."""
    stream = Stream[str](2)
    reader = asyncio.create_task(anext(stream))
    await asyncio.sleep(0)
    stream.put("a")
    async with asyncio.timeout(DEADLINE):
        assert await reader == "a"
        waiting = asyncio.create_task(stream.wait())
        await asyncio.sleep(0)
        assert not waiting.done()
        stream.close()
        assert not await waiting


async def test_a_reader_that_is_cancelled_takes_nothing_along() -> None:
    """Cancellation before the item came or just after it loses nothing."""
    stream = Stream[str](2)
    for is_late in (False, True):
        reader = asyncio.create_task(anext(stream))
        await asyncio.sleep(0)
        if is_late:
            stream.put("a")
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
    assert stream.take_all() == ["a"]


async def test_several_readers_share_what_comes() -> None:
    """Each item goes to one of them, and all see the end."""
    stream = Stream[int](1_000)
    shares: list[list[int | Missed]] = [[], [], []]

    async def read(share: list[int | Missed]) -> None:
        async for item in stream:
            share.append(item)
            await asyncio.sleep(0)

    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as readers:
        for share in shares:
            readers.create_task(read(share))
        await asyncio.sleep(0)
        for number in range(100):
            stream.put(number)
        stream.close()
    assert all(shares)
    assert sorted(item for share in shares for item in share if isinstance(item, int)) == list(range(100))
