"""Tests of ``fanline token``, as an operator types it."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fanline import cli
from fanline.security.tokens import PIPELINE, Claims, TokenKey
from fanline.security.users import User, UsersFile

Fanline = Callable[..., tuple[int, str, str]]


@pytest.fixture
def fanline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Fanline:
    """Run the command in an empty folder; return its exit code and what it said."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["fanline", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


def claims_of(text: str, path: str = "var/token.key") -> Claims:
    return TokenKey(Path(path)).verify(text, PIPELINE)


def test_a_token_is_printed(fanline: Fanline) -> None:
    """The first one makes the key; it says what was typed, is good for a day, and is all that is printed."""
    code, out, err = fanline("token", "page", "--publish", "a", "--publish", "b.>", "--subscribe", "c")
    assert (code, err) == (0, "")
    claims = claims_of(out.removesuffix("\n"))
    assert (claims.name, claims.publish, claims.subscribe) == ("page", ("a", "b.>"), ("c",))
    assert abs(claims.expires - time.time() - 86_400) < 600
    key = Path("var/token.key").read_text()
    assert fanline("token", "page", "--publish", "a")[0] == 0
    assert Path("var/token.key").read_text() == key


def test_a_token_has_no_rights_but_those_given(fanline: Fanline, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that may subscribe may not publish; lifetime and key are those that were asked for."""
    monkeypatch.setenv("FANLINE_TOKEN_KEY_FILE", "elsewhere/key")
    _, out, _ = fanline("token", "page", "--subscribe", "c", "--lifetime", "6000")
    claims = claims_of(out.strip(), "elsewhere/key")
    assert (claims.publish, claims.subscribe) == ((), ("c",))
    assert abs(claims.expires - time.time() - 6_000) < 600


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("page",), "a token without rights opens nothing: add --publish or --subscribe PATTERN"),
        (("two words", "--publish", "a"), "is not a user name"),
        (("page", "--publish", "or ders"), "publish: "),
        (("page", "--subscribe", ""), "subscribe: "),
        (("hello", "--publish", "a"), "hello is a user with a password: choose another name for the token"),
        (("page", "--publish", "a" * 200, *("--publish", "b" * 255) * 20), "fewer or shorter patterns"),
        (("page", "--publish", "a", "--lifetime", "0"), "--lifetime"),
        (("page", "--publish", "a", "--lifetime", "99999999"), "--lifetime"),
    ],
)
def test_what_makes_no_token(fanline: Fanline, arguments: tuple[str, ...], sentence: str) -> None:
    """A mistake is told in a sentence, with exit code 2, and nothing is printed on standard output."""
    code, out, err = fanline("token", *arguments)
    assert (code, out) == (2, "")
    assert sentence in err
    assert "Traceback" not in err


def test_no_token_in_the_name_of_a_user(fanline: Fanline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of the users file are taken, and with one the demo's is free."""
    UsersFile(Path("users")).put(User("alice"), "secret", cost=4)
    monkeypatch.setenv("FANLINE_USERS_FILE", "users")
    assert "alice is a user" in fanline("token", "alice", "--publish", "a")[2]
    assert fanline("token", "hello", "--publish", "a")[0] == 0


def test_a_key_that_others_can_read(fanline: Fanline) -> None:
    """No token is signed with a key that is no secret."""
    fanline("token", "page", "--publish", "a")
    Path("var/token.key").chmod(0o644)
    code, out, err = fanline("token", "page", "--publish", "a")
    assert (code, out) == (2, "")
    assert err.startswith("fanline: token_key_file var/token.key: other users can access it")
