"""Users: the users file and the rights file, read and edited.

The users file has a line for each user in htpasswd format, hashed with bcrypt; edits keep blank lines and
comments::

    # the shop
    alice:$2b$12$…

The rights file, of the same name with ``.toml`` added, has a table for each user::

    [alice]
    publish = ["orders.>"]      # patterns of topics to publish on; [">"] if left out
    subscribe = ["orders.*"]    # patterns that cover what to subscribe to; [">"] if left out
    role = "service"            # may use /pushmsg and /popmsg, and set `from`; "user" if left out
    role = "admin"              # or: may disconnect users and revoke tokens

Where the two files disagree, the lesser right counts, and a warning names the file: a user without a table
has no rights, and a table without a user is ignored. Only without any rights file has every user the default
rights; the line ``# The rights are in users.toml.`` in the users file says that there must be one.

An edit replaces each file as a whole.
"""

import logging
import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import bcrypt
import tomli_w

from fanline import files
from fanline.errors import ConfigurationError, ErrorCode, Rejected
from fanline.files import typed
from fanline.protocol.topics import covers, require_pattern, watched_pattern

MAX_NAME_LENGTH: Final = 64
MAX_PASSWORD_BYTES: Final = 72  # bcrypt takes no more
BCRYPT_COST: Final = 10  # about 50 ms; more would slow down the reconnect of all users after a restart

EVERY_PATTERN: Final = (">",)

# The 22nd character of a salt holds only two bits; the library takes no other spelling of them.
_BCRYPT_HASH: Final = re.compile(
    r"\$2[aby]\$(?:0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}"
)
_RIGHTS_HEADER: Final = "# What each user may do. `fanline user` replaces this file, without comments.\n"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class User:
    """An account's name and rights.

    A wildcard in the first token does not match system topics (``$…``): they need a pattern that begins with
    ``$``. Only for a service does ``>`` match everything.

    Attributes:
        name: 1 to 64 printable characters, without whitespace or colon, not beginning with ``#``.
        publish: Patterns of topics that the user may publish to.
        subscribe: Patterns that cover what the user may subscribe to.
        is_service: May use ``/pushmsg`` and ``/popmsg``, and publish in the names of others.
        is_admin: May use ``/admin``; so may a service.

    Raises:
        ConfigurationError: If the name or a pattern is not valid.
    """

    name: str
    publish: tuple[str, ...] = EVERY_PATTERN
    subscribe: tuple[str, ...] = EVERY_PATTERN
    is_service: bool = False
    is_admin: bool = False

    def __post_init__(self) -> None:
        if self.is_service and self.is_admin:
            raise ConfigurationError("a user has one role: service or admin")
        if problem := _name_problem(self.name):
            raise ConfigurationError(problem)
        _require_patterns("publish", self.publish)
        _require_patterns("subscribe", self.subscribe)

    @property
    def role(self) -> str:
        """The role: ``service``, ``admin`` or ``user``."""
        return "service" if self.is_service else "admin" if self.is_admin else "user"

    @property
    def may_administer(self) -> bool:
        """Return whether the user may disconnect others and revoke their tokens."""
        return self.is_service or self.is_admin

    def may_publish(self, topic: str) -> bool:
        """Return whether the user may publish to a valid topic."""
        return _allows(self.publish, self.is_service, topic)

    def may_subscribe(self, pattern: str) -> bool:
        """Return whether one of the user's patterns covers a valid pattern.

        Who may subscribe to a topic may also see who is present on it.
        """
        watched = watched_pattern(pattern)
        return _allows(self.subscribe, self.is_service, pattern) or (
            watched is not None and _allows(self.subscribe, self.is_service, watched)
        )

    def require_subscribe(self, pattern: str) -> None:
        """Raise Rejected unless the user may subscribe to a valid pattern."""
        if not self.may_subscribe(pattern):
            reason = f'{self.name} may not subscribe to "{pattern}": ask the operator for the right'
            raise Rejected(ErrorCode.FORBIDDEN, reason)


@dataclass(frozen=True, slots=True)
class Account:
    """A user, and the bcrypt hash of the password."""

    user: User
    password_hash: str = field(repr=False)


class UsersFile:
    """The users file and its rights file.

    Edits leave files of mode 600 with the same owner as before; edits by several processes wait for each
    other.

    Args:
        path: The users file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rights_path = Path(f"{path}.toml")

    def read(self, *, missing_ok: bool = False) -> dict[str, Account]:
        """Return the accounts by name, in the order of the file.

        Args:
            missing_ok: Treat a missing users file as empty.

        Raises:
            ConfigurationError: If a file cannot be read, or has a mistake; the text says which, and where.
        """
        while True:
            version = self.version()
            accounts = self._read_both(missing_ok=missing_ok)
            if self.version() == version:  # else one file may be older than the other
                return accounts

    def put(self, user: User, password: str, *, cost: int = BCRYPT_COST) -> None:
        """Add or replace a user, creating missing files and folders.

        Args:
            user: The name and the rights.
            password: 1 to 72 bytes in UTF-8.
            cost: Binary logarithm of the work to check the password.

        Raises:
            ConfigurationError: If the password does not fit, or a file has a mistake or cannot be written.
        """
        entry = f"{user.name}:{_hash(password, cost)}"
        with _translated(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with files.locked(self.path.parent):
                accounts = self.read(missing_ok=True)
                rights = self._read_rights()
                if rights is None or rights.get(user.name) != user:
                    before = {name: account.user for name, account in accounts.items()}
                    self._write_rights((before if rights is None else rights) | {user.name: user})
                self._write_entry(user.name, entry)

    def remove(self, name: str) -> None:
        """Remove a user and the user's rights.

        Raises:
            ConfigurationError: If there is no such user, or a file has a mistake or cannot be written.
        """
        with _translated(self.path), files.locked(self.path.parent):
            if name not in self.read():
                raise ConfigurationError(f"{self.path}: there is no user {name!a}")
            self._write_entry(name, None)
            rights = self._read_rights() or {}
            if rights.pop(name, None):
                self._write_rights(rights)

    def version(self) -> tuple[object, object]:
        """Return a value that changes when one of the files changes."""
        return files.version(self.path), files.version(self.rights_path)

    def _read_both(self, *, missing_ok: bool) -> dict[str, Account]:
        text = _read(self.path)
        if text is None and not missing_ok:
            raise ConfigurationError(
                f"{self.path}: there is no such file; `{typed('fanline')} user add NAME` makes it"
            )
        hashes = self._parse_hashes(text or "")
        rights = self._read_rights()
        if rights is None:
            if self._mark in (text or "").splitlines():
                problem = f"is missing, and {self.path} says that the rights are there"
                raise ConfigurationError(f"{self.rights_path}: {problem}; restore it, or remove that line")
            rights = {name: User(name) for name in hashes}
        for name in sorted(rights.keys() - hashes.keys()):
            logger.warning("%s: [%s] is ignored: %s has no such user", self.rights_path, name, self.path)
        for name in sorted(hashes.keys() - rights.keys()):
            logger.warning("%s: there is no [%s], so this user has no rights", self.rights_path, name)
        return {
            name: Account(rights.get(name) or User(name, (), ()), hashed) for name, hashed in hashes.items()
        }

    def _parse_hashes(self, text: str) -> dict[str, str]:
        hashes: dict[str, str] = {}
        for number, line in enumerate(text.split("\n"), start=1):
            entry = line.strip()
            if not entry or entry.startswith("#"):
                continue
            name, _, hashed = entry.partition(":")
            if problem := _entry_problem(name, hashed, taken=name in hashes):
                raise ConfigurationError(f"{self.path}, line {number}: {problem}")
            hashes[name] = hashed
        return hashes

    @property
    def _mark(self) -> str:
        """The line of the users file that announces a rights file."""
        return f"# The rights are in {self.rights_path.name}."

    def _read_rights(self) -> dict[str, User] | None:
        """Return the users of the rights file; None without one."""
        text = _read(self.rights_path)
        if text is None:
            return None
        try:
            tables = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigurationError(f"{self.rights_path}: {error}") from error
        return {name: _user(name, table, f"{self.rights_path}: [{name}]") for name, table in tables.items()}

    def _write_entry(self, name: str, entry: str | None) -> None:
        """Replace or append the line of a user; None removes it."""
        text = _read(self.path)
        lines = text.removesuffix("\n").split("\n") if text else []
        names = [line.strip().partition(":")[0] for line in lines]
        place = names.index(name) if name in names else len(lines)
        lines[place : place + 1] = [] if entry is None else [entry]
        if entry is not None and self._mark not in lines:
            lines.insert(0, self._mark)
        _write(self.path, "".join(f"{line}\n" for line in lines))

    def _write_rights(self, users: Mapping[str, User]) -> None:
        tables = {name: _table(user) for name, user in users.items()}
        _write(self.rights_path, f"{_RIGHTS_HEADER}\n{tomli_w.dumps(tables)}")


def _name_problem(name: str) -> str | None:
    if not 1 <= len(name) <= MAX_NAME_LENGTH:
        return f"a user name has 1 to {MAX_NAME_LENGTH} characters, and this one {len(name)}"
    if name.startswith("#"):
        return f"{name!a} is not a user name: it begins with #, as comments do"
    if not name.isprintable() or " " in name or ":" in name:
        return f"{name!a} is not a user name: it has whitespace, a control character or a colon"
    return None


def _require_patterns(key: str, patterns: tuple[str, ...]) -> None:
    for pattern in patterns:
        try:
            require_pattern(pattern)
        except Rejected as error:
            raise ConfigurationError(f"{key}: {error.reason}") from error


@lru_cache(maxsize=16_384)
def _allows(patterns: tuple[str, ...], is_service: bool, wanted: str) -> bool:
    """Return whether patterns cover a topic or pattern.

    The result is cached, as it is needed for each message.
    """
    if is_service and ">" in patterns:
        return True
    return any(covers(pattern, wanted) for pattern in patterns)


def _hash(password: str, cost: int) -> str:
    secret = password.encode()
    if not secret:
        raise ConfigurationError("the password is empty: choose one")
    if b"\0" in secret:
        raise ConfigurationError(
            "the password has a null character, after which bcrypt starts again: choose another"
        )
    if len(secret) > MAX_PASSWORD_BYTES:
        problem = f"the password has {len(secret)} bytes, and bcrypt takes {MAX_PASSWORD_BYTES}"
        raise ConfigurationError(f"{problem}: choose a shorter one")
    return bcrypt.hashpw(secret, bcrypt.gensalt(cost)).decode()


def _entry_problem(name: str, hashed: str, *, taken: bool) -> str | None:
    """Return the problem of a line, if any.

    The text shows nothing that may be a password.
    """
    if not hashed:
        return "expected NAME:HASH"
    if problem := _name_problem(name):
        return problem
    if taken:
        return f"there is a line for {name} above already; remove one of them"
    if not _BCRYPT_HASH.fullmatch(hashed):
        command = f"`{typed('fanline')} user add {name}`"
        return f"the hash of {name} is not one of bcrypt; remove the line, and run {command}"
    return None


def _user(name: str, table: Any, where: str) -> User:
    """Convert a table of the rights file to a user."""
    if not isinstance(table, dict):
        raise ConfigurationError(f"{where}: expected a table, got {table!r}")
    if unknown := sorted(table.keys() - {"publish", "subscribe", "role"}):
        raise ConfigurationError(f"{where}: {unknown[0]}: no such key; there are publish, subscribe and role")
    role = table.get("role", "user")
    if role not in ("user", "service", "admin"):
        raise ConfigurationError(f'{where}: role: expected "user", "service" or "admin", got {role!r}')
    publish = _patterns(table, "publish", where)
    subscribe = _patterns(table, "subscribe", where)
    try:
        return User(name, publish, subscribe, role == "service", role == "admin")
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from error


def _patterns(table: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    patterns = table.get(key, EVERY_PATTERN)
    if not isinstance(patterns, list | tuple) or not all(isinstance(each, str) for each in patterns):
        raise ConfigurationError(f'{where}: {key}: expected a list such as ["orders.>"], got {patterns!r}')
    return tuple(patterns)


def _table(user: User) -> dict[str, Any]:
    """Return a user's table of the rights file, empty for default rights."""
    table: dict[str, Any] = {}
    if user.publish != EVERY_PATTERN:
        table["publish"] = user.publish
    if user.subscribe != EVERY_PATTERN:
        table["subscribe"] = user.subscribe
    if user.role != "user":
        table["role"] = user.role
    return table


def _read(path: Path) -> str | None:
    """Return the text of a file, None if missing."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {_reason(error)}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: is not UTF-8 text at byte {error.start}") from None


def _write(path: Path, text: str) -> None:
    """Replace a file as a whole; a link stays a link."""
    files.replace(path.resolve(), text.encode())


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be edited: {_reason(error)}") from error


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
