"""Logins by the shared password or as guest, and their tokens."""

import hmac
import time
from collections.abc import Callable
from typing import Final

from chat.domain import sentences
from chat.domain.errors import Refused
from chat.domain.names import new_key, require_name
from chat.domain.person import Role, user_id_from
from chat.domain.rooms import Rooms
from chat.domain.views import IssuedToken
from chat.settings import ChatSettings
from fanline.server import CHAT, SECONDS_TO_REGAIN_ONE, Claims, GuessLimiter, TokenKey

# Seconds to wait after too many failed logins. Refused logins are not counted as failures.
LOGIN_RETRY_SECONDS: Final = SECONDS_TO_REGAIN_ONE


class ChatLogins:
    """Issue and verify tokens.

    Args:
        settings: The password, the lifetime of tokens, and whether guests are allowed.
        rooms: Tells which tokens were revoked, and which names are in use.
        clock: Returns seconds of a monotonic clock.

    Raises:
        ConfigurationError: If the token key or the password cannot be used.
    """

    def __init__(
        self,
        settings: ChatSettings,
        rooms: Rooms,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.guests_allowed = settings.guests_allowed
        self._passwords = {Role.USER: settings.client_password().encode()}
        if (admin_password := settings.admin_password()) is not None:
            self._passwords[Role.ADMIN] = admin_password.encode()
        self._lifetime = settings.chat_token_lifetime
        self._rooms = rooms
        self._clock = clock
        self._guesses = GuessLimiter()
        self._key = TokenKey(settings.chat_token_key_file, "chat_token_key_file")
        self._key.create_if_missing()
        self._key.check()

    def log_in(self, password: str, name: str, address: str, key: str | None = None) -> IssuedToken:
        """Issue a token for the shared password, or that of the admins.

        Args:
            password: The password.
            name: The display name.
            address: The IP address of the client.
            key: A secret of the client; logins with the same key are the same person.

        Raises:
            Refused: If the password is wrong; if too many logins from the client's network have failed, and
                then the password is not checked; if the name is invalid, or of another person who is present.
        """
        now = self._clock()
        if not self._guesses.may_guess(address, now):
            raise Refused(sentences.TOO_MANY_FAILURES, seconds=LOGIN_RETRY_SECONDS)
        role = self._role_of(password)
        if role is None:
            self._guesses.count(address, now)
            raise Refused(sentences.WRONG_PASSWORD)
        return self._issue(require_name(name), role, key)

    def guest(self, key: str | None = None) -> IssuedToken:
        """Issue a token without a password, for a random name.

        Args:
            key: As for :meth:`log_in`.

        Raises:
            Refused: If guests are not allowed.
        """
        if not self.guests_allowed:
            raise Refused(sentences.NO_GUESTS)
        return self._issue(self._rooms.free_name(), Role.GUEST, key)

    def identify(self, token: str | None) -> Claims:
        """Return the claims of a token.

        Raises:
            Refused: If the token is missing or revoked.
            Unauthorized: If it is invalid or expired.
        """
        if token is None:
            raise Refused(sentences.NO_TOKEN)
        claims = self._key.verify(token, CHAT)
        if self._rooms.is_revoked(claims.token_id):
            raise Refused(sentences.LOGGED_OUT_TOKEN)
        return claims

    def admit(self, token: str | None) -> Claims | None:
        """Return the claims of a token; None for a guest without one.

        Raises:
            Refused: If the token is revoked; or missing, and guests are not allowed.
            Unauthorized: If it is invalid or expired.
        """
        return None if token is None and self.guests_allowed else self.identify(token)

    def _role_of(self, password: str) -> Role | None:
        """Return the role that a password gives.

        It is the lesser one if the password is that of both.
        """
        given = password.encode()
        matches = [role for role, right in self._passwords.items() if hmac.compare_digest(given, right)]
        return matches[0] if matches else None

    def _issue(self, name: str, role: Role, key: str | None) -> IssuedToken:
        user_id = user_id_from(key or new_key())
        if self._rooms.names.is_taken(name, user_id):
            raise Refused(sentences.NAME_TAKEN, name=name)
        claims = Claims.new(name, lifetime=self._lifetime, user_id=user_id, role=role)
        return {
            "token": self._key.issue(claims, CHAT),
            "name": name,
            "expires": claims.expires * 1000,
            "userId": user_id,
            "role": role,
        }
