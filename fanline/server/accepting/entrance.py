"""The sockets that a service listens on, and how the connections to each of them begin."""

import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from fanline import keepalive
from fanline.addresses import bind, join_host_port
from fanline.errors import CannotListen
from fanline.settings import ServiceSettings

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
    """

    listening: socket.socket
    context: Callable[[], ssl.SSLContext] | None

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self.listening.getsockname()[1])

    @property
    def url(self) -> str:
        """The address that is listened on, for people."""
        scheme = "http" if self.context is None else "https"
        return f"{scheme}://{join_host_port(str(self.listening.getsockname()[0]), self.port)}"


def open_entrances(
    settings: ServiceSettings, context: Callable[[], ssl.SSLContext], *, is_shared: bool
) -> list[Entrance]:
    """Listen on the port of a service.

    Args:
        settings: Of the service.
        context: Returns certificate and versions of TLS.
        is_shared: Whether other processes listen on the port as well.

    Raises:
        CannotListen: If it cannot be listened on.
    """
    name = f"{settings.service}_port"
    sockets = _listen(settings, name, settings.host, settings.port, is_shared=is_shared)
    return [Entrance(each, context) for each in sockets]


def open_metrics_entrances(settings: ServiceSettings) -> list[Entrance]:
    """Listen on the port of the metrics of a service, without TLS; none if there is none.

    Raises:
        CannotListen: If it cannot be listened on.
    """
    if settings.metrics_port is None:
        return []
    name = f"{settings.service}_metrics_port"
    return [
        Entrance(each, None) for each in _listen(settings, name, settings.metrics_host, settings.metrics_port)
    ]


def _listen(
    settings: ServiceSettings, name: str, host: str, port: int, *, is_shared: bool = False
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
