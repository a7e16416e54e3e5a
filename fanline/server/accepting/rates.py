"""Limits of the rates of a service's users and addresses."""

import time
from collections.abc import Sequence
from typing import NamedTuple

from fanline.security.guesses import network
from fanline.security.users import User
from fanline.token_bucket import RateLimiter


class Excess(NamedTuple):
    """A rate that is exceeded.

    Attributes:
        seconds: For how long requests are refused.
        whose: Whose rate it is: ``user`` or ``address``.
    """

    seconds: float
    whose: str


class ClientRates:
    """Rates of each user and of each address.

    In IPv6 an address is a /64. Services are exempt: one service does the work of many users.

    Args:
        per_user: How much of each quantity one user may use a second.
        per_address: How much of each quantity all users of one address may use a second.
    """

    def __init__(self, per_user: Sequence[float], per_address: Sequence[float]) -> None:
        self._users = RateLimiter(*per_user)
        self._addresses = RateLimiter(*per_address)

    def change(self, per_user: Sequence[float], per_address: Sequence[float]) -> None:
        """Limit to other rates from now on; usage until then is forgotten."""
        self._users.change(*per_user)
        self._addresses.change(*per_address)

    def admit(self, user: User, address: str, *counts: float) -> Excess | None:
        """Charge a request, or return why it is refused.

        Args:
            user: Who makes it.
            address: Where it comes from: the client, not a proxy in between.
            counts: How much it has of each quantity.
        """
        if user.is_service:
            return None
        now = time.monotonic()
        of_user, of_address = self._users.find(user.name, now), self._addresses.find(network(address), now)
        if seconds := of_user.refuse(now):
            return Excess(seconds, "user")
        if seconds := of_address.refuse(now):
            return Excess(seconds, "address")
        of_user.spend(counts, now)
        of_address.spend(counts, now)
        return None

    def charge(self, user: User, address: str, *counts: float) -> float:
        """Charge a request, and return the seconds until rates are kept again."""
        if user.is_service:
            return 0.0
        now = time.monotonic()
        usages = self._users.find(user.name, now), self._addresses.find(network(address), now)
        for usage in usages:
            usage.spend(counts, now)
        return max(usage.delay(now) for usage in usages)
