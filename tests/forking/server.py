"""A process that has imported the programs of the project; each start of one is a fork of it.

Starting Python and importing a service takes half a second of CPU, a fork some milliseconds. What runs is the
same: a process of its own, with its own arguments, environment, folder and files, and the program as
``__main__``.
:mod:`tests.forking.forked` is the other side.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading
import time
from typing import Any

from fanline.server.child_process import die_with_parent

PROGRAMS = "msgqueue.app publisher.app subscriber.app chat.app fanline.cli.main clientdemo.cli certs.cli"
MOST_FILES = 16
LARGEST_REQUEST = 150_000


class ForkServer:
    """Forks the programs that it is asked for, and reports their exit codes.

    Args:
        requests: Where requests come from; its end is the end of the server.
    """

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._status: dict[int, int] = {}  # by pid, the file that the exit code is written to
        self._wakeup, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def serve(self) -> dict[str, Any] | None:
        """Fork until there are no more requests; in a fork, return what it is to run."""
        while True:
            requests = self._requests.fileno()
            ready, _, _ = select.select([requests, self._wakeup], [], [])
            if self._wakeup in ready:
                os.read(self._wakeup, 4_096)
                self._reap()
            if requests in ready:
                data, files, _, _ = socket.recv_fds(self._requests, LARGEST_REQUEST, MOST_FILES)
                if not data:
                    return None
                request = json.loads(data)
                if self._fork(request, files):
                    return dict(request)

    def _fork(self, request: dict[str, Any], files: list[int]) -> bool:
        """Return whether this is the fork."""
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._become(request, files, parent)
            return True
        status, *others = files
        for file in others:
            os.close(file)
        os.write(status, f"{pid}\n".encode())
        self._status[pid] = status
        return False

    def _reap(self) -> None:
        while self._status:
            pid, code = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            status = self._status.pop(pid)
            os.write(status, f"{os.waitstatus_to_exitcode(code)}\n".encode())
            os.close(status)

    def _become(self, request: dict[str, Any], files: list[int], parent: int) -> None:
        """Make this process what the request wants, but for the program."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._requests.close()
        for other in self._status.values():
            os.close(other)
        if request["new_session"]:
            os.setsid()
        die_with_parent(signal.Signals(request["dies_by"]))()
        if os.getppid() != parent:
            os._exit(1)
        place(files, [None, *request["targets"]])
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        time.tzset()


def place(files: list[int], targets: list[int | None]) -> None:
    """Put open files at their numbers, and close those without one."""
    high = [os.dup2(file, 200 + index) for index, file in enumerate(files)]
    for file in files:
        os.close(file)
    for file, target in zip(high, targets, strict=True):
        if target is not None:
            os.dup2(file, target)
        os.close(file)
    # They are what they were, but for what Python has found out about the files below them.
    sys.stdin = os.fdopen(0, encoding="utf-8")
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", buffering=1 if os.isatty(1) else -1)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1)


def main() -> None:
    """Serve; in a fork, run the program."""
    for program in PROGRAMS.split():
        importlib.import_module(program)
    gc.collect()
    gc.freeze()  # so that a fork neither looks at what there is nor copies it
    request = ForkServer(socket.socket(fileno=int(sys.argv[1]))).serve()
    if request is not None:
        sys.argv = ["", *request["arguments"]]
        leave(run(request["program"]))


def run(program: str) -> int:
    """Run a module as ``__main__``, or an entry point as the command of it does; return the exit code."""
    module, _, function = program.partition(":")
    try:
        if function:
            getattr(importlib.import_module(module), function)()
        else:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        sys.stderr.write(f"{end.code}\n")
        return 1
    return 0


def leave(code: int) -> None:
    """End as Python does, but do not free all that was imported: that would first copy it."""
    threading._shutdown()  # type: ignore[attr-defined] # noqa: SLF001 - what Python calls at its end
    atexit._run_exitfuncs()  # noqa: SLF001 - likewise
    try:
        sys.stdout.flush()
    except OSError:
        code = 120
    os._exit(code)


if __name__ == "__main__":
    main()
