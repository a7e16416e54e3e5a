"""The peer of one connection: its address, certificate, and counted handshake."""

import socket
from collections.abc import Hashable
from typing import Protocol

from fanline.security.tls import ClientCertificate


class Admission(Protocol):
    """Interface of what counts the connections."""

    def end_handshake(self, network: Hashable) -> None:
        """Note the end of a handshake."""
        ...

    def forget(self) -> None:
        """Note the end of a connection."""
        ...


class Peer:
    """The other side of one connection, from accepting it until its loss.

    Args:
        sock: The connection.
        address: Its IP address and port.
        network: What its handshake counts for; None if it counts for no network.
        admission: Counts the connections.
        is_known: Whether its handshake is not counted.

    Attributes:
        sock: As given.
        address: The IP address; behind a trusted proxy the address that this names, once there is a request.
        port: The port; that of the proxy, if there is one.
        network: As given.
        certificate: What it has shown in the TLS handshake, if anything.
    """

    __slots__ = (
        "_admission", "_is_connected", "_is_known", "address", "certificate", "network", "port", "sock",
    )  # fmt: skip

    def __init__(
        self,
        sock: socket.socket,
        address: tuple[str, int],
        network: Hashable,
        admission: Admission,
        *,
        is_known: bool = False,
    ) -> None:
        self.sock = sock
        self.address, self.port = address
        self.network = network
        self.certificate: ClientCertificate | None = None
        self._admission = admission
        self._is_known = is_known
        self._is_connected = True

    def confirm(self) -> None:
        """Count the peer as a stranger no more.

        To be called when a login was right, or a first request is answered.
        """
        if not self._is_known:
            self._is_known = True
            self._admission.end_handshake(self.network)

    def leave(self) -> None:
        """Forget the peer, because the connection is lost."""
        self.confirm()
        if self._is_connected:
            self._is_connected = False
            self._admission.forget()
