"""Child processes that do not outlive their parent, however it ends."""

import ctypes
import signal
from collections.abc import Callable
from typing import Final

# Linux: the signal that a child gets when its parent dies (prctl(2)). Loaded before any fork, because
# little may safely be done between fork and exec.
_PR_SET_PDEATHSIG: Final = 1
_libc: Final = ctypes.CDLL(None)


def die_with_parent(number: signal.Signals = signal.SIGTERM) -> Callable[[], None]:
    """Return the ``preexec_fn`` of a child that is to get this signal when its parent dies.

    Args:
        number: A child that may be stopped by SIGSTOP needs SIGKILL: it would not notice any other.
    """

    def arrange() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, number)

    return arrange
