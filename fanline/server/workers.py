"""Several processes of one service that share its port.

The kernel distributes the connections. The parent serves no connections. It forks the workers before there is
an event loop, starts another when one dies, passes on the signals to stop and to reload, and ends when all of
them have ended.
"""

import logging
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Final

from fanline.addresses import bind
from fanline.backoff import Backoff
from fanline.errors import EXIT_CONFIGURATION
from fanline.server.child_process import die_with_parent

# The work of a worker.
Work = Callable[[int, Callable[[int], None], Callable[[], object]], None]

logger = logging.getLogger(__name__)

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

# Signals that would end a process without a word to its clients, and that other programs reload at.
IGNORED_SIGNALS: Final = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)

# A worker that has run for so long starts again at once when it dies, not with growing delays.
STEADY_SECONDS: Final = 10.0

_fork: Final = multiprocessing.get_context("fork")


def find_port(host: str, port: int) -> int:
    """Return a port for the workers to share; 0 finds one.

    Raises:
        OSError: If another program listens on it; the workers, which allow each other to, would not notice.
    """
    with reserve_port(host, port) as bound:
        for each in bound:
            each.listen()
        return int(bound[0].getsockname()[1])


@contextmanager
def reserve_port(host: str, port: int = 0) -> Iterator[list[socket.socket]]:
    """Bind sockets to a port during the block, for listening only.

    For port 0 the system chooses a free one. Linux lets a second socket bind to a port as long as the first
    one does not listen and both have SO_REUSEADDR, and never picks such a port for an outgoing connection.

    Raises:
        OSError: If there is no free port, or the host is not one of this machine.
    """
    bound = bind(host, port)
    try:
        yield bound
    finally:
        for each in bound:
            each.close()


class RestartSchedule:
    """Tells when to start workers that died; it has no clock.

    Args:
        count: Number of workers.
        steady_seconds: After so many seconds of running the delays begin from the first.
    """

    def __init__(self, count: int, *, steady_seconds: float = STEADY_SECONDS) -> None:
        self._steady_seconds = steady_seconds
        self._backoffs = [Backoff() for _ in range(count)]
        self._started = [float("inf")] * count
        self._starts: dict[int, float] = {}

    def start(self, number: int, now: float) -> None:
        """Note that a worker starts."""
        self._starts.pop(number, None)
        self._started[number] = now

    def die(self, number: int, now: float) -> None:
        """Note that a worker has died, and is to be started again."""
        if now - self._started[number] >= self._steady_seconds:
            self._backoffs[number].reset()
        self._starts[number] = now + self._backoffs[number].next()

    def ready(self, now: float) -> list[int]:
        """Return the workers to be started now."""
        return [number for number, at in self._starts.items() if at <= now]

    def seconds_left(self, now: float) -> float | None:
        """Return the seconds until the next start, None without one."""
        return max(0.0, min(self._starts.values()) - now) if self._starts else None


class Workers:
    """Keep a number of processes running until SIGTERM or SIGINT.

    Args:
        count: Number of workers.
        work: Runs in each worker until it gets SIGTERM. Gets its number, from 0 on, a function that it calls
            once it is ready, with the port, and one that it calls now and then, as a sign of life.
        on_ready: Called in the parent once all workers are ready.
        on_alive: Called in the parent whenever each worker has given a sign of life since the last call.
    """

    def __init__(
        self, count: int, work: Work, *, on_ready: Callable[[], None], on_alive: Callable[[], object]
    ) -> None:
        self._count = count
        self._work = work
        self._on_ready = on_ready
        self._on_alive = on_alive
        self._alive: set[int] = set()
        self._sign_reader, self._sign_writer = os.pipe()
        self._ready_count = 0
        self._ready_reader, self._ready_writer = os.pipe()
        self._running: dict[int, BaseProcess] = {}
        self._restarts = RestartSchedule(count)
        self._wake_reader, self._wake_writer = os.pipe()
        self._is_stopping = False
        self._exit_code = 0

    def run(self) -> int:
        """Run the workers until all have ended.

        To be called in the main thread, while it is the only one.

        Returns:
            The exit code: 2 if a worker could not start as configured, after it has said why; else 0.
        """
        for number in _SIGNALS:
            signal.signal(number, self._stop_all)
        for number in IGNORED_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, self._pass_on)
        os.set_blocking(self._wake_writer, False)
        signal.set_wakeup_fd(self._wake_writer)
        for worker_number in range(self._count):
            self._start(worker_number)
        while self._running or not self._is_stopping:
            self._take_events()
        signal.set_wakeup_fd(-1)
        for descriptor in (*self._readers, self._ready_writer, self._sign_writer, self._wake_writer):
            os.close(descriptor)
        return self._exit_code

    @property
    def _readers(self) -> tuple[int, ...]:
        return self._ready_reader, self._sign_reader, self._wake_reader

    def _take_events(self) -> None:
        """Wait for a worker, signal or restart; act on it."""
        sentinels = [worker.sentinel for worker in self._running.values()]
        events = wait([*self._readers, *sentinels], self._restarts.seconds_left(time.monotonic()))
        if self._ready_reader in events:
            self._count_ready()
        if self._sign_reader in events:
            self._count_signs()
        if self._wake_reader in events:
            os.read(self._wake_reader, 256)  # the handler of the signal has run
        for worker_number in [number for number, each in self._running.items() if not each.is_alive()]:
            self._remove(worker_number)
        for worker_number in () if self._is_stopping else self._restarts.ready(time.monotonic()):
            self._start(worker_number)

    def _start(self, number: int) -> None:
        """Start a worker; block signals until both sides have their handlers."""
        self._restarts.start(number, time.monotonic())
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            worker = _fork.Process(target=self._begin, args=(number,))
            worker.start()
            self._running[number] = worker
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        if self._is_stopping:
            worker.terminate()

    def _begin(self, worker_number: int) -> None:
        die_with_parent(signal.SIGTERM)()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until it is ready
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        give_sign = partial(os.write, self._sign_writer, bytes([worker_number]))
        self._work(worker_number, self._report_ready, give_sign)

    def _report_ready(self, _port: int) -> None:
        os.write(self._ready_writer, b".")

    def _count_ready(self) -> None:
        """Count the workers that are ready, without those that replace others."""
        was_ready = self._ready_count >= self._count
        self._ready_count += len(os.read(self._ready_reader, 256))
        if self._ready_count >= self._count and not was_ready:
            self._on_ready()

    def _count_signs(self) -> None:
        """Note the workers that gave a sign of life.

        Each sign is a byte, the number of the worker.
        """
        self._alive.update(os.read(self._sign_reader, 4096))
        if len(self._alive) == self._count <= self._ready_count:
            self._alive.clear()
            self._on_alive()

    def _remove(self, number: int) -> None:
        """Remove an ended worker; unless all are stopping, schedule another."""
        worker = self._running.pop(number)
        if worker.exitcode == EXIT_CONFIGURATION and not self._is_stopping:
            self._exit_code = EXIT_CONFIGURATION
            self._stop_all()
        if self._is_stopping:
            return
        logger.error("worker %d has died (%s) and is started again", worker.pid, worker.exitcode)
        self._restarts.die(number, time.monotonic())

    def _stop_all(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        self._is_stopping = True
        for worker in self._running.values():
            worker.terminate()

    def _pass_on(self, number: int, _frame: FrameType | None) -> None:
        """Tell all workers to read settings and files again."""
        for worker in self._running.values():
            if worker.pid is not None and worker.is_alive():
                os.kill(worker.pid, number)
