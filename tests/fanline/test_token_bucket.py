"""Tests of token buckets."""

from fanline.token_bucket import TokenBucket


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
