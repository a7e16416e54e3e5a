"""Check of HTTP Basic credentials against the users file.

The cost of a login:

* bcrypt checks a password in a thread, two at once in the process and one for each address. Addresses take
  turns, so a flood from one address delays only that address.
* A login that bcrypt has confirmed is cached, as a hash under a random key of this process. The same login
  then costs microseconds and waits for nothing, until the stored hash changes: a right password gets in
  whatever others do.
* Any other password of a user with a confirmed login is known to be wrong, and so is any of an unknown user.
  They cost no bcrypt, but as much time as it takes.
* Guesses are limited for each name and network; beyond the limit a login is refused before it is checked.
* Wrong logins are limited by network (:mod:`fanline.security.guesses`), and beyond the limit told so. A right
  one gets in even then, so that others behind the same proxy do not keep it out.
* Neither time nor limits show which names exist, nor which users have logged in.
"""

import asyncio
import base64
import hmac
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NoReturn
from weakref import WeakValueDictionary

import bcrypt

from fanline.errors import FanlineError
from fanline.files import FollowedFile
from fanline.security.guesses import GuessLimiter, TokenBuckets, network
from fanline.security.users import MAX_NAME_LENGTH, MAX_PASSWORD_BYTES, Account, User, UsersFile
from fanline.settings import DEMO_PASSWORD, DEMO_USER

CHECKS_AT_ONCE: Final = 2
MAX_REMEMBERED_LOGINS: Final = 65_536

# Guesses for one name from one network; all are regained in this many seconds.
NAME_GUESSES: Final = 20
NAME_GUESSES_SECONDS: Final = 60.0

# The most that a login which is known to be wrong is held up.
MAX_PRETENDED_SECONDS: Final = 1.0

# Cost of a hash that protects no secret.
CHEAPEST: Final = 4

_WRONG: Final = "wrong user name or password"
_TOO_MANY: Final = "too many logins from your network were wrong; try again later"
_MALFORMED: Final = "the Authorization header must hold USER:PASSWORD in UTF-8, as base64"

logger = logging.getLogger(__name__)


class Unauthorized(FanlineError):
    """A login was refused.

    The text may be shown to the peer, and reveals no user or password.
    """


class TooManyGuesses(Unauthorized):
    """Too many logins from one network were wrong."""


class Authenticator:
    """Authenticates peers by their ``Authorization`` header.

    Changed files are read again, at most once a second. An edit with a mistake is logged once, and the
    previous users remain valid until it is corrected.

    Args:
        users_file: The users file; None for the demo user, who may do everything.
        clock: Monotonic clock, in seconds.
        sleep: Waits for a number of seconds.
        max_remembered_logins: Number of confirmed logins to keep.

    Raises:
        ConfigurationError: If the users file or the rights file is missing or has a mistake.
    """

    def __init__(
        self,
        users_file: Path | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        max_remembered_logins: int = MAX_REMEMBERED_LOGINS,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._roster = _Roster(users_file)
        self._confirmed = ConfirmedLogins(max_remembered_logins)
        self._guesses = GuessLimiter()
        # Apart, so that many unknown names do not displace those of users.
        self._name_guesses = TokenBuckets(NAME_GUESSES, NAME_GUESSES_SECONDS)
        self._unknown_guesses = TokenBuckets(NAME_GUESSES, NAME_GUESSES_SECONDS)
        self._check_seconds: float | None = None  # of the last check by bcrypt
        self._turns: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()
        self._threads = ThreadPoolExecutor(CHECKS_AT_ONCE, thread_name_prefix="bcrypt")

    async def authenticate(self, authorization: str | None, address: str) -> User:
        """Authenticate a login; may be called concurrently and cancelled.

        Args:
            authorization: Value of the header, None if missing.
            address: The peer's IP address.

        Raises:
            Unauthorized: If the header is missing or malformed, or the user or password is wrong.
            TooManyGuesses: If too many logins from the peer's network were wrong.
        """
        name, password = parse_basic(authorization)
        account = self._roster.find(name, self._clock())
        if account is None:
            await self._refuse(name, address, self._unknown_guesses)
        if not _can_be_password(password):
            await self._refuse(name, address, self._name_guesses)
        login = self._confirmed.digest(name, password, account.password_hash)
        right = self._confirmed.find(name, account.password_hash)
        if right is None:
            await self._confirm(login, account, password, address)
            stored, account = account.password_hash, self._roster.find(name, self._clock())
            if account is None or account.password_hash != stored:  # changed during the check
                raise Unauthorized(_WRONG)
        elif not hmac.compare_digest(right, login):
            await self._refuse(name, address, self._name_guesses)
        return account.user

    @property
    def generation(self) -> int:
        """A number that changes with the users or their rights."""
        return self._roster.generation(self._clock())

    @property
    def problem(self) -> str | None:
        """Reason why the present files cannot be used, or None."""
        return self._roster.problem

    def user(self, name: str) -> User | None:
        """Return the user of this name, if there is one."""
        return self._roster.user(name, self._clock())

    async def _confirm(self, login: bytes, account: Account, password: str, address: str) -> None:
        """Check the first login of a user.

        Of several equal ones that wait, only the first runs bcrypt.
        """
        name, stored = account.user.name, account.password_hash
        async with self._turn(login):
            if self._confirmed.find(name, stored) == login:
                return
            guess = self._take_guess(name, address, self._name_guesses)
            async with self._turn(network(address)):
                is_right = await self._is_password(password, stored)
            if is_right:
                self._confirmed.add(name, stored, login)
                self._name_guesses.give_back(guess)
                return
        raise self._count_wrong(address)

    async def _refuse(self, name: str, address: str, buckets: TokenBuckets) -> NoReturn:
        """Refuse a wrong login as if it had been checked."""
        self._take_guess(name, address, buckets)
        if self._check_seconds is None:
            async with self._turn(None):
                await self._measure()
        else:
            await self._sleep(self._check_seconds)
        raise self._count_wrong(address)

    def _take_guess(self, name: str, address: str, buckets: TokenBuckets) -> Hashable:
        """Take a guess for a name from a network; return its key.

        Raises:
            TooManyGuesses: If there is none.
        """
        # Of a name that is too long for a user, the rest is not kept.
        guess, now = (name[: MAX_NAME_LENGTH + 1], network(address, v6_bits=48)), self._clock()
        if not buckets.has_token(guess, now):
            raise TooManyGuesses(_TOO_MANY)
        buckets.take(guess, now)
        return guess

    def _count_wrong(self, address: str) -> Unauthorized:
        """Count a wrong login, and return how it is refused."""
        now = self._clock()
        is_within = self._guesses.may_guess(address, now)
        self._guesses.count(address, now)
        return Unauthorized(_WRONG) if is_within else TooManyGuesses(_TOO_MANY)

    async def _measure(self) -> None:
        """Take the time of a check, unless it is known."""
        if self._check_seconds is None:
            await self._is_password("", self._roster.any_hash)

    def _turn(self, key: Hashable) -> asyncio.Lock:
        """Return the lock of a login or address.

        It is freed when no task holds or awaits it.
        """
        return self._turns.setdefault(key, asyncio.Lock())

    async def _is_password(self, password: str, password_hash: str) -> bool:
        secret = password.encode()
        loop = asyncio.get_running_loop()
        begun = self._clock()
        # An executor of its own: the check of a peer that hangs up continues and still counts as one of two.
        is_right = await loop.run_in_executor(self._threads, bcrypt.checkpw, secret, password_hash.encode())
        self._check_seconds = min(self._clock() - begun, MAX_PRETENDED_SECONDS)
        return is_right


class _Roster:
    """The current accounts: those of the users file, or the demo account."""

    def __init__(self, path: Path | None) -> None:
        self._generation = 1
        self._demo = _demo_accounts() if path is None else {}
        self._file: FollowedFile[dict[str, Account]] | None = None
        if path is not None:
            file = UsersFile(path)
            self._file = FollowedFile(file.read, file.version, kept="the previous users remain valid")
        self._path = path

    @property
    def problem(self) -> str | None:
        """Reason why the present files cannot be used, or None."""
        return None if self._file is None else self._file.problem

    def find(self, name: str, now: float) -> Account | None:
        """Return the account of a user, if there is one."""
        self._refresh(now)
        return self._accounts.get(name)

    @property
    def _accounts(self) -> dict[str, Account]:
        return self._demo if self._file is None else self._file.value

    @property
    def any_hash(self) -> str:
        """A stored hash, which shows what a check costs."""
        hashes = (account.password_hash for account in self._accounts.values())
        return next(hashes, None) or bcrypt.hashpw(b"", bcrypt.gensalt(CHEAPEST)).decode()

    def generation(self, now: float) -> int:
        """Return how often accounts were read."""
        self._refresh(now)
        return self._generation

    def user(self, name: str, now: float) -> User | None:
        """Return the user of an account's name, if there is one."""
        account = self.find(name, now)
        return None if account is None else account.user

    def _refresh(self, now: float) -> None:
        if self._file is not None and self._file.look_at_times(now):
            self._generation += 1
            logger.info("%s: read again, %d users", self._path, len(self._file.value))


class ConfirmedLogins:
    """Cache of logins that bcrypt has confirmed, one for each user.

    The least recently used are dropped. An entry is a hash of name, password and stored hash under a random
    key of this process: without the key no password can be tried on it, and once the stored hash has changed
    it is never found.

    Args:
        limit: Number of logins to keep.
    """

    def __init__(self, limit: int = MAX_REMEMBERED_LOGINS) -> None:
        self._limit = limit
        self._key = secrets.token_bytes(32)
        self._digests: OrderedDict[tuple[str, str], bytes] = OrderedDict()

    def digest(self, name: str, password: str, password_hash: str) -> bytes:
        """Return the digest of a login.

        Names and hashes have no colon, so it is unambiguous.
        """
        return hmac.digest(self._key, f"{name}:{password_hash}:{password}".encode(), "sha256")

    def add(self, name: str, password_hash: str, digest: bytes) -> None:
        """Add a confirmed login."""
        self._digests[name, password_hash] = digest
        if len(self._digests) > self._limit:
            self._digests.popitem(last=False)

    def find(self, name: str, password_hash: str) -> bytes | None:
        """Return the digest of a user's right login, if known."""
        digest = self._digests.get((name, password_hash))
        if digest is not None:
            self._digests.move_to_end((name, password_hash))
        return digest


def parse_basic(authorization: str | None) -> tuple[str, str]:
    """Parse Basic credentials (RFC 7617, in UTF-8); return name and password.

    Raises:
        Unauthorized: If the header is missing or malformed.
    """
    if authorization is None:
        raise Unauthorized("log in with user name and password (HTTP Basic)")
    scheme, _, token = authorization.strip().partition(" ")
    if scheme.lower() != "basic":
        raise Unauthorized("the Authorization header must be of the Basic scheme")
    try:
        name, colon, password = base64.b64decode(token.strip(), validate=True).decode().partition(":")
    except ValueError:  # not base64 or not UTF-8; no chaining, because the error may hold the password
        raise Unauthorized(_MALFORMED) from None
    if not colon:
        raise Unauthorized(_MALFORMED)
    return name, password


def _can_be_password(password: str) -> bool:
    """Return whether a user can have a password."""
    secret = password.encode()
    # bcrypt does not hash what is over its limit, and to it `pw\0pw` is `pw`.
    return len(secret) <= MAX_PASSWORD_BYTES and b"\0" not in secret


def _demo_accounts() -> dict[str, Account]:
    user = User(DEMO_USER, is_service=True)
    return {
        DEMO_USER: Account(user, bcrypt.hashpw(DEMO_PASSWORD.encode(), bcrypt.gensalt(CHEAPEST)).decode())
    }
