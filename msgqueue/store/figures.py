"""Figures of a msgqueue's part in a cluster, for its metrics."""

from dataclasses import dataclass


@dataclass(slots=True)
class ClusterFigures:
    """Figures of a msgqueue's work with the journal.

    Attributes:
        entries: Entries of the journal applied since the start.
        resent: Frames sent again, because they had not come back.
        fenced: Entries left out, because their sender had sent them before, or had given them up.
        msgqueues: How many msgqueues have sent something lately, this one included.
        wait: Seconds since a frame of this one came back; those since the start if none has.
        is_stopped: Whether it acknowledges nothing any more.
    """

    entries: int = 0
    resent: int = 0
    fenced: int = 0
    msgqueues: int = 0
    wait: float = 0.0
    is_stopped: bool = False
