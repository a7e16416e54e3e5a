"""Who makes a request of a service: a user with a password, or the bearer of a token.

A token makes its bearer a user with just the rights that it names, and never a service. Its name is what the
bearer's messages are *from*, and what their ids are scoped by. So it must not be that of a user who logs in
with a password: neither could then be told from the other. Bearers of the same name count as the same user,
as connections of one user do.
"""

import logging
import math
from dataclasses import dataclass

from fanline.errors import ConfigurationError
from fanline.security.authenticator import Authenticator, Unauthorized
from fanline.security.tokens import PIPELINE, Claims, TokenKey
from fanline.security.users import User
from fanline.settings import Settings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Login:
    """Somebody who has logged in.

    Attributes:
        user: Who it is.
        expires: Until when the login is good, in Unix seconds.
    """

    user: User
    expires: float = math.inf


class Logins:
    """Tells who makes a request.

    Args:
        settings: Where users and tokens are looked up.
        takes_tokens: Whether any request may come with a token; otherwise the key is not needed.

    Raises:
        ConfigurationError: If the users file, its rights or the key of the tokens cannot be used; a key that
            does not exist yet may come later.
    """

    def __init__(self, settings: Settings, *, takes_tokens: bool) -> None:
        self._passwords = Authenticator(settings.users_file)
        self._key = TokenKey(settings.token_key_file)
        if takes_tokens:
            self._key.check()

    async def identify(self, authorization: str | None, token: str | None, address: str) -> Login:
        """Return who logs in; may be called many times at once, and cancelled.

        Args:
            authorization: The ``Authorization`` header, None if there is none.
            token: The token that was shown, None if there is none; it counts for more than the header.
            address: The peer's IP address.

        Raises:
            Unauthorized: If the login is not a good one; the text is fit for the peer.
        """
        if token is None:
            return Login(await self._passwords.authenticate(authorization, address))
        claims = self._verify(token)
        if self._passwords.knows(claims.name):
            raise Unauthorized(f"{claims.name} is a user with a password: a token needs its own name")
        try:
            return Login(User(claims.name, claims.publish, claims.subscribe), claims.expires)
        except ConfigurationError as error:
            raise Unauthorized(f"the token cannot be used: {error}") from None

    def _verify(self, token: str) -> Claims:
        try:
            return self._key.verify(token, PIPELINE)
        except ConfigurationError as error:
            logger.info("no token can be verified: %s", error)
            raise Unauthorized("this service accepts no tokens at present") from None
