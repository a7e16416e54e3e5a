"""A file of users, its authenticator, a clock, and a count of password checks."""

import asyncio
import base64
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import bcrypt
import pytest

from fanline.security.authenticator import (
    Authenticator,
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
