"""Tests of files: who may read them, and what is left when writing fails."""

import fcntl
import os
import re
import stat
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from fanline.errors import ConfigurationError
from fanline.files import (
    PRIVATE,
    PUBLIC,
    FollowedFile,
    create,
    is_open_to_all,
    locked,
    replace,
    typed,
    version,
)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def umask() -> Iterator[None]:
    """Set any umask in the test: the one before comes back."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_modes_do_not_depend_on_the_umask(tmp_path: Path, mask: int) -> None:
    """A key is for its owner alone and a certificate for everyone, whatever the umask."""
    os.umask(mask)
    replace(tmp_path / "key", b"secret", PRIVATE)
    replace(tmp_path / "certificate", b"public", PUBLIC)
    assert (mode(tmp_path / "key"), mode(tmp_path / "certificate")) == (0o600, 0o644)


@pytest.mark.usefixtures("umask")
def test_a_key_is_private_before_its_first_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is made with its final mode: there is no moment at which others could open it."""
    os.umask(0)
    made_with: list[int] = []
    monkeypatch.setattr(
        os, "fchmod", lambda descriptor, _: made_with.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
    )
    replace(tmp_path / "key", b"secret", PRIVATE)
    assert made_with == [0o600]


def test_an_open_file_becomes_private_when_it_is_replaced(tmp_path: Path) -> None:
    """The mode of the file that was there is not taken over."""
    path = tmp_path / "key"
    path.write_bytes(b"old")
    path.chmod(0o666)
    replace(path, b"new", PRIVATE)
    assert (path.read_bytes(), mode(path)) == (b"new", 0o600)


def test_a_group_may_still_read_what_is_replaced(tmp_path: Path) -> None:
    """A service whose group may read the users can still do so after a change of root's."""
    path = tmp_path / "users"
    path.write_bytes(b"old")
    path.chmod(0o660)
    replace(path, b"new")
    assert mode(path) == 0o640


def test_a_link_is_replaced_not_followed(tmp_path: Path) -> None:
    """A symbolic link gives way to the file; what it leads to is not touched."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"precious")
    (tmp_path / "key").symlink_to(elsewhere)
    replace(tmp_path / "key", b"new", PRIVATE)
    assert (elsewhere.read_bytes(), (tmp_path / "key").is_symlink()) == (b"precious", False)


def test_what_a_crash_left_behind_is_cleared_away(tmp_path: Path) -> None:
    """An unfinished file of a process that was killed does not stand in the way."""
    (tmp_path / ".key.new").write_bytes(b"half")
    replace(tmp_path / "key", b"whole", PRIVATE)
    assert os.listdir(tmp_path) == ["key"]


def test_a_lock_keeps_others_out_until_it_is_released(tmp_path: Path) -> None:
    """The folder is locked inside the block, and free after it."""
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        with locked(tmp_path), pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(descriptor)


def test_concurrent_creations_agree(tmp_path: Path) -> None:
    """Of several processes that create a file one does, and all find what it has written."""
    path = tmp_path / "new" / "key"
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda number: create(path, b"%d" % number), range(16)))
    assert made.count(True) == 1
    assert int(path.read_bytes()) == made.index(True)


@pytest.mark.parametrize(
    ("bits", "is_open"), [(0o600, False), (0o640, False), (0o644, True), (0o602, True), (0o601, True)]
)
def test_a_file_is_open_to_all_by_its_last_digit(tmp_path: Path, bits: int, is_open: bool) -> None:
    """Any access of users outside the group counts; a missing file is open to no user."""
    path = tmp_path / "key"
    assert not is_open_to_all(path)
    path.touch()
    path.chmod(bits)
    assert is_open_to_all(path) is is_open


def test_a_command_is_that_of_this_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A command in a message did not work, because it was not that of the virtual environment."""
    programs = tmp_path / "my venv/bin"
    programs.mkdir(parents=True)
    for name in ("python", "fanline"):
        (programs / name).touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.chdir(tmp_path)
    assert typed("fanline") == "'my venv/bin/fanline'"
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert typed("fanline") == f"'{programs}/fanline'"
    assert typed("elsewhere") == "elsewhere"
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin")
    assert typed("fanline") == "fanline"


def test_no_message_names_the_command_alone() -> None:
    """In messages the command has the path of its environment; settings.py is for the docs as well."""
    root = Path(__file__).parents[2]
    alone = re.compile(r"^(?!_RIGHTS_HEADER|\"\"\").*[^`]`fanline [a-z]", re.MULTILINE)
    folders = ("fanline", "msgqueue", "publisher", "subscriber", "chat")
    paths = {path for folder in folders for path in (root / folder).rglob("*.py")}
    assert {path for path in paths if alone.search(path.read_text())} == {root / "fanline/settings.py"}


def test_a_followed_file_is_read_again_until_it_can_be_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The value from before remains in use; the mistake is logged once (line 53)."""
    path, is_usable = tmp_path / "file", True
    path.write_text("first")

    def read() -> str:
        if not (is_usable and path.exists()):
            raise ConfigurationError("wrong mode")
        return path.read_text()

    file = FollowedFile(read, partial(version, path), kept="the first one remains")

    def state() -> tuple[str, str | None]:
        return file.value, file.problem

    assert not file.look()
    is_usable = False
    path.write_text("another")
    assert not any(file.look() for _ in range(3))
    assert state() == ("first", "wrong mode; the first one remains")
    assert caplog.text.count("wrong mode") == 1
    is_usable = True  # without a change that shows in the file
    assert file.look()
    assert state() == ("another", None)
    elsewhere = path.rename(tmp_path / "elsewhere")
    assert not file.look()
    assert file.problem is not None
    elsewhere.rename(path)
    assert not file.look()
    assert state() == ("another", None)
