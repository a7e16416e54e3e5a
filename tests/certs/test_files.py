"""Writing files: who may read them, and what is left when writing fails."""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from certs.files import list_names, locked, make_folder, replace
from fanline.errors import ConfigurationError
from fanline.files import PRIVATE


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def umask() -> Iterator[None]:
    """Set any umask in the test: the one before comes back."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_a_failed_write_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk is full, the old file stays, no half of the new one, and the error names the file."""

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "key"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigurationError, match=rf"^{path}: cannot be written \(No space left on device\)"):
        replace(path, b"new", PRIVATE)
    assert path.read_bytes() == b"old"
    assert list_names(tmp_path) == {"key"}


@pytest.mark.usefixtures("umask")
def test_a_new_folder_can_be_entered_by_others(tmp_path: Path) -> None:
    """Other users can read the CA; only the owner can write."""
    os.umask(0)
    make_folder(tmp_path / "a" / "b")
    assert mode(tmp_path / "a" / "b") == 0o755


def test_a_folder_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    """The mode of an existing folder is its owner's affair."""
    (tmp_path / "a").mkdir(0o700)
    make_folder(tmp_path / "a")
    assert mode(tmp_path / "a") == 0o700


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path) -> None:
    """If the folder cannot be made, the error says which, why, and what to do."""
    path = tmp_path / "taken"
    path.touch()
    with pytest.raises(ConfigurationError, match=rf"^{path}: cannot be made \(File exists\); .*--dir"):
        make_folder(path)


def test_nothing_is_in_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """A missing folder lists as an empty one; a file in its place is an error."""
    assert list_names(tmp_path / "missing") == set()
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot be listed"):
        list_names(tmp_path / "file")


def test_a_link_that_leads_nowhere_is_listed(tmp_path: Path) -> None:
    """A broken link counts as a file that is there, so that it is not taken for a missing one."""
    (tmp_path / "ca.crt").symlink_to(tmp_path / "gone")
    assert list_names(tmp_path) == {"ca.crt"}


def test_a_missing_folder_cannot_be_locked(tmp_path: Path) -> None:
    """Locking a folder that is not there is an error that names it."""
    with pytest.raises(ConfigurationError, match=r"missing: cannot be locked"), locked(tmp_path / "missing"):
        pass
