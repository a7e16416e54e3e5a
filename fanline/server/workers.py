"""Several processes of one service that share its port: the kernel deals the connections out among them.

The parent serves nobody. It forks the workers before there is an event loop, starts one that dies again,
hands on the signal to stop, and ends when all of them have.
"""

import logging
import multiprocessing
import signal
import socket
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Final

from fanline.backoff import Backoff
from fanline.errors import EXIT_CONFIGURATION
from fanline.server.child_process import die_with_parent

logger = logging.getLogger(__name__)

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

_fork: Final = multiprocessing.get_context("fork")


def find_port(host: str, port: int) -> int:
    """Return a port that the workers can share: the one asked for, or any free one for 0.

    Raises:
        OSError: If another program listens on it; the workers, who allow each other to, would not notice.
    """
    with socket.create_server((host, port)) as listener:
        return int(listener.getsockname()[1])


class Workers:
    """Keeps a number of processes running until SIGTERM or SIGINT.

    Args:
        count: How many.
        work: What each of them does; it stops when it gets SIGTERM.
    """

    def __init__(self, count: int, work: Callable[[], None]) -> None:
        self._count = count
        self._work = work
        self._running: list[BaseProcess] = []
        self._backoff = Backoff()
        self._is_stopping = False
        self._exit_code = 0

    def run(self) -> int:
        """Run them; to be called in the main thread, while it is the only one.

        Returns:
            The exit code: 2 if a worker could not start as configured, after it has said why; else 0.
        """
        for number in _SIGNALS:
            signal.signal(number, self._stop_all)
        for _ in range(self._count):
            self._start()
        while self._running:
            wait([worker.sentinel for worker in self._running])
            for worker in [each for each in self._running if not each.is_alive()]:
                self._replace(worker)
        return self._exit_code

    def _start(self) -> None:
        """Start a worker; a signal that comes meanwhile is seen by both sides when they know what to do."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            worker = _fork.Process(target=self._begin)
            worker.start()
            self._running.append(worker)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        if self._is_stopping:
            worker.terminate()

    def _begin(self) -> None:
        die_with_parent(signal.SIGTERM)()
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        self._work()

    def _replace(self, worker: BaseProcess) -> None:
        """Take note that a worker has ended, and start another unless it was to end."""
        self._running.remove(worker)
        if worker.exitcode == EXIT_CONFIGURATION and not self._is_stopping:
            self._exit_code = EXIT_CONFIGURATION
            self._stop_all()
        if self._is_stopping:
            return
        logger.error("worker %d has died (%s) and is started again", worker.pid, worker.exitcode)
        time.sleep(self._backoff.next())
        if not self._is_stopping:
            self._start()

    def _stop_all(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        self._is_stopping = True
        for worker in self._running:
            worker.terminate()
