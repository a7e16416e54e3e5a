"""Identification of a request's user, by password, token or client certificate.

A token makes its bearer a user with the rights that it names, and never a service. Its name is the sender
(``from``) of the bearer's messages and the scope of their ids. It must therefore differ from the name of
every user with a password. Bearers of the same name count as one user.
"""

import logging
import math
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from fanline.errors import CloseCode, ConfigurationError
from fanline.security.authenticator import Authenticator, Unauthorized
from fanline.security.identity_provider import IdentityProvider
from fanline.security.revocations import MAX_TOKEN_SECONDS, Revocations
from fanline.security.tls import ClientCertificate
from fanline.security.tokens import PIPELINE, Claims, TokenKey, is_own
from fanline.security.users import User
from fanline.settings import Settings

_REVOKED: Final = "the token was revoked: log in again"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class VerifiedLogin:
    """An authenticated user.

    Attributes:
        user: Name and rights.
        expires: End of the login, in Unix seconds; infinite for one by password.
        token_id: The ``jti`` of its token, empty if it has none.
        issued: When its token was issued, in Unix seconds.
        key: Mark of the key of ours, or of the settings of the provider, that its token was judged by.
        is_by_certificate: Whether it is by a client certificate.
    """

    user: User
    expires: float = math.inf
    token_id: str = ""
    issued: float = 0
    key: object = field(default=None, compare=False)
    is_by_certificate: bool = False

    @property
    def is_by_token(self) -> bool:
        """Return whether it is by token, not by password or certificate."""
        return math.isfinite(self.expires) and not self.is_by_certificate


# Returns the close code and the reason for a connection that a login may not have any more; None if it may.
EndOf = Callable[[VerifiedLogin], tuple[CloseCode, str] | None]


class LoginVerifier:
    """Identifies the users of requests.

    Args:
        settings: Settings that name the users file and the key of the tokens.
        takes_tokens: Accept tokens; without them the key is not needed.

    Attributes:
        revocations: Tells which tokens were revoked.

    Raises:
        ConfigurationError: If the users file, the rights file or the key of the tokens cannot be used. A
            missing key is no error.
    """

    def __init__(self, settings: Settings, *, takes_tokens: bool) -> None:
        self.revocations = Revocations()
        self._passwords = Authenticator(settings.users_file)
        self._key = TokenKey.from_settings(settings)
        self._provider: IdentityProvider | None = None
        self._takes_tokens = takes_tokens
        self._provider_mark = object()
        self._provider_values = [getattr(settings, name) for name in IdentityProvider.setting_names(settings)]
        if takes_tokens:
            self._key.check()
            self._provider = IdentityProvider.from_settings(settings)

    def reload(self, settings: Settings) -> Collection[str]:
        """Apply changed settings of the identity provider.

        Its keys are fetched again with the next token. Connections by tokens that were judged by other
        settings are no longer valid.

        Returns:
            The names of the settings that count at once.

        Raises:
            ConfigurationError: If they cannot be used; then nothing has changed.
        """
        names = IdentityProvider.setting_names(settings)
        if not self._takes_tokens:
            return names
        values = [getattr(settings, name) for name in names]
        if values != self._provider_values:
            self._provider = IdentityProvider.from_settings(settings)
            self._provider_values, self._provider_mark = values, object()
        elif self._provider is not None:
            self._provider.expire_keys()
        return names

    async def identify(self, authorization: str | None, token: str | None, address: str) -> VerifiedLogin:
        """Identify the user of a request; may be called concurrently and cancelled.

        Args:
            authorization: The ``Authorization`` header, None if missing.
            token: The token, None if missing; takes precedence over the header.
            address: The peer's IP address.

        Raises:
            Unauthorized: If the login is not valid; the text may be shown to the peer.
        """
        if token is None:
            return VerifiedLogin(await self._passwords.authenticate(authorization, address))
        mark = self._provider_mark
        claims = await self._verify(token)
        if mark is not self._provider_mark:  # changed while the keys were fetched
            raise Unauthorized("the settings of tokens have changed: log in again")
        if self._passwords.user(claims.name):
            raise Unauthorized(f"{claims.name} is a user with a password: a token needs its own name")
        if self.revocations.is_revoked(claims.name, claims.token_id, claims.issued):
            raise Unauthorized(_REVOKED)
        try:
            user = User(claims.name, claims.publish, claims.subscribe)
        except ConfigurationError as error:
            raise Unauthorized(f"the token cannot be used: {error}") from None
        now = time.time()
        # A revocation may be forgotten earlier.
        if claims.expires - min(claims.issued or now, now) > MAX_TOKEN_SECONDS:
            days = MAX_TOKEN_SECONDS / 86_400
            raise Unauthorized(
                f"the token is valid for more than {days:g} days: get one that expires earlier"
            )
        key = self._key.mark if self._provider is None or is_own(token) else self._provider_mark
        return VerifiedLogin(user, claims.expires, claims.token_id, claims.issued, key)

    def identify_certificate(self, certificate: ClientCertificate, now: float) -> VerifiedLogin:
        """Return the login of a client certificate.

        Args:
            certificate: As verified by TLS, perhaps when an earlier session of TLS began.
            now: Unix seconds.

        Raises:
            Unauthorized: If it has expired, or is not of one user; the text may be shown to the peer.
        """
        if certificate.expires <= now:
            raise Unauthorized("the client certificate has expired: renew it")
        users = [user for name in certificate.names if (user := self._passwords.user(name)) is not None]
        if len(users) != 1:
            names = ", ".join(sorted(certificate.names)) or "no name"
            problem = "none is a user" if not users else "several are users"
            raise Unauthorized(f"the client certificate has {names}: {problem}, and one must be")
        return VerifiedLogin(users[0], certificate.expires, is_by_certificate=True)

    async def renew(self, login: VerifiedLogin, token: str) -> VerifiedLogin:
        """Return the login of a newer token of the same user.

        Args:
            login: The login by the token before.
            token: The new token.

        Raises:
            Unauthorized: If it is not valid, or another user's.
        """
        renewed = await self.identify(None, token, "")
        if renewed.user.name != login.user.name:
            raise Unauthorized("the token is of another user than this connection")
        return renewed

    @property
    def generation(self) -> object:
        """A value that changes when :meth:`end_of` may return something else.

        Changed files are read again.
        """
        self._key.look()
        if self._provider is not None:
            self._provider.look()
        return self._passwords.generation, self._key.mark, self._provider_mark

    @property
    def problems(self) -> Sequence[str]:
        """Reasons why changed files cannot be used."""
        provider = None if self._provider is None else self._provider.problem
        found = (self._passwords.problem, self._key.problem, provider)
        return [problem for problem in found if problem is not None]

    def end_of(self, login: VerifiedLogin) -> tuple[CloseCode, str] | None:
        """Return how to close a connection whose login is no longer valid.

        The result is None for a valid login.

        Args:
            login: The login with which the connection was opened.
        """
        name = login.user.name
        current = self._passwords.user(name)
        if login.is_by_token:
            if self.revocations.is_revoked(name, login.token_id, login.issued):
                return CloseCode.LOGGED_OUT, _REVOKED
            if login.key not in (None, self._key.mark, self._provider_mark):
                return CloseCode.LOGGED_OUT, "the key or the settings of tokens have changed: log in again"
            return (CloseCode.LOGGED_OUT, f"{name} is a user with a password now") if current else None
        if current is None:
            return CloseCode.LOGGED_OUT, f"{name} is no longer a user"
        if current != login.user:
            return CloseCode.GOING_AWAY, f"the rights of {name} have changed; reconnect"
        return None

    async def _verify(self, token: str) -> Claims:
        if self._provider is not None and not is_own(token):
            return await self._provider.verify(token)
        try:
            return self._key.verify(token, PIPELINE)
        except ConfigurationError as error:
            logger.info("no token can be verified: %s", error)
            raise Unauthorized("this service accepts no tokens at present") from None
