"""Clock of the log, which follows the wall clock without its jumps.

It never goes back, so that the times of messages are in their order; and while the wall clock cannot be
trusted, no message is removed for its age.
"""

import logging
from collections.abc import Callable
from threading import Lock
from time import monotonic, time
from typing import Final

logger = logging.getLogger(__name__)

# A larger difference from the wall clock is a jump of that.
JUMP_SECONDS: Final = 60.0

# After so long a jump is accepted, and messages are removed by their age again.
ACCEPT_SECONDS: Final = 3600.0

# How much faster or slower than time this clock runs to follow the wall clock.
SLEW: Final = 0.1

# The same, while it waits for a wall clock that was set back.
WAIT: Final = 0.5

# At the start the wall clock is believed if it is not further ahead of the newest message.
BELIEVED_SECONDS: Final = 366 * 86_400.0


class LogClock:
    """Tells the time at which messages are stored; for any thread.

    It counts seconds by itself and is drawn towards the wall clock. When that jumps by more than a minute, it
    goes on as before, and accepts the jump after an hour, or when an operator says so. It never stands still
    or goes back.

    Args:
        wall: Returns Unix seconds, which may jump.
        steady: Returns seconds that never jump, from any beginning.

    Attributes:
        jumps: How many jumps there were.
    """

    def __init__(self, wall: Callable[[], float] = time, steady: Callable[[], float] = monotonic) -> None:
        self.jumps = 0
        self._wall = wall
        self._steady = steady
        self._lock = Lock()
        self._time = wall()
        self._read_at = steady()
        self._offset = 0.0  # of the wall clock, while that is a jump which is not accepted
        self._jumped_at: float | None = None
        self._is_accepted = False
        self._rests_until = self._read_at

    def resume(self, last: float) -> None:
        """Continue from the newest message of a log.

        To be called before anything is stored.

        Args:
            last: When it was stored, in Unix seconds.
        """
        with self._lock:
            ahead = self._wall() - last
            if ahead > JUMP_SECONDS:
                # The service may have been away, or the clock may be wrong: removing messages can wait.
                self._rests_until = self._steady() + ACCEPT_SECONDS
            if not 0 <= ahead <= BELIEVED_SECONDS:
                self._time = last
        self()

    def __call__(self) -> float:
        """Return the time, in Unix seconds."""
        with self._lock:
            now = self._steady()
            elapsed = max(0.0, now - self._read_at)
            self._read_at = now
            offset = self._wall() - (self._time + elapsed)
            self._time += elapsed + self._correction(offset, elapsed, now)
            return self._time

    @property
    def jump(self) -> float:
        """Seconds by which the wall clock has jumped; 0 if none.

        A jump counts until it is accepted.
        """
        self()
        return 0.0 if self._jumped_at is None else self._offset

    @property
    def oldest_time(self) -> float | None:
        """Time by which the age of a message is judged.

        None while no clock can be trusted for that.
        """
        now = self()
        with self._lock:
            is_resting = self._jumped_at is not None or self._read_at < self._rests_until
            return None if is_resting else min(now, self._wall())

    @property
    def problem(self) -> str | None:
        """Describe a jump that is not accepted yet; None if none."""
        jump = self.jump
        if not jump:
            return None
        direction = "ahead" if jump > 0 else "back"
        return f"the clock was set {direction} by {abs(jump):,.0f} s; no message is removed for its age"

    def accept(self) -> None:
        """Accept the wall clock from now on, as after an hour."""
        with self._lock:
            self._is_accepted = True
            self._rests_until = self._read_at
        self()

    def _correction(self, offset: float, elapsed: float, now: float) -> float:
        """Return by how much more than the time elapsed this clock moves."""
        if abs(offset) <= JUMP_SECONDS:
            if self._jumped_at is not None:
                logger.warning("the clock is right again")
            self._jumped_at = None
            self._is_accepted = False
            return max(-SLEW * elapsed, min(SLEW * elapsed, offset))
        if self._is_accepted:
            self._jumped_at = None
            return offset if offset > 0 else -WAIT * elapsed
        if self._jumped_at is None or abs(offset - self._offset) > JUMP_SECONDS:
            self._begin_jump(offset, now)
        self._offset = offset
        if self._jumped_at is not None and now - self._jumped_at >= ACCEPT_SECONDS:
            logger.warning("the clock was set by %.0f s an hour ago, which is accepted now", offset)
            self._is_accepted = True
            return self._correction(offset, elapsed, now)
        return 0.0

    def _begin_jump(self, offset: float, now: float) -> None:
        self.jumps += 1
        self._jumped_at = now
        logger.warning(
            "the clock has jumped by %.0f s: messages get the time as it was before, none is removed for"
            " its age, until the jump has lasted an hour, or is confirmed by POST /clock",
            offset,
        )
