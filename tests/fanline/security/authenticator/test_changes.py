"""Changes of the users file."""

import logging

import pytest

from fanline.security.authenticator import (
    Authenticator,
)
from fanline.security.users import User, UsersFile
from tests.fanline.security.authenticator.conftest import ALICE, CHEAP, HERE, Checks, Clock, basic, refusal


async def test_changes_are_found_within_a_second(
    logins: Authenticator, file: UsersFile, clock: Clock
) -> None:
    """The files are looked at once a second at most; new users, new rights and removals then count."""
    await logins.authenticate(ALICE, HERE)
    bob = basic("bob", "secret")
    file.put(User("bob"), "secret", cost=CHEAP)
    clock.now += 0.9
    await refusal(logins, bob)
    clock.now += 0.1
    assert not (await logins.authenticate(bob, HERE)).is_service
    file.rights_path.write_text('[bob]\nrole = "service"\n')
    clock.now += 1
    assert (await logins.authenticate(bob, HERE)).is_service
    file.remove("bob")
    clock.now += 1
    await refusal(logins, bob)


async def test_unchanged_files_are_not_read_again(
    logins: Authenticator, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A look that finds nothing new costs no more than the look."""
    monkeypatch.delattr(UsersFile, "read")
    clock.now += 1
    assert (await logins.authenticate(ALICE, HERE)).name == "alice"
    assert not caplog.records


async def test_a_changed_password_ends_the_old_one(
    logins: Authenticator, file: UsersFile, clock: Clock
) -> None:
    """A confirmed login is not confirmed any more when the password was changed."""
    await logins.authenticate(ALICE, HERE)
    file.put(User("alice"), "changed", cost=CHEAP)
    clock.now += 1
    await refusal(logins, ALICE)
    assert (await logins.authenticate(basic("alice", "changed"), HERE)).name == "alice"


async def test_changes_during_a_check_count(
    logins: Authenticator, file: UsersFile, clock: Clock, checks: Checks
) -> None:
    """A user whose rights were changed, or who was removed, while bcrypt ran was let in as before."""
    file.put(User("bob"), "secret", cost=CHEAP)
    clock.now += 1

    def change() -> None:
        file.put(User("alice"), "changed", cost=CHEAP)
        file.rights_path.write_text('[bob]\nrole = "service"\n')
        clock.move(1)

    checks.on_check = change
    await refusal(logins, ALICE)
    file.rights_path.write_text("[bob]\n")
    clock.move(1)
    assert (await logins.authenticate(basic("bob", "secret"), HERE)).is_service


async def test_a_broken_edit_keeps_the_users_from_before(
    logins: Authenticator, file: UsersFile, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """A mistake is logged once, another one again, and once it is mended the file counts."""
    good = file.path.read_text()
    for broken in ("alice:plain\n", "alice:plain\n\n", f"{good}bob\n"):
        file.path.write_text(broken)
        clock.now += 1
        assert (await logins.authenticate(ALICE, HERE)).name == "alice"
    file.path.unlink()
    clock.now += 1
    assert (await logins.authenticate(ALICE, HERE)).name == "alice"
    problems = [record.message.removeprefix(str(file.path)) for record in caplog.records]
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 3
    assert [problem[:8] for problem in problems] == [", line 1", ", line 3", ": there "]
    assert all(problem.endswith("the previous users remain valid") for problem in problems)
    file.put(User("bob"), "secret", cost=CHEAP)
    clock.now += 1
    assert (await logins.authenticate(basic("bob", "secret"), HERE)).name == "bob"
    await refusal(logins, ALICE)


async def test_a_passing_problem_needs_no_second_edit(
    logins: Authenticator, file: UsersFile, clock: Clock
) -> None:
    """An edit that could not be read at first is read when that has passed."""
    file.put(User("bob"), "secret", cost=CHEAP)
    elsewhere = file.path.rename(file.path.with_name("elsewhere"))
    await refusal(logins, basic("bob", "secret"))
    clock.now += 1
    elsewhere.rename(file.path)
    assert (await logins.authenticate(basic("bob", "secret"), HERE)).name == "bob"
