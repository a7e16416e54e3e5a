"""Token buckets: rates that may be exceeded for a while. No I/O, no clock."""

from collections.abc import Hashable
from typing import Final

# Seconds for which the full rate is saved, and for which a key that has used up a rate is refused.
BURST_SECONDS: Final = 5.0
REFUSED_SECONDS: Final = 1.0

# Keys between two looks for those that are as if they were new.
KEYS_BETWEEN_LOOKS: Final = 1_000


class TokenBucket:
    """Tokens that come back at a rate, up to a burst; full at the start.

    Args:
        rate: Tokens that come back a second.
        burst: Most tokens there can be.
        now: The time, in seconds, of a clock that never goes back.
    """

    __slots__ = ("_burst", "_rate", "_tokens", "_updated_at")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = self._tokens = burst
        self._updated_at = now

    def take(self, count: float, now: float) -> bool:
        """Take tokens if there are enough; return whether there were."""
        if self.level(now) < count:
            return False
        self._tokens -= count
        return True

    def spend(self, count: float) -> None:
        """Take tokens, even more than there are."""
        self._tokens -= count

    def level(self, now: float) -> float:
        """Return how many tokens there are; less than none if more were spent."""
        self._tokens = min(self._burst, self._tokens + (now - self._updated_at) * self._rate)
        self._updated_at = now
        return self._tokens

    def delay(self, now: float) -> float:
        """Return the seconds until there is a token."""
        return max(0.0, (1 - self.level(now)) / self._rate)

    def is_full(self, now: float) -> bool:
        """Return whether there can be no more tokens."""
        return self.level(now) >= self._burst


class RateLimiter:
    """Rates of one or more quantities, for each key.

    What is admitted may exceed a rate by any amount, so that a large request is possible at all. Then
    everything of its key is refused until the rate is kept again, and at least for a second: a client that
    sends several requests before it is told gets all but the first ones refused, and keeps their order.

    Args:
        rates: How much of each quantity a second.
    """

    def __init__(self, *rates: float) -> None:
        self._rates = rates
        self._keys: dict[Hashable, _Usage] = {}
        self._look_at = KEYS_BETWEEN_LOOKS

    def change(self, *rates: float) -> None:
        """Limit to other rates from now on; usage until then is forgotten."""
        if rates != self._rates:
            self._rates = rates
            self._keys.clear()

    def __len__(self) -> int:
        return len(self._keys)

    def admit(self, key: Hashable, now: float, *counts: float) -> float:
        """Charge a request and return 0, or return the seconds for which it is refused.

        Args:
            key: Whose rate it is.
            now: The time, in seconds, of a clock that never goes back.
            counts: How much it has of each quantity.
        """
        usage = self._find(key, now)
        if now < usage.refused_until:
            return usage.refused_until - now
        if delay := usage.delay(now):
            delay = max(delay, REFUSED_SECONDS)
            usage.refused_until = now + delay
            return delay
        usage.spend(counts)
        return 0.0

    def charge(self, key: Hashable, now: float, *counts: float) -> float:
        """Charge a request in any case; return the seconds until the rate is kept again."""
        usage = self._find(key, now)
        usage.spend(counts)
        return usage.delay(now)

    def _find(self, key: Hashable, now: float) -> "_Usage":
        usage = self._keys.get(key)
        if usage is None:
            if len(self._keys) >= self._look_at:
                self._keys = {key: usage for key, usage in self._keys.items() if not usage.is_new(now)}
                self._look_at = len(self._keys) + KEYS_BETWEEN_LOOKS
            usage = self._keys[key] = _Usage(self._rates, now)
        return usage


class _Usage:
    """Usage of each quantity by one key."""

    __slots__ = ("buckets", "refused_until")

    def __init__(self, rates: tuple[float, ...], now: float) -> None:
        self.buckets = [TokenBucket(rate, rate * BURST_SECONDS, now) for rate in rates]
        self.refused_until = now

    def delay(self, now: float) -> float:
        return max(bucket.delay(now) for bucket in self.buckets)

    def spend(self, counts: tuple[float, ...]) -> None:
        for bucket, count in zip(self.buckets, counts, strict=True):
            bucket.spend(count)

    def is_new(self, now: float) -> bool:
        return now >= self.refused_until and all(bucket.is_full(now) for bucket in self.buckets)
