"""Tests of the reconnect schedule."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from fanline.backoff import Backoff


@settings(max_examples=50)
@given(st.integers(), st.floats(0.001, 10), st.integers(0, 12))
def test_delays_double_up_to_the_cap(seed: int, first: float, doublings: int) -> None:
    """Each delay is drawn from the upper half of a nominal one that doubles and then stays at the cap."""
    cap = first * 2**doublings
    backoff = Backoff(first, cap, random.Random(seed))
    for attempt in range(doublings + 5):
        nominal = min(first * 2**attempt, cap)
        assert nominal / 2 <= backoff.next() <= nominal


def test_a_success_starts_the_schedule_over() -> None:
    """After a reset the next delay is a first one again."""
    backoff = Backoff(1, 64)
    for _ in range(10):
        backoff.next()
    backoff.reset()
    assert backoff.next() <= 1


def test_a_seed_repeats_the_schedule() -> None:
    """The same seed gives the same delays."""
    one, other = Backoff(rng=random.Random(7)), Backoff(rng=random.Random(7))
    assert [one.next() for _ in range(9)] == [other.next() for _ in range(9)]


def test_clients_do_not_come_back_together() -> None:
    """Without a seed no two schedules are alike."""
    delays = {Backoff().next() for _ in range(100)}
    assert len(delays) > 90
