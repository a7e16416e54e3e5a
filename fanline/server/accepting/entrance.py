"""Sockets that a service listens on, and how their connections begin."""

import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from fanline import keepalive
from fanline.addresses import bind, bind_unix, join_host_port, split_listen_url
from fanline.errors import CannotListen, ConfigurationError
from fanline.settings import ServiceSettings, Settings

# Connections that the kernel completes before they are accepted.
BACKLOG: Final = 2_048

# Seconds by which the kernel gives up a peer later than this service does, which can tell it why.
KERNEL_GRACE: Final = 10.0


@dataclass(frozen=True, slots=True)
class Entrance:
    """One socket that listens.

    Attributes:
        listening: The socket.
        context: Returns certificate and versions of TLS for each connection; None for no TLS.
        has_proxy_header: Whether each connection begins with a header of the PROXY protocol.
    """

    listening: socket.socket
    context: Callable[[], ssl.SSLContext] | None
    has_proxy_header: bool = False

    @property
    def port(self) -> int:
        """Port that is listened on; a Unix socket has none."""
        return int(self.listening.getsockname()[1])

    @property
    def url(self) -> str:
        """The address that is listened on, for people."""
        proxy = "proxy+" if self.has_proxy_header else ""
        if self.listening.family is socket.AF_UNIX:
            return f"{proxy}unix:{self.listening.getsockname()}"
        scheme = "http" if self.context is None else "https"
        return f"{proxy}{scheme}://{join_host_port(str(self.listening.getsockname()[0]), self.port)}"


def open_entrances(
    settings: Settings,
    context: Callable[[], ssl.SSLContext],
    *,
    port_setting: str,
    port: int,
    listen_setting: str,
    listen: Sequence[str],
    is_shared: bool = False,
) -> list[Entrance]:
    """Listen on a service's port, and wherever else its settings say.

    Args:
        settings: Those that all services share.
        context: Returns certificate and versions of TLS.
        port_setting: Name of the setting that has the port.
        port: The port; 0 for any free one.
        listen_setting: Name of the setting that has the URLs.
        listen: URLs of further addresses.
        is_shared: Whether other processes listen there as well.

    Raises:
        ConfigurationError: If one of them cannot be listened on; then nothing is listened on.
    """
    with ExitStack() as opened:
        entrances = [
            Entrance(opened.enter_context(each), context)
            for each in _listen(settings, port_setting, settings.host, port, is_shared=is_shared)
        ]
        for url in map(split_listen_url, listen):
            if url.path:
                sockets: Sequence[socket.socket] = [
                    _listen_unix(listen_setting, url.path, is_shared=is_shared)
                ]
            else:
                sockets = _listen(settings, listen_setting, url.host, url.port, is_shared=is_shared)
            entrances += [
                Entrance(opened.enter_context(each), None if url.is_plain else context, url.has_proxy_header)
                for each in sockets
            ]
        opened.pop_all()
    return entrances


def open_metrics_entrances(settings: ServiceSettings) -> list[Entrance]:
    """Listen on the port of a service's metrics, without TLS.

    The list is empty if the settings have no such port.

    Raises:
        CannotListen: If it cannot be listened on.
    """
    if settings.metrics_port is None:
        return []
    name = settings.name_of("metrics_port")
    return [
        Entrance(each, None) for each in _listen(settings, name, settings.metrics_host, settings.metrics_port)
    ]


def _listen_unix(name: str, path: str, *, is_shared: bool) -> socket.socket:
    if is_shared:
        raise ConfigurationError(
            f"{name}: workers cannot share the Unix socket {path}; use http://127.0.0.1:PORT"
        )
    try:
        bound = bind_unix(path)
    except OSError as error:
        raise ConfigurationError(
            f"{name}: cannot listen on unix:{path}: {error.strerror or error}"
        ) from error
    bound.listen(BACKLOG)
    return bound


def _listen(
    settings: Settings, name: str, host: str, port: int, *, is_shared: bool = False
) -> Sequence[socket.socket]:
    """Listen on each address of a list of hosts."""
    timeout = settings.ping_interval + settings.silence_limit + KERNEL_GRACE
    with ExitStack() as bound:
        try:
            sockets = [bound.enter_context(each) for each in bind(host, port, is_shared=is_shared)]
            for each in sockets:
                keepalive.bound_delivery(each, timeout)
                each.listen(BACKLOG)
        except OSError as error:
            raise CannotListen(name, host, port, error) from error
        bound.pop_all()
    return sockets
