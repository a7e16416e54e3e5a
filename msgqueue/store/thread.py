"""Blocking calls in a thread next to the event loop."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Any, Generic, TypeVar

T = TypeVar("T")


def _do_nothing(_: object) -> None:
    pass


class _Call(Generic[T]):
    """A function to be called, and where its result belongs."""

    __slots__ = ("done", "function", "on_success")

    def __init__(
        self, function: Callable[[], T], done: asyncio.Future[T], on_success: Callable[[T], object]
    ) -> None:
        self.function = function
        self.done = done
        self.on_success = on_success

    def succeed(self, result: T) -> None:
        try:
            self.on_success(result)
        finally:  # a defect there, which the event loop logs, does not undo what the function has done
            if not self.done.done():
                self.done.set_result(result)

    def fail(self, error: BaseException) -> None:
        if not self.done.done():
            self.done.set_exception(error)


class CallThread:
    """Thread that calls functions one after the other, in order.

    The executors of the standard library do the same, for any number of threads and waiters. That costs 40 µs
    of CPU and as much time for each call, a tenth of what it takes to store a lone message.

    Made in a coroutine, on whose event loop the results come.

    Args:
        name: What the thread is called.
    """

    def __init__(self, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._calls: SimpleQueue[_Call[Any] | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def call(
        self, function: Callable[[], T], on_success: Callable[[T], object] = _do_nothing
    ) -> asyncio.Future[T]:
        """Call a function on the thread.

        Args:
            function: Is called on the thread.
            on_success: Is called with the result, on the event loop, before the future is done.

        Returns:
            A future of the result, or of what the function raised. When it is cancelled, the function is
            called all the same, and so is ``on_success``.
        """
        done: asyncio.Future[T] = self._loop.create_future()
        self._calls.put(_Call(function, done, on_success))
        return done

    def stop(self) -> None:
        """End the thread, once it has called all that was handed over."""
        self._calls.put(None)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            try:
                result = call.function()
            except BaseException as error:  # noqa: BLE001 - it is raised where the call is waited for
                self._tell(call.fail, error)
            else:
                self._tell(call.succeed, result)

    def _tell(self, tell: Callable[[T], None], outcome: T) -> None:
        with suppress(RuntimeError):  # the event loop is closed, and no task waits any more
            self._loop.call_soon_threadsafe(tell, outcome)
