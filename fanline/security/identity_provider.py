"""Verify tokens of an identity provider, such as Keycloak, Auth0, Entra ID or Cognito.

Its public keys come from a PEM file or from its JWKS endpoint (RFC 7517). They are fetched when the first
token comes, again after an hour, and when a token names an unknown key, at most every 30 seconds, whatever
tokens ask for; known keys remain in use while the provider is away. A token is judged by the settings alone,
not by what it says about itself: the algorithm is that of the key, and one of those allowed.
"""

import asyncio
import logging
import re
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import jwt
import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from fanline.errors import ConfigurationError
from fanline.security.authenticator import Unauthorized
from fanline.security.tokens import Claims, time_of_issue
from fanline.settings import Settings

LEEWAY_SECONDS: Final = 60
REFRESH_SECONDS: Final = 3_600.0
RETRY_SECONDS: Final = 30.0
FETCH_TIMEOUT: Final = 10.0
MAX_KEYS_BYTES: Final = 262_144
MAX_KEYS: Final = 100
MIN_RSA_BITS: Final = 2_048
MAX_EXPIRY: Final = 2**53
MAX_LENGTH: Final = 16_384

_PEM: Final = re.compile(rb"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", re.DOTALL)

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

logger = logging.getLogger(__name__)


class VerificationKey(NamedTuple):
    """A public key, and the one algorithm that it is used with; ``name`` is its ``kid``, if it has one."""

    name: str | None
    algorithm: str
    key: PublicKey


Fetch = Callable[[], Awaitable[Sequence[VerificationKey]]]


class ProviderUnavailable(Exception):
    """The keys of the provider could not be fetched; the text says why."""


class KeySet:
    """The keys of a provider, fetched when they are needed.

    Args:
        fetch: Returns the keys; raises :class:`ProviderUnavailable`.
        clock: Returns seconds of a monotonic clock.
    """

    def __init__(self, fetch: Fetch, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._clock = clock
        self._keys: Sequence[VerificationKey] = ()
        self._fetched_at = self._tried_at = float("-inf")
        self._fetching = asyncio.Lock()

    async def find(self, name: str | None) -> Sequence[VerificationKey]:
        """Return the keys of a name; all keys for None. Concurrent calls share a fetch."""
        if self._needs_fetch(name):
            async with self._fetching:
                if self._needs_fetch(name):
                    await self._refresh()
        return self._named(name)

    def _named(self, name: str | None) -> Sequence[VerificationKey]:
        return [key for key in self._keys if name is None or key.name is None or key.name == name]

    def _needs_fetch(self, name: str | None) -> bool:
        now = self._clock()
        is_old = not self._named(name) or now - self._fetched_at >= REFRESH_SECONDS
        return is_old and now - self._tried_at >= RETRY_SECONDS

    async def _refresh(self) -> None:
        self._tried_at = self._clock()
        try:
            self._keys = await self._fetch()
        except ProviderUnavailable as error:
            logger.warning("%s; the keys from before remain in use, %d of them", error, len(self._keys))
        else:
            self._fetched_at = self._clock()
            logger.info("the identity provider has %d keys for tokens", len(self._keys))


class IdentityProvider:
    """Verifies the tokens of an identity provider.

    Args:
        settings: Which tokens are accepted, and what their claims mean.
        keys: The keys of the provider.
    """

    def __init__(self, settings: Settings, keys: KeySet) -> None:
        self._settings = settings
        self._keys = keys

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
            keys = read_public_keys(path)

            async def fetch() -> Sequence[VerificationKey]:
                return keys
        else:
            fetch = JwksEndpoint(str(url), _trust(settings)).fetch
        return cls(settings, KeySet(fetch))

    async def verify(self, text: str) -> Claims:
        """Verify a token; return its claims, with the rights that they give.

        Raises:
            Unauthorized: If it cannot be accepted; the text names the claim that is wrong.
        """
        payload = await self._decode(text)
        name = find_claim(payload, self._settings.token_name_claim)
        if not isinstance(name, str):
            raise Unauthorized(f"the token has no name in its claim {self._settings.token_name_claim}")
        if payload["exp"] > MAX_EXPIRY:
            raise Unauthorized("the token has a wrong claim: exp")
        granted = self._settings
        rules = [each for each in granted.token_rights if each.value in _words(payload, each.claim)]
        publish = [pattern for rule in rules for pattern in rule.publish]
        subscribe = [pattern for rule in rules for pattern in rule.subscribe]
        return Claims(
            name,
            str(payload.get("jti", payload.get("uti", ""))),  # Entra ID calls it so
            int(payload["exp"]),
            self._patterns(payload, granted.token_publish_claim, (*granted.token_publish, *publish), name),
            self._patterns(
                payload, granted.token_subscribe_claim, (*granted.token_subscribe, *subscribe), name
            ),
            issued=time_of_issue(payload),
        )

    async def _decode(self, text: str) -> Mapping[str, Any]:
        if len(text) > MAX_LENGTH:
            raise Unauthorized(f"the token is too long: {MAX_LENGTH:,} characters are allowed")
        try:
            header = jwt.get_unverified_header(text)
        except jwt.InvalidTokenError:
            raise Unauthorized("the token is malformed") from None
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
            raise Unauthorized("the token is malformed") from None
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
        """Return the patterns of a claim and those of the settings, with the name filled in."""
        patterns = (*granted, *_words(payload, claim))
        # A name with a dot or a wildcard would give rights to the topics of others.
        if re.search(r"[.*>\s]", name) and any("{sub}" in each for each in patterns):
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
    """Return the values of a claim, which is a list or words in a string; none if it is missing.

    Raises:
        Unauthorized: If it is neither.
    """
    value = find_claim(payload, claim)
    words = [] if value is None else value.split() if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(each, str) for each in words):
        raise Unauthorized(f"the token has a wrong claim: {claim} is no list of texts")
    return words


class JwksEndpoint:
    """The keys that a provider publishes.

    Args:
        url: Where, ``https://…``.
        tls: How to verify the provider.
        timeout: Seconds within which the answer must be complete.
    """

    def __init__(self, url: str, tls: ssl.SSLContext, *, timeout: float = FETCH_TIMEOUT) -> None:
        self._url = url
        self._tls = tls
        self._timeout = timeout

    async def fetch(self) -> Sequence[VerificationKey]:
        """Fetch the keys.

        Raises:
            ProviderUnavailable: If there is no answer with keys.
        """
        try:
            async with asyncio.timeout(self._timeout):
                body = await self._get()
        except TimeoutError:
            raise ProviderUnavailable(f"jwks_url {self._url}: no answer within {self._timeout:g} s") from None
        keys = parse_jwks(body)
        if not keys:
            raise ProviderUnavailable(f"jwks_url {self._url}: the answer has no keys for tokens")
        return keys

    async def _get(self) -> bytes:
        # Importing it is a fifth of what a service does before it starts, and few have an identity provider.
        import httpx  # noqa: PLC0415

        body = b""
        try:
            async with (
                httpx.AsyncClient(verify=self._tls, trust_env=False) as client,
                client.stream("GET", self._url, headers={"Accept-Encoding": "identity"}) as response,
            ):
                response.raise_for_status()
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > MAX_KEYS_BYTES:
                        problem = f"more than {MAX_KEYS_BYTES:,} bytes"
                        raise ProviderUnavailable(f"jwks_url {self._url}: {problem}")
        except (httpx.HTTPError, OSError) as error:
            raise ProviderUnavailable(f"jwks_url {self._url}: {error or type(error).__name__}") from error
        return body


def parse_jwks(body: bytes) -> list[VerificationKey]:
    """Return the keys of a JWK set that can verify tokens; empty for anything else."""
    try:
        entries = msgspec.json.decode(body)["keys"][:MAX_KEYS]
    except (msgspec.DecodeError, KeyError, TypeError, RecursionError):
        return []
    return [key for entry in entries if (key := _key_of(entry)) is not None]


def read_public_keys(path: Path) -> list[VerificationKey]:
    """Return the public keys of a PEM file, at least one.

    Raises:
        ConfigurationError: If it has none, or cannot be read.
    """
    try:
        blocks = _PEM.findall(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"token_public_keys {path}: {error.strerror}") from error
    try:
        found = [_verification_key(None, load_pem_public_key(block)) for block in blocks]
    except (ValueError, UnsupportedAlgorithm):
        found = []
    keys = [key for key in found if key is not None]
    if not keys:
        kinds = "RSA of 2,048 bits or more, P-256 or Ed25519"
        raise ConfigurationError(f"token_public_keys {path}: holds no public key in PEM format ({kinds})")
    return keys


def _key_of(entry: Any) -> VerificationKey | None:
    """Return a key of a JWK set; None for one that is for encryption, secret or of another kind."""
    if not isinstance(entry, dict) or entry.get("kty") == "oct" or entry.get("use", "sig") != "sig":
        return None
    name = entry.get("kid")
    try:
        parsed = jwt.PyJWK(entry).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    return _verification_key(name if isinstance(name, str) else None, parsed)


def _verification_key(name: str | None, key: object) -> VerificationKey | None:
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= MIN_RSA_BITS:
        return VerificationKey(name, "RS256", key)
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return VerificationKey(name, "ES256", key)
    if isinstance(key, ed25519.Ed25519PublicKey):
        return VerificationKey(name, "EdDSA", key)
    return None


def _trust(settings: Settings) -> ssl.SSLContext:
    if settings.jwks_ca_file is None:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cafile=settings.jwks_ca_file)
    except OSError as error:
        raise ConfigurationError(
            f"jwks_ca_file {settings.jwks_ca_file}: {error.strerror or error}"
        ) from error
