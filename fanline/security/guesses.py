"""Limits for the guessing of passwords, by network. No I/O.

Each wrong login takes a token from the bucket of its address and from those of the networks around it, which
get new ones as time passes. An attacker who has many addresses of one network, as in IPv6 every customer of a
provider has, is limited by that network.
"""

import ipaddress
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from functools import lru_cache
from typing import Final

from fanline.token_bucket import TokenBucket

# For each network size in bits, in IPv4 and IPv6, the guesses that may come at once, or in a minute.
_LEVELS: Final = ((32, 64, 20), (24, 48, 100), (16, 32, 500))
SECONDS_TO_REGAIN_ALL: Final = 60.0

# Seconds after which an address that has used up its guesses has one again.
SECONDS_TO_REGAIN_ONE: Final = round(SECONDS_TO_REGAIN_ALL / _LEVELS[0][2])

_MAX_KEYS: Final = 10_000


class TokenBuckets:
    """A token bucket for each of a limited number of keys.

    The least recently used key is dropped.

    Args:
        capacity: Tokens of a full bucket.
        seconds_to_fill: Seconds in which an empty bucket becomes full.
        max_keys: Keys that are kept.
    """

    def __init__(self, capacity: int, seconds_to_fill: float, max_keys: int = _MAX_KEYS) -> None:
        self._capacity = capacity
        self._rate = capacity / seconds_to_fill
        self._max_keys = max_keys
        self._buckets: OrderedDict[Hashable, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def has_token(self, key: Hashable, now: float) -> bool:
        """Return whether a bucket has a token.

        ``now`` is in seconds of any monotonic clock.
        """
        return key not in self._buckets or self._buckets[key].level(now) >= 1

    def take(self, key: Hashable, now: float) -> None:
        """Take a token, if there is one."""
        if key not in self._buckets:
            self._buckets[key] = TokenBucket(self._rate, self._capacity, now)
        self._buckets.move_to_end(key)
        self._buckets[key].take(1, now)
        if len(self._buckets) > self._max_keys:
            self._buckets.popitem(last=False)

    def give_back(self, key: Hashable) -> None:
        """Put a token back that was taken for nothing."""
        if key in self._buckets:
            self._buckets[key].spend(-1)


class GuessLimiter:
    """Limits the wrong logins of each network.

    Networks have sizes from a single address (in IPv6 a /64) up to a /16 (a /32). ``now`` is in seconds of
    any monotonic clock.
    """

    def __init__(self) -> None:
        self._levels = [
            (v4, v6, TokenBuckets(capacity, SECONDS_TO_REGAIN_ALL)) for v4, v6, capacity in _LEVELS
        ]

    def may_guess(self, address: str, now: float) -> bool:
        """Return whether an address may make one more wrong login."""
        return all(buckets.has_token(key, now) for key, buckets in self._find(address))

    def count(self, address: str, now: float) -> None:
        """Count a wrong login."""
        for key, buckets in self._find(address):
            buckets.take(key, now)

    def _find(self, address: str) -> Iterator[tuple[str, TokenBuckets]]:
        for v4, v6, buckets in self._levels:
            yield network(address, v4, v6), buckets


@lru_cache(maxsize=4_096)
def network(address: str, v4_bits: int = 32, v6_bits: int = 64) -> str:
    """Return the network of an IP address.

    By default it is what one customer has, in IPv6 a /64.

    Args:
        address: The address; any other text is returned as it is.
        v4_bits: Size of the prefix in IPv4.
        v6_bits: Size of the prefix in IPv6.
    """
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ipaddress.IPv4Network((int(ip), v4_bits), strict=False))
    return str(ipaddress.IPv6Network((int(ip), v6_bits), strict=False))
