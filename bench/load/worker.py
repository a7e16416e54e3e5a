"""Objects in separate processes, called from the measuring one."""

import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Final, Self

_CONTEXT: Final = multiprocessing.get_context("spawn")


class WorkerFailed(Exception):
    """A worker's method raised an exception, or the worker has died.

    The text says which.
    """


class Worker:
    """Runs an object in a process of its own, during a block.

    Args:
        make: Makes the object, in that process; must be importable by its name.
    """

    def __init__(self, make: Callable[[], object]) -> None:
        self._pipe, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_serve, args=(make, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._process.kill()
        self._process.join()

    def ask(self, method: str, *args: object) -> None:
        """Call a method of the object without waiting; :meth:`answer` returns its result."""
        self._pipe.send((method, args))

    def answer(self) -> Any:
        """Return the result of the oldest call that has not been answered.

        Raises:
            WorkerFailed: If the method raised an exception, or the process is gone.
        """
        try:
            succeeded, value = self._pipe.recv()
        except EOFError:
            raise WorkerFailed(f"{self._process.name} has died") from None
        if not succeeded:
            raise WorkerFailed(value)
        return value

    def call(self, method: str, *args: object) -> Any:
        """Call a method of the object, and return its result."""
        self.ask(method, *args)
        return self.answer()


def _serve(make: Callable[[], object], pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the parent, and that ends this process
    served = make()
    try:
        while True:
            method, args = pipe.recv()
            try:
                answer = True, getattr(served, method)(*args)
            except Exception:  # noqa: BLE001 - reported where the call was made
                answer = False, traceback.format_exc()
            pipe.send(answer)
    except (EOFError, BrokenPipeError):
        os._exit(0)
