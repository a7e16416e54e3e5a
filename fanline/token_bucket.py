"""Limits for each key: rates with bursts, and quotas. No I/O.

They read no clock.
"""

from collections import Counter
from collections.abc import Hashable, Sequence
from operator import add
from typing import Final

# Seconds for which the full rate is saved, and for which a key that has used up a rate is refused.
BURST_SECONDS: Final = 5.0
REFUSED_SECONDS: Final = 1.0

# Keys between two looks for those that are as if they were new.
KEYS_BETWEEN_LOOKS: Final = 1_000


class TokenBucket:
    """Tokens that return at a rate, up to a burst.

    A bucket is full at the start.

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
        """Return how many tokens there are; negative if overspent."""
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
        burst_seconds: Seconds for which a rate that is not used is saved.
    """

    def __init__(self, *rates: float, burst_seconds: float = BURST_SECONDS) -> None:
        self._periods = _periods(rates)
        self._burst_seconds = burst_seconds
        self._keys: dict[Hashable, Usage] = {}
        self._look_at = KEYS_BETWEEN_LOOKS

    def change(self, *rates: float) -> None:
        """Limit to other rates from now on; usage until then is forgotten."""
        if (periods := _periods(rates)) != self._periods:
            self._periods = periods
            self._keys.clear()

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, key: Hashable, now: float) -> "Usage":
        """Return the usage by one key, until the next call.

        Args:
            key: Whose rate it is.
            now: The time, in seconds, of a clock that never goes back.
        """
        usage = self._keys.get(key)
        if usage is None:
            if len(self._keys) >= self._look_at:
                self._keys = {key: usage for key, usage in self._keys.items() if not usage.is_new(now)}
                self._look_at = len(self._keys) + KEYS_BETWEEN_LOOKS
            usage = self._keys[key] = Usage(self._periods, now, self._burst_seconds)
        return usage


class Usage:
    """Usage of each quantity by one key.

    It is kept as the time at which all of it is regained.

    Args:
        periods: Seconds in which one of each quantity is regained.
        now: The time, in seconds, of a clock that never goes back.
        burst_seconds: Seconds that may be used at once.
    """

    __slots__ = ("_burst_seconds", "_periods", "_refused_until", "_regained_at")

    def __init__(self, periods: Sequence[float], now: float, burst_seconds: float) -> None:
        self._periods = periods
        self._burst_seconds = burst_seconds
        self._regained_at = [now] * len(periods)
        self._refused_until = now

    def refuse(self, now: float) -> float:
        """Return for how many seconds a request is refused; 0 if accepted.

        All other requests are refused until then.
        """
        if now < self._refused_until:
            return self._refused_until - now
        delay = self.delay(now)
        if delay:
            delay = max(delay, REFUSED_SECONDS)
            self._refused_until = now + delay
        return delay

    def delay(self, now: float) -> float:
        """Return the seconds until all rates are kept again."""
        regained_at: float = max(map(add, self._regained_at, self._periods))
        return max(0.0, regained_at - now - self._burst_seconds)

    def spend(self, counts: Sequence[float], now: float) -> None:
        """Take some of each quantity, even more than there is."""
        regained_at = self._regained_at
        for index, count in enumerate(counts):
            regained_at[index] = max(regained_at[index], now) + count * self._periods[index]

    def is_new(self, now: float) -> bool:
        """Return whether it is as if nothing had been used."""
        return now >= max(self._refused_until, *self._regained_at)


def _periods(rates: Sequence[float]) -> tuple[float, ...]:
    return tuple(1 / rate for rate in rates)


class Quota:
    """Amounts that keys hold, none of them more than a limit.

    Args:
        limit: The most that a key may hold.

    Attributes:
        limit: As given; a lower one takes nothing from those that hold more.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._held: Counter[Hashable] = Counter()

    def __len__(self) -> int:
        return len(self._held)

    def has_room(self, key: Hashable, amount: int) -> bool:
        """Return whether a key may hold so much more."""
        return self._held[key] + amount <= self.limit

    def take(self, key: Hashable, amount: int) -> None:
        """Note that a key holds so much more."""
        self._held[key] += amount

    def give_back(self, key: Hashable, amount: int) -> None:
        """Note that a key holds so much less."""
        self._held[key] -= amount
        if not self._held[key]:
            del self._held[key]
