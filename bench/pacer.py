"""Sending evenly: one message each 1/rate seconds, not a lot of them at each tick of a timer.

A server may join what is due to a connection at the same moment. So what comes in bunches costs it less than
what comes evenly, and a generator that sends in bunches measures itself.
"""

import time
from collections.abc import Iterator


def due_times(rate: float, count: int, start: float) -> Iterator[float]:
    """Yield when each of ``count`` messages is due, ``rate`` of them a second from ``start`` on."""
    for number in range(count):
        yield start + number / rate


def paced(rate: float, count: int, start: float) -> Iterator[tuple[float, float]]:
    """Wait until each message is due, and yield when that was and by how much it is late, in seconds.

    What is late already is yielded at once: a pause is made up for, as clients that do not wait for one
    another would.
    """
    for due in due_times(rate, count, start):
        while (left := due - time.monotonic()) > 0:
            time.sleep(left)
        yield due, -left
