"""Tests of ``fanline user``, as an operator types it."""

import io
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bcrypt
import pytest

from fanline import cli
from fanline.security.users import User, UsersFile

ROOT = Path(__file__).resolve().parents[3]
DEADLINE = 20.0


class Command:
    """Runs ``fanline`` in this process, and keeps what it said."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self.out = ""
        self.err = ""

    def __call__(self, *arguments: str, stdin: bytes = b"secret\n") -> int:
        """Return the exit code."""
        self._monkeypatch.setattr(sys, "argv", ["fanline", *arguments])
        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        self.out, self.err = self._capsys.readouterr()
        return int(ended.value.code or 0)


@pytest.fixture
def fanline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command, in an empty folder, without settings, with passwords that are quick to hash."""
    gensalt = bcrypt.gensalt
    monkeypatch.setattr(bcrypt, "gensalt", lambda cost: gensalt(4))
    monkeypatch.chdir(tmp_path)
    for name in ("FANLINE_USERS_FILE", "FANLINE_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    return Command(monkeypatch, capsys)


def user(name: str, path: str = "var/users") -> User:
    return UsersFile(Path(path)).read()[name].user


def is_password(name: str, password: str, path: str = "var/users") -> bool:
    account = UsersFile(Path(path)).read()[name]
    return bcrypt.checkpw(password.encode(), account.password_hash.encode())


def test_add_makes_a_user_with_all_rights(fanline: Command) -> None:
    """The first user needs only a name and a password; the answer says where it is and who reads it."""
    assert fanline("user", "add", "alice") == 0
    assert fanline.out == (
        "alice: added to var/users\nServices read it when FANLINE_USERS_FILE=var/users is set.\n"
    )
    assert user("alice") == User("alice")
    assert is_password("alice", "secret")
    assert sorted(os.listdir("var")) == ["users", "users.toml"]


def test_add_takes_the_rights(fanline: Command) -> None:
    """Each option gives one right, and patterns add up."""
    rights = ["--service", "--publish", "in.>", "--publish", "$sys.in", "--subscribe", "out.*"]
    assert fanline("user", "add", "edge", *rights) == 0
    assert user("edge") == User("edge", ("in.>", "$sys.in"), ("out.*",), is_service=True)


@pytest.mark.parametrize("stdin", [b"p\xc3\xa4ss word", b"p\xc3\xa4ss word\n", b"p\xc3\xa4ss word\r\nmore\n"])
def test_the_password_is_the_first_line_of_standard_input(fanline: Command, stdin: bytes) -> None:
    """It is read in UTF-8 whatever the locale, and the line end is not part of it."""
    assert fanline("user", "add", "alice", "--stdin", stdin=stdin) == 0
    assert is_password("alice", "päss word")


@pytest.mark.parametrize(
    ("stdin", "problem"),
    [
        (b"", "the password is empty: choose one"),
        (b"\n", "the password is empty: choose one"),
        (b"x" * 73, "the password has 73 bytes, and bcrypt takes 72: choose a shorter one"),
        (b"\xff\n", "the password on standard input is not UTF-8 text"),
    ],
)
def test_a_password_that_cannot_be_taken_is_refused(fanline: Command, stdin: bytes, problem: str) -> None:
    """The command says why in one sentence, and writes nothing."""
    assert fanline("user", "add", "alice", stdin=stdin) == 2
    assert (fanline.out, fanline.err) == ("", f"fanline: {problem}\n")
    assert not os.path.exists("var")


def test_an_existing_user_is_changed_only_on_request(fanline: Command) -> None:
    """Without --update nothing changes; with it the password does, and of the rights those that are given."""
    fanline("user", "add", "alice", "--service", "--publish", "in")
    assert fanline("user", "add", "alice", stdin=b"changed\n") == 2
    assert "there is a user alice already; --update" in fanline.err
    assert is_password("alice", "secret")
    assert fanline("user", "add", "alice", "--update", "--subscribe", "out", stdin=b"changed\n") == 0
    assert fanline.out.startswith("alice: changed in var/users\n")
    assert is_password("alice", "changed")
    assert user("alice") == User("alice", ("in",), ("out",), is_service=True)
    assert fanline("user", "add", "alice", "--update", "--no-service") == 0
    assert user("alice") == User("alice", ("in",), ("out",))


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["a:b"], "'a:b' is not a user name: it has whitespace, a control character or a colon"),
        (["alice", "--publish", "a..b"], 'publish: "a..b" is not a topic: it has an empty token'),
        (["alice", "--subscribe", "a b"], 'subscribe: "a b" is not a topic: it has whitespace'),
    ],
)
def test_a_wrong_name_or_pattern_is_refused(fanline: Command, arguments: list[str], problem: str) -> None:
    """The command says which, in one sentence, and writes nothing."""
    assert fanline("user", "add", *arguments) == 2
    assert fanline.err.startswith(f"fanline: {problem}")
    assert fanline.err.count("\n") == 1
    assert not os.path.exists("var")


def test_the_password_cannot_be_an_argument(fanline: Command) -> None:
    """A command line can be read by everyone: there is no place on it for a password."""
    assert fanline("user", "add", "alice", "secret") == 2
    assert fanline("user", "add", "alice", "--password", "secret") == 2
    assert not os.path.exists("var")


def test_the_file_is_that_of_the_settings_unless_named(
    fanline: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--file comes before FANLINE_USERS_FILE, which comes before var/users."""
    monkeypatch.setenv("FANLINE_USERS_FILE", "etc/users")
    assert fanline("user", "add", "alice") == 0
    assert fanline.out == "alice: added to etc/users\n"
    assert fanline("user", "add", "bob", "--file", "other/users") == 0
    assert user("alice", "etc/users") == User("alice")
    assert user("bob", "other/users") == User("bob")
    assert not os.path.exists("var")


def test_remove_takes_a_user_out(fanline: Command) -> None:
    """The user and the rights are gone; an unknown user cannot be removed."""
    fanline("user", "add", "alice", "--service")
    fanline("user", "add", "bob")
    assert fanline("user", "remove", "alice") == 0
    assert fanline.out == "alice: removed from var/users\n"
    assert list(UsersFile(Path("var/users")).read()) == ["bob"]
    assert fanline("user", "remove", "alice") == 2
    assert fanline.err == "fanline: var/users: there is no user 'alice'\n"


def test_list_shows_the_rights(fanline: Command) -> None:
    """Each user has a line with role and patterns, shown as they are written, and no hash."""
    fanline("user", "add", "[red]edge", "--service", "--publish", "in.>", "--publish", "log")
    fanline("user", "add", "bob", "--admin")
    assert fanline("user", "list") == 0
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in fanline.out.splitlines()]
    assert [row for row in rows if row] == [
        ["[red]edge", "service", "in.> log", ">"],
        ["bob", "admin", ">", ">"],
    ]
    assert fanline("user", "add", "bob", "--update", "--service") == 2
    assert fanline.err == "fanline: a user has one role: service or admin\n"
    assert fanline("user", "add", "bob", "--update", "--service", "--no-admin") == 0


def test_a_file_with_a_mistake_ends_in_one_sentence(fanline: Command) -> None:
    """Every command names the file and the line, with exit code 2."""
    Path("users").write_text("alice:plain\n")
    for command in (["list"], ["add", "bob"], ["remove", "alice"]):
        assert fanline("user", *command, "--file", "users") == 2
        assert fanline.err.startswith("fanline: users, line 1: the hash of alice is not one of bcrypt")
        assert fanline.err.count("\n") == 1


def test_a_wrong_setting_is_found_before_anything_is_written(
    fanline: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A setting that does not exist ends in one sentence too."""
    monkeypatch.setenv("FANLINE_USER_FILE", "users")
    assert fanline("user", "add", "alice", "--file", "users") == 2
    assert fanline.err.startswith("fanline: FANLINE_USER_FILE: no such setting")
    assert not os.path.exists("users")


def test_at_a_terminal_the_password_is_asked_for_twice(tmp_path: Path) -> None:
    """It is not shown while it is typed, and is asked for again unless it is the same both times."""
    typing = [("Password: ", "secret"), ("confirmation: ", "sacred")]
    typing += [("Password: ", "secret"), ("confirmation: ", "secret")]
    with at_a_terminal(tmp_path, "user", "add", "alice", "--file", "users") as (child, terminal):
        shown = ""
        for prompt, password in typing:
            shown += read_until(terminal, prompt)
            os.write(terminal, f"{password}\n".encode())
        shown += read_until(terminal, "is set.\r\n")
        assert child.wait(DEADLINE) == 0
    assert "alice: added to users" in shown
    assert "secret" not in shown
    assert "sacred" not in shown
    assert is_password("alice", "secret", str(tmp_path / "users"))


@contextmanager
def at_a_terminal(folder: Path, *arguments: str) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """Run the command at a terminal; yield the process, and the terminal's other end."""
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from fanline.cli.main import main; main()"
    terminal, inner = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        cwd=folder,
        stdin=inner,
        stdout=inner,
        stderr=inner,
        start_new_session=True,
    )
    os.close(inner)
    try:
        yield child, terminal
    finally:
        child.kill()
        child.wait()
        os.close(terminal)


def read_until(terminal: int, end: str) -> str:
    """Return what is shown until ``end`` is; the test's own time limit bounds the wait."""
    text = ""
    while not text.endswith(end):
        text += os.read(terminal, 1).decode()
    return text
