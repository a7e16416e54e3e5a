"""Exit codes of the program, and the errors that lead to them."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Final

from fanline import ConfigurationError, Disconnected, FanlineError, LoginRefused

# Return to the start of the line and erase it.
CLEAR_LINE: Final = "\r\x1b[K"


class ExitCode(IntEnum):
    """Exit codes, a contract with scripts."""

    DONE = 0  # everything was acknowledged, or received, or standard output was closed
    REFUSED = 1  # something was refused, a line could not be sent, or the room was deleted
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


@contextmanager
def ungrouped() -> Iterator[None]:
    """Raise the first error of a task group, without the group.

    The others follow from the first.
    """
    first: FanlineError | OSError | None = None
    try:
        yield
    except* (FanlineError, OSError) as group:
        # Raised only below: raised here, Python 3.11.2 would wrap it in a group again.
        first = next(error for error in group.exceptions if not isinstance(error, ExceptionGroup))
    if first is not None:
        raise first


def tell(text: str) -> None:
    """Print a notice about the program to standard error.

    Standard output is for messages.
    """
    # On a terminal the line may hold a progress report: overwrite it.
    start = CLEAR_LINE if sys.stderr.isatty() else ""
    print(f"{start}[clientdemo] {text}", file=sys.stderr, flush=True)  # noqa: T201 - this is a command line


class ConnectionNotices:
    """Prints when a connection is lost, and when it is established again.

    Args:
        say: Prints a notice.
        recovered: Notice after a reconnect.
    """

    def __init__(self, say: Callable[[str], None] = tell, recovered: str = "connected") -> None:
        self._say = say
        self._recovered = recovered
        self._is_down = False

    def __call__(self, problem: str | None) -> None:
        """Handle a new state of the connection, as the clients report it."""
        if problem is not None:
            self._say(f"{problem}; trying again")
        elif self._is_down:
            self._say(self._recovered)
        self._is_down = problem is not None
