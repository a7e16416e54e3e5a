"""Files: written as a whole, followed, readable for whom; and typed programs.

What the functions raise is :class:`OSError`; callers name the file in words of their own.
"""

import fcntl
import logging
import os
import shlex
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Generic, TypeVar

from fanline.errors import ConfigurationError

T = TypeVar("T")

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LOOKS: Final = 1.0

PRIVATE: Final = 0o600
PUBLIC: Final = 0o644


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a folder against other processes, waiting for the present holder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def replace(path: Path, content: bytes, mode: int = PRIVATE) -> None:
    """Write or replace a file, on disk when this returns.

    On failure nothing has changed. A file that is replaced keeps its owner, and its group the right to read
    it, unless all users had that: root may edit a file that a service must read. A symbolic link is replaced,
    not followed. Call it under :func:`locked`: the temporary file always has the same name, so that one that
    a crash has left is removed by the next call.
    """
    unfinished = path.with_name(f".{path.name}.new")
    unfinished.unlink(missing_ok=True)
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            with suppress(FileNotFoundError):
                status = path.lstat()
                os.fchown(descriptor, status.st_uid, status.st_gid)
                if not status.st_mode & stat.S_IRWXO:
                    mode |= status.st_mode & stat.S_IRGRP
            os.fchmod(descriptor, mode)  # the umask may have removed bits
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def create(path: Path, content: bytes, mode: int = PRIVATE) -> bool:
    """Write a missing file and its folder; return whether it is new.

    Concurrent processes agree on one content.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.parent):
        if path.exists():
            return False
        replace(path, content, mode)
    return True


def is_open_to_all(path: Path) -> bool:
    """Return whether users outside the owner's group can access a file.

    It is False for a missing file.
    """
    try:
        return bool(path.stat().st_mode & stat.S_IRWXO)
    except OSError:
        return False


def version(path: Path) -> tuple[int, int, int] | None:
    """Return a value that changes when a file is changed or replaced.

    It is None for a missing file.
    """
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


class FollowedFile(Generic[T]):
    """A value read from files, and again when they change.

    While they cannot be used, which is logged once, what was read before remains in use.

    Args:
        read: Reads the files.
        version: Returns a value that changes with the files.
        kept: The sentence that the log adds, such as "the key from before remains in use".

    Attributes:
        value: What was read.
        problem: Why the files as they are now cannot be used; None if they are in use.

    Raises:
        ConfigurationError: If ``read`` raises it.
    """

    def __init__(self, read: Callable[[], T], version: Callable[[], object], *, kept: str) -> None:
        self.problem: str | None = None
        self._read = read
        self._find_version = version
        self._kept = kept
        self._next_look = 0.0
        self._version = version()  # before reading: a change during it is found at the next look
        self.value = read()

    def look_at_times(self, now: float) -> bool:
        """Like :meth:`look`, at most once a second.

        ``now`` is in seconds of any monotonic clock.
        """
        if now < self._next_look:
            return False
        self._next_look = now + SECONDS_BETWEEN_LOOKS
        return self.look()

    def look(self) -> bool:
        """Read changed files again; return whether that was done."""
        version = self._find_version()
        if version == self._version:
            self.problem = None
            return False
        try:
            self.value = self._read()
        except ConfigurationError as error:  # also found by the next look: only the mode may be wrong
            problem = f"{error}; {self._kept}"
            if problem != self.problem:
                logger.error("%s", problem)
            self.problem = problem
            return False
        self._version, self.problem = version, None
        return True


def typed(program: str) -> str:
    """Return how to type a program of this process's environment.

    It is typed in the current folder.

    Args:
        program: Its name: ``python``, or that of a script such as ``fanline``.

    Returns:
        Its path, quoted for the shell; the name alone if the shell finds it, or if it is not installed.
    """
    path = Path(sys.executable).with_name(program)
    if not path.exists() or shutil.which(program) == str(path):
        return program
    relative = os.path.relpath(path)
    return shlex.quote(str(path) if relative.startswith("..") else relative)
