"""How the program ends: its exit codes, and the errors that lead to them."""

import os
import sys
from enum import IntEnum

from fanline.errors import ConfigurationError, Disconnected, FanlineError, LoginRefused


class ExitCode(IntEnum):
    """What a script can rely on."""

    DONE = 0  # everything was acknowledged, or received, or nobody reads the output any more
    REFUSED = 1  # a message or a subscription was refused, or a line could not be sent
    USAGE = 2  # an argument, a setting, the login or a certificate is wrong
    UNREACHABLE = 3  # no connection, or no answer, within the time given
    INTERRUPTED = 130  # Ctrl-C


def code_of(error: FanlineError) -> ExitCode:
    """Return the exit code for an error that ends the program."""
    if isinstance(error, ConfigurationError | LoginRefused):
        return ExitCode.USAGE
    if isinstance(error, Disconnected):
        return ExitCode.UNREACHABLE
    return ExitCode.REFUSED


def tell(text: str) -> None:
    """Say something about the program itself; standard output is for messages alone."""
    print(f"[clientdemo] {text}", file=sys.stderr, flush=True)  # noqa: T201 - this is a command line


def abandon_output() -> None:
    """Write to nowhere from now on: whoever reads standard output has closed it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
