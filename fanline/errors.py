"""The errors of Fanline.

Exceptions::

    FanlineError
    ├── ConfigurationError      a setting, certificate, users file or port is wrong; exit code 2
    │   └── CannotListen        the port of a service cannot be had
    ├── Rejected                one request was refused; the connection goes on
    ├── Disconnected            the other side is gone, or cannot be reached
    │   └── LoginRefused        it answered, and refused the credentials: trying again will not help
    ├── Closed                  this side closed it: the object is not usable any more
    └── StoreError              the log could not be read or written

The codes that travel over the wire, and :class:`Rejected`, are defined with it:
:mod:`fanline.protocol.errors`.
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


# How a program ends over a ConfigurationError.
EXIT_CONFIGURATION: Final = 2


class ConfigurationError(FanlineError):
    """Something that the operator wrote is wrong; the text says what, where, and what to do."""


class CannotListen(ConfigurationError):
    """The port of a service cannot be had.

    Args:
        service: The service.
        host: The address.
        port: The port.
        error: Why not.
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
