"""Tests of when the keys of an identity provider are fetched, by a clock of their own."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fanline.security.provider_keys import (
    FETCH_PAUSE_SECONDS,
    REFRESH_SECONDS,
    KeyFile,
    KeySet,
    ProviderUnavailable,
    VerificationKey,
)

RSA = rsa.generate_private_key(65537, 2048)


class Clock:
    """A clock that stands still unless it is moved."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Endpoint:
    """Keys as a test provides them; None while the provider is away."""

    def __init__(self) -> None:
        self.keys: Sequence[VerificationKey] | None = [named("a")]
        self.fetches = 0

    async def fetch(self) -> Sequence[VerificationKey]:
        self.fetches += 1
        await asyncio.sleep(0)
        if self.keys is None:
            raise ProviderUnavailable("away")
        return self.keys


def named(name: str) -> VerificationKey:
    return VerificationKey(name, "RS256", RSA.public_key())


async def test_a_new_key_is_found() -> None:
    """After a rotation a token names a key that is not known, and the keys are fetched again."""
    endpoint, clock = Endpoint(), Clock()
    keys = KeySet(endpoint.fetch, clock=clock)
    assert await keys.find("a") == [named("a")]
    endpoint.keys = [named("b")]
    clock.now += FETCH_PAUSE_SECONDS
    assert await keys.find("b") == [named("b")]
    assert not await keys.find("a")


async def test_unknown_key_ids_cost_one_fetch() -> None:
    """Ten thousand tokens with key ids that do not exist cause one request, and no memory."""
    endpoint, clock = Endpoint(), Clock()
    keys = KeySet(endpoint.fetch, clock=clock)
    await keys.find("a")
    clock.now += FETCH_PAUSE_SECONDS
    found = await asyncio.gather(*(keys.find(f"unknown{number}") for number in range(10_000)))
    assert not any(found)
    assert endpoint.fetches == 2


async def test_keys_outlast_an_outage_of_the_provider(caplog: pytest.LogCaptureFixture) -> None:
    """While the provider is away its known keys are used; it is asked every 30 seconds, until it is back."""
    endpoint, clock = Endpoint(), Clock()
    keys = KeySet(endpoint.fetch, clock=clock)
    await keys.find("a")
    endpoint.keys = None
    for _ in range(3):
        clock.now += REFRESH_SECONDS
        assert await keys.find("a") == [named("a")]
        assert await keys.find("a") == [named("a")]
    assert endpoint.fetches == 4
    assert "away; the keys from before remain in use, 1 of them" in caplog.text
    endpoint.keys = [named("b")]
    clock.now += FETCH_PAUSE_SECONDS
    assert await keys.find("b") == [named("b")]


def test_a_file_of_keys_is_read_again(tmp_path: Path) -> None:
    """Other keys count; a file without any is reported, and changes nothing (line 53)."""
    path = tmp_path / "keys.pem"
    first, second = (rsa.generate_private_key(65537, 2048).public_key() for _ in range(2))
    pem = [key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo) for key in (first, second)]
    path.write_bytes(pem[0])
    file = KeyFile(path)
    assert not file.look()
    path.write_bytes(pem[0] + pem[1])
    assert file.look()
    assert [key.key for key in asyncio.run(file.fetch())] == [first, second]
    path.write_bytes(b"nonsense")
    assert not file.look()
    assert "holds no public key" in str(file.problem)
    assert len(asyncio.run(file.fetch())) == 2
    path.write_bytes(pem[1])
    assert file.look()
    assert file.problem is None
