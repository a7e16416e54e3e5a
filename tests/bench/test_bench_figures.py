"""Statistics, the pace, and the search for the highest rate."""

import math
import time

import pytest

from bench.pacer import due_times, paced
from bench.peak import highest
from bench.stats import Spread, quantile, spread


def test_spread() -> None:
    """Of several rounds there are the one in the middle, the least and the most."""
    assert spread([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0)


@pytest.mark.parametrize(("share", "value"), [(0.0, 1), (0.5, 50), (0.99, 99), (0.999, 100), (1.0, 100)])
def test_quantile(share: float, value: int) -> None:
    """A quantile is the least value that the share does not exceed."""
    assert quantile(range(1, 101), share) == value


def test_quantile_of_nothing() -> None:
    """There is no quantile of no values."""
    assert math.isnan(quantile([], 0.5))


def test_messages_are_due_evenly() -> None:
    """Each message is due one interval after the one before."""
    assert list(due_times(4.0, 3, 10.0)) == [10.0, 10.25, 10.5]


def test_none_is_sent_early() -> None:
    """Each message waits until it is due."""
    start = time.monotonic() + 0.01
    for due, late in paced(1_000.0, 5, start):
        assert time.monotonic() >= due
        assert late >= 0


def test_what_is_late_is_sent_at_once() -> None:
    """A pause is made up for: what should have been sent meanwhile follows without waiting."""
    start = time.monotonic() - 3_600
    lateness = [late for _, late in paced(1.0, 5, start)]
    assert len(lateness) == 5
    assert min(lateness) > 3_500


@pytest.mark.parametrize("limit", [100.0, 150.0, 777.0, 5_000.0])
def test_the_highest_rate_is_found(limit: float) -> None:
    """The rate that is found is sustained, and nearly the highest that is."""
    found = highest(lambda rate: rate <= limit, 100.0)
    assert limit / 1.1 <= found <= limit


def test_no_rate_is_sustained() -> None:
    """If not even the first rate is sustained, there is none."""
    assert highest(lambda _: False, 100.0) == 0.0
