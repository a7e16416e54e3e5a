"""Interface to what a msgqueue of several may deal out to consumers."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from fanline.protocol import MAX_POSITION


class Claim(NamedTuple):
    """Positions that one msgqueue alone deals out.

    The first one is the first that is not done.
    """

    first: int
    last: int


class ConsumerClaims:
    """The claims of a msgqueue that is alone: everything, always."""

    @property
    def is_shared(self) -> bool:
        """Return whether other msgqueues may exist, so that claims are needed."""
        return False

    def positions(self) -> Mapping[str, int]:
        """Return the position of each durable consumer that has claims."""
        return {}

    def of(self, name: str, after: int) -> Sequence[Claim]:
        """Return the claims of this msgqueue, oldest first.

        Args:
            name: The consumer.
            after: Its position.
        """
        del name
        return [Claim(after + 1, MAX_POSITION)]

    def failures(self, name: str) -> Mapping[int, int]:
        """Return how often unfinished records have failed elsewhere, by position."""
        del name
        return {}

    def is_claimable(self, name: str, head: int) -> bool:
        """Return whether there is something to claim.

        Args:
            name: The consumer; a new one begins with its first claim.
            head: End of the log.
        """
        del name, head
        return False

    def is_in_use_elsewhere(self, name: str) -> bool:
        """Return whether another msgqueue deals out records of a consumer."""
        del name
        return False

    async def claim(self, name: str, after: int) -> None:
        """Claim a part of the log that no other msgqueue deals out.

        :meth:`of` tells what was got.

        Args:
            name: The consumer.
            after: Its position, if it is new.

        Raises:
            StoreError: If that fails, or it is not known whether it did.
        """

    async def release(self, name: str, failures: Mapping[int, int]) -> None:
        """Release all claims, for other msgqueues.

        Args:
            name: The consumer.
            failures: How often deliveries of what is in them have failed, by position.

        Raises:
            StoreError: If that fails, or it is not known whether it did.
        """
