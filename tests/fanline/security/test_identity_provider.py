"""Tests of tokens of an identity provider: a small HTTPS provider of their own, with keys that rotate."""

import asyncio
import base64
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fanline.errors import ConfigurationError
from fanline.security.authenticator import Unauthorized
from fanline.security.identity_provider import IdentityProvider
from fanline.security.logins import LoginVerifier
from fanline.security.provider_keys import MAX_KEYS_BYTES, JwksEndpoint, ProviderUnavailable
from fanline.security.revocations import MAX_TOKEN_SECONDS
from fanline.security.tls import server_context
from fanline.security.tokens import Claims
from fanline.settings import Settings
from tests.stubs import DEADLINE

MakeSettings = Callable[..., Settings]

ISSUER, AUDIENCE = "https://id.example.org/realms/shop", "fanline"
HERE = "192.0.2.1"

RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
ALGORITHMS: list[tuple[str, PrivateKey]] = [("RS256", RSA), ("ES256", EC), ("EdDSA", ED)]


def token(key: Any = RSA, algorithm: Any = "RS256", kid: Any = "a", **changes: Any) -> str:
    """Issue a token as a provider does; a claim that is None is left out."""
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "ann",
        "iat": now,
        "nbf": now,
        "exp": now + 300,
    } | changes
    headers = {} if kid is None else {"kid": kid}
    present = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(present, key, algorithm, headers=headers)


def entry(key: PrivateKey = RSA, kid: str = "a", **more: str) -> dict[str, Any]:
    """Return the entry of a key in a JWK set."""
    kind = {rsa.RSAPrivateKey: "RS256", ec.EllipticCurvePrivateKey: "ES256"}
    name = next((name for each, name in kind.items() if isinstance(key, each)), "EdDSA")
    encoded: Any = jwt.get_algorithm_by_name(name).to_jwk(key.public_key(), as_dict=True)
    return {**encoded, "kid": kid} | more


class Provider:
    """Serves one answer at every path, over TLS, and counts the requests."""

    def __init__(self) -> None:
        self.keys: list[dict[str, Any]] = [entry()]
        self.answer: Callable[[asyncio.StreamWriter], Any] = self.send_keys
        self.requests = 0
        self.port = 0
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/jwks"

    @asynccontextmanager
    async def running(self, cert_dir: Path) -> AsyncIterator["Provider"]:
        """Listen while the block runs."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=server_context(cert_dir))
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            self.requests += 1
            if not self.may_answer.is_set():
                self.asked.set()
                await self.may_answer.wait()
            await self.answer(writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def send_keys(self, writer: asyncio.StreamWriter) -> None:
        await self.send(writer, json.dumps({"keys": self.keys}).encode())

    async def send(self, writer: asyncio.StreamWriter, body: bytes, status: str = "200 OK") -> None:
        writer.write(b"HTTP/1.1 %s\r\nConnection: close\r\n\r\n%s" % (status.encode(), body))
        await writer.drain()


@pytest.fixture
async def provider(cert_dir: Path) -> AsyncIterator[Provider]:
    async with Provider().running(cert_dir) as running:
        yield running


@pytest.fixture
def accept(make_settings: MakeSettings, provider: Provider, cert_dir: Path) -> Callable[..., Settings]:
    """Settings that accept the tokens of the provider."""

    def make(**changes: Any) -> Settings:
        usual = {
            "jwks_url": provider.url,
            "jwks_ca_file": cert_dir / "ca.crt",
            "token_issuer": ISSUER,
            "token_audience": AUDIENCE,
        }
        return make_settings(**usual | changes)

    return make


async def verified(settings: Settings, text: str) -> Claims:
    provider = IdentityProvider.from_settings(settings)
    assert provider is not None
    return await provider.verify(text)


async def refusal(settings: Settings, text: str) -> str:
    with pytest.raises(Unauthorized) as refused:
        await verified(settings, text)
    return str(refused.value)


@pytest.mark.parametrize(("algorithm", "key"), ALGORITHMS, ids=[name for name, _ in ALGORITHMS])
async def test_a_token_of_the_provider_is_a_login(
    accept: Callable[..., Settings], provider: Provider, algorithm: str, key: PrivateKey
) -> None:
    """RS256, ES256 and EdDSA, with the rights that the claims name (line 45)."""
    provider.keys = [entry(key, "other"), entry(key)]
    text = token(key, algorithm, publish=["orders.>"], subscribe="news.* orders.>", aud=["account", AUDIENCE])
    login = await LoginVerifier(accept(), takes_tokens=True).identify(None, text, HERE)
    assert (login.user.name, login.user.is_service) == ("ann", False)
    assert (login.user.publish, login.user.subscribe) == (("orders.>",), ("news.*", "orders.>"))
    assert login.expires > time.time()


@pytest.mark.parametrize(("algorithm", "key"), ALGORITHMS, ids=[name for name, _ in ALGORITHMS])
async def test_a_file_has_the_keys_as_well(
    make_settings: MakeSettings, tmp_path: Path, algorithm: str, key: PrivateKey
) -> None:
    """Without an endpoint the public keys are in a PEM file; any of them may have signed (line 45)."""
    path = tmp_path / "keys.pem"
    keys: list[PrivateKey] = [rsa.generate_private_key(65537, 2048), RSA, EC, ED]
    form = Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    blocks = [each.public_key().public_bytes(*form) for each in keys]
    path.write_bytes(b"# ours\n" + b"".join(blocks))
    settings = make_settings(token_public_keys=path, token_issuer=ISSUER, token_audience=AUDIENCE)
    for kid in (None, "any"):
        assert (await verified(settings, token(key, algorithm, kid))).name == "ann"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"exp": int(time.time()) - 61}, "the token has expired (exp): get a new one"),
        ({"nbf": int(time.time()) + 3_600}, "the token is not valid yet (nbf)"),
        ({"iat": int(time.time()) + 3_600}, "the token is not valid yet (iat)"),
        ({"iss": "https://id.example.org/realms/other"}, "the token is of another issuer (iss)"),
        ({"aud": "other"}, "the token is for another audience (aud)"),
        ({"aud": ["other", "another"]}, "the token is for another audience (aud)"),
        ({"aud": None}, "the token has no claim aud"),
        ({"iss": None}, "the token has no claim iss"),
        ({"exp": None}, "the token has no claim exp"),
        ({"exp": 2**60}, "the token has a wrong claim: exp"),
        ({"sub": None}, "the token has no name in its claim sub"),
        ({"sub": 7}, "the token has no name in its claim sub"),
        ({"publish": {"a": 1}}, "the token has a wrong claim: publish is no list of texts"),
        ({"subscribe": [1]}, "the token has a wrong claim: subscribe is no list of texts"),
    ],
)
async def test_the_wrong_claim_is_named(
    accept: Callable[..., Settings], changes: dict[str, Any], said: str
) -> None:
    """A refusal says which claim is wrong (line 45)."""
    assert await refusal(accept(), token(**changes)) == said


async def test_a_token_without_a_time_of_issue_is_accepted(accept: Callable[..., Settings]) -> None:
    """Unless it is valid for so long from now that a revocation would be forgotten (line 45)."""
    verifier = LoginVerifier(accept(), takes_tokens=True)
    now = time.time()
    text = token(iat=None, exp=str(int(now + MAX_TOKEN_SECONDS - 60)))
    assert (await verifier.identify(None, text, HERE)).user.name == "ann"
    with pytest.raises(Unauthorized, match="valid for more than 400 days"):
        await verifier.identify(None, token(iat=None, exp=int(now + MAX_TOKEN_SECONDS + 3_600)), HERE)


async def test_clocks_may_differ_by_a_minute(accept: Callable[..., Settings]) -> None:
    """A token of a provider whose clock is 30 seconds fast or slow is good (line 45)."""
    now = int(time.time())
    for changes in ({"nbf": now + 30, "iat": now + 30}, {"exp": now - 30}):
        assert (await verified(accept(), token(**changes))).name == "ann"


async def test_claims_have_other_names(accept: Callable[..., Settings]) -> None:
    """Settings say which claim has the name and the patterns, and what every bearer may do (line 45)."""
    settings = accept(
        token_name_claim="preferred_username",
        token_subscribe_claim="permissions",
        token_publish=("inbox.{sub}",),
        token_subscribe=("user.{sub}.>", "news"),
    )
    claims = await verified(settings, token(preferred_username="bob", permissions=["team.{sub}"]))
    assert (claims.name, claims.publish) == ("bob", ("inbox.bob",))
    assert claims.subscribe == ("user.bob.>", "news", "team.bob")


@pytest.mark.parametrize("name", ["a.b", "*", ">", "a b", "$dead", "$presence"])
async def test_a_name_does_not_widen_its_rights(accept: Callable[..., Settings], name: str) -> None:
    """A name with a wildcard or a dot would be given the topics of others, with $ in front the system's."""
    settings = accept(token_subscribe=("{sub}.>",))
    assert "cannot be a part of a topic" in await refusal(settings, token(sub=name))


def unsigned(header: dict[str, Any]) -> str:
    payload = jwt.decode(token(), options={"verify_signature": False})
    parts = [base64.urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=") for each in (header, payload)]
    return b".".join([*parts, b""]).decode()


async def test_forged_tokens_are_refused(
    accept: Callable[..., Settings], make_settings: MakeSettings, tmp_path: Path
) -> None:
    """No signature, the public key as a secret, an algorithm of the token's choice, and odd key ids."""
    verifier = LoginVerifier(accept(), takes_tokens=True)
    public = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with_secret = jwt.PyJWS(algorithms=[])
    with_secret.register_algorithm("HS256", _Hmac())
    payload = json.dumps(jwt.decode(token(), options={"verify_signature": False})).encode()
    forged = [
        unsigned({"alg": "none"}),
        unsigned({"alg": "none", "kid": "a"}),
        unsigned({"alg": "RS256", "kid": "a"}),
        unsigned({"alg": "RS256", "kid": ["a"]}),
        unsigned({"alg": ["RS256"], "kid": "a"}),
        with_secret.encode(payload, public, "HS256", headers={"kid": "a"}),
        token(rsa.generate_private_key(65537, 2048)),
        token(kid="../../../../dev/null"),
        token(kid="a' OR 1=1"),
        token(EC, "ES256"),
        token(RSA, "RS512"),
        token()[:-4] + "AAAA",
        "a.b.c",
        "x" * 5_000,
    ]
    for text in forged:
        with pytest.raises(Unauthorized):
            await verifier.identify(None, text, HERE)
    assert (await verifier.identify(None, token(), HERE)).user.name == "ann"


class _Hmac(jwt.algorithms.HMACAlgorithm):
    """Signs with any bytes, as an attacker does."""

    def __init__(self) -> None:
        super().__init__(jwt.algorithms.HMACAlgorithm.SHA256)

    def prepare_key(self, key: str | bytes) -> bytes:
        return key if isinstance(key, bytes) else key.encode()


async def test_unusable_keys_are_left_out(accept: Callable[..., Settings], provider: Provider) -> None:
    """Secret keys, keys for encryption, short and malformed ones do not verify tokens; the others do."""
    short = rsa.generate_private_key(65537, 1024)
    secret = {"kty": "oct", "k": "AAAA", "kid": "a", "alg": "HS256"}
    provider.keys = [secret, entry(use="enc"), entry(short, "s"), {"kty": "RSA"}, {}, entry(kid="good")]
    assert (await verified(accept(), token(kid="good"))).name == "ann"
    assert "not signed by a known key" in await refusal(accept(), token(kid="a"))


async def hang(writer: asyncio.StreamWriter) -> None:
    await writer.drain()
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"<html>", "200 OK", "the answer has no keys"),
        (b'{"keys": 7}', "200 OK", "the answer has no keys"),
        (b"[" * 100_000, "200 OK", "the answer has no keys"),
        (b"", "500 Oops", "500"),
        (b"", "302 Found\r\nLocation: http://127.0.0.1:1/", "302"),
    ],
)
async def test_an_answer_without_keys(
    provider: Provider, tls: ssl.SSLContext, body: bytes, status: str, said: str
) -> None:
    """HTML, an error or a redirect gives no keys; the reason names the setting."""
    provider.answer = partial(provider.send, body=body, status=status)
    with pytest.raises(ProviderUnavailable, match=said) as raised:
        await JwksEndpoint(provider.url, tls, timeout=DEADLINE).fetch()
    assert str(raised.value).startswith(f"jwks_url {provider.url}: ")


async def test_an_endless_answer_is_cut(provider: Provider, tls: ssl.SSLContext) -> None:
    """A gigabyte is not read, let alone kept."""

    async def flood(writer: asyncio.StreamWriter) -> None:
        await provider.send(writer, b" ")
        for _ in range(1_000_000):
            writer.write(b" " * 1_024)
            await writer.drain()

    provider.answer = flood
    with pytest.raises(ProviderUnavailable, match=f"more than {MAX_KEYS_BYTES:,} bytes"):
        await JwksEndpoint(provider.url, tls, timeout=DEADLINE).fetch()


async def test_an_untrusted_provider_is_not_asked(
    accept: Callable[..., Settings], provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    """Without its CA the provider is not believed; its tokens are refused, and the log says why."""
    assert "not signed by a known key" in await refusal(accept(jwks_ca_file=None), token())
    assert f"jwks_url {provider.url}: " in caplog.text
    assert provider.requests == 0


async def test_a_provider_that_hangs_is_given_up(provider: Provider, tls: ssl.SSLContext) -> None:
    """The answer has to come within a time limit."""
    provider.answer = hang
    with pytest.raises(ProviderUnavailable, match=r"no answer within 0\.05 s"):
        await JwksEndpoint(provider.url, tls, timeout=0.05).fetch()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"token_issuer": None}, "token_issuer and token_audience: set both"),
        ({"token_audience": None}, "token_issuer and token_audience: set both"),
        ({"token_public_keys": Path("keys.pem")}, "jwks_url and token_public_keys are both set"),
        ({"jwks_ca_file": Path("/nowhere")}, "jwks_ca_file /nowhere: No such file"),
        (
            {"jwks_url": None, "token_public_keys": Path("/nowhere")},
            "/nowhere: No such file",
        ),
        ({"jwks_url": None, "token_public_keys": Path("/dev/null")}, "/dev/null: holds no public key"),
    ],
)
async def test_a_mistake_of_the_operator_is_told(
    accept: Callable[..., Settings], changes: dict[str, Any], said: str
) -> None:
    """At the start, with the setting that is wrong or missing (line 3)."""
    with pytest.raises(ConfigurationError, match=said):
        LoginVerifier(accept(**changes), takes_tokens=True)


async def test_other_settings_count_at_once(accept: Callable[..., Settings], provider: Provider) -> None:
    """Tokens are judged by them, and what others have let in may not stay (line 53)."""
    logins = LoginVerifier(accept(), takes_tokens=True)
    login, generation = await logins.identify(None, token(), HERE), logins.generation
    logins.reload(accept())
    assert logins.generation == generation
    assert logins.end_of(login) is None
    await logins.identify(None, token(), HERE)
    assert provider.requests == 2  # the keys were fetched again
    with pytest.raises(ConfigurationError):
        logins.reload(accept(token_issuer=None))
    assert logins.end_of(login) is None
    provider.may_answer.clear()
    logins.reload(accept())
    late = asyncio.create_task(logins.identify(None, token(), HERE))
    async with asyncio.timeout(DEADLINE):
        await provider.asked.wait()
    logins.reload(accept(token_audience="other"))
    provider.may_answer.set()
    assert logins.generation != generation
    assert "log in again" in str(logins.end_of(login))
    with pytest.raises(Unauthorized, match="log in again"):
        await late
    with pytest.raises(Unauthorized):
        await logins.identify(None, token(), HERE)
