"""Token buckets: rates that may be exceeded for a while. No I/O, no clock."""


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
        self._tokens = min(self._burst, self._tokens + (now - self._updated_at) * self._rate)
        self._updated_at = now
        if self._tokens < count:
            return False
        self._tokens -= count
        return True
