"""What is asked of a dialect in which every message is acknowledged once it is stored."""

from abc import abstractmethod
from typing import Final

from bench.peers.base import Dialect
from bench.wire import Stream

# Stands once in every acknowledgement of each dialect.
ACK_MARK: Final = b'"seq":'
ERROR_MARK: Final = b'"error":'

TOPIC: Final = "bench.0"


class AckedDialect(Dialect):
    """A dialect whose publishers are told when a message is stored."""

    @abstractmethod
    def prepare_acked(self, stream: Stream, name: str) -> None:
        """Make a new connection that of a publisher who gets acknowledgements; no other has its name."""

    @abstractmethod
    def acked_publication(self, name: str, size: int, together: int) -> bytes:
        """Return what to send to publish messages.

        Args:
            name: Who publishes.
            size: Bytes of the content of each.
            together: How many there are in one frame.
        """
