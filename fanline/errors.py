"""Exceptions of Fanline.

Exceptions::

    FanlineError
    ├── ConfigurationError      a setting, certificate, users file or port is wrong; exit code 2
    │   └── CannotListen        the port of a service is not available
    ├── Rejected                one request was refused; the connection stays open
    ├── Disconnected            the peer went away or cannot be reached
    │   └── LoginRefused        the peer refused the credentials; retrying will not help
    ├── Closed                  this side closed the object; it cannot be used any more
    └── StoreError              the log could not be read or written

The codes on the wire and :class:`Rejected` are defined in :mod:`fanline.protocol.errors`.
"""

import os
from typing import Final

from fanline.protocol.errors import CloseCode, ErrorCode, FanlineError, Rejected

__all__ = [
    "EXIT_CONFIGURATION",
    "CannotListen",
    "CloseCode",
    "Closed",
    "ConfigurationError",
    "Disconnected",
    "ErrorCode",
    "FanlineError",
    "LoginRefused",
    "Rejected",
    "StoreError",
]


# Exit code of a program after a ConfigurationError.
EXIT_CONFIGURATION: Final = 2


class ConfigurationError(FanlineError):
    """A setting or file of the operator is wrong; the text says what, where, and what to do."""


class CannotListen(ConfigurationError):
    """The port of a service is not available.

    Args:
        service: Name of the service.
        host: Address.
        port: Port.
        error: Error of the system.
    """

    def __init__(self, service: str, host: str, port: int, error: OSError) -> None:
        reason = os.strerror(error.errno) if error.errno else str(error)
        super().__init__(
            f"{service}_port: cannot listen on {host}:{port}: {reason.lower()}; "
            f"stop the other program, or choose a port with --{service}-port"
        )


class Disconnected(FanlineError):
    """The peer cannot be reached, or went away; retrying may help."""


class LoginRefused(Disconnected):
    """The peer refused the credentials; retrying with the same ones will not help."""


class Closed(FanlineError):
    """This side has closed the object; it cannot be used any more."""


class StoreError(FanlineError):
    """The log could not be read or written; nothing of the failed request was acknowledged."""
