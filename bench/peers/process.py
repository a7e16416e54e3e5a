"""A server as a child process, with its output in a file."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from fanline.errors import FanlineError
from fanline.server.child_process import die_with_parent

_START_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 15.0
_POLL_SECONDS: Final = 0.02


class ServerFailed(FanlineError):
    """A server did not start; the text ends with its output."""


class ServerProcess:
    """A running server.

    Args:
        command: Its command line.
        log: The file for its output.
        environment: Variables added to those of this process.
        directory: Its working directory; None for that of this process.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
    ) -> None:
        self.log = log
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("FANLINE_")}
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command, env=inherited | dict(environment or {}), cwd=directory,
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                # A session of its own: Ctrl-C does not reach it before it is told to stop.
                start_new_session=True, preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509 - no threads
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """Process id of the server."""
        return self._process.pid

    def wait_until(self, is_up: Callable[[], bool]) -> None:
        """Wait until the server is up.

        Raise :exc:`ServerFailed` if it takes too long or has ended.
        """
        deadline = time.monotonic() + _START_SECONDS
        while not is_up():
            if self._process.poll() is not None or time.monotonic() > deadline:
                output = self.log.read_text(errors="replace")[-2000:]
                raise ServerFailed(f"{self._process.args!r} does not start: {output}")
            time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """Ask the server to stop, wait, and kill it if necessary."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Kill the server, as a power cut would."""
        self._process.kill()
        self._process.wait()


def free_port() -> int:
    """Return a loopback port that is not in use."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_listening(port: int) -> bool:
    """Return whether a server listens on a loopback port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
