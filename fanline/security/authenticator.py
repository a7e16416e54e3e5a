"""Check HTTP Basic credentials against the users file.

The cost of a login:

* bcrypt checks a password in a thread, two at once in the process and one for each address. Addresses take
  turns, so a flood from one address delays only that address.
* A login that bcrypt has confirmed is cached, as a hash under a random key of this process. The same login
  then costs microseconds and waits for nothing, until the stored hash changes.
* A wrong password is never cached: each costs a bcrypt check. So does an unknown user: neither the answer
  nor its time shows which names exist.
* After repeated failures of an address, the *answer* to the next failure is delayed, not the check: a
  right password from behind the same router waits for other checks, never for delays.
"""

import asyncio
import base64
import hmac
import ipaddress
import logging
import secrets
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NoReturn
from weakref import WeakValueDictionary

import bcrypt

from fanline.errors import ConfigurationError, FanlineError
from fanline.security.users import BCRYPT_COST, MAX_PASSWORD_BYTES, Account, User, UsersFile
from fanline.settings import DEMO_PASSWORD, DEMO_USER

CHECKS_AT_ONCE: Final = 2
SECONDS_BETWEEN_LOOKS: Final = 1.0
MAX_REMEMBERED_LOGINS: Final = 65_536

# Five failures within a minute are answered at once; the next ones after 0.25, 0.5, 1, 2 and 4 s.
FREE_FAILURES: Final = 5
SECONDS_TO_FORGET_ONE: Final = 12.0
FIRST_DELAY: Final = 0.25
MAX_FAILURES: Final = 10
MAX_FAILED_ADDRESSES: Final = 10_000

_MALFORMED: Final = "the Authorization header must hold USER:PASSWORD in UTF-8, as base64"

logger = logging.getLogger(__name__)


class Unauthorized(FanlineError):
    """A login was refused; the text may be shown to the peer and reveals no user or password."""


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
        self._failures = FailureDelay()
        self._turns: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()
        self._threads = ThreadPoolExecutor(CHECKS_AT_ONCE, thread_name_prefix="bcrypt")

    async def authenticate(self, authorization: str | None, address: str) -> User:
        """Authenticate a login; may be called concurrently and cancelled.

        Args:
            authorization: Value of the header, None if missing.
            address: The peer's IP address.

        Raises:
            Unauthorized: If the header is missing or malformed, or the user or password is wrong; in the
                last case up to 4 seconds later.
        """
        name, password = parse_basic(authorization)
        account = self._roster.find(name, self._clock())
        login = self._confirmed.digest(name, password, account.password_hash)
        if login not in self._confirmed:
            await self._confirm(login, password, account.password_hash, network(address))
        return account.user

    @property
    def generation(self) -> int:
        """A number that changes with the users or their rights."""
        return self._roster.generation(self._clock())

    def user(self, name: str) -> User | None:
        """Return the user of this name, if there is one."""
        return self._roster.user(name, self._clock())

    async def _confirm(self, login: bytes, password: str, password_hash: str, network: str) -> None:
        """Check a login; of several equal ones that wait, only the first runs bcrypt."""
        async with self._turn(login), self._turn(network):
            if login in self._confirmed or await self._is_password(password, password_hash):
                self._confirmed.add(login)
                return
        await self._refuse(network)

    def _turn(self, key: Hashable) -> asyncio.Lock:
        """Return the lock of a login or address; it is freed when no task holds or awaits it."""
        return self._turns.setdefault(key, asyncio.Lock())

    async def _is_password(self, password: str, password_hash: str) -> bool:
        secret = password.encode()
        # No user can have it: bcrypt does not hash the rest, and to it `pw\0pw` is `pw`.
        if len(secret) > MAX_PASSWORD_BYTES or b"\0" in secret:
            return False
        loop = asyncio.get_running_loop()
        # An executor of its own: the check of a peer that hangs up continues and still counts as one of two.
        return await loop.run_in_executor(self._threads, bcrypt.checkpw, secret, password_hash.encode())

    async def _refuse(self, network: str) -> NoReturn:
        now = self._clock()
        self._failures.failed(network, now)
        await self._sleep(self._failures.delay(network, now))
        raise Unauthorized("wrong user name or password")


class FailureDelay:
    """Delay of the answer to a failed login, by address.

    Each failure adds one, and one is removed every 12 seconds. Up to five cause no delay; each further one
    doubles it, up to 4 seconds. At most 10,000 addresses are kept: the one that failed least recently is
    dropped for a new one.

    ``now`` is in seconds of any monotonic clock.
    """

    def __init__(self) -> None:
        self._counts: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        """Return the number of addresses that are kept."""
        return len(self._counts)

    def failed(self, address: str, now: float) -> None:
        """Count a failure."""
        self._counts[address] = (min(self._count(address, now) + 1, MAX_FAILURES), now)
        self._counts.move_to_end(address)
        if len(self._counts) > MAX_FAILED_ADDRESSES:
            self._counts.popitem(last=False)

    def delay(self, address: str, now: float) -> float:
        """Return the seconds by which to delay an answer."""
        excess = self._count(address, now) - FREE_FAILURES
        return FIRST_DELAY * 2.0 ** (excess - 1) if excess > 0 else 0.0

    def _count(self, address: str, now: float) -> float:
        count, then = self._counts.get(address, (0.0, now))
        return max(0.0, count - (now - then) / SECONDS_TO_FORGET_ONE)


def network(address: str) -> str:
    """Return the network that an IP address is counted as: in IPv6 the /64, which one customer owns."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv4Address):
        return address
    if ip.ipv4_mapped:
        return str(ip.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(ip), 64), strict=False))


class _Roster:
    """The current accounts: those of the users file, or the demo account."""

    def __init__(self, path: Path | None) -> None:
        self._file = None if path is None else UsersFile(path)
        self._version: object = None
        self._complaint: str | None = None
        self._next_look = 0.0
        self._generation = 0
        if self._file is None:
            self._adopt(_demo_accounts())
        else:
            self._load(self._file)

    def find(self, name: str, now: float) -> Account:
        """Return the account of a user; for an unknown name one that no password matches."""
        self._refresh(now)
        return self._accounts.get(name, self._decoy)

    def generation(self, now: float) -> int:
        """Return how often accounts were read."""
        self._refresh(now)
        return self._generation

    def user(self, name: str, now: float) -> User | None:
        """Return the user of an account of this name, if there is one."""
        self._refresh(now)
        account = self._accounts.get(name)
        return None if account is None else account.user

    def _refresh(self, now: float) -> None:
        if self._file is not None and now >= self._next_look:
            self._next_look = now + SECONDS_BETWEEN_LOOKS
            self._look(self._file)

    def _look(self, file: UsersFile) -> None:
        if file.version() == self._version:
            return
        try:
            self._load(file)
        except ConfigurationError as error:
            self._complain(str(error))
        else:
            logger.info("%s: read again, %d users", file.path, len(self._accounts))

    def _load(self, file: UsersFile) -> None:
        version = file.version()  # before reading: a change during it is found at the next look
        self._adopt(file.read())
        self._version, self._complaint = version, None

    def _adopt(self, accounts: Mapping[str, Account]) -> None:
        self._accounts = accounts
        self._generation += 1
        self._decoy = _decoy(accounts)

    def _complain(self, mistake: str) -> None:
        """Log a mistake once, although each look finds it again until it is corrected."""
        if mistake != self._complaint:
            logger.error("%s; the previous users remain valid", mistake)
            self._complaint = mistake


class ConfirmedLogins:
    """Cache of logins that bcrypt has confirmed; the least recently used are dropped.

    An entry is a hash of name, password and stored hash under a random key of this process: without the key
    no password can be tried on it, and once the stored hash has changed it is never found.

    Args:
        limit: Number of logins to keep.
    """

    def __init__(self, limit: int = MAX_REMEMBERED_LOGINS) -> None:
        self._limit = limit
        self._key = secrets.token_bytes(32)
        self._digests: OrderedDict[bytes, None] = OrderedDict()

    def digest(self, name: str, password: str, password_hash: str) -> bytes:
        """Return the key of a login; names and hashes have no colon, so it is unambiguous."""
        return hmac.digest(self._key, f"{name}:{password_hash}:{password}".encode(), "sha256")

    def add(self, digest: bytes) -> None:
        """Add a confirmed login."""
        self._digests[digest] = None
        if len(self._digests) > self._limit:
            self._digests.popitem(last=False)

    def __contains__(self, digest: bytes) -> bool:
        if digest not in self._digests:
            return False
        self._digests.move_to_end(digest)
        return True


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


def _demo_accounts() -> dict[str, Account]:
    user = User(DEMO_USER, is_service=True)
    return {DEMO_USER: Account(user, bcrypt.hashpw(DEMO_PASSWORD.encode(), bcrypt.gensalt(4)).decode())}


def _decoy(accounts: Mapping[str, Account]) -> Account:
    """Create an account that no password matches, as costly to check as most others."""
    costs = Counter(int(account.password_hash[4:6]) for account in accounts.values())
    cost = costs.most_common(1)[0][0] if costs else BCRYPT_COST
    return Account(User("nobody", publish=(), subscribe=()), bcrypt.gensalt(cost).decode() + "." * 31)
