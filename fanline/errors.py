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

import errno
import os
import socket
from typing import Final

from fanline.addresses import join_host_port, split_hosts
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
    """A setting or file of the operator is wrong.

    The text says what, where, and what to do.
    """


class CannotListen(ConfigurationError):
    """A port is not available.

    Args:
        setting: The setting that names it.
        host: Address.
        port: Port.
        error: Error of the system.
    """

    def __init__(self, setting: str, host: str, port: int, error: OSError) -> None:
        has_number = error.errno and not isinstance(error, socket.gaierror)
        reason = os.strerror(error.errno or 0) if has_number else str(error.strerror or error)
        where = ", ".join(join_host_port(each, port) for each in split_hosts(host))
        super().__init__(f"{setting}: cannot listen on {where}: {reason.lower()}; {_hint(setting, error)}")


def _hint(setting: str, error: OSError) -> str:
    flag = f"--{setting.replace('_', '-')}"
    if isinstance(error, socket.gaierror) or error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
        return "this machine has no such address: set host to one that it has, such as 127.0.0.1 or ::1"
    if error.errno == errno.EACCES:
        return f"this user may not listen there: choose a port from 1024 on with {flag}"
    return f"stop the other program, or choose a port with {flag}"


class Disconnected(FanlineError):
    """The peer cannot be reached, or went away; retrying may help."""


class LoginRefused(Disconnected):
    """The peer refused the credentials, and would refuse them again."""


class Closed(FanlineError):
    """This side has closed the object; it cannot be used any more."""


class StoreError(FanlineError):
    """The log could not be read or written.

    Nothing of the failed request was acknowledged.
    """
