"""Find out who makes a request that came through a trusted proxy.

A proxy adds the address of its client to ``X-Forwarded-For`` or to ``Forwarded`` (RFC 7239). A client that is
not behind such a proxy could write anything there, so the headers count only if the peer is one, and each
address in them only as far as all to its right are proxies.
"""

import ipaddress
from collections.abc import Iterator, Sequence
from typing import Final

from starlette.datastructures import Headers
from starlette.types import Scope

X_FORWARDED_FOR: Final = "x-forwarded-for"
FORWARDED: Final = "forwarded"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class TrustedProxies:
    """The proxies whose word about their clients is taken.

    Args:
        networks: Addresses of the proxies.
        header: The header that all of them write, in lower case: ``x-forwarded-for`` or ``forwarded``. The
            other is not looked at, because a proxy passes on what it does not write.
    """

    def __init__(self, networks: Sequence[Network] = (), header: str = X_FORWARDED_FOR) -> None:
        self._networks = tuple(networks)
        self._header = header

    def trusts(self, address: str) -> bool:
        """Return whether an address is that of a proxy."""
        return bool(self._networks) and (parsed := _parse(address)) is not None and self._contains(parsed)

    def resolve(self, scope: Scope) -> None:
        """Set ``scope["client"]`` to the client in front of the proxies.

        Args:
            scope: A request, as ASGI describes it.
        """
        if scope["client"] is None or not self.trusts(scope["client"][0]):
            return
        for text in self._clients(Headers(scope=scope)):
            address = _parse(text)
            if address is None:
                return  # a proxy that hides its clients: they are counted as one
            scope["client"] = (str(address), 0)
            if not self._contains(address):
                return

    def _contains(self, address: Address) -> bool:
        return any(address in network for network in self._networks)

    def _clients(self, headers: Headers) -> Iterator[str]:
        """Yield what each proxy has said about its client, that of the nearest proxy first."""
        elements = reversed(",".join(headers.getlist(self._header)).split(","))
        return map(_for, elements) if self._header == FORWARDED else elements


def _for(element: str) -> str:
    """Return the client in an element of ``Forwarded``."""
    pairs = (pair.partition("=") for pair in element.split(";"))
    return next((value for name, _, value in pairs if name.strip().lower() == "for"), "")


def _parse(text: str) -> Address | None:
    """Return the address of a node, which may have quotes, brackets and a port."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    # What a listener for both families calls an IPv4 peer.
    return getattr(address, "ipv4_mapped", None) or address
