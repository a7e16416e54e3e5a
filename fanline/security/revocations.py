"""Revoked tokens, by the access changes in the log. No I/O."""

from typing import Final

from fanline.protocol import RevokeToken, RevokeUser

# A token that is valid for longer is refused.
MAX_TOKEN_SECONDS: Final = 400 * 86_400.0

# A revocation is forgotten when no token can be valid any more that was issued before it, by any clock.
KEEP_SECONDS: Final = MAX_TOKEN_SECONDS + 86_400.0


class Revocations:
    """Knows which tokens were revoked."""

    def __init__(self) -> None:
        self._tokens: dict[str, float] = {}  # when each was revoked, oldest first
        self._users: dict[str, tuple[float, float]] = {}  # likewise, and before which time of issue

    def add(self, change: RevokeToken | RevokeUser, time: float) -> None:
        """Take a revocation.

        Args:
            change: The revocation.
            time: When it was stored, in Unix seconds; not less than that of the one before.
        """
        if isinstance(change, RevokeToken):
            self._tokens[change.jti] = time
        else:
            _, before = self._users.pop(change.user, (0.0, change.before))
            self._users[change.user] = time, max(before, change.before)
        while self._tokens and next(iter(self._tokens.values())) < time - KEEP_SECONDS:
            del self._tokens[next(iter(self._tokens))]
        while self._users and next(iter(self._users.values()))[0] < time - KEEP_SECONDS:
            del self._users[next(iter(self._users))]

    def is_revoked(self, name: str, token_id: str, issued: float) -> bool:
        """Return whether a token was revoked.

        Args:
            name: Name of the bearer.
            token_id: The claim ``jti``, empty if it has none.
            issued: When it was issued, in Unix seconds; 0 if it does not tell.
        """
        if token_id and token_id in self._tokens:
            return True
        _, before = self._users.get(name, (0.0, 0.0))
        return issued < before
