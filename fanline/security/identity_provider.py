"""Verification of tokens of an identity provider, such as Keycloak or Auth0.

The provider's public keys come from a PEM file or from its JWKS endpoint (RFC 7517). They are fetched when
the first token comes, again after an hour, and when a token names an unknown key, at most every 30 seconds,
whatever tokens ask for; known keys remain in use while the provider is away. A token is judged by the
settings alone, not by what it says about itself: the algorithm is that of the key, and one of those allowed.
"""

import logging
import re
import ssl
from collections.abc import Mapping, Sequence
from typing import Any, Final

import jwt

from fanline.errors import ConfigurationError
from fanline.security.authenticator import Unauthorized
from fanline.security.provider_keys import JwksEndpoint, KeyFile, KeySet, VerificationKey
from fanline.security.tokens import Claims, time_of_issue
from fanline.settings import Settings

LEEWAY_SECONDS: Final = 60
MAX_EXPIRY: Final = 2**53
_MAX_LENGTH: Final = 16_384

logger = logging.getLogger(__name__)


class IdentityProvider:
    """Verifies the tokens of an identity provider.

    Args:
        settings: Which tokens are accepted, and what their claims mean.
        keys: The keys of the provider.
        file: The file that they come from, if it is one.
    """

    def __init__(self, settings: Settings, keys: KeySet, file: KeyFile | None = None) -> None:
        self._settings = settings
        self._keys = keys
        self._file = file

    @staticmethod
    def setting_names(settings: Settings) -> list[str]:
        """Return the names of all settings that concern identity providers."""
        names = [name for name in type(settings).model_fields if name.startswith(("token_", "jwks_"))]
        return [name for name in names if not name.startswith("token_key")]

    @property
    def problem(self) -> str | None:
        """Reason why the present file of keys cannot be used, or None."""
        return None if self._file is None else self._file.problem

    def look(self) -> None:
        """Read the file of the keys again if it has changed."""
        if self._file is not None and self._file.look():
            self._keys.expire()

    def expire_keys(self) -> None:
        """Fetch the keys again with the next token."""
        self._keys.expire()

    @classmethod
    def from_settings(cls, settings: Settings) -> "IdentityProvider | None":
        """Return the provider that the settings name; None without one.

        Raises:
            ConfigurationError: If a file cannot be used, or a setting is missing.
        """
        url, path = settings.jwks_url, settings.token_public_keys
        if url is None and path is None:
            return None
        if url is not None and path is not None:
            raise ConfigurationError("jwks_url and token_public_keys are both set: set one")
        if settings.token_issuer is None or settings.token_audience is None:
            needed = "set both with jwks_url or token_public_keys"
            raise ConfigurationError(f"token_issuer and token_audience: {needed}")
        if path is not None:
            file = KeyFile(path)
            return cls(settings, KeySet(file.fetch), file)
        return cls(settings, KeySet(JwksEndpoint(str(url), _trust(settings)).fetch))

    async def verify(self, text: str) -> Claims:
        """Verify a token; return its claims, with the rights that they give.

        Raises:
            Unauthorized: If it cannot be accepted; the text names the claim that is wrong.
        """
        payload = await self._decode(text)
        name = find_claim(payload, self._settings.token_name_claim)
        if not isinstance(name, str):
            raise Unauthorized(f"the token has no name in its claim {self._settings.token_name_claim}")
        expires = int(payload["exp"])
        if expires > MAX_EXPIRY:
            raise Unauthorized("the token has a wrong claim: exp")
        granted = self._settings
        rules = [each for each in granted.token_rights if each.value in _words(payload, each.claim)]
        publish = [pattern for rule in rules for pattern in rule.publish]
        subscribe = [pattern for rule in rules for pattern in rule.subscribe]
        return Claims(
            name,
            str(payload.get("jti", payload.get("uti", ""))),  # Entra ID calls it so
            expires,
            self._patterns(payload, granted.token_publish_claim, (*granted.token_publish, *publish), name),
            self._patterns(
                payload, granted.token_subscribe_claim, (*granted.token_subscribe, *subscribe), name
            ),
            issued=time_of_issue(payload),
        )

    async def _decode(self, text: str) -> Mapping[str, Any]:
        if len(text) > _MAX_LENGTH:
            raise Unauthorized(f"the token is too long: {_MAX_LENGTH:,} characters are allowed")
        try:
            header = jwt.get_unverified_header(text)
        except jwt.InvalidTokenError:
            raise Unauthorized("the token is malformed: get a new one") from None
        algorithm, name = header.get("alg"), header.get("kid")
        if algorithm not in self._settings.token_algorithms:
            raise Unauthorized("the token is signed with an algorithm that is not accepted")
        keys = [key for key in await self._keys.find(name) if key.algorithm == algorithm]
        for key in keys:
            try:
                return self._check(text, key)
            except jwt.InvalidSignatureError:
                continue
        raise Unauthorized("the token was not signed by a known key of the identity provider")

    def _check(self, text: str, key: VerificationKey) -> Mapping[str, Any]:
        try:
            payload: dict[str, Any] = jwt.decode(
                text,
                key.key,
                algorithms=[key.algorithm],
                issuer=self._settings.token_issuer,
                leeway=LEEWAY_SECONDS,
                options={
                    "require": ["exp", "iss"],
                    "verify_aud": False,  # done below: not all providers call it so
                    "verify_sub": False,
                    "verify_jti": False,
                },
            )
        except jwt.InvalidSignatureError:
            raise
        except jwt.ExpiredSignatureError:
            raise Unauthorized("the token has expired (exp): get a new one") from None
        except jwt.ImmatureSignatureError as error:
            claim = "nbf" if "nbf" in str(error) else "iat"
            raise Unauthorized(f"the token is not valid yet ({claim})") from None
        except jwt.InvalidIssuerError:
            raise Unauthorized("the token is of another issuer (iss)") from None
        except jwt.MissingRequiredClaimError as error:
            raise Unauthorized(f"the token has no claim {error.claim}") from None
        except (jwt.InvalidTokenError, ValueError, TypeError, OverflowError):
            raise Unauthorized("the token is malformed: get a new one") from None
        self._check_audience(payload)
        return payload

    def _check_audience(self, payload: Mapping[str, Any]) -> None:
        claim = self._settings.token_audience_claim
        audience = find_claim(payload, claim)
        if audience is None:
            raise Unauthorized(f"the token has no claim {claim}")
        if self._settings.token_audience not in (audience if isinstance(audience, list) else [audience]):
            raise Unauthorized(f"the token is for another audience ({claim})")

    def _patterns(
        self, payload: Mapping[str, Any], claim: str, granted: Sequence[str], name: str
    ) -> tuple[str, ...]:
        """Return patterns of a claim and the settings, with the name inserted."""
        patterns = (*granted, *_words(payload, claim))
        # A name with a dot or a wildcard would give rights to the topics of others, with $ in front to the
        # system's.
        if re.search(r"^\$|[.*>\s]", name) and any("{sub}" in each for each in patterns):
            raise Unauthorized("the name in the token cannot be a part of a topic, which its rights need")
        return tuple(each.replace("{sub}", name) for each in patterns)


def find_claim(payload: Mapping[str, Any], name: str) -> Any:
    """Return the value of a claim, None if there is none.

    ``realm_access.roles`` is the claim of this name, or else ``roles`` within ``realm_access``.
    """
    if name in payload:
        return payload[name]
    for end in (index for index, character in enumerate(name) if character == "."):
        inner = payload.get(name[:end])
        if isinstance(inner, dict) and (found := find_claim(inner, name[end + 1 :])) is not None:
            return found
    return None


def _words(payload: Mapping[str, Any], claim: str) -> list[str]:
    """Return the values of a claim, a list or a string's words.

    A missing claim has none.

    Raises:
        Unauthorized: If the claim is neither.
    """
    value = find_claim(payload, claim)
    words = [] if value is None else value.split() if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(each, str) for each in words):
        raise Unauthorized(f"the token has a wrong claim: {claim} is no list of texts")
    return words


def _trust(settings: Settings) -> ssl.SSLContext:
    if settings.jwks_ca_file is None:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cafile=settings.jwks_ca_file)
    except OSError as error:
        raise ConfigurationError(
            f"jwks_ca_file {settings.jwks_ca_file}: {error.strerror or error}"
        ) from error
