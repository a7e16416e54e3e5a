"""Addresses: hosts to listen on, hosts with ports, and services' URLs."""

import errno
import ipaddress
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

# All addresses of this machine, of both families.
EVERY_ADDRESS: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - what a user may ask for

# Stands for the address of a peer that has come by a Unix socket.
UNIX_PEER: Final = "unix"

_NO_SUCH_ADDRESS: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})

_LISTEN_FORMS: Final = (
    "expected https://HOST:PORT, or http://HOST:PORT or unix:/PATH without TLS, perhaps with proxy+ in front"
)

Bound = tuple[socket.AddressFamily, str, bool]


def split_hosts(host: str) -> list[str]:
    """Split a list of hosts at its commas.

    Brackets around an IPv6 address are removed.
    """
    return [part.strip().removeprefix("[").removesuffix("]") for part in host.split(",") if part.strip()]


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine's loopback.

    The only name that counts is ``localhost``.
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def join_host_port(host: str, port: int) -> str:
    """Return host and port for a URL, with IPv6 addresses in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class ListenUrl(NamedTuple):
    """A further address at which a service listens.

    Attributes:
        has_proxy_header: Whether each connection begins with a header of the PROXY protocol.
        is_plain: Whether there is no TLS.
        host: Name or address; empty for a Unix socket.
        port: The port; 0 for any free one.
        path: Of the Unix socket; empty for none.
    """

    has_proxy_header: bool
    is_plain: bool
    host: str
    port: int
    path: str


def split_listen_url(url: str) -> ListenUrl:
    """Split a URL to listen at: ``https://HOST:PORT``, ``http://HOST:PORT`` or ``unix:/PATH``.

    Raises:
        ValueError: If it has another form, or says that other machines be listened to without TLS.
    """
    has_proxy_header, rest = url.startswith("proxy+"), url.removeprefix("proxy+")
    try:
        parts = urlsplit(rest)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError(_LISTEN_FORMS) from None
    if parts.query or parts.fragment or parts.username is not None:
        raise ValueError(_LISTEN_FORMS)
    if parts.scheme == "unix" and not parts.netloc and parts.path.startswith("/"):
        return ListenUrl(has_proxy_header, True, "", 0, parts.path)
    if parts.scheme not in ("https", "http") or not host or port is None or parts.path.strip("/"):
        raise ValueError(_LISTEN_FORMS)
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError(
            "without TLS, a service listens on a loopback address or a Unix socket only: what others read "
            "there has passwords; use https://"
        )
    return ListenUrl(has_proxy_header, parts.scheme == "http", host, port, "")


def bind_unix(path: str) -> socket.socket:
    """Bind a Unix socket for this user and group.

    A socket that no program listens on any more is replaced.

    Raises:
        OSError: If it cannot be bound, for example because another program listens on it.
    """
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if _is_abandoned(path):
            os.unlink(path)
        bound.bind(path)
        os.chmod(path, 0o660)
    except BaseException:
        bound.close()
        raise
    return bound


def _is_abandoned(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False


def bind(host: str, port: int, *, is_shared: bool = False) -> list[socket.socket]:
    """Bind a socket to each address of some hosts, on one port.

    ``::`` stands for all addresses of both families. A family that this machine does not have is an error
    only where no other address is left.

    Args:
        host: Names and addresses, with commas between them.
        port: 0 for any free one.
        is_shared: Whether other processes may bind to the port as well.

    Raises:
        OSError: If an address cannot be bound to.
    """
    unavailable: OSError | None = None
    with ExitStack() as stack:
        sockets: list[socket.socket] = []
        for family, address, is_optional in dict.fromkeys(_addresses(host)):
            try:
                bound = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if is_shared:
                    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                if family is socket.AF_INET6:
                    bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                bound.bind((address, sockets[0].getsockname()[1] if sockets else port))
            except OSError as error:
                if not is_optional or error.errno not in _NO_SUCH_ADDRESS:
                    raise
                unavailable = error
            else:
                sockets.append(bound)
        if not sockets:
            raise unavailable or OSError(errno.EADDRNOTAVAIL, "no address")
        stack.pop_all()
        return sockets


def split_url(url: str) -> SplitResult:
    """Split the URL of a service.

    Raises:
        ValueError: Unless it has the form ``wss://HOST:PORT``, with any path; the text says what is wrong,
            and has nothing of a password.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError(f"{url}: is not a URL of the form wss://HOST:PORT") from None
    if parts.username is not None:
        raise ValueError("a URL with a user and password in it: give them apart from it")
    if parts.scheme == "ws":
        raise ValueError(f"{url}: begins with ws://, which has no TLS; expected wss://")
    try:
        is_wrong = parts.scheme != "wss" or not parts.hostname or parts.port == 0 or not url.isprintable()
        (parts.hostname or "").encode("idna")
    except ValueError:
        is_wrong = True
    if is_wrong:
        raise ValueError(f"{url}: is not a URL of the form wss://HOST:PORT")
    return parts


def _addresses(host: str) -> Iterator[Bound]:
    """Yield family and address to bind to, and whether it is optional.

    An optional address is one that the machine may be without.
    """
    for name in split_hosts(host):
        if name == "::":
            yield socket.AF_INET6, "::", True
            yield socket.AF_INET, "0.0.0.0", True  # noqa: S104 - the user has asked for it
            continue
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, *_, address in found:
            yield family, str(address[0]), len(found) > 1
