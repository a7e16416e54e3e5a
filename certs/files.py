"""Files that are complete or absent, and never readable by more people than they are meant for."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from fanline.errors import ConfigurationError

PUBLIC: Final = 0o644
PRIVATE: Final = 0o600


def make_folder(path: Path) -> None:
    """Make a folder and those above it, unless it is there.

    Others may enter it: services and clients that run as another user need the CA. The keys in it are
    guarded by their own mode.
    """
    with _blaming(path, "cannot be made"):
        path.mkdir(mode=0o755, parents=True, exist_ok=True)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep out other processes that lock the same folder; wait for the one that has."""
    with _blaming(folder, "cannot be opened"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with _blaming(folder, "cannot be locked"):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def list_names(folder: Path) -> set[str]:
    """Return what is in a folder, links that lead nowhere included; nothing if there is no folder."""
    with _blaming(folder, "cannot be listed"), suppress(FileNotFoundError):
        return {entry.name for entry in folder.iterdir()}
    return set()


def replace(path: Path, content: bytes, mode: int) -> None:
    """Put a whole file in place of what is there, if anything; on failure nothing has changed.

    Must be called under :func:`locked`: the name that the file has until it is whole is always the same.

    Raises:
        ConfigurationError: If it cannot be written.
    """
    unfinished = path.with_name(f".{path.name}.new")
    with _blaming(path, "cannot be written"):
        unfinished.unlink(missing_ok=True)
        try:
            _write_new(unfinished, content, mode)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)


def _write_new(path: Path, content: bytes, mode: int) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        os.fchmod(file.fileno(), mode)  # the umask may have taken away more than was meant
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _blaming(path: Path, problem: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        hint = "choose another folder with --dir, or change its owner or mode"
        raise ConfigurationError(f"{path}: {problem} ({error.strerror}); {hint}") from error
