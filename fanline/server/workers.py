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
        self._backoff = Backoff()
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
        for worker_number in range(self._count):
            self._start(worker_number)
        while self._running:
            events = wait(
                [
                    self._ready_reader,
                    self._sign_reader,
                    *(worker.sentinel for worker in self._running.values()),
                ]
            )
            if self._ready_reader in events:
                self._count_ready()
            if self._sign_reader in events:
                self._count_signs()
            for worker_number in [number for number, each in self._running.items() if not each.is_alive()]:
                self._replace(worker_number)
        for descriptor in (self._ready_reader, self._ready_writer, self._sign_reader, self._sign_writer):
            os.close(descriptor)
        return self._exit_code

    def _start(self, number: int) -> None:
        """Start a worker; block signals until both sides have their handlers."""
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

    def _replace(self, number: int) -> None:
        """Remove a worker that has ended, and start another.

        None is started while all are stopping.
        """
        worker = self._running.pop(number)
        if worker.exitcode == EXIT_CONFIGURATION and not self._is_stopping:
            self._exit_code = EXIT_CONFIGURATION
            self._stop_all()
        if self._is_stopping:
            return
        logger.error("worker %d has died (%s) and is started again", worker.pid, worker.exitcode)
        time.sleep(self._backoff.next())
        if not self._is_stopping:
            self._start(number)

    def _stop_all(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        self._is_stopping = True
        for worker in self._running.values():
            worker.terminate()

    def _pass_on(self, number: int, _frame: FrameType | None) -> None:
        """Tell all workers to read settings and files again."""
        for worker in self._running.values():
            if worker.pid is not None and worker.is_alive():
                os.kill(worker.pid, number)
