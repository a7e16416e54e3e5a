"""Parts of the load generator in processes of their own, called from the one that conducts."""

import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Final, Self

from fanline.server.child_process import die_with_parent

_CONTEXT: Final = multiprocessing.get_context("spawn")


class WorkerFailed(Exception):
    """A worker raised an exception; the text is its traceback."""


class Worker:
    """An object that lives in a process of its own, while a ``with`` block runs.

    Args:
        make: Makes the object, in that process; must be importable by its name.
    """

    def __init__(self, make: Callable[[], object]) -> None:
        self._pipe, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_serve, args=(make, theirs), daemon=True)
        self._process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process.pid is not None
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._process.kill()
        self._process.join()

    def ask(self, method: str, *args: object) -> None:
        """Call a method of the object, without waiting; :meth:`answer` gets what it returns."""
        self._pipe.send((method, args))

    def answer(self) -> Any:
        """Wait for the answer to the oldest question.

        Raises:
            WorkerFailed: If the method raised an exception, or the process is gone.
        """
        try:
            is_good, value = self._pipe.recv()
        except EOFError:
            raise WorkerFailed(f"{self._process.name} has died") from None
        if not is_good:
            raise WorkerFailed(value)
        return value

    def call(self, method: str, *args: object) -> Any:
        """Call a method of the object, and return what it returns."""
        self.ask(method, *args)
        return self.answer()


def _serve(make: Callable[[], object], pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one that conducts
    die_with_parent(signal.SIGKILL)()
    try:
        served = make()
        while True:
            method, args = pipe.recv()
            pipe.send(_perform(served, method, args))
    except (EOFError, BrokenPipeError):
        os._exit(0)


def _perform(served: object, method: str, args: tuple[object, ...]) -> tuple[bool, Any]:
    try:
        return True, getattr(served, method)(*args)
    except Exception:  # noqa: BLE001 - whatever it is, it is reported where the call was made
        return False, traceback.format_exc()
