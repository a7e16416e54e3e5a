"""Tests of token buckets."""

import math

import pytest

from fanline.token_bucket import KEYS_BETWEEN_LOOKS, Quota, RateLimiter, TokenBucket


def test_a_burst_is_allowed_and_then_the_rate() -> None:
    """As many as the burst at once, and then as many as have come back."""
    bucket = TokenBucket(rate=2, burst=3, now=100)
    assert [bucket.take(1, 100) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(1, 100.5) for _ in range(2)] == [True, False]
    assert bucket.take(2, 101.5)


def test_no_more_than_the_burst_is_saved() -> None:
    """However long nothing was taken; and what is refused takes nothing."""
    bucket = TokenBucket(rate=2, burst=3, now=0)
    assert not bucket.take(4, 1_000)
    assert bucket.take(3, 1_000)
    assert not bucket.take(1, 1_000)


def request(limiter: RateLimiter, key: str | int, now: float, *counts: float) -> float:
    """Spend what a request needs and return 0, or return the seconds for which it is refused."""
    usage = limiter.find(key, now)
    seconds = usage.refuse(now)
    if not seconds:
        usage.spend(counts, now)
    return seconds


def test_refuses_a_key_that_exceeds_a_rate() -> None:
    """A large request is admitted; then its key is refused until the rates are kept (line 47)."""
    limiter = RateLimiter(10, 1_000)
    assert request(limiter, "a", 0, 100, 1) == 0
    assert request(limiter, "a", 0, 1, 1) == pytest.approx(5.1)
    assert request(limiter, "b", 0, 1, 6_500) == 0
    assert request(limiter, "b", 1, 1, 1) == 1
    assert request(limiter, "b", 1.9, 1, 1) == pytest.approx(0.1)
    assert request(limiter, "b", 2, 1, 1) == 0
    assert request(limiter, "a", 5, 1, 1) == pytest.approx(0.1)
    assert request(limiter, "a", 5.2, 1, 1) == 0


def test_charges_what_cannot_be_refused() -> None:
    """A request that cannot be refused counts; the answer is how long to wait."""
    usage = RateLimiter(10).find("a", 0)
    for now, count, delay in ((0, 49, 0), (0, 20, 2), (3, 0, 0)):
        usage.spend([count], now)
        assert usage.delay(now) == pytest.approx(delay)


def test_keeps_nothing_of_keys_at_rest() -> None:
    """The memory of a limiter does not grow with the keys that it has seen."""
    limiter = RateLimiter(10, math.inf)
    for number in range(10 * KEYS_BETWEEN_LOOKS):
        request(limiter, number, number, 1, 1)
    assert len(limiter) <= KEYS_BETWEEN_LOOKS + 1


def test_other_rates_count_at_once() -> None:
    """Usage at the rates before is forgotten (line 53)."""
    limiter = RateLimiter(10)
    request(limiter, "a", 0, 100)
    limiter.change(1)
    assert request(limiter, "a", 0, 100) == 0
    assert request(limiter, "a", 0, 1) == pytest.approx(96)


def test_holds_no_more_than_the_limit() -> None:
    """Each key has the limit for itself; what it gives back it may take again."""
    quota = Quota(10)
    quota.take("a", 6)
    assert quota.has_room("a", 4)
    assert not quota.has_room("a", 5)
    assert quota.has_room("b", 10)
    quota.give_back("a", 6)
    assert quota.has_room("a", 10)
    assert len(quota) == 0
