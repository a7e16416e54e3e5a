"""Tokens: what somebody shows in place of a password, because browsers can send no other login.

A token is a JWT (RFC 7519), signed with HMAC-SHA256 under a key that all services of an installation share.
Whoever has the key can issue tokens, and any service with the key can verify them; nothing is kept of them::

    sub     the name             jti     the token's own id      aud         what it is good for
    iat     when it was issued   exp     when it expires         publish, subscribe     rights, as patterns
"""

import math
import os
import secrets
import stat
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self

import jwt

from fanline.errors import ConfigurationError
from fanline.security.authenticator import Unauthorized

# What a token is good for.
CHAT: Final = "chat"
PIPELINE: Final = "pipeline"

# Fits into the line of a request, which may have twice as many.
MAX_LENGTH: Final = 4_096

MIN_KEY_BYTES: Final = 32

_ALGORITHM: Final = "HS256"
_REQUIRED: Final = ("exp", "iat", "sub", "jti", "aud")


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says.

    Attributes:
        name: Who shows it.
        token_id: Its own id, unique among all tokens.
        expires: When it expires, in Unix seconds.
        publish: Patterns of topics that it may publish on.
        subscribe: Patterns that cover what it may subscribe to.
    """

    name: str
    token_id: str
    expires: int
    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()

    @classmethod
    def new(
        cls, name: str, *, lifetime: float, publish: Sequence[str] = (), subscribe: Sequence[str] = ()
    ) -> Self:
        """Return the claims of a new token, good for ``lifetime`` seconds, and up to one more."""
        expires = math.ceil(time.time() + lifetime)
        return cls(name, secrets.token_urlsafe(16), expires, tuple(publish), tuple(subscribe))


class TokenKey:
    """The key that tokens are signed with, read from its file when it is first needed.

    Args:
        path: The file; its text, without the line's end, is the key.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def create_if_missing(self) -> None:
        """Make a key that only its owner can read; of several processes that do so, the first one counts.

        Raises:
            ConfigurationError: If the file cannot be written.
        """
        if self.path.exists():
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _write_once(self.path, f"{secrets.token_urlsafe(MIN_KEY_BYTES)}\n")
        except OSError as error:
            raise ConfigurationError(
                f"token_key_file {self.path}: cannot be made: {error.strerror}"
            ) from error

    def check(self) -> None:
        """Read the key now, if there is one.

        Raises:
            ConfigurationError: If there is one, and it cannot be used.
        """
        if self.path.exists():
            _ = self._secret

    def issue(self, claims: Claims, audience: str) -> str:
        """Return a token.

        Args:
            claims: What it says.
            audience: What it is good for, :data:`CHAT` or :data:`PIPELINE`.

        Raises:
            ConfigurationError: If the key is missing or cannot be used, or the token would be too long.
        """
        payload: dict[str, Any] = {
            "sub": claims.name,
            "jti": claims.token_id,
            "aud": audience,
            "iat": int(time.time()),
            "exp": claims.expires,
        }
        rights = {"publish": claims.publish, "subscribe": claims.subscribe}
        payload |= {name: patterns for name, patterns in rights.items() if patterns}
        token = jwt.encode(payload, self._secret, _ALGORITHM)
        if len(token) > MAX_LENGTH:
            problem = f"the token would have {len(token):,} characters, and {MAX_LENGTH:,} are allowed"
            raise ConfigurationError(f"{problem}; give it fewer or shorter patterns")
        return token

    def verify(self, text: str, audience: str) -> Claims:
        """Return what a token says, if it was issued with this key for this audience, and is still good.

        Raises:
            Unauthorized: If it was not, or is not; the text says which.
            ConfigurationError: If the key is missing or cannot be used.
        """
        if len(text) > MAX_LENGTH or not text.isascii():
            raise Unauthorized("the token is malformed")
        try:
            return _claims(self._decode(text, audience))
        except jwt.ExpiredSignatureError:
            raise Unauthorized("the token has expired: log in again") from None
        except jwt.InvalidSignatureError:
            raise Unauthorized("the token is not of this server") from None
        except jwt.InvalidAudienceError:
            raise Unauthorized(f"the token is not for the {audience}") from None
        except jwt.InvalidTokenError:
            raise Unauthorized("the token is malformed") from None

    def _decode(self, text: str, audience: str) -> dict[str, Any]:
        payload: dict[str, Any] = jwt.decode(
            text,
            self._secret,
            algorithms=[_ALGORITHM],
            audience=audience,
            # iat must be there, but may lie ahead: the clock of who issued it may be a little fast.
            options={"require": list(_REQUIRED), "strict_aud": True, "verify_iat": False},
        )
        return payload

    @cached_property
    def _secret(self) -> bytes:
        where = f"token_key_file {self.path}"
        try:
            with self.path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                secret = file.read().strip()
        except FileNotFoundError:
            raise ConfigurationError(f"{where}: there is no such file; `fanline token` makes it") from None
        except OSError as error:
            raise ConfigurationError(f"{where}: cannot be read: {error.strerror}") from error
        if problem := _key_problem(secret, mode):
            raise ConfigurationError(f"{where}: {problem}")
        return secret


def find_token(authorization: str | None, parameter: str | None) -> str | None:
    """Return the token that a request carries, None if it carries none.

    Args:
        authorization: The ``Authorization`` header, if there is one; it counts if its scheme is Bearer.
        parameter: The parameter ``token`` of the query, if there is one. It counts for more: a page has put
            it there, while the header may be a login that the browser remembers.
    """
    if parameter is not None:
        return parameter
    scheme, _, token = (authorization or "").strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _claims(payload: dict[str, Any]) -> Claims:
    """Return the claims of a payload whose signature is good, and whose registered claims are checked."""
    rights = [payload.get(name, []) for name in ("publish", "subscribe")]
    if not all(isinstance(each, list) and all(isinstance(item, str) for item in each) for each in rights):
        raise jwt.InvalidTokenError
    publish, subscribe = (tuple(each) for each in rights)
    return Claims(payload["sub"], payload["jti"], int(payload["exp"]), publish, subscribe)


def _key_problem(secret: bytes, mode: int) -> str | None:
    if stat.S_IMODE(mode) & 0o077:
        return "others than its owner have access to it; set its mode to 600"
    if len(secret) < MIN_KEY_BYTES:
        problem = f"the key has {len(secret)} bytes, and needs {MIN_KEY_BYTES}"
        return f"{problem}; remove the file, and `fanline token` makes a new one"
    try:
        jwt.get_algorithm_by_name(_ALGORITHM).prepare_key(secret)
    except jwt.InvalidKeyError:  # a certificate, or half of a key pair, which others may know
        return "holds something else than a key for tokens; name another file, and `fanline token` makes it"
    return None


def _write_once(path: Path, text: str) -> None:
    """Put a whole file there unless there is one."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # has mode 600
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        # Unlike a rename, a link never takes the place of a file that another process has put there.
        path.hardlink_to(temporary)
    except FileExistsError:
        pass
    finally:
        os.unlink(temporary)
