"""Public keys of an identity provider, by PEM file or JWKS endpoint."""

import asyncio
import logging
import re
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import jwt
import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from fanline import files
from fanline.errors import ConfigurationError
from fanline.files import FollowedFile

REFRESH_SECONDS: Final = 3_600.0
FETCH_PAUSE_SECONDS: Final = 30.0
FETCH_TIMEOUT: Final = 10.0
MAX_KEYS_BYTES: Final = 262_144
_MAX_KEYS: Final = 100
MIN_RSA_BITS: Final = 2_048

_PEM: Final = re.compile(rb"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", re.DOTALL)

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

logger = logging.getLogger(__name__)


class VerificationKey(NamedTuple):
    """A public key, its one algorithm, and its name.

    ``name`` is the ``kid``, if the key has one.
    """

    name: str | None
    algorithm: str
    key: PublicKey


Fetch = Callable[[], Awaitable[Sequence[VerificationKey]]]


class ProviderUnavailable(Exception):
    """The provider's keys could not be fetched, as the text explains."""


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
        """Return the keys of a name; all keys for None.

        Concurrent calls share a fetch.
        """
        if self._needs_fetch(name):
            async with self._fetching:
                if self._needs_fetch(name):
                    await self._refresh()
        return self._named(name)

    def expire(self) -> None:
        """Fetch the keys again with the next token.

        Until then, and if that fails, they remain in use.
        """
        self._fetched_at = self._tried_at = float("-inf")

    def _named(self, name: str | None) -> Sequence[VerificationKey]:
        return [key for key in self._keys if name is None or key.name is None or key.name == name]

    def _needs_fetch(self, name: str | None) -> bool:
        now = self._clock()
        is_old = not self._named(name) or now - self._fetched_at >= REFRESH_SECONDS
        return is_old and now - self._tried_at >= FETCH_PAUSE_SECONDS

    async def _refresh(self) -> None:
        self._tried_at = self._clock()
        try:
            self._keys = await self._fetch()
        except ProviderUnavailable as error:
            logger.warning("%s; the keys from before remain in use, %d of them", error, len(self._keys))
        else:
            self._fetched_at = self._clock()
            logger.info("the identity provider has %d keys for tokens", len(self._keys))


class KeyFile:
    """The public keys in a PEM file, which follow it.

    Args:
        path: The file.

    Raises:
        ConfigurationError: As for :func:`read_public_keys`.
    """

    def __init__(self, path: Path) -> None:
        self._file = FollowedFile(
            partial(read_public_keys, path),
            partial(files.version, path),
            kept="the keys from before remain in use",
        )

    @property
    def problem(self) -> str | None:
        """Why the present file cannot be used; None if it is."""
        return self._file.problem

    async def fetch(self) -> Sequence[VerificationKey]:
        """Return the keys."""
        return self._file.value

    def look(self) -> bool:
        """Read a changed file again; return whether keys have changed."""
        return self._file.look()


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
    """Return the keys of a JWK set that can verify tokens.

    The list is empty for anything else than a JWK set.
    """
    try:
        entries = msgspec.json.decode(body)["keys"][:_MAX_KEYS]
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
    """Return a verification key of a JWK set, or None.

    None stands for one that is for encryption, secret or of another kind.
    """
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
