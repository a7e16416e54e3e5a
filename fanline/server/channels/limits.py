"""Limits of every open connection: sizes, silences and timeouts."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

# A message that is arriving has the silence_limit, and the time that this rate gives it.
SLOWEST_BYTES_PER_SECOND: Final = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of each connection of a service.

    Attributes:
        max_frame: Largest message that a peer may send, in bytes.
        write_buffer: High-water mark of the write buffer, in bytes.
        close_timeout: Seconds that a closing connection may last.
        ping_interval: Seconds of silence after which a peer is pinged.
        silence_limit: Seconds that it may then stay silent, or take nothing of what is written to it.
        max_unfinished: Bytes of messages that have not arrived whole, of all connections together.
        max_unread: Bytes that wait for slow connections, for all of them together.
        wall_clock: Returns Unix seconds; logins expire by it.
    """

    max_frame: int
    write_buffer: int
    close_timeout: float
    ping_interval: float
    silence_limit: float
    max_unfinished: int
    max_unread: int
    wall_clock: Callable[[], float] = time.time

    def arrival_timeout(self, size: int) -> float:
        """Return the seconds for a begun message of a size to arrive."""
        return self.silence_limit + size / SLOWEST_BYTES_PER_SECOND
