"""Persons who use chat: their ids on all connections, and their rights."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

from chat.domain.names import fold
from fanline.server import Claims


class Role(StrEnum):
    """Rights of a person in chat."""

    GUEST = "guest"
    USER = "user"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Person:
    """The person behind a request or a connection.

    Attributes:
        id: The same for all connections of one login, and for logins with the same key.
        name: The display name; a proof of nothing.
        role: What the person may do.
    """

    id: str
    name: str
    role: Role


def person_of(claims: Claims) -> Person:
    """Return the bearer of a token."""
    user_id = claims.user_id or user_id_from(claims.token_id)
    return Person(user_id, claims.name, Role(claims.role or Role.USER))


def guest_at(network: str) -> Person:
    """Return the person of requests without a token.

    All guests of one network are the same person.
    """
    return Person(user_id_from(f"network {network}"), "a guest", Role.GUEST)


def user_id_from(secret: str) -> str:
    """Return the id of the person who holds a secret.

    The secret cannot be guessed from it.
    """
    return sha256(f"fanline chat user\0{secret}".encode()).hexdigest()[:24]


class NamesInUse:
    """Track the names of present members, and their persons."""

    def __init__(self) -> None:
        self._users: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def is_taken(self, name: str, user_id: str) -> bool:
        """Return whether another person uses a name, in any spelling."""
        users = self._users.get(fold(name), ())
        return any(user != user_id for user in users)

    def add(self, name: str, user_id: str) -> None:
        """Count a member."""
        self._users[fold(name)][user_id] += 1

    def remove(self, name: str, user_id: str) -> None:
        """Stop counting a member."""
        folded = fold(name)
        users = self._users[folded]
        users[user_id] -= 1
        if not users[user_id]:
            del users[user_id]
        if not users:
            del self._users[folded]

    def clear(self) -> None:
        """Forget everything."""
        self._users.clear()
