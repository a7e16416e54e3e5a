"""Waiting times of a replica, for frames and for the journal."""

from typing import NamedTuple


class Patience(NamedTuple):
    """Waiting times of a replica, in seconds.

    Attributes:
        resend: For a frame to come back until it is sent again; then twice as long, and so on.
        resend_most: The most of that: a frame that was sent before there is a leader is not kept for it.
        move: Until it tries another server of the journal. Longer than an election, in which the connection
            is of use: what has been sent comes back on it first.
        give_up: Until the writer is told that it is unknown whether the frame is stored.
        tick: Between two frames, if there is nothing to write.
        ready: For a frame of its own, until it counts as not ready.
        trim: Between two looks at what of the journal is not needed any more.
    """

    resend: float = 0.3
    resend_most: float = 0.5
    move: float = 10.0
    give_up: float = 15.0
    tick: float = 2.0
    ready: float = 5.0
    trim: float = 3_600.0
