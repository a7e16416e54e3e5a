"""Origins: the web pages that may make requests.

A browser sends stored logins with every request, from any page. The header ``Origin``, which no page can
change, names the page. The header ``Host`` alone does not name the service: a page can give its own host name
the address of a service. So a page is one of the service's own only under a name that the service has.
"""

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


class OriginPolicy:
    """The origins of pages that may use a service.

    Args:
        allowed: Origins of pages elsewhere.
        names: Names and addresses of the service, as its certificate has them: ``*.`` stands for one label.
            The names of loopback are always among them.
    """

    def __init__(self, allowed: Iterable[str], names: Iterable[str]) -> None:
        self._allowed = frozenset(map(_canonical, allowed))
        self._names = frozenset(name.lower() for name in (*names, *LOOPBACK_NAMES))

    def allows(self, origin: str | None, host: str | None, scheme: str = "https") -> bool:
        """Return whether the page that makes a request may.

        Args:
            origin: Header ``Origin``; None if missing: then no page of another site sent the request.
            host: Header ``Host``.
            scheme: ``https``, or ``http`` where clients reach a proxy in front without TLS.
        """
        if origin is None:
            return True
        page = _canonical(origin)
        return page in self._allowed or (
            host is not None and page == _canonical(f"{scheme}://{host}") and self._has_name(host)
        )

    def _has_name(self, host: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").removesuffix(".")
            with_wildcard = f"*.{name.partition('.')[2]}"
            return not {name, _canonical_address(name), with_wildcard}.isdisjoint(self._names)
        except ValueError:  # brackets without an IPv6 address between them
            return False


def _canonical(origin: str) -> str:
    """Normalize an origin: lower case, without the default port."""
    scheme, _, host = origin.lower().partition("://")
    return f"{scheme}://{host.removesuffix(':443' if scheme == 'https' else ':80')}"


def _canonical_address(name: str) -> str:
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name
