"""Limits on wrong passwords."""

import pytest

from fanline.security.authenticator import (
    Authenticator,
    TooManyGuesses,
    Unauthorized,
)
from fanline.security.users import User, UsersFile
from tests.fanline.security.authenticator.conftest import (
    ALICE,
    CHEAP,
    HERE,
    THERE,
    Checks,
    Clock,
    basic,
    refusal,
)


async def test_guesses_beyond_the_limit_are_not_checked(
    logins: Authenticator, checks: Checks, clock: Clock
) -> None:
    """A bucket stands before the check: the delay held back answers, and not guesses."""
    await logins.authenticate(ALICE, THERE)
    wrong = basic("alice", "guess")
    for _ in range(20):
        assert await refusal(logins, wrong) == "wrong user name or password"
    for _ in range(100):
        with pytest.raises(TooManyGuesses):
            await logins.authenticate(wrong, HERE)
    assert await refusal(logins, wrong, THERE) == "wrong user name or password"
    clock.now += 3
    assert await refusal(logins, wrong) == "wrong user name or password"
    with pytest.raises(TooManyGuesses):
        await logins.authenticate(wrong, HERE)
    assert checks.count == 1


async def test_a_right_password_gets_in_behind_a_proxy(
    logins: Authenticator, file: UsersFile, clock: Clock
) -> None:
    """However many wrong logins came from the same address, also for a user who was not there before."""
    file.put(User("bob"), "secret", cost=CHEAP)
    clock.now += 1
    await logins.authenticate(ALICE, HERE)
    for name in ("alice", "mallory"):
        for _ in range(50):
            await refusal(logins, basic(name, "guess"))
    assert (await logins.authenticate(ALICE, HERE)).name == "alice"
    assert (await logins.authenticate(basic("bob", "secret"), HERE)).name == "bob"


async def test_guesses_at_the_first_login_are_limited(logins: Authenticator, checks: Checks) -> None:
    """Before a user has logged in, guesses are limited for this name and network, and no other."""
    for number in range(20):
        await refusal(logins, basic("alice", f"guess {number}"))
    with pytest.raises(TooManyGuesses):
        await logins.authenticate(ALICE, HERE)
    assert (await logins.authenticate(ALICE, THERE)).name == "alice"
    assert (await logins.authenticate(ALICE, HERE)).name == "alice"
    assert checks.count == 21


async def test_limits_do_not_show_which_names_exist(file: UsersFile, clock: Clock, checks: Checks) -> None:
    """An unknown name had 20 guesses, a user who had not logged in 10, which the limit of all left alone."""
    file.put(User("bob"), "secret", cost=CHEAP)
    file.put(User("carol"), "secret", cost=CHEAP)
    told: list[list[str]] = []
    for name in ("alice", "bob", "mallory"):  # has logged in, has not, is unknown
        logins = Authenticator(file.path, clock=clock, sleep=clock.sleep)
        await logins.authenticate(ALICE, THERE)
        told.append([await refusal(logins, basic(name, "guess")) for _ in range(21)])
        told[-1] += [await refusal(logins, basic(other, "x")) for other in ("alice", "carol", "trudy")]
    assert told[0] == told[1] == told[2]
    assert [each.split(" ")[0] for each in told[0]] == ["wrong"] * 20 + ["too"] * 4


async def test_a_flood_from_many_addresses_delays_no_first_login(
    logins: Authenticator, checks: Checks, file: UsersFile, clock: Clock
) -> None:
    """Wrong logins from 600 addresses kept the right ones that were not remembered out for 10 s."""
    file.put(User("bob"), "secret", cost=CHEAP)
    clock.now += 1
    await logins.authenticate(ALICE, HERE)
    for number in range(600):
        name = "alice" if number % 2 else "mallory"
        await refusal(logins, basic(name, "guess"), f"10.{number // 200}.{number % 200}.1")
    assert (await logins.authenticate(basic("bob", "secret"), THERE)).name == "bob"
    assert checks.count == 2


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("", "", True),
    ],
)
async def test_addresses_of_one_network_count_as_one(
    logins: Authenticator, one: str, other: str, alike: bool
) -> None:
    """The addresses of one IPv6 network count as one."""
    for _ in range(20):
        await refusal(logins, basic("mallory", "guess"), one)
    with pytest.raises(Unauthorized) as refused:
        await logins.authenticate(basic("trudy", "guess"), other)
    assert isinstance(refused.value, TooManyGuesses) is alike
