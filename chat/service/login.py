"""Logins: the password that everybody shares, guests, and the tokens that both get for it."""

import hmac
import time
from collections.abc import Callable
from typing import Final

import msgspec

from chat.domain.names import random_name, require_name
from fanline.errors import FanlineError
from fanline.security.authenticator import SECONDS_TO_FORGET_ONE, FailureDelay, Unauthorized, network
from fanline.security.tokens import CHAT, Claims, TokenKey
from fanline.settings import Settings

# What a login is refused with while too many have failed. Those that are refused count no more, so that there
# is never more than one failure too many, and this is how long it takes until one is forgotten.
RETRY_SECONDS: Final = round(SECONDS_TO_FORGET_ONE)


class WrongPassword(Unauthorized):
    """It is not the password of this server."""


class TooManyFailures(FanlineError):
    """Too many logins from one network have failed; :data:`RETRY_SECONDS` later one may be tried again."""


class NoGuests(FanlineError):
    """This server lets nobody in without a password."""


class Login(msgspec.Struct, frozen=True):
    """What somebody gets who has logged in.

    Attributes:
        token: What to show from now on.
        name: The display name, as the others will see it.
        expires: Until when the token is good, in Unix milliseconds.
    """

    token: str
    name: str
    expires: int


class Logins:
    """Issues tokens, and tells whose they are.

    Args:
        settings: The password, whether guests may come in, and how long a token is good.
        is_revoked: Tells of the id of a token whether it was logged out.
        clock: Seconds of a clock that never goes back.

    Raises:
        ConfigurationError: If the key of the tokens or the password cannot be used.
    """

    def __init__(
        self,
        settings: Settings,
        is_revoked: Callable[[str], bool],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.guests_allowed = settings.guests_allowed
        self._password = settings.chat_secret().encode()
        self._lifetime = settings.chat_token_lifetime
        self._is_revoked = is_revoked
        self._clock = clock
        self._failures = FailureDelay()
        self._key = TokenKey(settings.token_key_file)
        self._key.create_if_missing()
        self._key.check()

    def log_in(self, password: str, name: str, address: str) -> Login:
        """Return a login for who knows the password.

        Args:
            password: The password of this server.
            name: The display name that is asked for.
            address: The IP address that it is asked for from.

        Raises:
            WrongPassword: If it is another one.
            TooManyFailures: If too many of that network were; the password is then not even looked at.
            Rejected: If nobody can be called that.
        """
        source, now = network(address), self._clock()
        if self._failures.delay(source, now) > 0:
            raise TooManyFailures(
                f"too many logins from your network have failed: wait {RETRY_SECONDS} seconds"
            )
        if not hmac.compare_digest(password.encode(), self._password):
            self._failures.failed(source, now)
            raise WrongPassword("this is not the password of this server")
        return self._issue(require_name(name))

    def guest(self) -> Login:
        """Return a login for somebody without a password, with a name that is not their choice.

        Raises:
            NoGuests: If this server has no guests.
        """
        if not self.guests_allowed:
            raise NoGuests("this server lets nobody in without its password: POST /login")
        return self._issue(random_name())

    def identify(self, token: str | None) -> Claims:
        """Return whose token it is.

        Raises:
            Unauthorized: If there is none, or it is not good, or not any more.
        """
        if token is None:
            raise Unauthorized("a token is needed: POST /login gives one")
        claims = self._key.verify(token, CHAT)
        if self._is_revoked(claims.token_id):
            raise Unauthorized("the token was logged out: log in again")
        return claims

    def admit(self, token: str | None) -> Claims | None:
        """Return whose token it is; None for a guest, who needs none.

        Raises:
            Unauthorized: If it is not good; or if there is none, and this server has no guests.
        """
        return None if token is None and self.guests_allowed else self.identify(token)

    def _issue(self, name: str) -> Login:
        claims = Claims.new(name, lifetime=self._lifetime)
        return Login(self._key.issue(claims, CHAT), name, claims.expires * 1000)
