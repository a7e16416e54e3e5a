"""Checks of passwords: their cost, and who waits for whom."""

import asyncio
import gc

import pytest

from fanline.security import authenticator as auth
from fanline.security.authenticator import (
    Authenticator,
)
from fanline.security.users import User, UsersFile
from tests.fanline.security.authenticator.conftest import (
    ALICE,
    CHEAP,
    DEADLINE,
    ELSEWHERE,
    HERE,
    THERE,
    Checks,
    Clock,
    basic,
    refusal,
    under_way,
)

# What it costs


async def test_a_login_is_checked_once(logins: Authenticator, checks: Checks) -> None:
    """The same login again, from wherever, costs no bcrypt."""
    for address in (HERE, THERE, HERE):
        assert (await logins.authenticate(ALICE, address)).name == "alice"
    assert checks.count == 1


async def test_a_wrong_password_costs_a_check_at_first(logins: Authenticator, checks: Checks) -> None:
    """Until a user has logged in failures cost bcrypt; after that any other password is known to be wrong."""
    wrong = basic("alice", "guess")
    await refusal(logins, wrong)
    await asyncio.gather(*(refusal(logins, wrong) for _ in range(5)))
    assert checks.count == 6
    await logins.authenticate(ALICE, HERE)
    await refusal(logins, wrong)
    assert checks.count == 7


async def test_an_unknown_user_takes_as_long_as_a_known_one(
    logins: Authenticator, checks: Checks, clock: Clock
) -> None:
    """Time does not tell which users exist: a refusal without a check waits as long as the last one took."""
    checks.on_check = lambda: clock.move(0.4)
    await logins.authenticate(ALICE, HERE)
    await refusal(logins, basic("mallory", "guess"))
    await refusal(logins, basic("alice", "guess"))
    assert checks.count == 1
    assert clock.slept == pytest.approx([0.4, 0.4])


async def test_the_first_unknown_name_takes_as_long_as_a_check(
    logins: Authenticator, checks: Checks, clock: Clock
) -> None:
    """Until there was a check unknown names were refused at once; so were passwords that none can have."""
    checks.on_check = lambda: clock.move(0.4)
    await refusal(logins, basic("mallory", "guess"))
    assert (checks.count, clock.slept) == (1, [])
    await refusal(logins, basic("mallory", "guess"))
    await refusal(logins, basic("alice", "x" * 100))
    assert checks.count == 1
    assert clock.slept == pytest.approx([0.4, 0.4])


async def test_alike_logins_share_a_check(logins: Authenticator, checks: Checks) -> None:
    """A service that connects many times at once, from several machines, costs one bcrypt."""
    users = await asyncio.gather(
        *(logins.authenticate(ALICE, address) for address in (HERE, THERE, ELSEWHERE) * 10)
    )
    assert [user.name for user in users] == ["alice"] * 30
    assert checks.count == 1


async def test_a_shared_check_survives_its_first_caller(logins: Authenticator, checks: Checks) -> None:
    """When the first of several alike logins is cancelled, the others are served all the same."""
    checks.held.add("secret")
    async with under_way(logins, ALICE, ALICE) as (first, second):
        await checks.begun()
        first.cancel()
        await asyncio.wait([first])
        checks.released.set()
        assert (await second).name == "alice"
    assert first.cancelled()


async def test_confirmed_logins_are_bounded(checks: Checks, file: UsersFile) -> None:
    """The login that was not used for the longest time is forgotten, and costs a check again."""
    logins = Authenticator(file.path, max_remembered_logins=2)
    for name in ("bob", "carol"):
        file.put(User(name), "secret", cost=CHEAP)
    for name in ("alice", "bob", "alice", "carol", "alice"):
        await logins.authenticate(basic(name, "secret"), HERE)
    assert checks.count == 3
    await logins.authenticate(basic("bob", "secret"), HERE)
    assert checks.count == 4


def test_a_remembered_login_is_of_no_use_elsewhere() -> None:
    """A cached login depends on a key that each process generates."""
    digests = {auth.ConfirmedLogins().digest("alice", "secret", "hash") for _ in range(3)}
    assert len(digests) == 3


# Who waits for whom


async def test_two_checks_at_most_run_at_once(logins: Authenticator, checks: Checks) -> None:
    """Also when peers hang up: their checks cannot be stopped, and still count."""
    checks.held |= {"0", "1", "2", "3", "4", "5"}
    addresses = (HERE, THERE, ELSEWHERE)

    def guesses(numbers: range) -> list[asyncio.Task[str]]:
        return [
            asyncio.create_task(refusal(logins, basic("alice", str(number)), addresses[number % 3]))
            for number in numbers
        ]

    early = guesses(range(3))
    await checks.begun()
    await checks.begun()
    for task in early:
        task.cancel()
    await asyncio.wait(early)
    late = guesses(range(3, 6))
    await asyncio.sleep(0)
    checks.released.set()
    await asyncio.gather(*late)
    assert checks.most_at_once == 2


async def test_a_flood_from_one_address_delays_no_other(logins: Authenticator, checks: Checks) -> None:
    """However many guesses wait at one address, a login from another is checked at once."""
    guesses = [str(number) for number in range(50)]
    checks.held |= set(guesses)
    async with under_way(logins, *(basic("alice", guess) for guess in guesses)), asyncio.timeout(DEADLINE):
        await checks.begun()
        assert (await logins.authenticate(ALICE, THERE)).name == "alice"
    assert checks.count == 2


async def test_a_confirmed_login_waits_for_nothing(
    logins: Authenticator, checks: Checks, file: UsersFile, clock: Clock
) -> None:
    """It is let in while a check from the same address is under way."""
    file.put(User("bob"), "secret", cost=CHEAP)
    clock.now += 1
    await logins.authenticate(ALICE, HERE)
    await checks.begun()
    checks.held.add("guess")
    async with under_way(logins, basic("bob", "guess")), asyncio.timeout(DEADLINE):
        await checks.begun()
        assert (await logins.authenticate(ALICE, HERE)).name == "alice"


def count_locks() -> int:
    """Return the number of locks that exist in this process."""
    gc.collect()
    return sum(type(each) is asyncio.Lock for each in gc.get_objects())


async def test_nothing_is_kept_of_those_who_left(logins: Authenticator, checks: Checks) -> None:
    """When all are answered or gone, and their checks over, no turn of a login or address is kept."""
    before = count_locks()
    checks.held.add("held")
    async with under_way(logins, basic("alice", "held"), basic("alice", "held"), basic("alice", "other")):
        await checks.begun()
        assert count_locks() > before
    checks.released.set()
    async with asyncio.timeout(DEADLINE):
        while count_locks() > before:
            await asyncio.sleep(0.01)
