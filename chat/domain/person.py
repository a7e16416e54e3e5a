"""The persons who use chat: who they are on all of their connections, and what they may do."""

from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

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
        id: The same for all connections of one login, and for logins with the same key. Empty for a guest
            without a token.
        name: The display name; a proof of nothing.
        role: What the person may do.
    """

    id: str
    name: str
    role: Role


def person_of(claims: Claims | None) -> Person:
    """Return the bearer of a token; None stands for a guest without a token."""
    if claims is None:
        return Person("", "a guest", Role.GUEST)
    user_id = claims.user_id or user_id_from(claims.token_id)
    return Person(user_id, claims.name, Role(claims.role or Role.USER))


def user_id_from(secret: str) -> str:
    """Return the id of the person who holds a secret; the secret cannot be guessed from it."""
    return sha256(f"fanline chat user\0{secret}".encode()).hexdigest()[:24]
