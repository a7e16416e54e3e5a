"""Write files atomically, readable only by the users they are meant for."""

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
    """Make a folder and its parents, if missing.

    Other users may enter it, because services and clients of other users need the CA. The mode of each key
    protects it.
    """
    with _os_errors_named(path, "cannot be made"):
        path.mkdir(mode=0o755, parents=True, exist_ok=True)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a folder against other processes; wait for the one that holds the lock."""
    with _os_errors_named(folder, "cannot be opened"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with _os_errors_named(folder, "cannot be locked"):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def list_names(folder: Path) -> set[str]:
    """Return the names in a folder, broken links included; an empty set without a folder."""
    with _os_errors_named(folder, "cannot be listed"), suppress(FileNotFoundError):
        return {entry.name for entry in folder.iterdir()}
    return set()


def replace(path: Path, content: bytes, mode: int) -> None:
    """Write or replace a file; on failure nothing has changed.

    Must be called under :func:`locked`, because the temporary file always has the same name.

    Raises:
        ConfigurationError: If it cannot be written.
    """
    unfinished = path.with_name(f".{path.name}.new")
    with _os_errors_named(path, "cannot be written"):
        unfinished.unlink(missing_ok=True)
        try:
            _write_new(unfinished, content, mode)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)


def _write_new(path: Path, content: bytes, mode: int) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        os.fchmod(file.fileno(), mode)  # the umask may have removed bits
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _os_errors_named(path: Path, problem: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        hint = "choose another folder with --dir, or change its owner or mode"
        raise ConfigurationError(f"{path}: {problem} ({error.strerror}); {hint}") from error
