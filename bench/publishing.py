"""The one who publishes: evenly, at a given rate."""

import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from bench import cpu
from bench.pacer import paced
from bench.peers.base import STAMP_DIGITS, Dialect
from bench.stats import quantile
from bench.wire import Address, Stream

_DRAIN_SECONDS: Final = 0.02


class Published(NamedTuple):
    """What was published.

    Attributes:
        messages: How many.
        checksum: The sum of their stamps.
        seconds: From the moment the first was due until the last was sent.
        late: The 99th percentile of the seconds between due and sent: how well the pace was kept.
        cpu: Seconds of CPU that it took.
    """

    messages: int
    checksum: int
    seconds: float
    late: float
    cpu: float


class Publisher:
    """A connection that publishes."""

    def __init__(self) -> None:
        self._stream: Stream | None = None
        self._room = bytearray(1 << 20)

    def connect(self, address: Address, dialect: Dialect) -> None:
        """Open it."""
        cpu.sharpen_sleep()
        self.close()
        self._dialect = dialect
        self._stream = Stream(address, address.context())
        dialect.prepare_publisher(self._stream)

    def publish(self, topics: Sequence[str], size: int, rate: float, count: int, start: float) -> Published:
        """Publish messages, to one topic after the other.

        Args:
            topics: Each has its turn.
            size: Bytes of a message as it is delivered.
            rate: Messages a second.
            count: How many.
            start: The moment of the monotonic clock at which the first is due.
        """
        assert self._stream is not None
        used = time.process_time()
        templates = [self._dialect.publication(topic, size) for topic in topics]
        send, turns = self._stream.socket.sendall, len(templates)
        lateness: list[float] = []
        checksum, drained = 0, start
        for number, (due, late) in enumerate(paced(rate, count, start)):
            before, after = templates[number % turns]
            stamp = int(due * 1e6)
            checksum += stamp
            send(b"%b%0*d%b" % (before, STAMP_DIGITS, stamp, after))
            lateness.append(late)
            if due > drained + _DRAIN_SECONDS:
                self._discard_answers()
                drained = due
        seconds = time.monotonic() - start
        lateness.sort()
        return Published(count, checksum, seconds, quantile(lateness, 0.99), time.process_time() - used)

    def close(self) -> None:
        """Close it."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _discard_answers(self) -> None:
        """Take what the server has answered off its hands, without so much as decrypting it."""
        assert self._stream is not None
        with suppress(BlockingIOError):
            socket.socket.recv_into(self._stream.socket, self._room, 0, socket.MSG_DONTWAIT)
