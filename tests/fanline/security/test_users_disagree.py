"""Tests of a users file and a rights file that disagree: the lesser right counts."""

from pathlib import Path

import pytest

from fanline.errors import ConfigurationError
from fanline.security.users import User, UsersFile

CHEAP = 4


@pytest.fixture
def file(tmp_path: Path) -> UsersFile:
    return UsersFile(tmp_path / "users")


def test_a_user_whose_table_is_lost_has_no_rights(file: UsersFile, caplog: pytest.LogCaptureFixture) -> None:
    """A lost line of the rights file never widens the rights of its user; the warning names the file."""
    file.put(User("zoe", publish=("in",)), "secret", cost=CHEAP)
    file.put(User("alice"), "secret", cost=CHEAP)
    file.rights_path.write_text("[alice]\n")
    assert [account.user for account in file.read().values()] == [User("zoe", (), ()), User("alice")]
    assert caplog.messages == [f"{file.rights_path}: there is no [zoe], so this user has no rights"]


def test_a_lost_rights_file_is_a_mistake(file: UsersFile) -> None:
    """Without the whole file no user gets the default rights, unless it never had one."""
    file.put(User("zoe", publish=("in",)), "secret", cost=CHEAP)
    file.rights_path.unlink()
    with pytest.raises(ConfigurationError, match=f"^{file.rights_path}: is missing, and {file.path} says"):
        file.read()
    lines = file.path.read_text().splitlines()
    file.path.write_text(f"{lines[1]}\n")
    assert file.read()["zoe"].user == User("zoe")


def test_a_table_without_a_user_is_ignored(file: UsersFile, caplog: pytest.LogCaptureFixture) -> None:
    """A user removed by htpasswd alone is removed; the rest of both files counts as before."""
    file.put(User("zoe", publish=("in",)), "secret", cost=CHEAP)
    file.put(User("alice", publish=("out",)), "secret", cost=CHEAP)
    lines = file.path.read_text().splitlines(keepends=True)
    file.path.write_text("".join(line for line in lines if not line.startswith("zoe:")))
    assert [account.user for account in file.read().values()] == [User("alice", publish=("out",))]
    assert caplog.messages == [f"{file.rights_path}: [zoe] is ignored: {file.path} has no such user"]


def test_users_from_before_keep_their_rights(file: UsersFile) -> None:
    """The first edit of a file that htpasswd has made gives each of its users a table."""
    file.put(User("zoe"), "secret", cost=CHEAP)
    lines = file.path.read_text().splitlines()
    file.path.write_text(f"{lines[1]}\n")
    file.rights_path.unlink()
    file.put(User("bob", publish=("in",)), "secret", cost=CHEAP)
    assert [account.user for account in file.read().values()] == [User("zoe"), User("bob", publish=("in",))]


def test_a_removal_during_a_read_does_not_grant_the_defaults(
    file: UsersFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The users file from before an edit and the rights file from after it are never taken together."""
    file.put(User("alice", publish=("in",)), "secret", cost=CHEAP)
    read, pending = Path.read_text, [file.remove]

    def read_then_remove(path: Path, encoding: str) -> str:
        text = read(path, encoding)
        if path == file.path and pending:
            pending.pop()("alice")
        return text

    monkeypatch.setattr(Path, "read_text", read_then_remove)
    assert not file.read()
