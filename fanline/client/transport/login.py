"""The login of a client: a password, token, or client certificate.

A token can be fetched and renewed.
"""

import base64
import inspect
import logging
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import Final, Self

import msgspec

from fanline.errors import ConfigurationError, Disconnected, FanlineError
from fanline.protocol import basic_authorization

FetchToken = Callable[[], str | Awaitable[str]]
Token = str | FetchToken

# A token is renewed when so much of its life is over.
RENEWED_AT: Final = 0.8

# Seconds before a token is renewed, at least.
LEAST_DELAY: Final = 1.0

logger = logging.getLogger(__name__)


class _Life(msgspec.Struct):
    exp: float
    iat: float | None = None


_decode_life: Final = msgspec.json.Decoder(_Life).decode


class Login:
    """Login of a client: a header, a token, or a certificate.

    Args:
        who: In words, for errors.
        fixed: The value of the ``Authorization`` header; None if there is none, or a token is fetched.
        fetch: Returns a token, or an awaitable of one.
        clock: Returns Unix seconds.

    Attributes:
        who: As given.
    """

    def __init__(
        self,
        who: str,
        fixed: str | None = None,
        fetch: FetchToken | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.who = who
        self._fixed = fixed
        self._fetch = fetch
        self._clock = clock
        self._token: str | None = None
        self._renew_at: float | None = None

    @classmethod
    def by_password(cls, user: str, password: str) -> Self:
        """Return the login of a user.

        Raises:
            ConfigurationError: If it is no user's name.
        """
        if ":" in user:
            raise ConfigurationError(f"user {user!r}: a user name cannot have a colon")
        return cls(f"user {user!r}", basic_authorization(user, password))

    @classmethod
    def of_user(cls, user: str, password: str | None) -> Self:
        """Return a user's login: by password, or without by certificate.

        The certificate is that of TLS.

        Raises:
            ConfigurationError: If ``user`` is no user's name.
        """
        return cls("the client certificate") if password is None else cls.by_password(user, password)

    @classmethod
    def by_token(cls, token: Token) -> Self:
        """Return the login by a token, or by a function's tokens."""
        if callable(token):
            return cls("the token", fetch=token)
        return cls("the login", f"Bearer {token}")

    @classmethod
    def of(
        cls, user: str | None, password: str | None, token: Token | None, tls: ssl.SSLContext | None
    ) -> Self:
        """Return the login by password, token or, without both, by certificate.

        The certificate is that of TLS.

        Raises:
            ConfigurationError: If both are given or one in part, if there is no login, or if it is no user's
                name.
        """
        if tls is not None and user is None and password is None and token is None:
            return cls("the client certificate")
        if token is not None and user is None and password is None:
            return cls.by_token(token)
        if token is None and user is not None and password is not None:
            return cls.by_password(user, password)
        raise ConfigurationError(
            "log in with user and password, with token, or with a tls that has a client certificate: give one"
        )

    @property
    def hint(self) -> str:
        """Hint for errors of connections that end at once.

        Event loops send no alert.
        """
        has_header = self._fixed is not None or self._fetch is not None
        return "" if has_header else "; if it does not trust the client certificate, its log says so"

    @property
    def is_renewable(self) -> bool:
        """Return whether tokens are fetched."""
        return self._fetch is not None

    async def headers(self) -> dict[str, str]:
        """Return the login's header, if any, with a current token.

        A token is fetched if there is no current one.

        Raises:
            Disconnected: If it cannot be fetched.
            FanlineError: What the function that fetches it has raised.
        """
        if self._fixed is not None:
            return {"Authorization": self._fixed}
        if self._fetch is None:
            return {}
        if self._token is None or self.seconds_left() == 0:
            await self.renew()
        return {"Authorization": f"Bearer {self._token}"}

    async def renew(self) -> str:
        """Fetch a token, and return it; otherwise like :meth:`headers`."""
        assert self._fetch is not None
        try:
            token = self._fetch()
            if inspect.isawaitable(token):
                token = await token
        except FanlineError:
            raise
        except Exception as error:
            raise Disconnected(f"no token can be fetched: {error or type(error).__name__}") from error
        self._token, self._renew_at = token, self._time_of_renewal(token)
        return token

    def discard(self) -> None:
        """Use the token no more, because it was refused."""
        self._token = None

    def seconds_left(self) -> float | None:
        """Return seconds until the token's renewal; None without known expiry."""
        return None if self._renew_at is None else max(0.0, self._renew_at - self._clock())

    def _time_of_renewal(self, token: str) -> float | None:
        try:
            payload = token.split(".")[1]
            life = _decode_life(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        except (IndexError, ValueError):  # it is no JWT that can be read
            return None
        now = self._clock()
        # Where clocks differ, what the issuer says of its length is right.
        seconds = life.exp - now if life.iat is None else min(life.exp - now, life.exp - life.iat)
        return now + max(LEAST_DELAY, RENEWED_AT * seconds)
