"""Tests of logins: who is let in, what it costs, and who waits for whom."""

import asyncio
import base64
import gc
import logging
import re
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanline.errors import ConfigurationError
from fanline.security import authenticator as auth
from fanline.security.authenticator import (
    Authenticator,
    TooManyGuesses,
    Unauthorized,
)
from fanline.security.users import User, UsersFile

CHEAP = 4
DEADLINE = 20.0
HERE, THERE, ELSEWHERE = "192.0.2.1", "198.51.100.2", "203.0.113.3"


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


ALICE = basic("alice", "secret")


class Clock:
    """A clock that stands still unless it is moved, and whose sleep is over at once, or when it is woken."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []
        self.awake = asyncio.Event()
        self.awake.set()
        self.asleep = asyncio.Event()

    def __call__(self) -> float:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += seconds

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.asleep.set()
        await self.awake.wait()


class Checks:
    """Stands before bcrypt: counts its calls, and holds those back that a test wants to be under way."""

    def __init__(self) -> None:
        self.hashes: list[bytes] = []
        self.most_at_once = 0
        self.held: set[str] = set()
        self.on_check: Callable[[], None] = lambda: None
        self.released = threading.Event()
        self._at_once = 0
        self._begun = threading.Semaphore(0)
        self._lock = threading.Lock()
        self._checkpw = bcrypt.checkpw

    @property
    def count(self) -> int:
        return len(self.hashes)

    def __call__(self, password: bytes, password_hash: bytes) -> bool:
        self.on_check()
        with self._lock:
            self.hashes.append(password_hash)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        self._begun.release()
        if password.decode() in self.held:
            assert self.released.wait(DEADLINE)
        with self._lock:
            self._at_once -= 1
        return self._checkpw(password, password_hash)

    async def begun(self) -> None:
        """Wait until one more check has begun."""
        assert await asyncio.to_thread(self._begun.acquire, timeout=DEADLINE)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Checks]:
    checks = Checks()
    monkeypatch.setattr(bcrypt, "checkpw", checks)
    yield checks
    checks.released.set()


@pytest.fixture
def file(tmp_path: Path) -> UsersFile:
    file = UsersFile(tmp_path / "users")
    file.put(User("alice", publish=("orders.>",)), "secret", cost=CHEAP)
    return file


@pytest.fixture
def logins(file: UsersFile, clock: Clock) -> Authenticator:
    return Authenticator(file.path, clock=clock, sleep=clock.sleep)


async def refusal(logins: Authenticator, authorization: str | None, address: str = HERE) -> str:
    with pytest.raises(Unauthorized) as raised:
        await logins.authenticate(authorization, address)
    return str(raised.value)


@asynccontextmanager
async def under_way(logins: Authenticator, *authorizations: str) -> AsyncIterator[list[asyncio.Task[User]]]:
    """Have logins from one address under way, and stop them in the end."""
    tasks = [asyncio.create_task(logins.authenticate(each, HERE)) for each in authorizations]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


# Who is let in


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
    for number in range(10):
        await refusal(logins, basic("alice", f"guess {number}"))
    with pytest.raises(TooManyGuesses):
        await logins.authenticate(ALICE, HERE)
    assert (await logins.authenticate(ALICE, THERE)).name == "alice"
    assert (await logins.authenticate(ALICE, HERE)).name == "alice"
    assert checks.count == 11


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
        await logins.authenticate(basic("mallory", "guess"), other)
    assert isinstance(refused.value, TooManyGuesses) is alike


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
    logins: Authenticator, file: UsersFile, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An edit that could not be read at first is read when that has passed."""
    file.put(User("bob"), "secret", cost=CHEAP)

    def exhausted(_: UsersFile) -> None:
        raise ConfigurationError("too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(UsersFile, "read", exhausted)
        await refusal(logins, basic("bob", "secret"))
    clock.now += 1
    assert (await logins.authenticate(basic("bob", "secret"), HERE)).name == "bob"
