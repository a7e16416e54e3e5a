"""Certificates' folders and files: :mod:`fanline.files` with errors that give advice."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from fanline import files
from fanline.errors import ConfigurationError


def make_folder(path: Path) -> None:
    """Make a folder and its parents, if missing.

    Other users may enter it, because services and clients of other users need the CA. The mode of each key
    protects it.
    """
    with _os_errors_named(path, "cannot be made"):
        path.mkdir(mode=0o755, parents=True, exist_ok=True)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a folder against other processes, waiting for the present holder."""
    with ExitStack() as stack:
        with _os_errors_named(folder, "cannot be locked"):
            stack.enter_context(files.locked(folder))
        yield


def list_names(folder: Path) -> set[str]:
    """Return the names in a folder, broken links included.

    A missing folder has none.
    """
    with _os_errors_named(folder, "cannot be listed"), suppress(FileNotFoundError):
        return {entry.name for entry in folder.iterdir()}
    return set()


def replace(path: Path, content: bytes, mode: int) -> None:
    """Write or replace a file under :func:`locked`; on failure nothing has changed.

    Raises:
        ConfigurationError: If it cannot be written.
    """
    with _os_errors_named(path, "cannot be written"):
        files.replace(path, content, mode)


@contextmanager
def _os_errors_named(path: Path, problem: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        hint = "choose another folder with --dir, or change its owner or mode"
        raise ConfigurationError(f"{path}: {problem} ({error.strerror}); {hint}") from error
