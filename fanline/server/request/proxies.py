"""Clients behind trusted proxies: their addresses, schemes and path prefixes.

A proxy adds the address of its client to ``X-Forwarded-For`` or to ``Forwarded`` (RFC 7239). A client that is
not behind such a proxy could write anything there, so the headers count only if the peer is one, and each
address in them only as far as all to its right are proxies. The same holds for ``X-Forwarded-Prefix``: a path
that the proxy has removed from the front of that of the request; and for ``X-Forwarded-Proto``, or ``proto``
in ``Forwarded``: whether the client itself has used TLS.
"""

import ipaddress
import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import Scope

from fanline.addresses import UNIX_PEER

X_FORWARDED_FOR: Final = "x-forwarded-for"
FORWARDED: Final = "forwarded"

X_FORWARDED_PROTO: Final = "x-forwarded-proto"
X_FORWARDED_PREFIX: Final = "x-forwarded-prefix"

# Where a request keeps it.
_STATE: Final = "path_prefix"

# It becomes a part of links and redirects.
_PREFIX: Final = re.compile(r"(/[\w.~-]+)+", re.ASCII)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class TrustedProxies:
    """The proxies whose word about their clients is taken.

    Args:
        networks: Addresses of the proxies.
        header: The header that all of them write, in lower case: ``x-forwarded-for`` or ``forwarded``. The
            other is not looked at, because a proxy passes on what it does not write.
        path_prefix: The path under which a proxy shows the service, without a slash at its end; it may be
            removed by the proxy or not.
    """

    def __init__(
        self, networks: Sequence[Network] = (), header: str = X_FORWARDED_FOR, path_prefix: str = ""
    ) -> None:
        self._networks = tuple(networks)
        self._header = header
        self._path_prefix = path_prefix

    def trusts(self, address: str) -> bool:
        """Return whether an address is that of a trusted proxy.

        Processes that may open a Unix socket of ours are trusted.
        """
        if address == UNIX_PEER:
            return True
        return bool(self._networks) and (parsed := _parse(address)) is not None and self._contains(parsed)

    def resolve(self, scope: Scope) -> None:
        """Set client, scheme, path and prefix to those before the proxies.

        Without a proxy's word the scheme is https: what listens without TLS is for proxies that have it.

        Args:
            scope: A request, as ASGI describes it.
        """
        prefix, path = self._path_prefix, scope["path"]
        scope["scheme"] = "https"
        if prefix and (path == prefix or path.startswith(f"{prefix}/")):
            scope["path"] = path[len(prefix) :]
            scope["raw_path"] = scope["raw_path"].removeprefix(prefix.encode())
        if scope["client"] is not None and self.trusts(scope["client"][0]):
            headers = Headers(scope=scope)
            self._resolve_client(scope, headers)
            if self._proto(headers) == "http":
                scope["scheme"] = "http"
            removed = headers.get(X_FORWARDED_PREFIX, "").strip().rstrip("/")
            if _PREFIX.fullmatch(removed):
                prefix = removed
        scope["state"][_STATE] = prefix

    def _resolve_client(self, scope: Scope, headers: Headers) -> None:
        for text in self._clients(headers):
            address = _parse(text)
            if address is None:
                return  # a proxy that hides its clients: they are counted as one
            scope["client"] = (str(address), 0)
            if not self._contains(address):
                return

    def _proto(self, headers: Headers) -> str:
        """Return the protocol that the first proxy reports, or an empty string."""
        if self._header == FORWARDED:
            return _parameter("proto", headers.get(FORWARDED, "").partition(",")[0]).strip('"').lower()
        return headers.get(X_FORWARDED_PROTO, "").partition(",")[0].strip().lower()

    def _contains(self, address: Address) -> bool:
        return any(address in network for network in self._networks)

    def _clients(self, headers: Headers) -> Iterator[str]:
        """Yield the client that each proxy reports, the nearest proxy first."""
        elements = reversed(",".join(headers.getlist(self._header)).split(","))
        return map(partial(_parameter, "for"), elements) if self._header == FORWARDED else elements


def prefix_of(request: HTTPConnection) -> str:
    """Return the path in front of a service's paths, or empty.

    It is the one that the client sees.
    """
    return str(request.scope["state"][_STATE])


def _parameter(wanted: str, element: str) -> str:
    """Return a parameter of an element of ``Forwarded``; empty without it."""
    pairs = (pair.partition("=") for pair in element.split(";"))
    return next((value.strip() for name, _, value in pairs if name.strip().lower() == wanted), "")


def _parse(text: str) -> Address | None:
    """Return a node's address without quotes, brackets and port."""
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
