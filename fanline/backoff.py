"""Reconnect delays with jitter, without a clock."""

import random


class Backoff:
    """Random delays that double from ``first`` to ``cap``.

    Each is in the upper half of its range. Randomness spreads the reconnects of clients that lost their
    connections together. At least half of the nominal delay passes, so that a dead server is not tried in a
    tight loop.

    Args:
        first: Nominal first delay, in seconds.
        cap: Largest delay, in seconds.
        rng: Source of randomness; a seeded one makes the schedule repeatable.
    """

    def __init__(self, first: float = 0.1, cap: float = 5.0, rng: random.Random | None = None) -> None:
        self._first = first
        self._cap = cap
        self._rng = rng or random.Random()  # noqa: S311 - spreads load, guards no secret
        self._nominal = first

    def next(self) -> float:
        """Return the seconds to wait before the next attempt."""
        delay = self._rng.uniform(self._nominal / 2, self._nominal)
        self._nominal = min(self._nominal * 2, self._cap)
        return delay

    def reset(self) -> None:
        """Start again with the first delay, after an attempt that succeeded."""
        self._nominal = self._first
