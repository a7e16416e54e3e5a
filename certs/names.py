"""DNS names and IP addresses of a server certificate, parsed and formatted."""

import ipaddress
import re
from collections.abc import Iterable
from typing import Final

from cryptography import x509

from fanline.errors import ConfigurationError
from fanline.security.tls import Name

# The last four are the host names of the services in docker/compose.yaml.
DEFAULT_NAMES: Final = ("localhost", "127.0.0.1", "::1", "msgqueue", "publisher", "subscriber", "chat")

MAX_DNS_LENGTH: Final = 253

# Underscores are no part of a host name (RFC 952), but Docker uses them and verifiers accept them.
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
# OpenSSL wants two labels after the wildcard. A last label of digits would read as an IPv4 address.
_DNS_NAME: Final = re.compile(rf"(?:\*\.{_LABEL}\.)?(?:{_LABEL}\.)*(?!\d+\Z){_LABEL}")


def parse_names(texts: Iterable[str]) -> list[Name]:
    """Parse names; return each once, in order.

    Raises:
        ConfigurationError: If a text is neither a DNS name nor an IP address.
    """
    return list(dict.fromkeys(map(_parse, texts)))


def spell(names: Iterable[Name]) -> str:
    """Format names, separated by commas."""
    return ", ".join(str(name.value) for name in names)


def _parse(text: str) -> Name:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return _parse_dns(text)
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        raise ConfigurationError(
            f"{text}: a certificate cannot name an interface; leave %{address.scope_id} out"
        )
    return x509.IPAddress(address)


def _parse_dns(text: str) -> x509.DNSName:
    if len(text) <= MAX_DNS_LENGTH and _DNS_NAME.fullmatch(text.lower()):
        return x509.DNSName(text.lower())
    raise ConfigurationError(
        f"{text!r} is neither a DNS name nor an IP address; write it as queue.example.com, *.example.com, "
        "192.0.2.7 or 2001:db8::7, without scheme, port or brackets, and in ASCII (the xn-- form)"
    )
