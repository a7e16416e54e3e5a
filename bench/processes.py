"""A server as a child process, with its output in a file."""

import contextlib
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

START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 15.0
POLL_SECONDS: Final = 0.02


class ServerFailed(FanlineError):
    """A server did not start, or did not stay; the text has its last words."""


class ServerProcess:
    """One server.

    Args:
        command: The command line that runs it.
        log: Where its output goes.
        environment: Variables to set besides those of this process.
    """

    def __init__(
        self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command, env=_clean_environment() | dict(environment or {}), stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.STDOUT,
                # A session of its own, so that Ctrl-C does not reach it before it is told to stop.
                start_new_session=True, preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509 - no threads
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def wait_until(self, is_up: Callable[[], bool]) -> None:
        """Wait until it is up.

        Raises:
            ServerFailed: If it takes too long, or has ended.
        """
        deadline = time.monotonic() + START_SECONDS
        while not is_up():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise ServerFailed(f"{self._process.args!r} does not start: {self._last_words()}")
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """Ask it to stop, wait until it has, and kill it if it does not."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Kill it, as a power cut would."""
        self._process.kill()
        self._process.wait()

    def _last_words(self) -> str:
        return self.log.read_text(errors="replace")[-2000:]


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_listening(port: int) -> bool:
    """Whether somebody listens on a port of loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _clean_environment() -> dict[str, str]:
    """Return this process's environment, without the settings of an installation."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("FANLINE_") and name != "WS_CERT_DIR"
    }
