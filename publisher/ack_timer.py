"""Measure how long messages wait for their acks."""

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry

from fanline.protocol import Ack
from fanline.server import metrics
from publisher.ordered_replies import Reply


class AckTimer:
    """Measures one message at a time, so that the others cost nothing.

    Args:
        registry: Where to show the times.
        clock: Monotonic clock, in seconds.
    """

    def __init__(self, registry: CollectorRegistry, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._reply: Reply | None = None
        self._began = 0.0
        self._seconds = metrics.histogram(
            "fanline_ack_seconds", "Seconds from the arrival of a message to its ack."
        )
        registry.register(self._seconds)

    def begin(self, reply: Reply | None) -> None:
        """Measure a message that has just arrived, unless another is measured."""
        if self._reply is None and reply is not None:
            self._reply = reply
            self._began = self.clock()

    def look(self) -> None:
        """Note the time of the measured message, once it has its outcome."""
        if self._reply is not None and self._reply.outcome is not None:
            if isinstance(self._reply.outcome, Ack):
                self.note(self._began)
            self._reply = None

    def note(self, began: float) -> None:
        """Note an ack that is given now.

        Args:
            began: When its message arrived, by the clock.
        """
        self._seconds.observe(self.clock() - began)
