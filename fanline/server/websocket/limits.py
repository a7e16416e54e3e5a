"""Limits of the WebSockets of a service."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of each connection of a service.

    Attributes:
        max_frame: Largest message that a peer may send, in bytes.
        write_buffer: High-water mark of the write buffer, in bytes.
        close_timeout: Seconds that a closing connection may last.
        ping_interval: Seconds of silence after which a peer is pinged.
        silence_limit: Seconds that it may then stay silent, or take nothing of what is written to it.
        wall_clock: Returns Unix seconds; logins expire by it.
    """

    max_frame: int
    write_buffer: int
    close_timeout: float
    ping_interval: float
    silence_limit: float
    wall_clock: Callable[[], float] = time.time
