"""Credentials that let in, and those that are refused."""

import base64
import re
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanline.errors import ConfigurationError
from fanline.security import authenticator as auth
from fanline.security.authenticator import (
    Authenticator,
    Unauthorized,
)
from fanline.security.users import User, UsersFile
from tests.fanline.security.authenticator.conftest import ALICE, CHEAP, HERE, Checks, Clock, basic, refusal


async def test_the_right_credentials_let_in(logins: Authenticator) -> None:
    """A user of the file is let in, with the user's rights (line 1)."""
    assert await logins.authenticate(ALICE, HERE) == User("alice", publish=("orders.>",))


@pytest.mark.parametrize("scheme", ["basic ", "BASIC ", "  bAsIc    "])
async def test_the_scheme_is_read_as_the_rules_say(logins: Authenticator, scheme: str) -> None:
    """Neither the case of the scheme nor the number of spaces matters (line 1)."""
    assert (await logins.authenticate(ALICE.replace("Basic ", scheme), HERE)).name == "alice"


@pytest.mark.parametrize("password", ["a:b:c", ":", "pässwörd ✓", " spaced "])
async def test_a_password_may_be_anything(logins: Authenticator, file: UsersFile, password: str) -> None:
    """The first colon ends the name; the rest is the password, in UTF-8 (line 1)."""
    file.put(User("bob"), password, cost=CHEAP)
    assert (await logins.authenticate(basic("bob", password), HERE)).name == "bob"


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Basic",
        "Basic ",
        f"Bearer {ALICE}",
        ALICE.removeprefix("Basic "),
        ALICE[:-1],
        f"{ALICE}!",
        "Basic é",
        "Basic " + base64.b64encode(b"alice").decode(),
        "Basic " + base64.b64encode(b"alice:\xff").decode(),
    ],
)
async def test_a_missing_or_malformed_header_is_refused(
    logins: Authenticator, checks: Checks, clock: Clock, authorization: str | None
) -> None:
    """It is refused with a hint, costs nothing, and is not held against the address (line 1)."""
    for _ in range(10):
        assert re.search("Basic|base64", await refusal(logins, authorization))
    assert (checks.count, clock.slept) == (0, [])


@given(st.text() | st.binary().map(lambda token: "Basic " + base64.b64encode(token).decode()))
def test_no_header_breaks_the_parser(authorization: str) -> None:
    """Whatever comes is either taken apart or refused."""
    with suppress(Unauthorized):
        auth.parse_basic(authorization)


@given(name=st.text().filter(lambda name: ":" not in name), password=st.text())
def test_credentials_are_taken_apart_at_the_first_colon(name: str, password: str) -> None:
    """Any name without a colon and any password come out as they went in."""
    assert auth.parse_basic(basic(name, password)) == (name, password)


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("alice", "Secret"),
        ("alice", ""),
        ("nobody", "secret"),
        ("", ""),
        ("Alice", "secret"),
        ("alice", "s" * 73),
    ],
)
async def test_wrong_credentials_are_refused(logins: Authenticator, name: str, password: str) -> None:
    """The answer is the same for a wrong password and an unknown user, and repeats neither (line 1)."""
    assert await refusal(logins, basic(name, password)) == "wrong user name or password"


async def test_the_demo_lets_in_hello_alone() -> None:
    """Without a users file there is one user, hello/test, who may do everything (line 1)."""
    logins = Authenticator(None)
    user = await logins.authenticate(basic("hello", "test"), HERE)
    assert (user.name, user.is_service) == ("hello", True)
    assert user.may_publish("$sys.load")
    await refusal(logins, basic("hello", "Test"))
    await refusal(logins, basic("alice", "test"))


async def test_the_demo_is_off_with_a_users_file(logins: Authenticator) -> None:
    """With a users file the demo login is refused."""
    await refusal(logins, basic("hello", "test"))


def test_a_missing_users_file_is_reported_at_once(tmp_path: Path) -> None:
    """A service does not start with users that it cannot read."""
    with pytest.raises(ConfigurationError, match="there is no such file"):
        Authenticator(tmp_path / "users")


async def test_who_is_a_user(logins: Authenticator, file: UsersFile, clock: Clock) -> None:
    """Users are known by name, new ones within a second; what stands in for the unknown is no user."""
    file.put(User("bob"), "secret", cost=CHEAP)
    assert [logins.user(name) for name in ("bob", "Alice", "", "nobody")] == [User("bob"), None, None, None]
    generation = logins.generation
    file.put(User("carol"), "secret", cost=CHEAP)
    file.remove("bob")
    assert logins.generation == generation
    clock.now += 1
    assert logins.generation != generation
    assert [name for name in ("alice", "bob", "carol") if logins.user(name)] == ["alice", "carol"]
