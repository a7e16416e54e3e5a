"""A server that is one process with one port."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from bench.peers.base import Peer
from bench.processes import ServerProcess, free_port, is_listening
from bench.wire import Address


class SingleServer(Peer):
    """What such servers have in common.

    Attributes:
        port: Where it listens.
    """

    def __init__(self, folder: Path, certificates: Path) -> None:
        super().__init__(folder, certificates)
        self.port = free_port()
        self._running = ExitStack()
        self._process: ServerProcess

    @abstractmethod
    def command(self) -> Sequence[str]:
        """Return the command line that runs it; its configuration is written by then."""

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            self._start(starting)
            self.prepare()
            self._running = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def prepare(self) -> None:
        """Make what has to be there before it can be used; it runs by then."""

    def kill(self, name: str) -> None:
        """Kill it, as a power cut would."""
        del name
        self._process.kill()

    def restart(self, name: str) -> None:
        """Start it again."""
        del name
        self._start(self._running)

    @property
    def pids(self) -> Mapping[str, int]:
        """The one process."""
        return {self.name: self._process.pid}

    @property
    def publish_at(self) -> Address:
        """Its port."""
        return self.address(self.port)

    @property
    def subscribe_at(self) -> Address:
        """Its port."""
        return self.address(self.port)

    def _start(self, running: ExitStack) -> None:
        self._process = process = ServerProcess(self.command(), self.folder / "log")
        running.callback(process.stop)
        process.wait_until(lambda: is_listening(self.port))
