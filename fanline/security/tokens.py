"""Tokens, the logins that web pages can send: issued and verified.

A token is a JWT (RFC 7519), signed with HMAC-SHA256. A process with the key can issue and verify tokens; no
state is stored. There is a key for each use: that of the pipeline, which publisher and subscriber share, and
that of chat, which its servers share::

    sub     the name             jti     the token's own id      aud         its use
    iat     when it was issued   exp     when it expires         publish, subscribe     rights, as patterns
    uid     id of the person     role    what the person may do  (both in chat alone)
"""

import logging
import math
import os
import secrets
import stat
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

import jwt
from pydantic import SecretStr

from fanline import files
from fanline.errors import ConfigurationError
from fanline.files import FollowedFile, typed
from fanline.security.authenticator import Unauthorized
from fanline.settings import Settings

# The uses of a token.
CHAT: Final = "chat"
PIPELINE: Final = "pipeline"

# The beginning of a subprotocol that is a token, offered along with the one that is spoken.
TOKEN_PREFIX: Final = "fanline.token."

# Half the longest request line.
_MAX_LENGTH: Final = 4_096

MIN_KEY_BYTES: Final = 32

logger = logging.getLogger(__name__)

_ALGORITHM: Final = "HS256"
_REQUIRED: Final = ("exp", "iat", "sub", "jti", "aud")


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of a token.

    Attributes:
        name: Name of the bearer.
        token_id: Id of the token, unique among all tokens.
        expires: End of validity, in Unix seconds.
        publish: Patterns of topics that the bearer may publish to.
        subscribe: Patterns that cover what the bearer may subscribe to.
        user_id: Id of the person, the same in several tokens; empty if the name identifies the bearer.
        role: What the person may do in the application that issued the token; empty for the usual.
        issued: When the token was issued, in Unix seconds; 0 if it does not tell.
    """

    name: str
    token_id: str
    expires: int
    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()
    user_id: str = ""
    role: str = ""
    issued: float = field(default=0, compare=False)

    @classmethod
    def new(
        cls,
        name: str,
        *,
        lifetime: float,
        publish: Sequence[str] = (),
        subscribe: Sequence[str] = (),
        user_id: str = "",
        role: str = "",
    ) -> Self:
        """Create the claims of a token valid for ``lifetime`` seconds, rounded up."""
        expires = math.ceil(time.time() + lifetime)
        token_id = secrets.token_urlsafe(16)
        return cls(name, token_id, expires, tuple(publish), tuple(subscribe), user_id, role)


class TokenKey:
    """The key that signs tokens, read from its file.

    It is read at first use, and again when the file has changed. A new file that cannot be used is reported,
    and the key from before remains in use.

    Args:
        path: The file; its text, without the line end, is the key.
        setting: The setting that names the file.
        text: The key itself, which then takes the place of the file.
        clock: Monotonic clock, in seconds.

    Attributes:
        path: As given.
        mark: Another object for each key.
    """

    def __init__(
        self,
        path: Path,
        setting: str = "token_key_file",
        *,
        text: SecretStr | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self.mark = object()
        self._setting = setting
        self._text = text
        self._clock = clock
        self._file: FollowedFile[bytes] | None = None

    @property
    def problem(self) -> str | None:
        """Why the present file cannot be used, or None."""
        return None if self._file is None else self._file.problem

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return the key of the tokens for publisher and subscriber."""
        return cls(settings.token_key_file, text=settings.token_key)

    @property
    def exists(self) -> bool:
        """Return whether there is a key, usable or not."""
        return self._text is not None or self.path.exists()

    def look(self) -> None:
        """Read the key again if its file has changed.

        This looks at most once a second.
        """
        if self._text is not None or self._file is None:
            return
        before = self._file.value
        if self._file.look_at_times(self._clock()) and self._file.value != before:
            self.mark = object()
            logger.info("%s %s: there is another key", self._setting, self.path)

    def create_if_missing(self) -> None:
        """Create a key that only its owner can read.

        Concurrent processes get the same one.

        Raises:
            ConfigurationError: If the file cannot be written.
        """
        if self.exists:
            return
        try:
            files.create(self.path, f"{secrets.token_urlsafe(MIN_KEY_BYTES)}\n".encode())
        except OSError as error:
            raise ConfigurationError(
                f"{self._setting} {self.path}: cannot be made: {error.strerror}"
            ) from error

    def check(self) -> None:
        """Read the key now, if there is one.

        Raises:
            ConfigurationError: If the key exists and cannot be used.
        """
        if self.exists:
            _ = self._secret

    def issue(self, claims: Claims, audience: str) -> str:
        """Issue a token.

        Args:
            claims: The claims.
            audience: Use of the token, :data:`CHAT` or :data:`PIPELINE`.

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
        optional = {
            "publish": claims.publish,
            "subscribe": claims.subscribe,
            "uid": claims.user_id,
            "role": claims.role,
        }
        payload |= {name: value for name, value in optional.items() if value}
        token = jwt.encode(payload, self._secret, _ALGORITHM)
        if len(token) > _MAX_LENGTH:
            problem = f"the token would have {len(token):,} characters, and {_MAX_LENGTH:,} are allowed"
            raise ConfigurationError(f"{problem}; give it fewer or shorter patterns")
        return token

    def verify(self, text: str, audience: str) -> Claims:
        """Verify a token for an audience; return its claims.

        Raises:
            Unauthorized: If another key signed it, it is for another audience, malformed or expired.
            ConfigurationError: If the key is missing or cannot be used.
        """
        if len(text) > _MAX_LENGTH or not text.isascii():
            raise Unauthorized("the token is malformed: log in again")
        try:
            return _claims(self._decode(text, audience))
        except jwt.ExpiredSignatureError:
            raise Unauthorized("the token has expired: log in again") from None
        except jwt.InvalidSignatureError:
            raise Unauthorized("the token was not issued by this server") from None
        except jwt.InvalidAudienceError:
            raise Unauthorized(f"the token is not for the {audience}") from None
        except jwt.InvalidTokenError:
            raise Unauthorized("the token is malformed: log in again") from None

    def _decode(self, text: str, audience: str) -> dict[str, Any]:
        payload: dict[str, Any] = jwt.decode(
            text,
            self._secret,
            algorithms=[_ALGORITHM],
            audience=audience,
            # iat is required, but may be in the future: the clock of the issuer may be fast.
            options={"require": list(_REQUIRED), "strict_aud": True, "verify_iat": False},
        )
        return payload

    @property
    def _secret(self) -> bytes:
        if self._file is None:
            self._file = FollowedFile(
                self._read, partial(files.version, self.path), kept="the key from before remains in use"
            )
        self.look()
        return self._file.value

    def _read(self) -> bytes:
        if self._text is not None:
            secret = self._text.get_secret_value().strip().encode()
            if unusable := _key_problem(secret):
                raise ConfigurationError(f"{self._setting.removesuffix('_file')}: {unusable}")
            return secret
        where = f"{self._setting} {self.path}"
        try:
            with self.path.open("rb") as file:
                status = os.fstat(file.fileno())
                secret = file.read().strip()
        except FileNotFoundError:
            raise ConfigurationError(
                f"{where}: there is no such file; `{typed('fanline')} token` makes it"
            ) from None
        except OSError as error:
            raise ConfigurationError(f"{where}: cannot be read: {error.strerror}") from error
        problem = access_problem(
            status.st_mode,
            status.st_uid,
            status.st_gid,
            user=os.geteuid(),
            groups={os.getegid(), *os.getgroups()},
        ) or _key_problem(secret)
        if problem:
            raise ConfigurationError(f"{where}: {problem}")
        return secret


def is_own(text: str) -> bool:
    """Return whether a token claims to be signed by this service.

    The signature is still to be verified.
    """
    try:
        return bool(jwt.get_unverified_header(text).get("alg") == _ALGORITHM)
    except jwt.InvalidTokenError:
        return True


def find_token(
    authorization: str | None, parameter: str | None, subprotocols: Iterable[str] = ()
) -> str | None:
    """Return the token of a request, None if it has none.

    Args:
        authorization: The ``Authorization`` header, if any; only the scheme Bearer counts.
        parameter: The query parameter ``token``, if any. It takes precedence: the page has set it, while
            the header may be a login that the browser has stored.
        subprotocols: The subprotocols that a handshake offers; one that begins with :data:`TOKEN_PREFIX` is
            a token, and takes precedence. Browsers print the address of a handshake, but not these.
    """
    for subprotocol in subprotocols:
        if subprotocol.startswith(TOKEN_PREFIX):
            return subprotocol.removeprefix(TOKEN_PREFIX)
    if parameter is not None:
        return parameter
    scheme, _, token = (authorization or "").strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _claims(payload: dict[str, Any]) -> Claims:
    """Convert a payload whose signature and registered claims are verified."""
    rights = [payload.get(name, []) for name in ("publish", "subscribe")]
    if not all(isinstance(each, list) and all(isinstance(item, str) for item in each) for each in rights):
        raise jwt.InvalidTokenError
    user_id, role = (payload.get(name, "") for name in ("uid", "role"))
    if not (isinstance(user_id, str) and isinstance(role, str)):
        raise jwt.InvalidTokenError
    publish, subscribe = (tuple(each) for each in rights)
    return Claims(
        payload["sub"],
        payload["jti"],
        int(payload["exp"]),
        publish,
        subscribe,
        user_id,
        role,
        time_of_issue(payload),
    )


def time_of_issue(payload: Mapping[str, Any]) -> float:
    """Return a token's time of issue in Unix seconds; 0 if unknown."""
    issued = payload.get("iat")
    return issued if isinstance(issued, int | float) else 0


def access_problem(mode: int, owner: int, group: int, *, user: int, groups: Collection[int]) -> str | None:
    """Return why a secret file is open to other users, or None.

    A group of the process may read it, as Kubernetes mounts secrets, and all users, if the file belongs to
    another user.

    Args:
        mode: Its mode.
        owner: Its user.
        group: Its group.
        user: The user of the process.
        groups: The groups of the process.
    """
    allowed = 0o700
    if group in groups:
        allowed |= stat.S_IRGRP
        if owner != user:
            allowed |= stat.S_IROTH
    if stat.S_IMODE(mode) & ~allowed:
        return "other users can access it; set its mode to 600, or to 640 for a group of the service's"
    return None


def _key_problem(secret: bytes) -> str | None:
    if len(secret) < MIN_KEY_BYTES:
        problem = f"the key has {len(secret)} bytes, and needs {MIN_KEY_BYTES}"
        return f"{problem}; remove the file, and `{typed('fanline')} token` makes a new one"
    try:
        jwt.get_algorithm_by_name(_ALGORITHM).prepare_key(secret)
    except jwt.InvalidKeyError:  # a certificate or a public key, which others may know
        return f"does not hold a key for tokens; name another file, and `{typed('fanline')} token` makes it"
    return None
