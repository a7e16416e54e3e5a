"""Claims by which msgqueues share a durable consumer's work. No I/O.

A claim is a range of positions that one msgqueue deals out to its connections. It ends when all of it is
done. What is left of the claims of a msgqueue that releases them, or is gone, goes to the next that asks.
"""

from collections.abc import Container, Mapping
from typing import Final

import msgspec

from msgqueue.store.claims import Claim

# Most positions of a claim.
CLAIM_POSITIONS: Final = 1_000

# A msgqueue of which nothing comes for so long is gone, and its claims go to others.
GONE_MS: Final = 15_000

# Most of the time between two frames that counts for that: while the journal stands still, none is gone.
STEP_MS: Final = 3_000

# Owner of what has been released.
NO_OWNER: Final = ""


class OwnedClaim(msgspec.Struct, array_like=True, frozen=True):
    """A claim: unfinished positions, and the process that deals them out."""

    first: int
    last: int
    owner: str


class Share(msgspec.Struct, array_like=True, frozen=True):
    """State of a durable consumer in a cluster.

    Attributes:
        dealt: Everything up to this position has been claimed.
        claims: What has been claimed and is not done, in the order of the log.
        failures: How often deliveries of records that are not done have failed, by position.
    """

    dealt: int
    claims: list[OwnedClaim] = []
    failures: dict[int, int] = {}

    @property
    def position(self) -> int:
        """Position up to which all records are done."""
        return self.claims[0].first - 1 if self.claims else self.dealt

    def of(self, owner: str) -> list[Claim]:
        """Return the claims of a process."""
        return [Claim(each.first, each.last) for each in self.claims if each.owner == owner]

    def is_claimable(self, head: int, alive: Container[str]) -> bool:
        """Return whether there is something to claim.

        Args:
            head: End of the log.
            alive: The processes that are there.
        """
        return head > self.dealt or any(each.owner not in alive for each in self.claims)

    def is_in_use(self, others: Container[str]) -> bool:
        """Return whether one of some processes has a claim."""
        return any(each.owner in others for each in self.claims)

    def claimed(self, owner: str, head: int, alive: Container[str]) -> "Share":
        """Return the state after a process claims the oldest free positions.

        It is the same if there is nothing to claim.
        """
        for number, claim in enumerate(self.claims):
            if claim.owner not in alive:
                claims = list(self.claims)
                claims[number] = msgspec.structs.replace(claim, owner=owner)
                return msgspec.structs.replace(self, claims=claims)
        if head <= self.dealt:
            return self
        claim = OwnedClaim(self.dealt + 1, min(head, self.dealt + CLAIM_POSITIONS), owner)
        return msgspec.structs.replace(self, dealt=claim.last, claims=[*self.claims, claim])

    def done(self, owner: str, position: int) -> "Share":
        """Return the state after a process finishes positions of its claim.

        It is the same if the process has no claim with ``position``.
        """
        for number, claim in enumerate(self.claims):
            if claim.owner == owner and claim.first <= position <= claim.last:
                rest = [msgspec.structs.replace(claim, first=position + 1)] if position < claim.last else []
                return self._with(self.claims[:number] + rest + self.claims[number + 1 :], self.failures)
        return self

    def released(self, owner: str, failures: Mapping[int, int]) -> "Share":
        """Return the state after a process releases its claims.

        The deliveries that it knows to have failed are added.
        """
        claims = [
            msgspec.structs.replace(each, owner=NO_OWNER) if each.owner == owner else each
            for each in self.claims
        ]
        return self._with(claims, {**self.failures, **failures})

    def _with(self, claims: list[OwnedClaim], failures: Mapping[int, int]) -> "Share":
        undone = {
            seq: count
            for seq, count in failures.items()
            if any(each.first <= seq <= each.last for each in claims)
        }
        return Share(self.dealt, claims, undone)


def with_sender(alive: Mapping[str, int], sender: str, awake: int, *, is_new: bool) -> dict[str, int]:
    """Return the processes alive after a frame, with their last times.

    A new process of a msgqueue takes the place of the one before, of which a frame may come later.

    Args:
        alive: Those before the frame.
        sender: Who sent it.
        awake: Milliseconds that the journal has been running.
        is_new: Whether it is the first frame of that process.
    """
    heard = {other: last for other, last in alive.items() if last > awake - GONE_MS}
    others = {other for other in heard if other != sender and member_of(other) == member_of(sender)}
    if others and not is_new:
        return heard
    return {other: last for other, last in heard.items() if other not in others} | {sender: awake}


def member_of(origin: str) -> str:
    """Return the member that a process belongs to."""
    return origin.partition(".")[0]
