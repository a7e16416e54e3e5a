"""Claims of this process on consumers' records, made and released by frames."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from msgqueue.journal.frame import ClaimShare, ReleaseShare
from msgqueue.store.claims import Claim, ConsumerClaims
from msgqueue.store.replica.state import Replica


class SharedClaims(ConsumerClaims):
    """The claims of one process.

    Args:
        replica: How far it has got in the journal.
        propose: Commits an operation.
    """

    def __init__(
        self, replica: Replica, propose: Callable[[ClaimShare | ReleaseShare], Awaitable[object]]
    ) -> None:
        self._replica = replica
        self._propose = propose

    @property
    def is_shared(self) -> bool:
        """See :meth:`ConsumerClaims.is_shared`."""
        return True

    def positions(self) -> Mapping[str, int]:
        """See :meth:`ConsumerClaims.positions`."""
        return {name: share.position for name, share in self._replica.state.shares.items()}

    def of(self, name: str, after: int) -> Sequence[Claim]:
        """See :meth:`ConsumerClaims.of`."""
        del after
        share = self._replica.state.shares.get(name)
        return share.of(self._replica.origin) if share is not None else []

    def failures(self, name: str) -> Mapping[int, int]:
        """See :meth:`ConsumerClaims.failures`."""
        share = self._replica.state.shares.get(name)
        return share.failures if share is not None else {}

    def is_claimable(self, name: str, head: int) -> bool:
        """See :meth:`ConsumerClaims.is_claimable`."""
        state = self._replica.state
        share = state.shares.get(name)
        return share is None or share.is_claimable(head, state.alive)

    def is_in_use_elsewhere(self, name: str) -> bool:
        """See :meth:`ConsumerClaims.is_in_use_elsewhere`."""
        state = self._replica.state
        share = state.shares.get(name)
        return share is not None and share.is_in_use(state.alive.keys() - {self._replica.origin})

    async def claim(self, name: str, after: int) -> None:
        """See :meth:`ConsumerClaims.claim`."""
        await self._propose(ClaimShare(name, after))

    async def release(self, name: str, failures: Mapping[int, int]) -> None:
        """See :meth:`ConsumerClaims.release`."""
        await self._propose(ReleaseShare(name, dict(failures)))
