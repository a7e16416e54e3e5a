"""When to try again: a reconnect schedule with jitter, as a plain object without a clock."""

import random


class Backoff:
    """Delays that double from ``first`` to ``cap``, each drawn at random from the upper half of its range.

    The draw keeps clients that were cut off together from coming back together; never less than half of
    the nominal delay, so that a dead neighbour is not asked in a tight loop.

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
        """Start over: call it when an attempt has succeeded."""
        self._nominal = self._first
